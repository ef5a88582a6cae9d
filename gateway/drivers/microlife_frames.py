"""The frames of Microlife's Bluetooth cuffs, both ways, and the records in their answers: bytes to fields.

What is asked, and which records are readings, is `microlife`'s business.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import Cursor, name_of
from gateway.drivers.framing import Cut, counted

HEAD = 0x4D
HOST, A6, BP3G = 0xFF, 0x31, 0x3A
"""The second byte: who speaks. The two cuffs lay out their records in two ways."""
ACKNOWLEDGED = b"\x81"
_AROUND_BYTES = 4  # head, speaker, length; the length counts the sum
_LONGEST_BYTES = 8 * 1024
"""Twice what a cuff with 200 records for each of two users could send; more is a length that was garbled."""


class Op(IntEnum):
    """The first byte of a request, and of most answers."""

    RECORDS = 0x00
    CLEAR = 0x03  # never sent: a cuff's memory is not ours to clear
    DISCONNECT = 0x04
    USER = 0x05
    SET_USER = 0x06
    LAST_RECORD = 0x07
    SET_CLOCK = 0x0D


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame."""

    header2: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One stored measurement, in mmHg and beats a minute, to the minute."""

    systolic: int
    diastolic: int
    pulse: int
    time: datetime
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where the records of an answer begin in its payload, and how long each is."""

    begins: int
    record_bytes: int


_LAYOUTS = {BP3G: _Layout(begins=38, record_bytes=10), A6: _Layout(begins=29, record_bytes=7)}
_LEAST_RECORD_BYTES = {BP3G: 8, A6: 7}  # the last two of ten are padding


def request(op: Op, arguments: bytes = b"") -> bytes:
    """A request with its sum."""
    body = bytes([HEAD, HOST]) + (2 + len(arguments)).to_bytes(2, "big") + bytes([op]) + arguments
    return body + bytes([sum(body) & 0xFF])


def records_request(*, wide: bool) -> bytes:
    """For all records. Where an app puts the time stands nothing: a clock is set only when staff ask for it."""
    return request(Op.RECORDS, bytes(6) + (b"\xfd" if wide else b""))


def clock_setting(moment: datetime) -> bytes:
    """To set the clock to `moment`, naive."""
    date = (moment.year - 2000, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return request(Op.SET_CLOCK, bytes(date))


def frame(data: bytes) -> Frame:
    """One whole frame; raises Garbled: header, truncated, trailing_bytes, checksum."""
    cursor = Cursor(data)
    head, header2 = cursor.u8(), cursor.u8()
    if head != HEAD or header2 not in (HOST, A6, BP3G):
        raise Garbled("header")
    size = int.from_bytes(cursor.take(2), "big")
    if size == 0:
        raise Garbled("length")
    payload = cursor.take(size - 1)
    total = cursor.u8()
    cursor.end()
    if total != sum(data[:-1]) & 0xFF:
        raise Garbled("checksum")
    if header2 == HOST and payload[:1] not in [bytes([op]) for op in Op]:
        raise Garbled("header")  # an answer under the host's name is an echo, or another maker's
    return Frame(header2=header2, payload=payload)


def _size_of(buffer: bytes) -> int:
    """See `counted`: only a frame with a true sum has a size."""
    if len(buffer) < _AROUND_BYTES:
        return 0
    size = _AROUND_BYTES + int.from_bytes(buffer[2:4], "big")
    if not _AROUND_BYTES < size <= _LONGEST_BYTES:
        return -1
    if len(buffer) < size:
        return 0
    return size if sum(buffer[: size - 1]) & 0xFF == buffer[size - 1] else -1


CUT: Cut = counted((bytes([HEAD, A6]), bytes([HEAD, BP3G])), _size_of)


def user_of(it: Frame) -> str:
    """The number of the user the cuff is switched to; "" in any other answer."""
    return str(it.payload[1]) if it.payload[:1] == bytes([Op.USER]) and len(it.payload) > 1 else ""


def slots_of(it: Frame) -> Iterator[bytes]:
    """The records of an answer, without those that are empty. An answer about the user, come late, has none."""
    layout = _LAYOUTS.get(it.header2)
    if layout is None or it.payload[:1] == bytes([Op.USER]):
        return
    least = _LEAST_RECORD_BYTES[it.header2]
    for at in range(layout.begins, len(it.payload) - least + 1, layout.record_bytes):
        data = it.payload[at : at + least]
        if any(data[:3]):
            yield data


def result(header2: int, data: bytes) -> Result:
    """One record; raises Garbled: truncated, datetime_range."""
    cursor = Cursor(data)
    systolic, diastolic, pulse = cursor.take(3)
    flags: tuple[str, ...] = ()
    if header2 == A6:
        first, second, minute, last = cursor.take(4)
        year, month, day, hour = last & 0x3F, second >> 6 << 2 | first >> 6, first & 0x3F, second & 0x3F
        flags = ("average_of_three",) * (last >> 7) + ("irregular_pulse",) * (last >> 6 & 1)
    else:
        year, month, day, hour, minute = cursor.take(5)
    try:
        time = datetime(2000 + year, month, day, hour, minute)  # noqa: DTZ001
    except ValueError:
        raise Garbled("datetime_range") from None
    return Result(systolic=systolic, diastolic=diastolic, pulse=pulse, time=time, flags=flags)


def decode(data: bytes) -> dict[str, Any]:
    """One frame as fields."""
    it = frame(data)
    fields: dict[str, Any] = {"header2": it.header2, "payload_hex": it.payload.hex()}
    op = it.payload[0] if it.payload else None
    if it.header2 == HOST and op is not None:
        fields |= {"command": op, "command_name": name_of(op, _OP_NAMES)}
        if op == Op.SET_CLOCK:
            fields["time"] = _clock(it.payload[1:])
    elif it.payload == ACKNOWLEDGED:
        fields["acknowledged"] = True
    elif op == Op.USER and len(it.payload) > 1:
        fields["user"] = it.payload[1]
    elif len(it.payload) >= _LAYOUTS[it.header2].begins:
        fields["records"] = [_result_fields(result(it.header2, data)) for data in slots_of(it)]
    return fields


_OP_NAMES: dict[int, str] = {op: op.name.lower() for op in Op}


def _clock(data: bytes) -> str:
    year, month, day, hour, minute, second = Cursor(data).take(6)
    try:
        return datetime(2000 + year, month, day, hour, minute, second).isoformat()  # noqa: DTZ001
    except ValueError:
        raise Garbled("datetime_range") from None


def _result_fields(it: Result) -> dict[str, Any]:
    return {
        "systolic": it.systolic,
        "diastolic": it.diastolic,
        "pulse": it.pulse,
        "time": it.time.isoformat(),
        "flags": list(it.flags),
    }


DECODERS: Mapping[str, Decoder] = {"microlife.a6": decode}
