"""A driver is a conversation: what it may say, what it may be sent, and what it brings home.

A driver is a plain generator without I/O. It yields an `Action` and is sent the `Event` that came of it; the
helper generators below make that read like straight-line code. Who carries the bytes is a transport's business
(`gateway.transports`); who plays a conversation against a transport, a transcript or a simulator is
`gateway.converse`'s.

    def talk(context: Context) -> Talk:
        yield from subscribe(MEASUREMENT)
        while isinstance(event := (yield from wait(10.0)), Arrived):
            yield from emit(record_of(event.data))       # returns only after the reading is safely on disk

A lost link or an unexpected refusal ends the conversation by raising out of the `yield`; a driver has nothing to
clean up, because all that it received is on disk and all that it emitted is vouched for.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

from gateway.proof import Doubt, Proof
from gateway.wire.messages import Purpose, Shown
from gateway.wire.vocabulary import Kind, Meal, OffScale


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A meter within reach: an advertisement, or a serial port that appeared."""

    transport: str  # "ble", "serial", "dock"
    address: str  # Bluetooth address, or USB path
    name: str = ""
    services: frozenset[str] = frozenset()  # short UUIDs in lower case where they have one: "1808"
    usb_id: str = ""  # "1a86:7523"
    driver: str = ""  # named in the settings, for a line that does not tell what hangs on it
    calling: bool = False  # bytes are waiting already: this meter must not be kept waiting
    waited: bool = False  # some of them were said before anybody listened: nobody knows when
    rssi: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a driver is told before it speaks."""

    sighting: Sighting
    now: datetime  # UTC, when the conversation began
    last_record: str | None = None  # what this driver last `remember`ed of this meter, e.g. a sequence number
    local_utc_offset_min: int = 480  # a meter's naive clock is in this zone (Asia/Shanghai)
    set_clock_to: datetime | None = None  # staff asked for it: the naive local `now`; see `time_to_set`

    def local_now(self) -> datetime:
        """The gateway's time as a meter shows time: naive, in its zone, to the second."""
        local = self.now + timedelta(minutes=self.local_utc_offset_min)
        return local.replace(tzinfo=None, microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One measurement as the meter gave it, converted once into canonical units. `vouch` makes it a Reading.

    `key` is the meter's own name for this record: stable over re-reads, different for another measurement; ""
    where the meter gives neither a time nor a number, and the reading is named after its conversation instead.
    `device_time` is naive and exactly what the meter said; `time_step_s` is 60 where it tells whole minutes.
    `live`: the driver saw it being taken, or the meter tells what it measures at that moment and keeps nothing, so
    that it was taken when it arrived, whatever the meter's clock says.
    """

    kind: Kind
    key: str
    values: dict[str, Decimal] = field(default_factory=dict)
    off_scale: dict[str, OffScale] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()
    device_time: datetime | None = None
    time_step_s: int = 1
    live: bool = False
    meal: Meal = Meal.UNKNOWN
    purpose: Purpose = Purpose.PATIENT
    flags: tuple[str, ...] = ()
    user_slot: str = ""


# --- actions: what a driver yields -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """Bond with the meter before anything protected is touched. Answered by Done, or Refused is raised."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask for notifications or indications of a channel. Answered by Done."""

    channel: str


@dataclass(frozen=True, slots=True)
class Read:
    """Read a channel. Answered by Arrived; raises Refused where the meter has no such channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class Write:
    """Write to a channel; `channel` is "" on a serial line. Answered by Done, or Refused is raised."""

    channel: str
    data: bytes
    acknowledged: bool = True


@dataclass(frozen=True, slots=True)
class Wait:
    """Listen. Answered by Arrived, or by Silence after `timeout_s`."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand over a record. Answered by Done, only after the reading is safely on disk."""

    record: Record


@dataclass(frozen=True, slots=True)
class Note:
    """A fact about the meter: maker, model, serial, firmware, battery_percent, clock, clock_set, records, error.

    Answered by Done. `records` is how many it says it holds. `error` is why a record was no reading, in one word.
    `clock` carries the meter's own naive time, read just now; the offset of this conversation comes from it.
    `clock_set` is what its clock was set to, after the old time was noted and every record emitted.
    """

    what: str
    value: str


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep `value` for this meter; it comes back as the next conversation's `Context.last_record`."""

    value: str


@dataclass(frozen=True, slots=True)
class HowLong:
    """Ask how long this conversation has gone on. Answered by Lasted."""


Action: TypeAlias = Pair | Subscribe | Read | Write | Wait | Emit | Note | Remember | HowLong


# --- events: what a driver is sent -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """It happened."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Bytes from the meter. They are in the raw journal on disk before a driver ever sees them."""

    channel: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing came in time."""


@dataclass(frozen=True, slots=True)
class Lasted:
    """Since it began, in whole seconds."""

    seconds: int


Event: TypeAlias = Done | Arrived | Silence | Lasted


class ConversationError(Exception):
    """Base of what may be raised out of a driver's `yield`."""


class Lost(ConversationError):
    """The link is gone. Nothing more can be said."""


class Refused(ConversationError):
    """The meter (or the radio) refused one action; `reason` is an ATT error name or number. A driver may go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Garbled(ConversationError):
    """Raised by a driver itself: the meter said what its protocol does not allow; `error` is the class."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


T = TypeVar("T")
Talk: TypeAlias = Generator[Action, Event, None]
Step: TypeAlias = Generator[Action, Event, T]
Decoder: TypeAlias = Callable[[bytes], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLine:
    """How a serial port is opened for a meter. `asks`: the meter speaks only when asked, so it is asked again and
    again; else it speaks by itself, and a conversation begins with its first byte."""

    baud: int
    data_bits: int = 8
    parity: str = "N"  # N, E or O
    stop_bits: int = 1
    asks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One protocol family. `recognise` says whether a sighting is its own; `talk` is the conversation.

    `decoders` are the frame decoders that `talk` uses, by protocol key, for `python -m gateway decode`; each
    takes bytes and returns named fields or raises `Garbled`. How sure it is say `proof` and
    `doubts`, and in full, for engineers, `proven_by`.
    """

    name: str  # "ble.glucose"
    transport: str  # "ble" or "serial"
    recognise: Callable[[Sighting], bool]
    talk: Callable[[Context], Talk]
    devices: str
    source: str
    quirks: str
    proven_by: str
    proof: Proof
    doubts: frozenset[Doubt] = frozenset()
    services: frozenset[str] = frozenset()  # the scanner's filter: what such meters advertise
    names: tuple[str, ...] = ()  # how the names of those begin that advertise no service of their own
    line: SerialLine | None = None  # for transport "serial"
    sets_clock: bool = False  # `talk` honours Context.set_clock_to
    decoders: Mapping[str, Decoder] = field(default_factory=dict)


# --- how drivers speak -------------------------------------------------------------------------------------


def pair() -> Step[None]:
    """Bond first: protected reads and writes fail in worse ways without it."""
    yield Pair()


def subscribe(channel: str) -> Step[None]:
    """Start listening to `channel`."""
    yield Subscribe(channel)


def read(channel: str) -> Step[bytes]:
    """The value of `channel`; raises Refused where there is none."""
    event = yield Read(channel)
    return event.data if isinstance(event, Arrived) else b""


def read_if_there(channel: str) -> Step[bytes | None]:
    """The value of `channel`, or None where the meter has none or will not say."""
    try:
        return (yield from read(channel))
    except Refused:
        return None


def write(channel: str, data: bytes, *, acknowledged: bool = True) -> Step[None]:
    """Write `data` to `channel` ("" on a serial line)."""
    yield Write(channel, data, acknowledged)


def wait(timeout_s: float) -> Step[Arrived | Silence]:
    """What arrives next, or Silence after `timeout_s`."""
    event = yield Wait(timeout_s)
    return event if isinstance(event, Arrived) else Silence()


def emit(record: Record) -> Step[None]:
    """Hand over `record`; returns only after it is on disk, so what follows may acknowledge or clear."""
    yield Emit(record)


def note(what: str, value: str) -> Step[None]:
    """Tell a fact about the meter; see Note."""
    yield Note(what, value)


def time_to_set(context: Context) -> Step[datetime]:
    """What a meter's clock is set to, asked for just before it is written: reading its memory takes minutes."""
    event = yield HowLong()
    passed = timedelta(seconds=event.seconds if isinstance(event, Lasted) else 0)
    return (context.set_clock_to or context.local_now()) + passed


def remember(value: str) -> Step[None]:
    """Keep `value` as this meter's `last_record`."""
    yield Remember(value)
