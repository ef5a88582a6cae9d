"""Times as Bluetooth characteristics carry them: Date Time, Current Time, time zone and daylight saving offset.

A meter's time is naive and often wrong; whether to believe it is `gateway.vouch`'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import Cursor, exactly, names_of_bits

DATE_TIME_BYTES = 7
CURRENT_TIME_BYTES = 10
_A_LEAP_YEAR = 2000  # an unknown year may have a 29 February


@dataclass(frozen=True, slots=True, kw_only=True)
class DateTime:
    """Date Time (0x2A08). Year, month or day is None where the meter said 0, which means unknown."""

    year: int | None
    month: int | None
    day: int | None
    hour: int
    minute: int
    second: int

    def naive(self) -> datetime | None:
        """The time, or None unless it is known in full."""
        if self.year is None or self.month is None or self.day is None:
            return None
        return datetime(self.year, self.month, self.day, self.hour, self.minute, self.second)  # noqa: DTZ001

    @property
    def is_blank(self) -> bool:
        """Whether all of it is 0: so says a meter that has no clock."""
        return not any(self.parts().values())

    def text(self) -> str:
        """ISO 8601 with zeros for what is unknown: always the same text for the same bytes."""
        date = f"{self.year or 0:04}-{self.month or 0:02}-{self.day or 0:02}"
        return f"{date}T{self.hour:02}:{self.minute:02}:{self.second:02}"

    def iso(self) -> str | None:
        """ISO 8601, or None unless it is known in full."""
        return None if self.naive() is None else self.text()

    def parts(self) -> dict[str, int | None]:
        """Year to second by name, None for what is unknown."""
        return {
            "year": self.year,
            "month": self.month,
            "day": self.day,
            "hour": self.hour,
            "minute": self.minute,
            "second": self.second,
        }


def take_date_time(cursor: Cursor) -> DateTime:
    """The next 7 bytes as Date Time; raises Garbled("truncated") or Garbled("datetime_range")."""
    raw = Cursor(cursor.take(DATE_TIME_BYTES))
    year, month, day = raw.u16(), raw.u8(), raw.u8()
    hour, minute, second = raw.u8(), raw.u8(), raw.u8()
    if year and not 1582 <= year <= 9999:  # GATT: the Gregorian calendar, 0 for unknown
        raise Garbled("datetime_range")
    try:
        datetime(year or _A_LEAP_YEAR, month or 1, day or 1, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        raise Garbled("datetime_range") from None
    return DateTime(
        year=year or None, month=month or None, day=day or None, hour=hour, minute=minute, second=second
    )


def date_time(data: bytes) -> DateTime:
    """A whole Date Time value; raises Garbled("length") or Garbled("datetime_range")."""
    return take_date_time(Cursor(exactly(data, DATE_TIME_BYTES)))


def step_s(at: datetime | None) -> int:
    """To how many seconds a meter tells `at`: a time without seconds may be cut off to the minute. One of sixty
    that is not is taken for coarser than it is, which costs a claim by hand and gives no reading to a stranger."""
    return 60 if at is not None and at.second == 0 else 1


def named(name: str, moment: DateTime) -> dict[str, Any]:
    """`moment` as decoder fields: ISO text (None unless known in full) and its parts."""
    return {name: moment.iso(), f"{name}_parts": moment.parts()}


_ADJUST_REASONS = (
    "manual_time_update",
    "external_reference_time_update",
    "change_of_time_zone",
    "change_of_dst",
)


def decode_date_time(data: bytes) -> dict[str, Any]:
    """Date Time (0x2A08) as fields."""
    moment = date_time(data)
    return {"iso": moment.iso(), **moment.parts()}


def decode_current_time(data: bytes) -> dict[str, Any]:
    """Current Time (0x2A2B) as fields. The weekday is range-checked only: in practice it is often wrong."""
    cursor = Cursor(exactly(data, CURRENT_TIME_BYTES))
    moment = take_date_time(cursor)
    day_of_week, fractions256, reason = cursor.u8(), cursor.u8(), cursor.u8()
    if day_of_week > 7:
        raise Garbled("day_of_week_range")
    reasons = names_of_bits(reason, _ADJUST_REASONS)
    return {
        "iso": moment.iso(),
        **moment.parts(),
        "day_of_week": day_of_week,
        "fractions256": fractions256,
        "adjust_reason": reason,
        **{name: name in reasons for name in _ADJUST_REASONS},
    }


def decode_time_zone(data: bytes) -> dict[str, Any]:
    """Time zone (0x2A0E) as minutes east of UTC; None for unknown (-128)."""
    quarters = int.from_bytes(exactly(data, 1), "little", signed=True)
    if quarters == -128:
        return {"offset_minutes": None}
    if not -48 <= quarters <= 56:
        raise Garbled("range")
    return {"offset_minutes": quarters * 15}


_DST_OFFSET_MIN = {0: 0, 2: 30, 4: 60, 8: 120, 255: None}


def decode_dst_offset(data: bytes) -> dict[str, Any]:
    """Daylight saving offset (0x2A0D) in minutes; None for unknown (255)."""
    code = exactly(data, 1)[0]
    if code not in _DST_OFFSET_MIN:
        raise Garbled("range")
    return {"dst_offset_minutes": _DST_OFFSET_MIN[code]}


DECODERS: Mapping[str, Decoder] = {
    "ble.date_time": decode_date_time,
    "ble.current_time": decode_current_time,
    "ble.time_zone": decode_time_zone,
    "ble.dst_offset": decode_dst_offset,
}
