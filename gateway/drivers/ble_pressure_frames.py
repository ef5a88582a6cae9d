"""The frames of the Bluetooth SIG Blood Pressure Service (0x1810), 1.0 and 1.1, bytes to fields.

Which of them are readings is `ble_blood_pressure`'s business. Layouts: Blood Pressure Service 1.0, sections 3.1 to
3.3; the enhanced characteristics of 1.1 after two public implementations that agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.ble_time import DateTime, named, take_date_time
from gateway.drivers.cursor import Cursor, exactly, names_of_bits
from gateway.drivers.ieee11073 import Number, sfloat

KPA, TIME, PULSE, USER, STATUS, USER_FACING_TIME, EPOCH_2000 = (1 << bit for bit in range(7))
"""The flag bits. The last two are the enhanced measurement's, whose time stamps count seconds."""

# Bits 3 and 4 of the status are a number of their own, the pulse range.
_STATUS_BITS = {0: "body_movement", 1: "cuff_loose", 2: "irregular_pulse", 5: "improper_position"}
_PULSE_RANGES = ("in_range", "above_upper", "below_lower", "reserved")
_FEATURES = (
    "body_movement",
    "cuff_fit",
    "irregular_pulse",
    "pulse_range",
    "position",
    "multiple_bond",
    "e2e_crc",
    "user_data_service",
    "user_facing_time",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Blood Pressure Measurement (0x2A35); pressures are in `unit`. None is what the frame does not carry."""

    unit: str
    systolic: Number
    diastolic: Number
    mean: Number
    timestamp: DateTime | None
    pulse: Number | None
    user_id: int | None
    status: int | None

    @property
    def status_flags(self) -> list[str]:
        """What the cuff noticed while measuring, in words."""
        return [name for bit, name in _STATUS_BITS.items() if (self.status or 0) >> bit & 1]

    @property
    def pulse_range(self) -> str:
        """Whether the pulse was within the cuff's range."""
        return _PULSE_RANGES[(self.status or 0) >> 3 & 0x03]

    def fields(self) -> dict[str, Any]:
        """As decoder fields."""
        fields: dict[str, Any] = {
            "unit": self.unit,
            "systolic": self.systolic,
            "diastolic": self.diastolic,
            "map": self.mean,
        }
        if self.timestamp is not None:
            fields |= named("timestamp", self.timestamp)
        return fields | self.about_the_person()

    def about_the_person(self) -> dict[str, Any]:
        """Pulse, user and status as decoder fields, as far as the frame carries them."""
        fields: dict[str, Any] = {}
        if self.pulse is not None:
            fields["pulse"] = self.pulse
        if self.user_id is not None:
            fields["user_id"] = self.user_id
        if self.status is not None:
            fields |= {"status": self.status, "status_flags": self.status_flags, "pulse_range": self.pulse_range}
        return fields


def measurement(data: bytes) -> Measurement:
    """One measurement; raises Garbled: truncated, trailing_bytes, datetime_range."""
    cursor = Cursor(data)
    flags = cursor.u8()
    systolic, diastolic, mean = (sfloat(cursor.take(2)) for _ in range(3))
    timestamp = take_date_time(cursor) if flags & TIME else None
    made = _with_person(cursor, flags, (systolic, diastolic, mean), timestamp)
    cursor.end()
    return made


def bm85_measurement(data: bytes) -> Measurement:
    """One measurement of a Beurer BM85 (derdilla/blood-pressure-monitor-fl, recorded from the device).

    It sets the reserved flag 6, always sends a user id although its flag is clear, and turns pulse and status
    around. Raises Garbled as `measurement` does.
    """
    cursor = Cursor(data)
    flags = cursor.u8()
    systolic, diastolic, mean = (sfloat(cursor.take(2)) for _ in range(3))
    timestamp = take_date_time(cursor) if flags & TIME else None
    pulse = sfloat(cursor.take(2), "big") if flags & PULSE else None
    user_id = cursor.u8()
    status = int.from_bytes(cursor.take(2), "big") if flags & STATUS else None
    cursor.end()
    return Measurement(
        unit=_unit(flags),
        systolic=systolic,
        diastolic=diastolic,
        mean=mean,
        timestamp=timestamp,
        pulse=pulse,
        user_id=user_id,
        status=status,
    )


def _with_person(
    cursor: Cursor, flags: int, pressures: tuple[Number, Number, Number], timestamp: DateTime | None
) -> Measurement:
    systolic, diastolic, mean = pressures
    return Measurement(
        unit=_unit(flags),
        systolic=systolic,
        diastolic=diastolic,
        mean=mean,
        timestamp=timestamp,
        pulse=sfloat(cursor.take(2)) if flags & PULSE else None,
        user_id=cursor.u8() if flags & USER else None,
        status=cursor.u16() if flags & STATUS else None,
    )


def _unit(flags: int) -> str:
    return "kPa" if flags & KPA else "mmHg"


def decode_measurement(data: bytes) -> dict[str, Any]:
    """Blood Pressure Measurement (0x2A35) as fields."""
    return measurement(data).fields()


_TRUTH = ("systolic", "diastolic", "pulse", "user_id", "timestamp")


def decode_quirk(data: bytes) -> dict[str, Any]:
    """A BM85's measurement: what the device means, beside what the specification makes of its bytes."""
    fields = bm85_measurement(data).fields()
    truth = {name: fields[name] for name in _TRUTH if name in fields}
    if fields.get("status_flags"):
        truth["status_flags"] = fields["status_flags"]
    try:
        measurement(data)
    except Garbled as garbled:
        strict: dict[str, Any] = {"valid_strict": False, "error": garbled.error}
    else:
        strict = {"valid_strict": True}
    return {**fields, **strict, "device_truth": truth}


def decode_cuff_pressure(data: bytes) -> dict[str, Any]:
    """Intermediate Cuff Pressure (0x2A36) as fields: the pressure while the cuff deflates, never a reading."""
    it = measurement(data)
    fields: dict[str, Any] = {"unit": it.unit, "cuff_pressure": it.systolic}
    if it.timestamp is not None:
        fields |= named("timestamp", it.timestamp)
    return fields | it.about_the_person()


def decode_feature(data: bytes) -> dict[str, Any]:
    """Blood Pressure Feature (0x2A49) as fields."""
    bitmap = int.from_bytes(exactly(data, 2), "little")
    return {"bitmap": bitmap, "supported": names_of_bits(bitmap, _FEATURES)}


def decode_enhanced(data: bytes) -> dict[str, Any]:
    """Enhanced Blood Pressure Measurement (0x2B34) as fields; times are seconds since `epoch_start`."""
    cursor = Cursor(data)
    flags = cursor.u8()
    systolic, diastolic, mean = (sfloat(cursor.take(2)) for _ in range(3))
    epoch_start = 2000 if flags & EPOCH_2000 else 1900
    time_stamp_s = cursor.u32() if flags & TIME else None
    made = _with_person(cursor, flags, (systolic, diastolic, mean), None)
    user_facing_time_s = cursor.u32() if flags & USER_FACING_TIME else None
    cursor.end()
    fields = made.fields()
    for name, seconds in (("time_stamp", time_stamp_s), ("user_facing_time", user_facing_time_s)):
        if seconds is not None:
            fields[f"{name}_s"] = seconds
            fields[name] = (datetime(epoch_start, 1, 1) + timedelta(seconds=seconds)).isoformat()  # noqa: DTZ001
    return {**fields, "epoch_start": epoch_start}


def decode_record(data: bytes) -> dict[str, Any]:
    """One segment of a Blood Pressure Record (0x2B36) as fields.

    Where the feature bit E2E-CRC is set, the last two bytes of the payload are the CRC; the segment does not say.
    """
    cursor = Cursor(data)
    header = cursor.u8()
    return {
        "first_segment": bool(header & 0x01),
        "last_segment": bool(header & 0x02),
        "segment_counter": header >> 2,
        "sequence_number": cursor.u16(),
        "uuid16": f"{cursor.u16():04X}",
        "payload_hex": cursor.rest().hex(),
    }


DECODERS: Mapping[str, Decoder] = {
    "ble.bls.measurement": decode_measurement,
    "ble.bls.measurement.quirk": decode_quirk,
    "ble.bls.icp": decode_cuff_pressure,
    "ble.bls.feature": decode_feature,
    "ble.bls.enhanced": decode_enhanced,
    "ble.bls.record": decode_record,
}
