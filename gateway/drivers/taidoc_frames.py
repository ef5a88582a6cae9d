"""The frames of the TaiDoc bus: eight bytes each way, the same over Bluetooth, RS-232 and USB.

When which frame is asked for is `taidoc`'s, and which model means what by a value is said there, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import exactly
from gateway.drivers.framing import Cut, counted

FRAME_BYTES = 8
START = 0x51
FROM_HOST, FROM_DEVICE = 0xA3, 0xA5
NO_DATA = bytes(4)


class Command(IntEnum):
    """What is asked; a reply repeats it. 0x52 clears the memory and is not here: nobody shall send it."""

    WAKE = 0x22
    CLOCK = 0x23
    MODEL = 0x24
    RECORD_TIME = 0x25
    RECORD_VALUE = 0x26
    SERIAL_LOW = 0x27
    SERIAL_HIGH = 0x28
    FIRMWARE = 0x29
    RECORD_COUNT = 0x2B
    SET_CLOCK = 0x33
    POWER_OFF = 0x50
    NOTICE = 0x54  # "communication mode": comes unasked right after a connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, its checksum found right."""

    command: int
    data: bytes  # four
    from_device: bool

    @property
    def low(self) -> int:
        """The first two bytes as a number: a value, a count, an index."""
        return int.from_bytes(self.data[:2], "little")


def request(command: int, data: bytes = NO_DATA) -> bytes:
    """The host's frame; `data` is four bytes."""
    head = bytes([START, command]) + data + bytes([FROM_HOST])
    return head + bytes([sum(head) & 0xFF])


def record_data(index: int, user: int) -> bytes:
    """Which record is asked for; index 0 is the newest, user 0 where the meter has no users."""
    return index.to_bytes(2, "little") + bytes([0, user])


def frame(data: bytes) -> Frame:
    """One frame of either side; raises Garbled: length, start, checksum, marker."""
    exactly(data, FRAME_BYTES)
    if data[0] != START:
        raise Garbled("start")
    if sum(data[:-1]) & 0xFF != data[-1]:
        raise Garbled("checksum")
    if data[6] not in (FROM_HOST, FROM_DEVICE):
        raise Garbled("marker")
    return Frame(command=data[1], data=data[2:6], from_device=data[6] == FROM_DEVICE)


def reply(data: bytes, command: Command) -> Frame:
    """The meter's answer to `command`; raises Garbled as `frame` does, or not_a_device_frame, wrong_command."""
    made = frame(data)
    if not made.from_device:
        raise Garbled("not_a_device_frame")  # an adapter's echo of what we asked
    if made.command != command:
        raise Garbled("wrong_command")
    return made


def _size(buffer: bytes) -> int:
    if len(buffer) < FRAME_BYTES:
        return 0
    try:
        frame(buffer[:FRAME_BYTES])
    except Garbled:
        return -1  # a start byte that is none: look for the next
    return FRAME_BYTES


FRAMES: Cut = counted((bytes([START]),), _size)
"""Cuts a stream into frames whose checksum is right."""


# --- time --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The four bytes of a time, to the minute. What the bits beside it mean depends on the model."""

    at: datetime  # naive
    is_pressure: bool  # byte 4, bit 7: models that keep both say here which it is
    arrhythmia: bool  # byte 4, bit 6
    status: int  # byte 5, bits 5 and 6: irregular heart beat of a cuff; bit 6 of a TD-4183: already transmitted
    is_average: bool  # byte 5, bit 7


def moment(data: bytes) -> Moment:
    """A time as clock and records have it; raises Garbled: length, datetime_range."""
    day, minute, hour = int.from_bytes(exactly(data, 4)[:2], "little"), data[2], data[3]
    try:
        at = datetime(2000 + (day >> 9), day >> 5 & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F)  # noqa: DTZ001
    except ValueError:
        raise Garbled("datetime_range") from None
    return Moment(
        at=at,
        is_pressure=bool(minute & 0x80),
        arrhythmia=bool(minute & 0x40),
        status=hour >> 5 & 0x03,
        is_average=bool(hour & 0x80),
    )


