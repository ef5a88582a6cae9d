"""The virtual BLT cuff against the captured frame, and face to face with its driver."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from gateway.drivers.blt import DRIVER
from gateway.simulators.blt_cuff import NOTIFY, BltCuff, User
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def cuff(at: str = "2026-03-05T12:00:30", **options) -> BltCuff:
    return BltCuff(now=lambda: datetime.fromisoformat(at), **options)


def test_a_result_is_told_as_the_captured_one():
    wbp = cuff("2017-08-31T16:43:57")
    wbp.measure_now(128, 76, 68)
    *_, result = wbp.begin()
    assert result.hex() == "aa0d292000804c00444df93a210007"


def test_an_aa_inside_is_sent_twice_and_understood_twice():
    wbp = cuff("2000-01-01T00:02:50")  # 170 seconds: AA
    wbp.measure(170, 92, 70)
    begun, stored = wbp.hear(bytes.fromhex("aa057a0000007f"))
    assert begun.hex() == "aa062c0100010034"
    assert stored.hex() == "aa0f2b0100010020aaaa5c0046aaaa00000052"
    (answer,) = wbp.hear(bytes.fromhex("aa086b00aaaa00000000" + "1d"))
    assert answer.hex() == "aa04036b55c7"
    assert wbp.clock() == datetime.fromisoformat("2000-01-01T00:02:50")


@pytest.mark.parametrize("piece_bytes", [1, 6, 20, None])
def test_the_driver_reads_it_however_the_notifications_are_cut(piece_bytes):
    wbp = cuff(clock_error=timedelta(minutes=-5))
    wbp.measure(170, 92, 70)
    wbp.measure(131, 84, 70, User.B)
    wbp.measure_now(128, 80, 72)
    met = meet(DRIVER, wbp, piece_bytes=piece_bytes, channel=NOTIFY)
    assert ("clock", "2026-03-05T11:55:30") in met.notes
    assert {(record.key, record.user_slot) for record in met.records} == {
        ("2026-03-05T11:55:30#170/92/70", "A"),
        ("2026-03-05T11:55:30#131/84/70", "B"),
        ("2026-03-05T11:55:30#128/80/72", "A"),
    }
    assert met.records[0].values["systolic_mmhg"] == Decimal(128)  # told live first, then out of the memory


@pytest.mark.parametrize("lose_after", range(1, 90, 7))
def test_a_line_lost_anywhere_loses_no_record_and_doubles_none(lose_after):
    wbp = cuff()
    for systolic in (128, 131, 140):
        wbp.measure(systolic, 80, 72)
    first = meet(DRIVER, wbp, lose_after=lose_after, channel=NOTIFY)
    second = meet(DRIVER, wbp, channel=NOTIFY)
    keys = {record.key for record in first.records + second.records}
    assert len(keys) == len(second.records) == 3
    assert not any("7f" in act[6:12] for act in first.acts + second.acts)  # never told to forget


def test_the_clock_is_set_after_the_memory_was_read():
    wbp = cuff(clock_error=timedelta(days=-9000))
    wbp.measure(128, 80, 72)
    met = meet(DRIVER, wbp, set_clock_to=NOON, channel=NOTIFY)
    assert [what for what, _ in met.notes if what.startswith("clock")] == ["clock", "clock_set"]
    assert wbp.clock() == NOON


def test_a_failed_measurement_is_told_by_its_number():
    wbp = cuff()
    wbp.fail(7)
    met = meet(DRIVER, wbp, channel=NOTIFY)
    assert ("error", "measuring_failed_7") in met.notes
