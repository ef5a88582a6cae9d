"""The virtual FDK meters against the app's frames, and face to face with their driver."""

from datetime import datetime
from decimal import Decimal

import pytest

from gateway.drivers.fdk import DRIVER
from gateway.simulators.fdk_meter import FdkMeter
from tests.gateway.simulators.meeting import meet

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def meter() -> FdkMeter:
    return FdkMeter(now=lambda: NOON)


def test_it_tells_what_the_app_expects():
    fdk = meter()
    fdk.measure_glucose(98)
    fdk.measure_pressure(112, 66, 66)
    told = [piece.hex() for piece in fdk.begin()]
    assert told[:3] == ["fe6a755a55aabbcc", "fe6a755a55bbbbcc", "fe6a755a5505bbcc"]
    assert told[-2:] == ["fe6a755a0062bbcc", "fe6a735a00704242"]


@pytest.mark.parametrize("piece_bytes", [1, 3, 11, None])
def test_the_driver_reads_it_however_the_line_cuts_it(piece_bytes):
    fdk = meter()
    fdk.measure_glucose(98)
    fdk.measure_glucose(98)
    fdk.measure_pressure(112, 66, 66)
    met = meet(DRIVER, fdk, piece_bytes=piece_bytes)
    assert [dict(record.values) for record in met.records] == [
        {"glucose_mmol_l": Decimal("5.4")},
        {"glucose_mmol_l": Decimal("5.4")},
        {
            "systolic_mmhg": Decimal(112),
            "diastolic_mmhg": Decimal(66),
            "pulse_per_min": Decimal(66),
        },
    ]


@pytest.mark.parametrize("lost", range(64))
def test_one_byte_lost_anywhere_never_makes_a_value(lost):
    fdk = meter()
    fdk.measure_glucose(98)
    fdk.measure_pressure(112, 66, 66)
    line = b"".join(fdk.begin())
    fdk.begin = lambda: iter([line[:lost] + line[lost + 1 :]])
    met = meet(DRIVER, fdk)
    for record in met.records:
        assert record.values in (
            {"glucose_mmol_l": Decimal("5.4")},
            {
                "systolic_mmhg": Decimal(112),
                "diastolic_mmhg": Decimal(66),
                "pulse_per_min": Decimal(66),
            },
        )
