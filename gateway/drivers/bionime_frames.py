"""The frames of Bionime Rightest glucose meters (GM700SB): questions, answers, and a record's six bytes.

What is asked, and when, is `bionime`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import Cursor


class Command(IntEnum):
    """What is asked; the answer's is this with every bit turned over."""

    ENABLE_MEMORY = 0x02
    CLOCK = 0x06
    RECORD_2017 = 0x07
    RECORD = 0x61


_QUESTION, _ANSWER = 0xB0, 0x4F
_IN_ONE_PART = b"\x01\x01\x4f"


def request(command: int, data: bytes = b"") -> bytes:
    """A question."""
    head = bytes([_QUESTION, command]) + data
    return head + bytes([sum(head) & 0xFF])


def unwrapped(data: bytes) -> bytes:
    """A whole answer without the head of a notification; raises Garbled: length, start, checksum."""
    frame = data[2:] if data.startswith(_IN_ONE_PART) else data
    if len(frame) < 3:
        raise Garbled("length")
    if frame[0] != _ANSWER:
        raise Garbled("start")
    if sum(frame[:-1]) & 0xFF != frame[-1]:
        raise Garbled("checksum")
    return frame


def serial_number(data: bytes) -> str:
    """What the meter tells by itself: a length, its number and a sum; "" where it is something else."""
    size = data[0] if data else 0
    if not size or len(data) != size + 2 or sum(data[:-1]) & 0xFF != data[-1]:
        return ""
    text = data[1:-1].decode("ascii", "replace").strip("\0 ")
    return text if text.isprintable() and "\ufffd" not in text else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """How full the memory is."""

    total: int
    maximum: int
    last_transfer: int  # moved by whoever reads a record, so it says nothing of what we have


def about(data: bytes) -> About:
    """The answer about record 0; raises Garbled as `unwrapped` does, and wrong_command, length, wrong_index."""
    cursor = _records_answer(data)
    if cursor.u16() != 0:
        raise Garbled("wrong_index")
    it = About(total=cursor.u16(), maximum=cursor.u16(), last_transfer=cursor.u16())
    cursor.u8()
    cursor.end()
    return it


@dataclass(frozen=True, slots=True, kw_only=True)
class Glucose:
    """One stored result: where it stands, its six bytes, and what they say. `at` is None where it is no time."""

    index: int
    data: bytes
    at: datetime | None
    mg_dl: int
    is_high: bool
    is_control: bool
    has_meal: bool  # the two programs disagree on what these bits mean, so a reading says nothing of a meal
    is_after: bool


RECORD_BYTES = 6
RESERVED_BYTES = 10
"""Behind a record of the newer meters."""


def glucose(data: bytes) -> Glucose:
    """A record; raises Garbled as `unwrapped` does, and wrong_command, length, wrong_index."""
    cursor = _records_answer(data)
    index, record, rest = cursor.u16(), cursor.take(RECORD_BYTES), cursor.rest()
    if len(rest) not in (1, 1 + RESERVED_BYTES):
        raise Garbled("length")
    if index == 0:
        raise Garbled("wrong_index")
    month = (record[1] & 0xC0) >> 4 | (record[0] & 0xC0) >> 6
    return Glucose(
        index=index,
        data=record,
        at=_moment(record[3] & 0x7F, month, record[0] & 0x1F, record[1] & 0x1F, record[2] & 0x3F),
        mg_dl=(record[4] & 0x03) << 8 | record[5],
        is_high=bool(record[3] & 0x80),
        is_control=bool(record[4] & 0x04),
        has_meal=bool(record[4] & 0x08),
        is_after=bool(record[4] & 0x20),
    )


def clock(data: bytes) -> datetime:
    """The meter's time; raises Garbled as `unwrapped` does, and wrong_command, length, datetime_range."""
    frame = unwrapped(data)
    if frame[1] != Command.CLOCK ^ 0xFF:
        raise Garbled("wrong_command")
    if len(frame) != 2 + RECORD_BYTES + 1:
        raise Garbled("length")
    at = _moment(*frame[3:8])
    if at is None:
        raise Garbled("datetime_range")
    return at


def _records_answer(data: bytes) -> Cursor:
    frame = unwrapped(data)
    if frame[1] not in (Command.RECORD ^ 0xFF, Command.RECORD_2017 ^ 0xFF):
        raise Garbled("wrong_command")
    return Cursor(frame[2:])


def _moment(year: int, month: int, day: int, hour: int, minute: int) -> datetime | None:
    """Months and days count from 0."""
    try:
        return datetime(2000 + year, month + 1, day + 1, hour, minute)  # noqa: DTZ001 - naive, as the meter says it
    except ValueError:
        return None


def decode_info(data: bytes) -> dict[str, Any]:
    """How full the memory is, as fields."""
    it = about(data)
    return {"index": 0, "total": it.total, "maximum": it.maximum, "last_transfer": it.last_transfer}


def decode_record(data: bytes) -> dict[str, Any]:
    """One record as fields."""
    it = glucose(data)
    if it.at is None:
        raise Garbled("datetime_range")
    return {
        "index": it.index,
        "time": it.at.isoformat(),
        "mg_dL": it.mg_dl,
        "analyte": "glucose",
        "hi": it.is_high,
        "control": it.is_control,
        "meal_flag": it.has_meal,
        "after": it.is_after,
        "meal": ("after" if it.is_after else "before") if it.has_meal else None,
    }


def decode_clock(data: bytes) -> dict[str, Any]:
    """The meter's clock and unit as fields."""
    at = clock(data)
    return {"time": at.isoformat(), "unit": "mmol/L" if unwrapped(data)[2] & 0x02 else "mg/dL"}


DECODERS: Mapping[str, Decoder] = {
    "bionime.gm700sb.info": decode_info,
    "bionime.gm700sb.record": decode_record,
    "bionime.gm700sb.clock": decode_clock,
}
