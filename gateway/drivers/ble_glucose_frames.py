"""The frames of the Bluetooth SIG Glucose Service (0x1808): measurement, context and feature, bytes to fields.

Which of them are readings is `ble_glucose`'s business. Layouts: Glucose Service 1.0, sections 3.1 to 3.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.conversation import Decoder
from gateway.drivers.ble_time import DateTime, named, take_date_time
from gateway.drivers.cursor import Cursor, exactly, name_of, names_of_bits
from gateway.drivers.ieee11073 import Number, sfloat

CONTROL_SOLUTION_TYPE = 10
CONTROL_SOLUTION_LOCATION = 4
MEAL_IS_KETONE = 6  # not in the specification: i-SENS meters mark a ketone result so

TYPES = {
    1: "capillary_whole_blood",
    2: "capillary_plasma",
    3: "venous_whole_blood",
    4: "venous_plasma",
    5: "arterial_whole_blood",
    6: "arterial_plasma",
    7: "undetermined_whole_blood",
    8: "undetermined_plasma",
    9: "interstitial_fluid",
    10: "control_solution",
}
LOCATIONS = {1: "finger", 2: "alternate_site_test", 3: "earlobe", 4: "control_solution", 15: "not_available"}
STATUS = (
    "battery_low",
    "sensor_malfunction",
    "sample_size",
    "strip_insertion",
    "strip_type",
    "result_too_high",
    "result_too_low",
    "temp_too_high",
    "temp_too_low",
    "strip_pulled",
    "general_device_fault",
    "time_fault",
)
FEATURES = (
    "low_battery",
    "sensor_malfunction",
    "sample_size",
    "strip_insertion_error",
    "strip_type_error",
    "result_high_low",
    "temperature_high_low",
    "read_interrupt",
    "general_device_fault",
    "time_fault",
    "multiple_bond",
)
CARBOHYDRATES = {1: "breakfast", 2: "lunch", 3: "dinner", 4: "snack", 5: "drink", 6: "supper", 7: "brunch"}
MEALS = {1: "pre_prandial", 2: "post_prandial", 3: "fasting", 4: "casual", 5: "bedtime", MEAL_IS_KETONE: "ketone"}
TESTERS = {1: "self", 2: "health_professional", 3: "lab", 15: "not_available"}
HEALTH = {
    1: "minor_issues",
    2: "major_issues",
    3: "during_menses",
    4: "under_stress",
    5: "no_issues",
    15: "not_available",
}
MEDICATIONS = {
    1: "rapid_acting_insulin",
    2: "short_acting_insulin",
    3: "intermediate_acting_insulin",
    4: "long_acting_insulin",
    5: "premixed_insulin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Glucose Measurement (0x2A18). `concentration` is in `unit`; both None where the record carries no result."""

    sequence_number: int
    base_time: DateTime
    time_offset_min: int | None
    unit: str | None
    concentration: Number | None
    type: int | None
    location: int | None
    status: int | None
    context_follows: bool

    @property
    def status_flags(self) -> list[str]:
        """What the sensor announced, in words."""
        return names_of_bits(self.status or 0, STATUS)

    def user_facing_time(self, offset_min: int | None) -> datetime | None:
        """The time on the meter's display; None where the offset or a part of the base time is not known, or where
        it is off the calendar."""
        base = self.base_time.naive()
        try:
            return None if base is None or offset_min is None else base + timedelta(minutes=offset_min)
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseContext:
    """The part of Glucose Measurement Context (0x2A34) that decides what a measurement was."""

    sequence_number: int
    meal: int | None


def measurement(data: bytes) -> Measurement:
    """One measurement; raises Garbled: truncated, trailing_bytes, datetime_range."""
    cursor = Cursor(data)
    flags = cursor.u8()
    sequence_number = cursor.u16()
    base_time = take_date_time(cursor)
    time_offset_min = cursor.s16() if flags & 0x01 else None
    unit = concentration = type_ = location = None
    if flags & 0x02:
        unit = "mol/L" if flags & 0x04 else "kg/L"
        concentration = sfloat(cursor.take(2))
        location, type_ = divmod(cursor.u8(), 16)  # type in the low nibble
    status = cursor.u16() if flags & 0x08 else None
    cursor.end()
    return Measurement(
        sequence_number=sequence_number,
        base_time=base_time,
        time_offset_min=time_offset_min,
        unit=unit,
        concentration=concentration,
        type=type_,
        location=location,
        status=status,
        context_follows=bool(flags & 0x10),
    )