def packed(at: datetime) -> bytes:
    """A naive time as the four bytes of a frame; seconds are lost. Raises Garbled("datetime_range")."""
    if not 2000 <= at.year <= 2127:
        raise Garbled("datetime_range")
    day = (at.year - 2000) << 9 | at.month << 5 | at.day
    return day.to_bytes(2, "little") + bytes([at.minute, at.hour])


# --- values ------------------------------------------------------------------------------------------------

NO_VALUE = 0xFFFF
ANALYTES = {
    0: "glucose",
    6: "haematocrit",
    7: "ketone",
    8: "uric_acid",
    9: "cholesterol",
    11: "haemoglobin",
    12: "lactate",
    13: "triglyceride",
}
CATEGORIES = ("general", "ac", "pc", "qc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blood:
    """A value of a meter for blood; `type_code` is an analyte only where the model is known to say it."""

    raw: int
    auxiliary: int  # ambient temperature, or the strip's code
    type_code: int
    category: str

    @property
    def analyte(self) -> str | None:
        """The analyte's word, None for a type nobody has described."""
        return ANALYTES.get(self.type_code)


def blood(data: bytes) -> Blood:
    """A value frame's four bytes as a blood value."""
    return Blood(
        raw=int.from_bytes(data[:2], "little"),
        auxiliary=data[2],
        type_code=data[3] >> 2 & 0x0F,
        category=CATEGORIES[data[3] >> 6],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """A value of a cuff, in mmHg and beats per minute; no mean where an older model puts a high byte of 0."""

    systolic: int
    mean: int | None
    diastolic: int
    pulse: int


def pressure(data: bytes) -> Pressure:
    """A value frame's four bytes as a blood pressure; raises Garbled("unknown_layout").

    The second byte is the mean on some models and the high byte of the systolic on others. Both agree while it is
    0; a mean lies between the other two, and nothing else is believed.
    """
    systolic, second, diastolic, pulse = data
    if second and not diastolic <= second <= systolic:
        raise Garbled("unknown_layout")
    return Pressure(systolic=systolic, mean=second or None, diastolic=diastolic, pulse=pulse)


HUNDREDTHS_FROM = 1000
"""A temperature this high is in hundredths of a degree: 100.0 degrees is nobody's."""


def celsius(data: bytes) -> Decimal:
    """A value frame's four bytes as a temperature; the upper four bits are not part of it."""
    raw = int.from_bytes(data[:2], "little") & 0x0FFF
    return Decimal(raw).scaleb(-2 if raw >= HUNDREDTHS_FROM else -1)


def oxygen(data: bytes) -> tuple[int, int]:
    """A value frame's four bytes as SpO2 in per cent and pulse per minute."""
    return int.from_bytes(data[:2], "little") & 0x0FFF, data[3]


# --- as fields ---------------------------------------------------------------------------------------------


def decode_frame(data: bytes) -> dict[str, Any]:
    """Any frame of either side as fields."""
    made = frame(data)
    fields: dict[str, Any] = {
        "cmd": made.command,
        "data_hex": made.data.hex(),
        "direction_marker": "device" if made.from_device else "host",
    }
    if made.command in list(Command):
        fields["cmd_name"] = Command(made.command).name.lower()
    match made.command:
        case Command.MODEL if made.from_device:
            fields["model"] = model_of(made)
        case Command.RECORD_COUNT if made.from_device:
            fields["count"] = made.low
        case Command.RECORD_TIME | Command.RECORD_VALUE if not made.from_device:
            fields |= {"index": made.low, "user": made.data[3]}
    return fields


def model_of(answer: Frame) -> str:
    """The model's four digits, as they are printed on its case."""
    return f"{answer.data[1]:02x}{answer.data[0]:02x}"


def decode_date(data: bytes) -> dict[str, Any]:
    """The four bytes of a time as fields."""
    return {"time": moment(data).at.isoformat()}


def decode_time(data: bytes) -> dict[str, Any]:
    """The time half of a record as fields."""
    made = moment(reply(data, Command.RECORD_TIME).data)
    return _time_fields(made) | {
        "bit7_byte4": made.is_pressure,
        "bit6_byte4": made.arrhythmia,
        "bit7_byte5": made.is_average,
    }


def decode_value(data: bytes) -> dict[str, Any]:
    """The value half of a record of a meter for blood as fields: only models that tell the analyte are meant."""
    made = blood(reply(data, Command.RECORD_VALUE).data)
    fields: dict[str, Any] = {
        "cmd": int(Command.RECORD_VALUE),
        "direction_marker": "device",
        **_value_fields(made),
        "type_code": made.type_code,
        "auxiliary": made.auxiliary,
    }
    return fields if fields["invalid"] else fields | _scaled(made)


def decode_pair(data: bytes) -> dict[str, Any]:
    """A whole record, its two halves one behind the other, as fields; a record of a cuff says so."""
    exactly(data, 2 * FRAME_BYTES)
    time = moment(reply(data[:FRAME_BYTES], Command.RECORD_TIME).data)
    value = reply(data[FRAME_BYTES:], Command.RECORD_VALUE).data
    half = _pressure_fields(pressure(value)) if time.is_pressure else _value_fields(blood(value))
    return {"pair": [_time_fields(time), half], "bit7_byte4": time.is_pressure}


def decode_temperature(data: bytes) -> dict[str, Any]:
    """The value half of a thermometer's record as fields."""
    return {"celsius": celsius(reply(data, Command.RECORD_VALUE).data)}


def decode_pressure(data: bytes) -> dict[str, Any]:
    """The value half of a cuff's record as fields."""
    return _pressure_fields(pressure(reply(data, Command.RECORD_VALUE).data))


def decode_oxygen(data: bytes) -> dict[str, Any]:
    """An oximeter's value as fields."""
    spo2, pulse = oxygen(reply(data, Command.RECORD_VALUE).data)
    return {"spo2": spo2, "pulse": pulse}


def _time_fields(made: Moment) -> dict[str, Any]:
    return {"time": made.at.isoformat(), "bit6_byte5": bool(made.status & 0x02)}


def _value_fields(made: Blood) -> dict[str, Any]:
    return {
        "raw_value": made.raw,
        "analyte": made.analyte,
        "category": made.category,
        "invalid": made.raw == NO_VALUE,
    }


def _pressure_fields(made: Pressure) -> dict[str, Any]:
    return {"systolic": made.systolic, "map": made.mean, "diastolic": made.diastolic, "pulse": made.pulse}


_FOUR_PLACES = Decimal("0.0001")


def _scaled(made: Blood) -> dict[str, Any]:
    match made.analyte:
        case "glucose" | "cholesterol" | "triglyceride":
            return {"mg_dL": made.raw}
        case "uric_acid":
            return {"mg_dL": Decimal(made.raw).scaleb(-1)}
        case "haemoglobin":
            return {"g_dL": Decimal(made.raw).scaleb(-1)}
        case "ketone":
            return {"mmol_L": (Decimal(made.raw) / 30).quantize(_FOUR_PLACES)}
        case "lactate":
            return {"mmol_L": (Decimal(made.raw) / Decimal("9.008")).quantize(_FOUR_PLACES)}
        case "haematocrit":
            return {"percent": made.raw}
        case _:
            return {}


DECODERS: Mapping[str, Decoder] = {
    "taidoc.frame": decode_frame,
    "taidoc.date": decode_date,
    "taidoc.record.time": decode_time,
    "taidoc.record.value": decode_value,
    "taidoc.record.pair": decode_pair,
    "taidoc.record.temperature": decode_temperature,
    "taidoc.record.pressure": decode_pressure,
    "taidoc.record.oxygen": decode_oxygen,
}
