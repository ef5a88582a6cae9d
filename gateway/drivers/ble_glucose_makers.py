"""What makers do differently on the Bluetooth glucose service: a list by maker, never a guess from the bytes.

How records are asked for and what they are is `ble_glucose`'s business.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.conversation import Arrived, Garbled, Refused, Step, note, wait, write
from gateway.drivers.ble_common import subscribe_if_there
from gateway.drivers.ble_time import DATE_TIME_BYTES, date_time
from gateway.wire.vocabulary import OffScale


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Where a maker's meters leave the specification."""

    unlisted_types: frozenset[int] = frozenset()  # of samples that the meter leaves out of its own lists
    beyond_mg_dl: tuple[int, int] | None = None  # outside of these a number means LO or HI
    context_decides: bool = False  # a record whose context is missing may be another analyte
    has_clock_channel: bool = False

    def off_scale(self, value: Decimal, unit: str) -> OffScale | None:
        """HI or LO where a number in mg/dL or mmol/L only stands for one."""
        if self.beyond_mg_dl is None:
            return None
        low, high = self.beyond_mg_dl
        mg_dl = round(value if unit == "mg/dL" else value * _MG_DL_PER_MMOL_L)
        return OffScale.LO if mg_dl < low else OffScale.HI if mg_dl > high else None


_MG_DL_PER_MMOL_L = Decimal(18)  # the makers' own factor: 33.3 mmol/L is 599, 1.1 mmol/L is 20

PLAIN = Habits()
BY_MAKER = {
    "roche": Habits(unlisted_types=frozenset({4}), beyond_mg_dl=(10, 600)),
    "i-sens": Habits(beyond_mg_dl=(20, 600), context_decides=True, has_clock_channel=True),
}
"""By how the manufacturer's name (0x2A29) begins. After tidepool-org/uploader (both) and
NightscoutFoundation/xDrip (i-SENS)."""


def habits_of(maker: str) -> Habits:
    """The habits of a maker; those of the specification for one not listed."""
    for name, habits in BY_MAKER.items():
        if maker.casefold().startswith(name):
            return habits
    return PLAIN


# --- ketone ------------------------------------------------------------------------------------------------

_HIGHEST_KETONE_MMOL_L = Decimal(8)


def ketone(value: Decimal, unit: str) -> tuple[Decimal, str]:
    """What the display showed where a record's context says ketone: i-SENS meters send tenths of mmol/L as if they
    were mg/dL of glucose (xDrip and the uploader agree). Raises Garbled for the other unit, as nobody knows."""
    if unit != "mg/dL":
        raise Garbled("unknown_unit")
    return value.scaleb(-1), "mmol/L"


def ketone_off_scale(value: Decimal, unit: str) -> OffScale | None:
    """HI above what such a meter can tell; it has no LO."""
    return OffScale.HI if value > _HIGHEST_KETONE_MMOL_L else None


# --- the clock of i-SENS meters ----------------------------------------------------------------------------

CLOCK_CHANNELS = ("fff1", "c4dea3bc-5a9d-11e9-8647-d663bd873d93")
"""Of the older meters and of those with version 1.5 of the maker's service."""
CLOCK_TIMEOUT_S = 5.0
"""As long as the uploader waits for it."""
_CLOCK = bytes.fromhex("c0030100")
_ASK = bytes(DATE_TIME_BYTES)  # no time to set is a question


def clock_setting(moment: datetime) -> bytes:
    """What is written to set the clock to `moment`, naive: a command and a Date Time."""
    date = moment.year.to_bytes(2, "little") + bytes((moment.month, moment.day))
    return _CLOCK + date + bytes((moment.hour, moment.minute, moment.second))


def read_clock(habits: Habits) -> Step[str]:
    """Asks and notes what time the meter thinks it is; the channel of its clock, "" where it has none."""
    if not habits.has_clock_channel:
        return ""
    for channel in CLOCK_CHANNELS:
        if (yield from subscribe_if_there(channel)):
            yield from _ask_clock(channel)
            return channel
    return ""


def _ask_clock(channel: str) -> Step[None]:
    try:
        yield from write(channel, _CLOCK + _ASK)
    except Refused:
        return
    while isinstance(event := (yield from wait(CLOCK_TIMEOUT_S)), Arrived):
        if event.channel != channel:
            continue
        try:
            clock = date_time(event.data[len(_CLOCK) :]).naive()
        except Garbled:
            return  # a garbled clock is as good as none
        if clock is not None:
            yield from note("clock", clock.isoformat())
        return


def set_clock(channel: str, moment: datetime) -> Step[None]:
    """Sets the clock on the `channel` that `read_clock` found; the glucose service itself has no way to."""
    if not channel:
        yield from note("error", "clock_not_settable")
        return
    try:
        yield from write(channel, clock_setting(moment))
    except Refused:
        yield from note("error", "clock_not_set")
        return
    yield from note("clock_set", moment.isoformat())
