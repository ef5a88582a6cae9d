"""The virtual LPM-311 against the layout in the maker's kit, and face to face with its driver."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.conversation import Garbled
from gateway.drivers.lepu_lpm311 import DRIVER
from gateway.simulators.lpm311_meter import CHANNEL, Lpm311Meter
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def meter(**options) -> Lpm311Meter:
    return Lpm311Meter(now=lambda: NOON, **options)


def test_it_tells_its_result_to_whoever_says_connect():
    lpm = meter()
    assert list(lpm.hear(b"connect")) == []  # nothing on the display
    lpm.measure(Decimal("5.12"), Decimal("1.23"), None)
    assert list(lpm.hear(b"hello")) == []
    assert list(lpm.hear(b"connect")) == [b"20260305120030,000002000000007bffffffff,0001"]
    in_mg = meter(in_mg_dl=True, user="")
    in_mg.measure(Decimal(198), Decimal(48), Decimal(145))
    assert list(in_mg.hear(b"connect")) == [b"20260305120030,000000c60000003000000091,1   "]


@pytest.mark.parametrize("piece_bytes", [1, 20, None])
def test_the_driver_reads_it_however_it_is_cut_and_lets_it_go_when_it_is_on_disk(piece_bytes):
    lpm = meter()
    lpm.measure(Decimal("5.12"), Decimal("1.23"), Decimal("1.64"))
    met = meet(DRIVER, lpm, piece_bytes=piece_bytes, channel=CHANNEL)
    (record,) = met.records
    assert record.values == {
        "total_cholesterol_mmol_l": Decimal("5.12"),
        "hdl_mmol_l": Decimal("1.23"),
        "triglyceride_mmol_l": Decimal("1.64"),
    }
    assert met.acts == [f"write {b'connect'.hex()}", "emit", f"write {b'disconnect'.hex()}"]
    assert lpm.is_released


@pytest.mark.parametrize("lose_after", range(0, 44, 5))
def test_a_line_lost_in_mid_word_leaves_the_result_on_the_meter(lose_after):
    lpm = meter()
    lpm.measure(Decimal("5.12"), None, None)
    first = meet(DRIVER, lpm, lose_after=lose_after, channel=CHANNEL)
    assert (first.records, lpm.is_released) == ([], False)
    assert [record.key for record in meet(DRIVER, lpm, channel=CHANNEL).records] == ["2026-03-05T12:00:30"]


def test_a_meter_without_a_result_is_not_taken_for_one_with():
    with pytest.raises(Garbled, match="no_result"):
        meet(DRIVER, meter(), channel=CHANNEL)
