"""Believable readings by number, the same for the same number: for the bench, the power-cut rig and the tests."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from gateway.wire.messages import Device, Reading, Shown, TakenAt, TimeQuality
from gateway.wire.vocabulary import Kind, Meal

_NAMES = UUID("0d6b7c1e-54a5-5f0e-8a53-6f2f4d1f2a10")
_FIRST = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


def reading(number: int) -> Reading:
    """Glucose reading `number`, about 600 bytes as JSON."""
    at = _FIRST + timedelta(minutes=number)
    value = Decimal(40 + number % 150) / 10
    return Reading(
        id=reading_id(number),
        kind=Kind.GLUCOSE,
        device=Device(
            key="GLU-7000042",
            maker="Virtual Meters",
            model="VG-1",
            serial="7000042",
            address="C4:3C:B0:00:00:01",
            firmware="1.4",
        ),
        record_key=str(number),
        time=TakenAt(at=at, quality=TimeQuality.DEVICE, received=at, device=at.replace(tzinfo=None).isoformat()),
        conversation=uuid5(_NAMES, "conversation"),
        driver="ble.glucose",
        values={"glucose_mmol_l": value},
        shown=(Shown(quantity="glucose_mmol_l", value=str(value), unit="mmol/L"),),
        meal=Meal.FASTING,
    )


def reading_id(number: int) -> UUID:
    """The id of reading `number`."""
    return uuid5(_NAMES, str(number))
