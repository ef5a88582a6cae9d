"""What a record of a TaiDoc meter is: which model says what in the same four bytes, and what of it is a reading.

The bytes are `taidoc_frames`', reading them from the meter is `taidoc_memory`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from gateway.conversation import Garbled, Record
from gateway.drivers import taidoc_frames as frames
from gateway.drivers.ble_common import NoReading
from gateway.drivers.ble_time import step_s
from gateway.drivers.taidoc_frames import Blood, Moment
from gateway.drivers.taidoc_line import Pair
from gateway.units import canonical
from gateway.wire.messages import Purpose, Shown
from gateway.wire.vocabulary import Kind, Meal, OffScale


class Family(StrEnum):
    """What a model keeps in its memory."""

    UNKNOWN = "unknown"
    BLOOD = "blood"  # and says of each record which analyte it is
    GLUCOSE = "glucose"  # where those bits may be a strip's code: only a record that has none set is believed
    PRESSURE = "pressure"
    PRESSURE_AND_GLUCOSE = "pressure_and_glucose"  # byte 4, bit 7 of the time says which; the others are a code
    THERMOMETER = "thermometer"
    OXIMETER = "oximeter"


_SAY_THE_ANALYTE = frozenset({"4141", "4183", "4206", "4216", "4279", "4283"})
_NAMES_THAT_SAY_IT = ("FORA 6 CONNECT", "FORA MD6")
_BY_FIRST_DIGITS = {
    "1": Family.THERMOMETER,
    "3": Family.PRESSURE,
    "32": Family.PRESSURE_AND_GLUCOSE,
    "4": Family.GLUCOSE,
    "8": Family.OXIMETER,
}
"""As the maker's own app tells them apart. 2 is a scale, 70 a nebuliser, 73 a spirometer: left alone."""


def family_of(model: str, name: str) -> Family:
    """The family of a model's four digits; `name` is what it advertised."""
    if not (model.isascii() and model.isdigit()):
        return Family.UNKNOWN
    if model in _SAY_THE_ANALYTE or (model.startswith("4") and name.upper().startswith(_NAMES_THAT_SAY_IT)):
        return Family.BLOOD
    return _BY_FIRST_DIGITS.get(model[:2]) or _BY_FIRST_DIGITS.get(model[:1], Family.UNKNOWN)


