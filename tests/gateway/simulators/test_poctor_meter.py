"""The virtual Poctor meter, and the driver that reads it."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers.poctor import DRIVER
from gateway.simulators.poctor_meter import NOTIFY, PoctorMeter, Strip
from gateway.wire.vocabulary import OffScale
from tests.gateway.simulators.meeting import meet


def meter() -> PoctorMeter:
    return PoctorMeter(now=lambda: datetime.fromisoformat("2026-03-05T12:00:30"))


def test_a_result_is_a_line():
    one = meter()
    one.measure(Strip.GLUCOSE, 56)
    one.measure_beyond(Strip.KETONE, high=True)
    assert list(one.begin()) == [b"0,2026,3,5,12,0,0056,0,0\r\n", b"3,1\r\n"]
    assert list(one.begin()) == []


@pytest.mark.parametrize("piece_bytes", [1, 7, 20, None])
def test_the_driver_reads_it_however_the_notifications_are_cut(piece_bytes):
    one = meter()
    one.measure(Strip.GLUCOSE, 56)
    one.measure(Strip.URIC_ACID, 393)
    one.measure(Strip.KETONE, 12)
    one.measure_beyond(Strip.GLUCOSE, high=True)
    one.measure_beyond(Strip.URIC_ACID, high=False)
    met = meet(DRIVER, one, channel=NOTIFY, piece_bytes=piece_bytes)
    assert [record.values or record.off_scale for record in met.records] == [
        {"glucose_mmol_l": Decimal("5.6")},
        {"urate_umol_l": Decimal(393)},
        {"ketone_mmol_l": Decimal("1.2")},
        {"glucose_mmol_l": OffScale.HI},
        {"urate_umol_l": OffScale.LO},
    ]
    assert met.records[0].device_time == datetime.fromisoformat("2026-03-05T12:00:00")
    assert met.records[3].device_time is None
