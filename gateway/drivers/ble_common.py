"""What every Bluetooth meter is asked first: who it is, how its battery is, what time it thinks it is.

The measurements are each driver's own. A driver calls `introduce` before it emits anything, because the serial
number becomes part of every reading's id and the clock decides when a reading was taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.conversation import Garbled, Record, Refused, Step, emit, note, pair, read_if_there, subscribe
from gateway.drivers.ble_time import CURRENT_TIME_BYTES, DATE_TIME_BYTES, date_time
from gateway.drivers.cursor import exactly

MAKER = "2a29"
MODEL = "2a24"
SERIAL = "2a25"
FIRMWARE = "2a26"
BATTERY = "2a19"
CURRENT_TIME = "2a2b"
DATE_TIME = "2a08"

_FACTORY_SERIALS = frozenset({"serial number", "serialnumber", "serial", "sn", "n/a", "none", "unknown", "123456"})
"""What firmware says when nobody set a serial. Two such meters must not become one device."""
_MIN_SERIAL_CHARACTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What a meter said of itself; "" where it said nothing."""

    maker: str
    model: str
    serial: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReading:
    """A record that is no reading, and why: the word a driver notes as an error. Its bytes are in the journal."""

    why: str


def emit_or_note(made: Record | NoReading | None) -> Step[None]:
    """Emits a record, or notes why it is none; None is neither."""
    match made:
        case NoReading(why=why):
            yield from note("error", why)
        case Record():
            yield from emit(made)


def introduce() -> Step[Introduction]:
    """Reads and notes maker, model, serial, firmware, battery and clock, as far as the meter has them."""
    maker = yield from _text("maker", MAKER)
    model = yield from _text("model", MODEL)
    serial = yield from _text("serial", SERIAL, believable=_is_a_serial)
    yield from _text("firmware", FIRMWARE)
    level = yield from read_if_there(BATTERY)
    if level is not None and len(level) == 1 and level[0] <= 100:
        yield from note("battery_percent", str(level[0]))
    clock = yield from _clock()
    if clock is not None:
        yield from note("clock", clock.isoformat())
    return Introduction(maker=maker, model=model, serial=serial)


def bond() -> Step[None]:
    """Pairs, before anything protected is touched. Many meters have no bonding at all and refuse it: then what is
    protected, if anything is, refuses by itself, and the note says why."""
    try:
        yield from pair()
    except Refused:
        yield from note("error", "not_paired")


def subscribe_if_there(channel: str) -> Step[bool]:
    """Starts listening to `channel`; False where the meter has no such channel."""
    try:
        yield from subscribe(channel)
    except Refused:
        return False
    return True


def _text(what: str, channel: str, believable: Callable[[str], bool] = bool) -> Step[str]:
    raw = yield from read_if_there(channel)
    if raw is None:
        return ""
    text = raw.partition(b"\0")[0].decode("utf-8", "replace").strip()
    if not believable(text):
        return ""
    yield from note(what, text)
    return text


def _is_a_serial(text: str) -> bool:
    return (
        len(text) >= _MIN_SERIAL_CHARACTERS
        and text.lower() not in _FACTORY_SERIALS
        and text.strip("0-:. ") != ""  # all zeros
    )


def _clock() -> Step[datetime | None]:
    """The meter's naive time, from Current Time or else from Date Time; a garbled clock is as good as none."""
    for channel, size in ((CURRENT_TIME, CURRENT_TIME_BYTES), (DATE_TIME, DATE_TIME_BYTES)):
        raw = yield from read_if_there(channel)
        if raw is None:
            continue
        try:
            return date_time(exactly(raw, size)[:DATE_TIME_BYTES]).naive()
        except Garbled:
            continue
    return None
