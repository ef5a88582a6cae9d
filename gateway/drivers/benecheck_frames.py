"""The $PCL frames of BeneCheck (百捷) meters, over a serial line or the Bluetooth dongle: bytes to fields.

Which of them are readings is `benecheck`'s business. Layout: the public sources that `benecheck` names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import Cursor, name_of
from gateway.drivers.framing import Cut, counted

HEAD = b"$PCL"
_AROUND_PAYLOAD_BYTES = 11  # head, command, parameter, length; the checksum
RECORD_BYTES = 9
_LONGEST_PAYLOAD_BYTES = 1024
"""More than a hundred records in one frame; a longer frame is a length that was garbled."""

ECHO, CLEAR, FUNCTION, MODEL, ERROR = 0x01, 0x20, 0x30, 0x31, 0xD0
COUNTS = {0x40: "glucose", 0x50: "uric_acid", 0x60: "cholesterol"}
RECORDS = {0x41: "glucose", 0x51: "uric_acid", 0x61: "cholesterol"}
_CLEARED = {1: "glucose", 2: "uric_acid", 4: "cholesterol"}
_COMMANDS = {
    ECHO: "echo",
    CLEAR: "clear",  # never sent: a meter's memory is not ours to clear
    FUNCTION: "function",
    MODEL: "model",
    ERROR: "error",
    **dict.fromkeys(COUNTS, "count"),
    **dict.fromkeys(RECORDS, "records"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame. All its numbers are little-endian words."""

    command: int
    parameter: int
    payload: bytes

    @property
    def size(self) -> int:
        """Its length in bytes, head and checksum included."""
        return _AROUND_PAYLOAD_BYTES + len(self.payload)

    def records(self) -> "list[Result]":
        """The records in it; none in any other frame. Raises Garbled: length, datetime_range."""
        analyte = RECORDS.get(self.command)
        if analyte is None or len(self.payload) in (0, _RANGE_BYTES):
            return []
        if len(self.payload) % RECORD_BYTES:
            raise Garbled("length")
        cursor = Cursor(self.payload)
        return [_take_result(cursor, analyte) for _ in range(len(self.payload) // RECORD_BYTES)]

    def parts(self) -> "Iterator[Frame]":
        """A frame for each record in it: one whose date is none must not cost its neighbours. Else itself."""
        if self.command not in RECORDS or not self.payload or len(self.payload) % RECORD_BYTES:
            yield self
            return
        for at in range(0, len(self.payload), RECORD_BYTES):
            yield replace(self, payload=self.payload[at : at + RECORD_BYTES])

    def count(self) -> int | None:
        """How many records of an analyte the meter says it has; None in other frames. Raises Garbled: length."""
        if self.command not in COUNTS or not self.payload:
            return None
        if len(self.payload) != _WORD_BYTES:
            raise Garbled("length")
        return int.from_bytes(self.payload, "little")


_WORD_BYTES = 2
_RANGE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One record: `raw` is mg/dL, of uric acid tenths of it. A result that was just measured has index 0."""

    index: int
    time: datetime
    analyte: str
    raw: int

    @property
    def mg_dl(self) -> Decimal:
        """The value as the meter knows it."""
        return Decimal(self.raw) / 10 if self.analyte == "uric_acid" else Decimal(self.raw)


def _take_result(cursor: Cursor, analyte: str) -> Result:
    index = cursor.u16()
    year, month, day, hour, minute = cursor.take(5)
    try:
        time = datetime(2000 + year, month, day, hour, minute)  # noqa: DTZ001
    except ValueError:
        raise Garbled("datetime_range") from None
    return Result(index=index, time=time, analyte=analyte, raw=cursor.u16())


def checksum(frame: bytes) -> int:
    """The low byte of the sum of everything after the `$`; `frame` is without its checksum."""
    return sum(frame[1:]) & 0xFF


def request(command: int, *, first: int | None = None, last: int | None = None) -> bytes:
    """A request: for an echo, a count, or the records from index `first` to `last`."""
    payload = b"" if first is None or last is None else b"".join(n.to_bytes(2, "little") for n in (first, last))
    frame = HEAD + b"".join(n.to_bytes(2, "little") for n in (command, 0, len(payload))) + payload
    return frame + bytes([checksum(frame)])


def _size_of(buffer: bytes) -> int:
    """See `counted`: only a frame with a true checksum has a size, and one cut off by the next has none."""
    if len(buffer) < _AROUND_PAYLOAD_BYTES - 1:
        return 0 if buffer.find(HEAD, 1) < 0 else -1
    size = _AROUND_PAYLOAD_BYTES + int.from_bytes(buffer[8:10], "little")
    if size > _AROUND_PAYLOAD_BYTES + _LONGEST_PAYLOAD_BYTES or 0 < buffer.find(HEAD, 1) < size:
        return -1
    if len(buffer) < size:
        return 0
    return size if checksum(buffer[: size - 1]) == buffer[size - 1] else -1


CUT: Cut = counted((HEAD,), _size_of)


def front(data: bytes) -> Frame:
    """The frame at the front of `data`; raises Garbled: header, truncated, checksum."""
    cursor = Cursor(data)
    if cursor.take(len(HEAD)) != HEAD:
        raise Garbled("header")
    command, parameter, length = cursor.u16(), cursor.u16(), cursor.u16()
    frame = Frame(command=command, parameter=parameter, payload=cursor.take(length))
    if cursor.u8() != checksum(data[: frame.size - 1]):
        raise Garbled("checksum")
    return frame


def decode_pcl(data: bytes) -> dict[str, Any]:
    """One frame as fields, or `frames` where one read brought several. Raises Garbled as `front` does,
    trailing_bytes for what is no frame behind a frame, length and datetime_range for a record."""
    frames = [_fields(frame) for frame in _frames(data)]
    return frames[0] if len(frames) == 1 else {"frames": frames}


def _frames(data: bytes) -> Iterator[Frame]:
    at = 0
    while at == 0 or at < len(data):
        if at and not data[at:].startswith(HEAD[: len(data) - at]):
            raise Garbled("trailing_bytes")
        frame = front(data[at:])
        yield frame
        at += frame.size


def _fields(frame: Frame) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "command": frame.command,
        "command_name": name_of(frame.command, _COMMANDS),
        "parameter": frame.parameter,
        "length": len(frame.payload),
    }
    analyte = RECORDS.get(frame.command) or COUNTS.get(frame.command)
    if analyte is not None:
        fields["analyte"] = analyte
    elif frame.command == CLEAR:
        fields["analyte"] = name_of(frame.parameter, _CLEARED)
    elif frame.payload:
        fields["payload_hex"] = frame.payload.hex()
    if frame.command in RECORDS and len(frame.payload) == _RANGE_BYTES:
        cursor = Cursor(frame.payload)
        return fields | {"start_index": cursor.u16(), "end_index": cursor.u16()}
    if (count := frame.count()) is not None:
        return fields | {"count": count}
    match [_record_fields(record) for record in frame.records()]:
        case []:
            return fields
        case [record]:
            return fields | record
        case records:
            return fields | {"records": records}


def _record_fields(it: Result) -> dict[str, Any]:
    return {"index": it.index, "time": it.time.isoformat(), "raw_value": it.raw, "mg_dL": it.mg_dl}


DECODERS: Mapping[str, Decoder] = {"benecheck.pcl": decode_pcl}
