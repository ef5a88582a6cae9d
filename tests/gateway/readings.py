"""Readings as a meter's conversation would have left them, for the gateway's own tests."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

from gateway.wire.messages import Device, Reading, TakenAt, TimeQuality
from gateway.wire.vocabulary import Kind

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)  # 12:00 in Shanghai
_numbers = count(1)


def reading(kind: Kind = Kind.GLUCOSE, at: datetime = NOON, **changes: Any) -> Reading:
    """A glucose of 6.2 or a blood pressure of 142/91, unless `changes` says otherwise."""
    values = {
        Kind.GLUCOSE: {"glucose_mmol_l": Decimal("6.2")},
        Kind.BLOOD_PRESSURE: {
            "systolic_mmhg": Decimal(142),
            "diastolic_mmhg": Decimal(91),
            "pulse_per_min": Decimal(76),
        },
        Kind.LIPID_PANEL: {
            "total_cholesterol_mmol_l": Decimal("5.82"),
            "triglyceride_mmol_l": Decimal("1.71"),
            "hdl_mmol_l": Decimal("1.12"),
            "ldl_mmol_l": Decimal("3.92"),
        },
    }
    number = next(_numbers)
    whole = {
        "id": UUID(int=number),
        "kind": kind,
        "device": Device(key="M-1", maker="Acme", model="G1", address="AA:01"),
        "record_key": str(number),
        "time": TakenAt(at=at, quality=TimeQuality.DEVICE, received=at),
        "conversation": UUID(int=0),
        "driver": "ble.test",
        "values": values.get(kind, {}),
    }
    return Reading(**whole | changes)
