"""The frames of BLT (宝莱特, Biolight) WBP cuffs: AA, length, id, data, sum; an AA inside a frame is sent twice.

Which of them are readings is `blt`'s business. Length and sum are those of the frame before its AAs were doubled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import name_of

HEAD = 0xAA
SMALLEST_LENGTH, LARGEST_LENGTH = 2, 40
"""An id and a sum; the longest known has 15."""
EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - the cuff counts its own naive seconds from here


class Id(IntEnum):
    """What a frame is about (the maker's own app)."""

    ANSWER = 3
    PRESSURE = 40
    RESULT = 41
    STATE = 42
    STORED = 43
    STORED_BEGIN = 44
    STORED_COUNT = 45
    USER = 49
    SET_TIME = 107
    START = 120
    ASK_COUNT = 121
    ASK_STORED = 122
    STORED_END = 127


IDS = {id_.value: id_.name.lower() for id_ in Id}
USERS = {1: "A", 2: "B", 3: "guest"}
FAILED, SYSTOLIC_BIT = 0x10, 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame whose sum is right, without the doubled AAs."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A measurement, just taken or stored. `failed` is its error's number; `mark` the byte that holds it all."""

    mark: int
    failed: int | None
    systolic: int
    diastolic: int
    pulse: int
    time: datetime

    @property
    def user(self) -> str:
        """A, B, guest, or "" where it does not say."""
        return USERS.get(self.mark >> 5 & 0x03, "")

    def fields(self) -> dict[str, Any]:
        """As decoder fields."""
        return {
            "systolic": self.systolic,
            "diastolic": self.diastolic,
            "pulse": self.pulse,
            "unit": "mmHg",
            "time": self.time.isoformat(),
            "user": self.user,
            "failed": self.failed,
        }


def cut(buffer: bytes) -> int:
    """See `framing.Cut`."""
    if buffer[0] != HEAD:
        found = buffer.find(HEAD)
        return -(found if found > 0 else len(buffer))
    if len(buffer) < 2:
        return 0
    if not SMALLEST_LENGTH <= buffer[1] <= LARGEST_LENGTH:
        return -1
    at, left = 2, buffer[1]
    while left:
        if at >= len(buffer):
            return 0
        if buffer[at] == HEAD and left > 1:  # the sum is not doubled
            if at + 1 >= len(buffer):
                return 0
            if buffer[at + 1] != HEAD:
                return -at  # another frame begins: this one was cut off
            at += 1
        at += 1
        left -= 1
    total = buffer[1] + sum(buffer[2 : at - 1].replace(b"\xaa\xaa", b"\xaa"))
    if buffer[at - 1] == HEAD and total & 0xFF != HEAD:
        return -(at - 1)  # another frame begins in place of the sum
    return at


def frame(data: bytes) -> Frame:
    """One whole frame; raises Garbled: truncated, grammar, length, trailing_bytes, checksum."""
    if data[:1] not in (b"", bytes([HEAD])):
        raise Garbled("grammar")
    if len(data) < 2:
        raise Garbled("truncated")
    length = data[1]
    if length < SMALLEST_LENGTH:
        raise Garbled("length")
    body, at = bytearray(), 2
    while len(body) < length:
        if at >= len(data):
            raise Garbled("truncated")
        body.append(data[at])
        if data[at] == HEAD and len(body) < length:
            at += 1
            if data[at : at + 1] not in (b"", bytes([HEAD])):
                raise Garbled("grammar")
        at += 1
    if at != len(data):
        raise Garbled("trailing_bytes")
    if (length + sum(body[:-1])) & 0xFF != body[-1]:
        raise Garbled("checksum")
    return Frame(id=body[0], data=bytes(body[1:-1]))


def result(it: Frame) -> Result | None:
    """The measurement in a frame, or None: one just taken (41), or one of the memory (43)."""
    data = it.data
    match it.id:
        case 41 if len(data) == 11:
            mark, error, systolic, diastolic, _, pulse = data[:6]
            at, failed = data[6:10], error
        case 43 if len(data) >= 13:
            mark, systolic, diastolic, _, pulse = data[4:9]
            at, failed = data[9:13], 0
        case _:
            return None
    return Result(
        mark=mark,
        failed=failed if mark & FAILED else None,
        systolic=systolic,
        diastolic=diastolic,
        pulse=pulse,
        time=_moment(at),
    )


def clock(it: Frame) -> datetime | None:
    """The cuff's time in its state, or None."""
    return _moment(it.data[3:7]) if it.id == Id.STATE and len(it.data) >= 7 else None


def version(it: Frame) -> str:
    """The firmware in its state; "" where there is none."""
    return f"{it.data[1] >> 4}.{it.data[1] & 0x0F}" if it.id == Id.STATE and len(it.data) > 1 else ""


def stored_count(it: Frame) -> int | None:
    """How many blocks of results it says it keeps, or None."""
    return it.data[0] + it.data[1] if it.id == Id.STORED_COUNT and len(it.data) > 1 else None


def request(id_: int, data: bytes) -> bytes:
    """A frame to a cuff."""
    body = bytes((len(data) + 2, id_)) + data
    signed = body + bytes([sum(body) & 0xFF])
    return bytes([HEAD, signed[0]]) + signed[1:-1].replace(b"\xaa", b"\xaa\xaa") + signed[-1:]


def answer(id_: int) -> bytes:
    """ "Understood", as the maker's app answers a state; it clears nothing."""
    return request(Id.ANSWER, bytes((id_, 0)))


def set_time(moment: datetime) -> bytes:
    """Sets the clock."""
    seconds = int((moment - EPOCH).total_seconds())
    return request(Id.SET_TIME, b"\0" + seconds.to_bytes(4, "little") + b"\0")


def decode(data: bytes) -> dict[str, Any]:
    """A BLT frame as fields."""
    it = frame(data)
    fields: dict[str, Any] = {"id": it.id, "id_name": name_of(it.id, IDS), "data_hex": it.data.hex()}
    measured = result(it)
    if measured is not None:
        fields |= measured.fields()
    match it.id:
        case Id.STATE if len(it.data) >= 7:
            fields |= {"version": version(it), "time": _moment(it.data[3:7]).isoformat()}
        case Id.STORED_COUNT:
            fields["count"] = stored_count(it)
        case Id.SET_TIME if len(it.data) == 6:
            fields["time"] = _moment(it.data[1:5]).isoformat()
        case Id.ANSWER if it.data:
            fields["to"] = it.data[0]
    return fields


def _moment(data: bytes) -> datetime:
    return EPOCH + timedelta(seconds=int.from_bytes(data, "little"))


DECODERS: Mapping[str, Decoder] = {"blt.bp": decode}
