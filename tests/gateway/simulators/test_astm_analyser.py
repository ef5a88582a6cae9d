"""The virtual analyser: its frames by hand, and the driver that answers it."""

import random
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from gateway.drivers.astm import DRIVER
from gateway.simulators.astm_analyser import AstmAnalyser
from gateway.wire.messages import Purpose
from gateway.wire.vocabulary import Kind, OffScale
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def analyser(**options) -> AstmAnalyser:
    return AstmAnalyser(now=lambda: NOON, **options)


def test_a_message_in_one_frame_and_its_checksum():
    meter = analyser(frame_characters=4000)
    meter.measure_hba1c(Decimal("5.9"))
    assert list(meter.begin()) == [b"\x05"]
    assert list(meter.begin()) == []  # it has asked already
    (frame,) = meter.hear(b"\x06")
    text = (
        "1H|\\^&|||Afinion 2 Analyzer^^AF20052397|||||||P|1|20260305120030\rP|1||||||U\r"
        "O|1||1|^^^HbA1c|||||||N||||^C||||||||^10228413||F\rR|1|^^^HbA1c|5.9|%||||F||||20260305120030\rL|1|N\r\x03"
    )
    assert frame == b"\x02" + text.encode() + b"B3\r"
    assert list(meter.hear(b"\x15")) == [frame]  # refused: the same again
    assert list(meter.hear(b"\x06")) == [b"\x04"]
    assert meter.runs == []


def test_it_gives_up_after_six_refusals_and_keeps_the_message():
    meter = analyser()
    meter.measure_hba1c(Decimal("5.9"))
    list(meter.begin())
    list(meter.hear(b"\x06"))
    said = [piece for _ in range(6) for piece in meter.hear(b"\x15")]
    assert said[-1] == b"\x04"
    assert len(said) == 6
    assert len(meter.runs) == 1
    assert list(meter.begin()) == [b"\x05"]


@pytest.mark.parametrize(
    "options", [{}, {"frame_characters": 4000}, {"frame_characters": 7}, {"line_end": b"\r\n"}]
)
@pytest.mark.parametrize("bad_checksums", [0, 1, 3])
@pytest.mark.parametrize("piece_bytes", [None, 1])
def test_the_driver_takes_everything_once(options, bad_checksums, piece_bytes):
    meter = analyser(bad_checksums=bad_checksums, **options)
    meter.measure_hba1c(Decimal("7.2"))
    meter.measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"), None)
    meter.measure_hba1c(Decimal("15.4"))
    meter.measure_hba1c(Decimal("6.3"), control=True)
    met = meet(DRIVER, meter, piece_bytes=piece_bytes)
    assert [record.kind for record in met.records] == [Kind.HBA1C, Kind.LIPID_PANEL, Kind.HBA1C, Kind.HBA1C]
    assert met.records[1].flags == ("ldl_not_computed",)
    assert met.records[2].off_scale == {"hba1c_percent": OffScale.HI}
    assert [record.purpose for record in met.records].count(Purpose.CONTROL) == 1
    assert len({record.key for record in met.records}) == 4
    assert meter.runs == []
    assert len([note for note in met.notes if note[0] == "error"]) == bad_checksums


def test_the_last_frame_is_acknowledged_after_the_reading_is_safe():
    meter = analyser(frame_characters=100)
    meter.measure_hba1c(Decimal("7.2"))
    met = meet(DRIVER, meter)
    frames = len(meter.message(_run(meter))) // 100 + 1
    assert met.acts == ["write 06"] + ["write 06"] * (frames - 1) + ["emit", "write 06"]


def _run(meter: AstmAnalyser):
    meter.measure_hba1c(Decimal("7.2"))
    return meter.runs[-1]


@pytest.mark.parametrize("lose_after", range(1, 260, 9))
def test_whenever_the_line_goes_the_reading_comes_once(lose_after):
    meter = analyser(frame_characters=60)
    meter.measure_hba1c(Decimal("7.2"))
    records = meet(DRIVER, meter, lose_after=lose_after).records
    assert bool(records) or meter.runs  # what was not taken is still there
    records += meet(DRIVER, meter).records
    assert len({record.key for record in records}) == 1
    assert meter.runs == []


def test_a_clock_that_is_wrong_is_not_believed():
    meter = analyser(clock_error=timedelta(days=-900))
    meter.measure_hba1c(Decimal("7.2"))
    met = meet(DRIVER, meter)
    assert "clock" not in dict(met.notes)
    assert met.records[0].device_time == NOON - timedelta(days=900)


class Noisy(AstmAnalyser):
    """The same on a bad line: now and then a byte is changed, lost or added, and an answer of ours lost."""

    def __init__(self, chance: random.Random, **options) -> None:
        super().__init__(**options)
        self.chance = chance

    def begin(self):
        yield from map(self._bent, super().begin())

    def hear(self, data):
        if self.chance.random() < 0.05:
            return
        yield from map(self._bent, super().hear(data))

    def _bent(self, piece: bytes) -> bytes:
        at, byte = self.chance.randrange(len(piece) or 1), bytes([self.chance.randrange(256)])
        match self.chance.randrange(30):
            case 0:
                return piece[:at] + byte + piece[at + 1 :]
            case 1:
                return piece[:at] + piece[at + 1 :]
            case 2:
                return piece[:at] + byte + piece[at:]
        return piece


@pytest.mark.parametrize("seed", range(40))
def test_on_a_bad_line_every_reading_comes_once_and_as_it_was(seed):
    meter = Noisy(random.Random(seed), now=lambda: NOON, frame_characters=60)
    for percent in ("5.5", "6.5", "7.5", "8.5"):
        meter.measure_hba1c(Decimal(percent))
    records = {}
    for _ in range(60):
        for record in meet(DRIVER, meter).records:
            assert records.setdefault(record.key, record) == record
        if not meter.runs:
            break
        meter.on_line_lost()  # it heard nothing for 15 s: it gives up, and begins again
    assert meter.runs == []
    assert sorted(record.values["hba1c_percent"] for record in records.values()) == [
        Decimal("5.5"), Decimal("6.5"), Decimal("7.5"), Decimal("8.5"),
    ]  # fmt: skip
