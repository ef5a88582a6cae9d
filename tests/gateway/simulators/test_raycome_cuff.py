"""The virtual Raycome cuff, and face to face with its driver."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers.raycome import DRIVER
from gateway.simulators.raycome_cuff import NOTIFY, RaycomeCuff
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def cuff() -> RaycomeCuff:
    return RaycomeCuff(now=lambda: NOON)


def test_it_tells_what_five_apps_expect():
    rbp = cuff()
    rbp.measure(128, 80, 72)
    assert [piece.hex() for piece in rbp.begin()] == [
        "a5",
        "fdfd060d0a",
        "fdfdfb00500d0a",
        "fdfdfb00800d0a",
        "fdfdfc8050480d0a",
        "fdfdfc8050480d0a",
        "fdfdfc8050480d0a",
        "fdfd070d0a",
    ]
    rbp.fail(1)
    assert [piece.hex() for piece in rbp.begin()] == ["a5", "fdfd060d0a", "fdfdfd010d0a"]


@pytest.mark.parametrize("piece_bytes", [1, 3, 20, None])
def test_a_result_told_three_times_is_one_reading_and_nobody_makes_it_inflate(piece_bytes):
    rbp = cuff()
    rbp.measure(128, 80, 72)
    met = meet(DRIVER, rbp, piece_bytes=piece_bytes, channel=NOTIFY)
    assert [record.values["systolic_mmhg"] for record in met.records] == [Decimal(128)]
    assert rbp.inflations_by_host == 0


def test_what_the_display_still_shows_is_not_read_again():
    rbp = cuff()
    rbp.measure(131, 84, 70)
    first = meet(DRIVER, rbp, channel=NOTIFY)
    again = meet(DRIVER, rbp, last_record=first.remembered, channel=NOTIFY)
    assert (len(first.records), len(again.records)) == (1, 0)
    rbp.measure(131, 84, 70)
    assert len(meet(DRIVER, rbp, last_record=first.remembered, channel=NOTIFY).records) == 1


@pytest.mark.parametrize("lose_after", range(1, 50, 4))
def test_a_line_lost_anywhere_loses_no_result_and_doubles_none(lose_after):
    rbp = cuff()
    rbp.measure(128, 80, 72)
    first = meet(DRIVER, rbp, lose_after=lose_after, channel=NOTIFY)
    second = meet(DRIVER, rbp, last_record=first.remembered, channel=NOTIFY)
    assert len(first.records) + len(second.records) == 1