def has_offset(data: bytes) -> bool:
    """Whether a measurement, which may be garbled, carries a time offset, or cannot tell."""
    return not data or bool(data[0] & 0x01)


def context(data: bytes) -> GlucoseContext:
    """One context; raises Garbled: truncated, trailing_bytes."""
    fields = decode_context(data)
    return GlucoseContext(sequence_number=fields["sequence_number"], meal=fields.get("meal"))


def decode_measurement(data: bytes) -> dict[str, Any]:
    """Glucose Measurement (0x2A18) as fields."""
    it = measurement(data)
    fields: dict[str, Any] = {"sequence_number": it.sequence_number, **named("base_time", it.base_time)}
    if it.time_offset_min is not None:
        moment = it.user_facing_time(it.time_offset_min)
        fields["time_offset_min"] = it.time_offset_min
        fields["user_facing_time"] = None if moment is None else moment.isoformat()
    fields["concentration"] = it.concentration  # None tells an event from a reading
    if it.type is not None and it.location is not None:
        fields["unit"] = it.unit
        if isinstance(it.concentration, Decimal):
            as_shown = display(it.concentration, it.unit)
            fields[as_shown[1].replace("/", "_")] = as_shown[0]
        fields["type"] = it.type
        fields["type_name"] = name_of(it.type, TYPES)
        fields["location"] = it.location
        fields["location_name"] = name_of(it.location, LOCATIONS)
    if it.status is not None:
        fields["status"] = it.status
        fields["status_flags"] = it.status_flags
    fields["context_follows"] = it.context_follows
    return fields


def display(concentration: Decimal, unit: str | None) -> tuple[Decimal, str]:
    """A concentration as the meter's display shows it, in mg/dL for kg/L and mmol/L for mol/L: powers of ten."""
    if unit == "mol/L":
        return concentration.scaleb(3), "mmol/L"
    return concentration.scaleb(5), "mg/dL"


def decode_context(data: bytes) -> dict[str, Any]:
    """Glucose Measurement Context (0x2A34) as fields."""
    cursor = Cursor(data)
    flags = cursor.u8()
    fields: dict[str, Any] = {"flags": flags, "sequence_number": cursor.u16()}
    if flags & 0x80:
        fields["extended_flags"] = cursor.u8()
    if flags & 0x01:
        carbohydrate = cursor.u8()
        fields["carbohydrate_id"] = carbohydrate
        fields["carbohydrate_name"] = name_of(carbohydrate, CARBOHYDRATES)
        fields["carbohydrate_kg"] = sfloat(cursor.take(2))
    if flags & 0x02:
        fields["meal"] = cursor.u8()
        fields["meal_name"] = name_of(fields["meal"], MEALS)
        fields["ketone"] = fields["meal"] == MEAL_IS_KETONE  # then its measurement is no glucose
    if flags & 0x04:
        fields["health"], fields["tester"] = divmod(cursor.u8(), 16)  # tester in the low nibble
        fields["tester_name"] = name_of(fields["tester"], TESTERS)
        fields["health_name"] = name_of(fields["health"], HEALTH)
    if flags & 0x08:
        fields["exercise_duration_s"] = cursor.u16()
        fields["exercise_intensity_pct"] = cursor.u8()
    if flags & 0x10:
        fields["medication_id"] = cursor.u8()
        fields["medication_name"] = name_of(fields["medication_id"], MEDICATIONS)
        fields["medication_value"] = sfloat(cursor.take(2))
        fields["medication_unit"] = "L" if flags & 0x20 else "kg"
    if flags & 0x40:
        fields["hba1c_pct"] = sfloat(cursor.take(2))
    cursor.end()
    return fields


def decode_feature(data: bytes) -> dict[str, Any]:
    """Glucose Feature (0x2A51) as fields."""
    bitmap = int.from_bytes(exactly(data, 2), "little")
    return {"bitmap": bitmap, "supported": names_of_bits(bitmap, FEATURES)}


DECODERS: Mapping[str, Decoder] = {
    "ble.gls.measurement": decode_measurement,
    "ble.gls.context": decode_context,
    "ble.gls.feature": decode_feature,
}
