"""Thermometers of the Bluetooth SIG Health Thermometer Service (0x1809) 1.0: what they tell, and its frames.

How they are listened to is `ble_told`'s; whether a value is believable is `gateway.vouch`'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.conversation import Context, Decoder, Driver, Record, Sighting, Talk, read_if_there
from gateway.drivers.ble_common import NoReading, bond, introduce
from gateway.drivers.ble_time import DateTime, named, step_s, take_date_time
from gateway.drivers.ble_told import emit_what_is_told
from gateway.drivers.cursor import Cursor, exactly, name_of
from gateway.drivers.ieee11073 import Number, Special, float32, off_scale
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind

SERVICE = "1809"
MEASUREMENT = "2a1c"  # 2a1e, the temperature while it still rises, is never asked for: it is never a reading
TYPE = "2a1d"

FAHRENHEIT, TIME, TYPE_PRESENT = 1 << 0, 1 << 1, 1 << 2
"""The flag bits; the others are reserved for future use and ignored."""

TYPES = {
    1: "armpit",
    2: "body",
    3: "ear",
    4: "finger",
    5: "gastro_intestinal",
    6: "mouth",
    7: "rectum",
    8: "toe",
    9: "tympanum",
}

QUANTITY = "body_temperature_cel"


def recognise(sighting: Sighting) -> bool:
    """A health thermometer service."""
    return SERVICE in sighting.services


def talk(context: Context) -> Talk:
    """Pair, introduce, ask where it measures, listen."""
    yield from bond()
    yield from introduce()
    raw = yield from read_if_there(TYPE)
    always = raw[0] if raw is not None and len(raw) == 1 else None
    yield from emit_what_is_told(MEASUREMENT, lambda data: record_of(measurement(data), always))


def record_of(it: "Measurement", always: int | None = None) -> Record | NoReading:
    """The reading in a measurement, or why it is none. `always` is the type of a meter that has only one.

    Raises Garbled("not_a_number") for a number beyond all measure.
    """
    scale = off_scale(it.temperature)
    if isinstance(it.temperature, Special) and scale is None:
        return NoReading(why="no_value")
    number = None if isinstance(it.temperature, Special) else it.temperature
    site = TYPES.get(it.type if it.type is not None else always or 0)
    at = None if it.timestamp is None else it.timestamp.naive()
    return Record(
        kind=Kind.BODY_TEMPERATURE,
        key=key_of(it),
        values={} if number is None else {QUANTITY: canonical(QUANTITY, number, it.unit)},
        off_scale={} if scale is None else {QUANTITY: scale},
        shown=() if number is None else (Shown(quantity=QUANTITY, value=str(number), unit=it.unit),),
        device_time=at,
        time_step_s=step_s(at),
        live=it.timestamp is None,  # without a clock it has nothing to keep a temperature by
        flags=() if site is None else (f"taken_at_{site}",),
    )


def key_of(it: "Measurement") -> str:
    """The record's own name: time and number; "" without a time, as the service has no record numbers.

    The number belongs to it because a clock that starts again with every new battery says the same time twice.
    """
    if it.timestamp is None or it.timestamp.is_blank:
        return ""
    return f"{it.timestamp.text()}#{it.temperature}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Temperature Measurement (0x2A1C), in `unit`. None is what the frame does not carry."""

    unit: str
    temperature: Number
    timestamp: DateTime | None
    type: int | None

    def fields(self) -> dict[str, Any]:
        """As decoder fields."""
        fields: dict[str, Any] = {"unit": self.unit, "temperature": self.temperature}
        if self.timestamp is not None:
            fields |= named("timestamp", self.timestamp)
        return fields if self.type is None else fields | _type_fields(self.type)


def measurement(data: bytes) -> Measurement:
    """One measurement (section 3.1); raises Garbled: truncated, trailing_bytes, datetime_range."""
    cursor = Cursor(data)
    flags = cursor.u8()
    made = Measurement(
        unit="°F" if flags & FAHRENHEIT else "°C",
        temperature=float32(cursor.take(4)),
        timestamp=take_date_time(cursor) if flags & TIME else None,
        type=cursor.u8() if flags & TYPE_PRESENT else None,
    )
    cursor.end()
    return made


def decode_measurement(data: bytes) -> dict[str, Any]:
    """Temperature Measurement (0x2A1C) as fields."""
    return measurement(data).fields()


def decode_intermediate(data: bytes) -> dict[str, Any]:
    """Intermediate Temperature (0x2A1E) as fields: laid out like a measurement, and never a reading."""
    return measurement(data).fields()


def decode_type(data: bytes) -> dict[str, Any]:
    """Temperature Type (0x2A1D) as fields: where on the body it measures."""
    return _type_fields(exactly(data, 1)[0])


def _type_fields(number: int) -> dict[str, Any]:
    return {"type": number, "type_name": name_of(number, TYPES)}


DECODERS: Mapping[str, Decoder] = {
    "ble.hts.measurement": decode_measurement,
    "ble.hts.intermediate": decode_intermediate,
    "ble.hts.type": decode_type,
}

DRIVER = Driver(
    name="ble.thermometer",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Any thermometer with the Bluetooth SIG Health Thermometer Service 1809, such as FORA IR20.",
    source="Bluetooth SIG Health Thermometer Service 1.0 and Health Thermometer Profile 1.0.",
    quirks="FORA IR20 says type 0, which the service does not have: then nothing is said of where it was taken. "
    "NaN is a failed measurement, not a reading. A delivered record never comes again. FORA IR20's clock has no "
    "seconds: two equal temperatures within one of its minutes have the same name and become one reading.",
    proven_by="Measurements of a FORA IR20 and of two unnamed thermometers that people published with what the "
    "display said, unit tests of four public libraries, transcripts written by hand, a virtual thermometer. No "
    "conversation with a real one yet; Fahrenheit and HI/LO only from the specification.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.UNITS, Doubt.OFF_SCALE}),
    services=frozenset({SERVICE}),
    decoders=DECODERS,
)
