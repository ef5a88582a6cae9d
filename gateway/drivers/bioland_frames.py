"""The frames of Bioland (爱奥乐) glucose meters: 55 from the meter, 5A from the host, length, category, data, sum.

Which of them are readings is `bioland`'s business. The length counts every byte of the frame, itself included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import name_of

METER, HOST = 0x55, 0x5A
SMALLEST_BYTES, LARGEST_BYTES = 4, 32
"""The longest known has 18; a larger length is a garbled one."""

INFO, COUNTDOWN, RECORD, END_V1, END, HANDSHAKE = 0, 2, 3, 4, 5, 9
CATEGORIES = {
    INFO: "info",
    COUNTDOWN: "countdown",
    RECORD: "record",
    END_V1: "end",
    END: "end",
    HANDSHAKE: "handshake",
}
REQUESTS = {INFO: "get_info", RECORD: "get_data", 5: "reply_v1", 6: "goodbye_v1", HANDSHAKE: "handshake"}

LO_MG_DL, HI_MG_DL = 18, 707
"""1.0 and 39.3 mmol/L: what stands in a record whose display said LO or HI."""

CUSTOMERS = {0: "apple", 1: "bioland", 2: "haier", 3: "none", 4: "xiaomi", 5: "autel", 6: "kanwei"}
TYPES = {1: "blood_pressure", 2: "glucose"}
GLUCOSE = 2

_V1 = {(INFO, 16): 3, (RECORD, 14): 2, (END_V1, 6): 0}
"""Version 1 by category and length, and how many bytes before its sum of three bytes are one number: version 1
adds up numbers, not bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame whose sum is right; `variant` says by which of the meters' three ways of adding up."""

    from_meter: bool
    category: int
    length: int
    data: bytes
    variant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a meter says of itself. None is what its version of the protocol does not carry."""

    version: str
    customer: int
    type: int
    model: int
    battery_percent: int | None
    serial: str

    def fields(self) -> dict[str, Any]:
        """As decoder fields."""
        return {
            "version": self.version,
            "customer": self.customer,
            "customer_name": name_of(self.customer, CUSTOMERS),
            "type": self.type,
            "type_name": name_of(self.type, TYPES),
            "model": self.model,
            "battery_percent": self.battery_percent,
            "serial": self.serial,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseRecord:
    """A stored result. `retain` is a byte without a public meaning; 0 in every published frame."""

    time: datetime
    retain: int
    mg_dl: int

    @property
    def range(self) -> str:
        """in_range, low (LO) or high (HI)."""
        return "low" if self.mg_dl <= LO_MG_DL else "high" if self.mg_dl >= HI_MG_DL else "in_range"


def cut(buffer: bytes) -> int:
    """See `framing.Cut`. A frame that was cut off, so that its sum is wrong, gives way to the one inside of it."""
    if buffer[0] != METER:
        found = buffer.find(METER)
        return -(found if found > 0 else len(buffer))
    if len(buffer) < 2:
        return 0
    size = buffer[1]
    if not SMALLEST_BYTES <= size <= LARGEST_BYTES:
        return -1
    if len(buffer) < size:
        return 0
    again = buffer.find(METER, 1, size)
    return -again if again > 0 and _variant(buffer[:size]) is None else size


def frame(data: bytes) -> Frame:
    """One whole frame; raises Garbled: truncated, grammar, length, trailing_bytes, checksum."""
    if data and data[0] not in (METER, HOST):
        raise Garbled("grammar")
    if len(data) < SMALLEST_BYTES:
        raise Garbled("truncated")
    if data[1] < SMALLEST_BYTES:
        raise Garbled("length")
    if len(data) < data[1]:
        raise Garbled("truncated")
    if len(data) > data[1]:
        raise Garbled("trailing_bytes")
    variant = _variant(data)
    if variant is None:
        raise Garbled("checksum")
    return Frame(
        from_meter=data[0] == METER,
        category=data[2],
        length=data[1],
        data=data[3 : -3 if variant == "sum24" else -1],
        variant=variant,
    )


def record(it: Frame) -> GlucoseRecord | None:
    """The result in a frame, or None; raises Garbled("datetime_range")."""
    if not it.from_meter or it.category != RECORD or len(it.data) != 8:
        return None
    return GlucoseRecord(
        time=_moment(it.data[:5] + b"\0"), retain=it.data[5], mg_dl=int.from_bytes(it.data[6:8], "little")
    )


def info(it: Frame) -> Info | None:
    """What the meter says of itself in a frame, or None. Three versions, told by their length."""
    if not it.from_meter or it.category != INFO:
        return None
    data = it.data
    match it.length:
        case 18:
            battery, type_, model, serial = data[2], data[3], data[4], data[5:14]
        case 15:
            battery, type_, model, serial = data[5], data[3], data[2], data[6:11]
        case 16:
            battery, type_, model, serial = -1, data[3], data[2], data[7:10]
        case _:
            return None
    return Info(
        version=f"{data[0] >> 4}.{data[0] & 0x0F}",
        customer=data[1],
        type=type_,
        model=model,
        battery_percent=battery if 0 <= battery <= 100 else None,
        serial=serial.decode("ascii") if serial.isalnum() else serial.hex(),
    )


def request(category: int, now: datetime) -> bytes:
    """A request that carries the host's time, which becomes the meter's."""
    time = bytes((now.year % 100, now.month, now.day, now.hour, now.minute, now.second))
    return _signed(bytes((HOST, 10, category)) + time)


def handshake() -> bytes:
    """5A 04 09 67, as two apps send it."""
    return bytes((HOST, 4, HANDSHAKE, 0x67))


def decode(data: bytes) -> dict[str, Any]:
    """A Bioland frame as fields."""
    it = frame(data)
    fields: dict[str, Any] = {
        "direction": "device->host" if it.from_meter else "host->device",
        "category": it.category,
        "category_name": name_of(it.category, CATEGORIES if it.from_meter else REQUESTS),
        "length": it.length,
        "checksum_variant": it.variant,
    }
    measured, told = record(it), info(it)
    if measured is not None:
        return fields | {
            "time": measured.time.isoformat(),
            "mg_dL": measured.mg_dl,
            "range": measured.range,
            "retain": measured.retain,
        }
    if told is not None:
        return fields | told.fields()
    fields["data_hex"] = it.data.hex()
    if it.from_meter and it.category == COUNTDOWN and len(it.data) == 2:
        fields["seconds"] = it.data[1]
    if not it.from_meter and len(it.data) == 6:
        fields["time"] = _moment(it.data).isoformat()
    return fields


def _variant(data: bytes) -> str | None:
    """By which way of adding up a frame's sum is right; None: by no one."""
    if (as_one := _V1.get((data[2], len(data)))) is not None and data[0] == METER:
        body = data[: -3 - as_one]
        total = sum(body) + int.from_bytes(data[len(body) : -3], "little")
        return "sum24" if total == int.from_bytes(data[-3:], "little") else None
    short_by = (data[-1] - sum(data[:-1])) & 0xFF
    return {2: "sum+2", 0: "sum"}.get(short_by)


def _signed(unsigned: bytes) -> bytes:
    return unsigned + bytes([(sum(unsigned) + 2) & 0xFF])


def _moment(data: bytes) -> datetime:
    year, month, day, hour, minute, second = data
    if year > 99:
        raise Garbled("datetime_range")
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - naive, as the meter says it
    except ValueError:
        raise Garbled("datetime_range") from None


DECODERS: Mapping[str, Decoder] = {"bioland.g500": decode}
