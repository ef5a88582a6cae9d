"""The virtual Yonker and Microlife cuffs against published frames, and face to face with their drivers."""

from datetime import datetime, timedelta

import pytest

from gateway.drivers import microlife, yonker
from gateway.simulators.vendor_cuffs import (
    A6,
    BP3G,
    MICROLIFE_NOTIFY,
    YONKER_CHANNEL,
    MicrolifeCuff,
    YonkerCuff,
)
from tests.gateway.simulators.meeting import meet


def at(moment: str):
    return lambda: datetime.fromisoformat(moment)


def asked(cuff: MicrolifeCuff, request: str) -> list[str]:
    return [piece.hex() for piece in cuff.hear(bytes.fromhex(request))]


def told(met) -> list[str]:
    return [
        f"{record.device_time} {'/'.join(str(value) for value in record.values.values())}"
        for record in met.records
    ]


def test_a_yonker_result_is_the_captured_one():
    cuff = YonkerCuff(now=at("2024-11-25T19:18:40"))
    cuff.measure(131, 103, 81)
    *progress, result = cuff.begin()
    assert [piece[0] for piece in progress] == [0x80] * 3
    assert result.hex() == "818367510000190b18131200000000"
    assert list(cuff.begin()) == []


@pytest.mark.parametrize("has_clock", [True, False])
def test_the_yonker_driver_takes_the_result_and_not_the_way_there(has_clock):
    cuff = YonkerCuff(now=at("2024-11-25T19:18:40"), has_clock=has_clock)
    cuff.measure(131, 103, 81)
    cuff.measure(128, 100, 80)
    met = meet(yonker.DRIVER, cuff, channel=YONKER_CHANNEL)
    time = "2024-11-25 19:18:00" if has_clock else "None"
    assert told(met) == [f"{time} 131/103/81", f"{time} 128/100/80"]
    assert [note for note in met.notes if note[0] == "error"] == []


def test_a_microlife_answers_the_published_requests():
    cuff = MicrolifeCuff(now=at("2024-06-15T14:30:45"), slots=2)
    cuff.measure(120, 80, 60)
    (memory,) = asked(cuff, "4dff000900000000000000fd52")
    assert memory == "4d3a003b" + "00" * 38 + "78503c18060f0e1e0000" + "00" * 10 + "1f"
    assert asked(cuff, "4dff00080d18060f0e1e2de7") == ["4d3a0002810a"]
    assert cuff.clock_set_to == datetime.fromisoformat("2024-06-15T14:30:45")
    assert asked(cuff, "4dff00020553")[0].startswith("4d3a002d0501")
    assert asked(cuff, "4dff00020554") == []  # a wrong sum


@pytest.mark.parametrize("model", [A6, BP3G])
@pytest.mark.parametrize("piece_bytes", [1, 7, 20, None])
def test_the_microlife_driver_reads_both_layouts_however_they_are_cut(model, piece_bytes):
    cuff = MicrolifeCuff(now=at("2026-11-25T19:18:40"), model=model, user=2)
    cuff.measure(131, 83, 81)
    cuff.clock_error = timedelta(days=-280)
    cuff.measure(128, 80, 80)
    met = meet(microlife.DRIVER, cuff, channel=MICROLIFE_NOTIFY, piece_bytes=piece_bytes)
    assert told(met) == ["2026-11-25 19:18:00 131/83/81", "2026-02-18 19:18:00 128/80/80"]
    assert {record.user_slot for record in met.records} == {"2"}
    assert cuff.disconnected
    assert len(cuff.records) == 2, "nothing is cleared"
    assert cuff.clock_set_to is None, "a clock is set only when staff ask for it"


def test_the_microlife_clock_is_set_after_the_memory_was_read():
    cuff = MicrolifeCuff(now=at("2026-11-25T19:18:40"))
    cuff.measure(131, 83, 81)
    right = datetime.fromisoformat("2026-11-25T19:20:05")
    met = meet(microlife.DRIVER, cuff, channel=MICROLIFE_NOTIFY, set_clock_to=right)
    assert cuff.clock_set_to == right
    assert met.acts.index("emit") < met.acts.index("write 4dff00080d1a0b19131405cb")
    assert ("clock_set", right.isoformat()) in met.notes


@pytest.mark.parametrize("lose_after", range(3, 150, 9))
def test_a_link_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    cuff = MicrolifeCuff(now=at("2026-11-25T19:18:40"))
    for systolic in (131, 128, 125):
        cuff.measure(systolic, 83, 81)
    first = meet(microlife.DRIVER, cuff, channel=MICROLIFE_NOTIFY, piece_bytes=20, lose_after=lose_after)
    second = meet(microlife.DRIVER, cuff, channel=MICROLIFE_NOTIFY)
    assert {record.key for record in first.records} <= {record.key for record in second.records}
    assert len(second.records) == 3


def test_a_microlife_whose_answers_come_twice_gives_every_record():
    class Echo(MicrolifeCuff):
        def hear(self, data):
            for piece in super().hear(data):
                yield from (piece, piece)

    cuff = Echo(now=at("2024-06-15T14:30:45"))
    cuff.measure(120, 80, 60)
    met = meet(microlife.DRIVER, cuff, channel=MICROLIFE_NOTIFY)
    assert told(met) == ["2024-06-15 14:30:00 120/80/60"]