def users_of(model: str) -> tuple[int, ...]:
    """Whose memories are asked for; 0 is the meter's own choice."""
    if model in ("3128", "3280", "4183"):
        return (1,)
    if model in ("3132", "3261"):
        return (0, 1, 2, 3, 4)
    return (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Analyte:
    """How a value is written in a frame: so many parts of a unit; below `least` is LO, above `most` HI."""

    kind: Kind
    quantity: str
    unit: str
    parts: int = 1
    least: int = 0
    most: int = frames.NO_VALUE
    places: int = 0  # to show it with

    def of(self, raw: int) -> Decimal:
        """The value in `unit`."""
        return Decimal(raw) / self.parts

    def beyond(self, raw: int) -> OffScale | None:
        """HI and LO carry a number here as everywhere."""
        if raw < self.least:
            return OffScale.LO
        return OffScale.HI if raw > self.most else None


_ANALYTES = {
    "glucose": _Analyte(kind=Kind.GLUCOSE, quantity="glucose_mmol_l", unit="mg/dL", least=20, most=600),
    "haematocrit": _Analyte(kind=Kind.HAEMATOCRIT, quantity="haematocrit_percent", unit="%", most=70),
    "ketone": _Analyte(kind=Kind.KETONE, quantity="ketone_mmol_l", unit="mmol/L", parts=30, most=240, places=2),
    "uric_acid": _Analyte(
        kind=Kind.URIC_ACID, quantity="urate_umol_l", unit="mg/dL", parts=10, least=30, most=200, places=1
    ),
    "cholesterol": _Analyte(
        kind=Kind.LIPID_PANEL, quantity="total_cholesterol_mmol_l", unit="mg/dL", least=100, most=500
    ),
    "triglyceride": _Analyte(kind=Kind.LIPID_PANEL, quantity="triglyceride_mmol_l", unit="mg/dL", most=300),
    "haemoglobin": _Analyte(
        kind=Kind.HAEMOGLOBIN, quantity="haemoglobin_g_l", unit="g/dL", parts=10, least=68, most=240, places=1
    ),
}
"""Limits of glucose and ketone: the maker's specification, by way of Tidepool; of the others: its app's ranges."""

_COMPANIONS = frozenset({"haematocrit", "haemoglobin"})
"""Measured beside another analyte. Their own category says `qc` of a customer's blood, so the other's is asked."""


def record_of(pair: Pair, beside: Sequence[Pair], family: Family) -> Record | NoReading:
    """The reading in a record, or why it is none; `beside` are its neighbours in the memory.

    Raises Garbled: datetime_range, unknown_layout.
    """
    time = frames.moment(pair.time)
    match family:
        case Family.PRESSURE:
            return _pressure(pair, time, ())
        case Family.PRESSURE_AND_GLUCOSE if time.is_pressure:
            irregular = ("irregular_pulse",) if time.arrhythmia or time.status else ()
            return _pressure(pair, time, (*irregular, *(("average",) if time.is_average else ())))
        case Family.PRESSURE_AND_GLUCOSE:
            return _blood(pair, time, frames.blood(pair.value), "glucose", ())
        case Family.GLUCOSE if frames.blood(pair.value).type_code != 0:
            return NoReading(why="unknown_layout")
        case Family.GLUCOSE | Family.BLOOD:
            value = frames.blood(pair.value)
            return _blood(pair, time, value, value.analyte, beside)
        case Family.THERMOMETER:
            return _temperature(pair, time)
        case _:
            return NoReading(why="unknown_model")


def _blood(
    pair: Pair, time: Moment, value: Blood, analyte: str | None, beside: Sequence[Pair]
) -> Record | NoReading:
    if analyte is None:
        return NoReading(why="unknown_analyte")
    if value.raw == frames.NO_VALUE:
        return NoReading(why="no_value")
    how = _ANALYTES.get(analyte)
    if how is None:
        return NoReading(why="unsupported_analyte")
    beyond = how.beyond(value.raw)
    category = value.category
    flags: tuple[str, ...] = ()
    if analyte in _COMPANIONS:
        category, flags = _category_of_companion(time, value, beside)
    if category == "pc" or (category == "ac" and how.kind is not Kind.GLUCOSE):
        flags += ("after_meal" if category == "pc" else "before_meal",)
    number = how.of(value.raw)
    shown = Shown(quantity=how.quantity, value=f"{number:.{how.places}f}", unit=how.unit)
    return Record(
        kind=how.kind,
        key=_key(time, pair.value),
        values={how.quantity: canonical(how.quantity, number, how.unit)} if beyond is None else {},
        off_scale={} if beyond is None else {how.quantity: beyond},
        shown=(shown,) if beyond is None else (),
        device_time=time.at,
        time_step_s=step_s(time.at),
        meal=Meal.PRE_MEAL if category == "ac" and how.kind is Kind.GLUCOSE else Meal.UNKNOWN,
        purpose=Purpose.CONTROL if category == "qc" else Purpose.PATIENT,
        flags=flags,
    )


def _category_of_companion(time: Moment, value: Blood, beside: Sequence[Pair]) -> tuple[str, tuple[str, ...]]:
    """What the analyte measured with it says, or its own category without the `qc` that cannot be believed."""
    for near in beside:
        other = frames.blood(near.value)
        if other.analyte not in (None, *_COMPANIONS) and _at(near) == time.at:
            return ("qc" if other.category == "qc" else "general"), ()
    return "general", (("qc_uncertain",) if value.category == "qc" else ())


def _at(pair: Pair) -> datetime | None:
    try:
        return frames.moment(pair.time).at
    except Garbled:
        return None


FAILED_BELOW_PER_MIN = 4
"""A pulse of 0 to 3 is a code for a measurement that came to nothing."""


def _pressure(pair: Pair, time: Moment, flags: tuple[str, ...]) -> Record | NoReading:
    it = frames.pressure(pair.value)
    if it.systolic == 0 or it.pulse < FAILED_BELOW_PER_MIN:
        return NoReading(why="no_value")
    numbers = {
        "systolic_mmhg": (it.systolic, "mmHg"),
        "diastolic_mmhg": (it.diastolic, "mmHg"),
        "mean_arterial_mmhg": (it.mean, "mmHg"),
        "pulse_per_min": (it.pulse, "/min"),
    }
    present = [(name, number, unit) for name, (number, unit) in numbers.items() if number is not None]
    return Record(
        kind=Kind.BLOOD_PRESSURE,
        key=_key(time, pair.value),
        values={name: canonical(name, Decimal(number), unit) for name, number, unit in present},
        shown=tuple(Shown(quantity=name, value=str(number), unit=unit) for name, number, unit in present),
        device_time=time.at,
        time_step_s=step_s(time.at),
        flags=flags,
    )


_BODY_MODE = 0


def _temperature(pair: Pair, time: Moment) -> Record | NoReading:
    """The upper four bits are not the temperature; where they are set it may be a bottle's or a room's."""
    if pair.value[1] >> 4 != _BODY_MODE:
        return NoReading(why="unknown_mode")
    number = frames.celsius(pair.value)
    if number == 0:
        return NoReading(why="no_value")
    return Record(
        kind=Kind.BODY_TEMPERATURE,
        key=_key(time, pair.value[:2]),  # the other two bytes may be the room's temperature of this moment
        values={"body_temperature_cel": canonical("body_temperature_cel", number, "°C")},
        shown=(Shown(quantity="body_temperature_cel", value=str(number), unit="°C"),),
        device_time=time.at,
        time_step_s=step_s(time.at),
    )


def _key(time: Moment, value: bytes) -> str:
    """The record's own name: its minute and its value's bytes, which say the analyte, too."""
    return f"{time.at:%Y-%m-%dT%H:%M}/{value.hex()}"
