"""The virtual GM700SB against bytes that two public programs show, and face to face with its driver."""

from datetime import datetime, timedelta

import pytest

from gateway.drivers.bionime import DRIVER
from gateway.simulators.bionime_meter import ANSWERS, LOCK, UNLOCK, BionimeMeter
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


class Meter(BionimeMeter):
    """One whose clock a test moves."""

    def __init__(self, at: datetime = NOON, **options) -> None:
        self.at = at
        super().__init__(now=lambda: self.at, **options)

    def filled(self, count: int) -> "Meter":
        for number in range(count):
            self.at += timedelta(minutes=1)
            self.measure(100 + number)
        return self


def over_the_air(meter, **options):
    return meet(DRIVER, meter, channel=ANSWERS, name=meter.serial, **options)


def answers(meter: BionimeMeter, asked: str) -> list[str]:
    return [piece.hex() for piece in meter.hear(bytes.fromhex(asked))]


def test_it_tells_its_serial_number_as_a_real_one_did():
    assert [piece.hex() for piece in Meter().begin()] == ["0e32373832574243313938372843292a"]


def test_it_answers_as_the_captured_ones_did_but_only_unlocked():
    meter = Meter(datetime.fromisoformat("2018-06-19T11:45"), of_2017=True)
    assert answers(meter, "b0070000b7") == []
    list(meter.hear(UNLOCK))
    assert answers(meter, "b0070000b7") == ["01014ff800000000f40100003c"]
    assert meter.measure(113).hex() == "524b2d120071"  # captured with two more bits beside the minute, and a meal
    assert answers(meter, "b0070100b8") == ["01014ff80100524b2d12007195"]
    assert answers(meter, "b0060000000000000000b6"[:18]) == []  # cut short: a wrong sum
    list(meter.hear(LOCK))
    assert answers(meter, "b0070000b7") == []


def test_the_clock_is_told_as_the_protocols_example_says():
    meter = Meter(datetime.fromisoformat("2009-01-01T12:00"), of_2017=True)
    list(meter.hear(UNLOCK))
    assert answers(meter, "b006000000000000b6") == ["01014ff9010900000c005e"]


@pytest.mark.parametrize("of_2017", [False, True])
def test_the_driver_reads_it_and_gives_it_back(of_2017):
    meter = Meter(of_2017=of_2017).filled(25)
    met = over_the_air(meter)
    assert [record.shown[0].value for record in met.records] == [str(100 + number) for number in range(25)]
    assert ("serial", "2782WBC1987(C)") in met.notes
    assert met.acts[-1] == "write 01"
    assert not meter.is_unlocked
    meter.filled(1)
    assert len(over_the_air(meter, last_record=met.remembered).records) == 1
    assert over_the_air(meter, last_record=f"2782WBC1987(C) 26@{meter.records[-1].hex()}").records == []


@pytest.mark.parametrize("lose_after", range(0, 900, 41))
def test_a_line_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    meter = Meter().filled(30)
    first = over_the_air(meter, lose_after=lose_after)
    second = over_the_air(meter, last_record=first.remembered)
    assert len({record.key for record in first.records + second.records}) == 30
    assert (
        len(first.records) + len(second.records) < 30 + 10
    )  # at most what came since the last mark is read twice


def test_a_full_memory_is_read_up_to_what_is_known():
    meter = Meter(capacity=20).filled(20)
    first = over_the_air(meter)
    meter.filled(3)
    second = over_the_air(meter, last_record=first.remembered)
    assert sorted(record.key for record in second.records) == sorted(
        record.key for record in over_the_air(meter).records[-3:]
    )
