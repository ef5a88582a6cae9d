"""Virtual OneTouch meters: their bytes as public projects publish them, and the drivers that read them."""

import contextlib
import random
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from gateway.conversation import Garbled
from gateway.drivers import lifescan_ultra2, lifescan_ultraeasy, lifescan_verio
from gateway.simulators.onetouch import NOTIFY, OneTouch, Ultra2, UltraEasy, VerioFlex, checked, framed
from gateway.wire.messages import Purpose
from gateway.wire.vocabulary import OffScale
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")
HALF_PAST = datetime.fromisoformat("2026-03-05T12:30:00")


class Clock:
    """A time that goes on a minute with every test, so that none is like another."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time

    def tick(self) -> None:
        self.time += timedelta(minutes=1)


MAKERS = [
    (Ultra2, lifescan_ultra2.DRIVER, ""),
    (UltraEasy, lifescan_ultraeasy.DRIVER, ""),
    (VerioFlex, lifescan_verio.DRIVER, NOTIFY),
]
every_model = pytest.mark.parametrize(("model", "driver", "channel"), MAKERS, ids=["ultra2", "ultraeasy", "verio"])


def used(model, *mmol: str, **options) -> OneTouch:
    clock = Clock()
    meter = model(now=clock, **options)
    for value in mmol:
        meter.measure(Decimal(value))
        clock.tick()
    return meter


def test_bytes_that_others_publish():
    assert framed(8).hex() == "02060803c262"
    assert framed(3, bytes.fromhex("050d02")).hex() == "020903050d0203089f"
    assert checked('P 003,"GMF600DCY","MG/DL "') == b'P 003,"GMF600DCY","MG/DL " 05A6\r\n'
    line = 'P "SAT","03/21/15","16:45:24   ","  081 ","N","03", 00'
    assert checked(line) == line.encode() + b" 09B6\r\n"


def test_an_ultra_2_answers_line_by_line():
    meter = used(Ultra2, "6.0", "40")
    assert list(meter.hear(b"\x11\rDM@")) == []
    assert list(meter.hear(b"\r")) == [b'@ "GMF600DCY" 02F4\r\n']
    header, newest, oldest = meter.hear(b"\x11\rDMP\r")
    assert header.startswith(b'P 002,"GMF600DCY","MMOL/L" ')
    assert newest.startswith(b'P "THU","03/05/26","12:01:30   ","  601 ","N","00", 00 ')
    assert oldest.startswith(b'P "THU","03/05/26","12:00:30   ","  108 ","N","00", 00 ')


def test_a_verio_answers_in_one_notification():
    meter = used(VerioFlex, "6.0")
    # 9560 days and 43,230 s since 2000-01-01 are 0x313c2cde; 108 mg/dL are 0x006c
    ack, answer = meter.hear(bytes.fromhex("01020a0003b3010003") + _crc("020a0003b3010003"))
    assert (ack, answer[:-2].hex()) == (b"\x81", "010213000306de2c3c316c000001000000" + "03")


def _crc(text: str) -> bytes:
    """The check of a packet that `framed` would make."""
    data = bytes.fromhex(text)
    return framed(data[2], data[3:-1])[-2:]


@every_model
@pytest.mark.parametrize("piece_bytes", [None, 1, 7])
def test_everything_comes_once_and_beyond_the_scale_without_a_number(model, driver, channel, piece_bytes):
    meter = used(model, "5.5", "40", "0.9", "7.2")
    met = meet(driver, meter, piece_bytes=None if channel else piece_bytes, channel=channel)
    by_time = sorted(met.records, key=lambda record: record.device_time)
    assert [record.values.get("glucose_mmol_l") for record in by_time] == [
        Decimal("5.5"), None, None, Decimal("7.2"),
    ]  # fmt: skip
    assert [record.off_scale.get("glucose_mmol_l") for record in by_time] == [
        None, OffScale.HI, OffScale.LO, None,
    ]  # fmt: skip
    assert len({record.key for record in met.records}) == 4
    assert met.remembered
    again = meet(driver, meter, last_record=met.remembered, channel=channel)
    assert again.records == []


@every_model
def test_what_was_measured_since_is_all_that_comes(model, driver, channel):
    meter = used(model, "5.5", "6.5")
    before = meet(driver, meter, channel=channel)
    meter.now.tick()
    meter.measure(Decimal("8.8"))
    after = meet(driver, meter, last_record=before.remembered, channel=channel)
    assert [record.values for record in after.records] == [{"glucose_mmol_l": Decimal("8.8")}]
    assert not {record.key for record in before.records} & {record.key for record in after.records}


@pytest.mark.parametrize(("model", "driver", "channel"), MAKERS[:2], ids=["ultra2", "ultraeasy"])
@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize("room", [500, 3])
def test_what_is_measured_after_the_clock_was_set_back_is_read(model, driver, channel, by_time, room):
    """It may stand behind records that are known, and an old one may have given way to it."""
    meter = used(model, "5.5", "6.5", "7.5", by_time=by_time, room=room)
    before = meet(driver, meter, channel=channel)
    meter.clock_error = timedelta(seconds=-90)
    meter.measure(Decimal("8.8"))
    assert meter.memory.index(next(one for one in meter.memory if one.mg_dl == 159)) == int(by_time)
    after = meet(driver, meter, last_record=before.remembered, channel=channel)
    known = {record.key for record in before.records}
    new = [record.values for record in after.records if record.key not in known]
    assert new == [{"glucose_mmol_l": Decimal("8.8")}]
    assert meet(driver, meter, last_record=after.remembered, channel=channel).records == []


@every_model
@pytest.mark.parametrize("lose_after", range(1, 400, 23))
def test_wherever_the_line_goes_nothing_is_lost_or_doubled(model, driver, channel, lose_after):
    meter = used(model, "5.5", "6.5", "7.5")
    first = meet(driver, meter, lose_after=lose_after, channel=channel)
    second = meet(driver, meter, last_record=first.remembered, channel=channel)
    assert len({record.key for record in first.records + second.records}) == 3


@every_model
def test_the_clock_is_set_after_the_records_and_only_when_asked_for(model, driver, channel):
    meter = used(model, "5.5", clock_error=timedelta(days=-400))
    meet(driver, meter, channel=channel)
    assert meter.clock_error == timedelta(days=-400)
    met = meet(driver, meter, set_clock_to=HALF_PAST, channel=channel)
    assert meter.clock() == HALF_PAST
    said = [what for what, _ in met.notes]
    assert said.index("clock") < said.index("clock_set")
    assert ("clock_set", HALF_PAST.isoformat()) in met.notes
    assert met.records[0].device_time == NOON - timedelta(days=400)


@pytest.mark.parametrize(("model", "driver", "channel"), [MAKERS[0], MAKERS[2]])
def test_control_solution_is_no_patients(model, driver, channel):
    meter = used(model)
    meter.measure(Decimal("6.2"), control=True)
    assert [record.purpose for record in meet(driver, meter, channel=channel).records] == [Purpose.CONTROL]


def test_a_line_that_never_came_is_read_next_time():
    meter = used(Ultra2, "5.5", "6.5", "7.5", lose_line=1)
    first = meet(lifescan_ultra2.DRIVER, meter)
    assert (len(first.records), first.remembered) == (2, None)
    assert ("error", "records_missing") in first.notes
    assert len(meet(lifescan_ultra2.DRIVER, meter).records) == 3


def test_an_easy_that_hears_badly_and_repeats_itself_is_read_once():
    meter = used(UltraEasy, "5.5", "6.5", deaf_to=2, says_twice=True)
    met = meet(lifescan_ultraeasy.DRIVER, meter)
    assert [record.values["glucose_mmol_l"] for record in met.records] == [Decimal("6.5"), Decimal("5.5")]


def test_an_easy_that_measures_while_it_is_read():
    meter = used(UltraEasy, "5.5", "6.5", "7.5", measures_at=1)
    met = meet(lifescan_ultraeasy.DRIVER, meter)
    assert len({record.key for record in met.records}) == len(met.records) == 4


def test_a_verio_that_says_everything_twice_is_read_once():
    meter = used(VerioFlex, "5.5", "6.5", "6.5", says_twice=True)
    met = meet(lifescan_verio.DRIVER, meter, channel=NOTIFY)
    assert [record.key.partition("@")[0] for record in met.records] == ["1", "2", "3"]


def test_a_verio_that_was_not_paired_says_so():
    with pytest.raises(Exception, match="not_allowed"):
        meet(lifescan_verio.DRIVER, used(VerioFlex, "5.5", locked=True), channel=NOTIFY)


def on_a_bad_line(meter: OneTouch, chance: random.Random) -> OneTouch:
    """Now and then a byte is changed, lost or added, and now and then a question is not heard."""
    hears = meter.hear

    def bent(piece: bytes) -> bytes:
        at, byte = chance.randrange(len(piece)), bytes([chance.randrange(256)])
        kept = {0: (at + 1, byte), 1: (at + 1, b""), 2: (at, byte)}.get(chance.randrange(25))
        return piece if kept is None else piece[:at] + kept[1] + piece[kept[0] :]

    meter.hear = lambda data: iter(()) if chance.random() < 0.03 else map(bent, hears(data))
    return meter


@every_model
@pytest.mark.parametrize("seed", range(25))
def test_on_a_bad_line_every_reading_comes_as_it_was(model, driver, channel, seed):
    meter = used(model, "5.5", "6.5", "7.5", "40")
    clean = meter.hear
    expected = {record.key: record for record in meet(driver, meter, channel=channel).records}
    on_a_bad_line(meter, random.Random(seed))
    told, mark = {}, None
    for last in (False, False, True):
        if last:
            meter.on_line_lost()
            meter.hear = clean
        with contextlib.suppress(Garbled):
            met = meet(driver, meter, last_record=mark, channel=channel)
            told |= {record.key: record for record in met.records}
            mark = met.remembered or mark
    assert told == expected
