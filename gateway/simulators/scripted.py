"""A meter out of a transcript: it says what the device said there, each time the host says what the driver said.

What carries its bytes is `serial_line`'s or `bumble_meter`'s; who starts it is `gateway.simulate`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.conversation import Arrived, Lost, Refused, Silence
from gateway.simulators.meter import Characteristic, Outgoing, VirtualMeter
from gateway.transcript_text import Line, Transcript, heard

INDICATED = frozenset({"2a35", "2a1c", "2a52"})
"""What the SIG's services indicate; everything else is notified."""
SERVICE_OF = {
    "2a29": "180a",
    "2a24": "180a",
    "2a25": "180a",
    "2a26": "180a",
    "2a19": "180f",
    "2a2b": "1805",
    "2a18": "1808",
    "2a34": "1808",
    "2a51": "1808",
    "2a52": "1808",
    "2a35": "1810",
    "2a49": "1810",
    "2a1c": "1809",
    "2a1d": "1809",
}
"""Where characteristics live that have one home; the others are put into the first service of the transcript."""
ANY_SERVICE = "fff0"


@dataclass(frozen=True, slots=True)
class Hear:
    """The host must say this first: a subscription (`data` None) or a write."""

    channel: str
    data: bytes | None
    line: int


@dataclass(frozen=True, slots=True)
class Say:
    """The device says this by itself."""

    channel: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """The device says nothing for a while."""


@dataclass(frozen=True, slots=True)
class Go:
    """The line goes."""


Item: TypeAlias = Hear | Say | Pause | Go


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A transcript from the device's side: what happens in order, and what can be read at any time."""

    items: tuple[Item, ...]
    reads: dict[str, tuple[bytes, ...]]

    @property
    def channels(self) -> frozenset[str]:
        """Those the device speaks on by itself or is spoken to on."""
        return frozenset(item.channel for item in self.items if isinstance(item, Hear | Say))


def script_of(transcript: Transcript) -> Script:
    """The device's side of `transcript`."""
    items: list[Item] = []
    reads: dict[str, list[bytes]] = {}
    reading = ""
    for line in transcript.lines:
        match line.mark:
            case ">":
                what, _, rest = line.text.partition(" ")
                reading = rest if what == "read" else ""
                if what == "subscribe":
                    items.append(Hear(rest, None, line.number))
                elif what in ("write", "write!"):
                    said = heard(Line(mark="<", text=rest, number=line.number))
                    if isinstance(said, Arrived):
                        items.append(Hear(said.channel, said.data, line.number))
            case "<" | ".":
                match heard(line):
                    case Arrived(channel, data):
                        if reading:
                            reads.setdefault(reading, []).append(data)
                        else:
                            items.append(Say(channel, data))
                    case Silence():
                        items.append(Pause())
                    case Lost():
                        items.append(Go())
                    case Refused():
                        if items and not reading and isinstance(items[-1], Hear):
                            items.pop()  # it was refused, and will be again: there is no such channel
                reading = ""
    return Script(items=tuple(items), reads={channel: tuple(values) for channel, values in reads.items()})


@dataclass(slots=True)
class Progress:
    """How far a script has been played. `differs` is told whenever the host says something else than it says."""

    items: Sequence[Item]
    differs: Callable[[str], None]
    at: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left but silence."""
        return all(isinstance(item, Pause) for item in self.items[self.at :])

    def hear(self, channel: str, data: bytes | None) -> bool:
        """The host said something; whether that is what the script waits for. Another time in it does no harm."""
        while self.at < len(self.items) and isinstance(self.items[self.at], Pause):
            self.at += 1
        if self.is_over or not isinstance(expected := self.items[self.at], Hear):
            self.differs(f"the host says more than the transcript: {_shown(channel, data)}")
            return False
        same_kind = (expected.data is None) is (data is None) and expected.channel == channel
        if not same_kind or len(expected.data or b"") != len(data or b""):
            wanted = _shown(expected.channel, expected.data)
            self.differs(f"line {expected.line}: expected {wanted}, the host says {_shown(channel, data)}")
            return False
        if expected.data != data:
            self.differs(f"line {expected.line}: the host says {_shown(channel, data)}; going on")
        self.at += 1
        return True

    def say(self) -> Iterator[Say | Pause | Go]:
        """What the device says now, until it is the host's turn."""
        while self.at < len(self.items):
            item = self.items[self.at]
            if isinstance(item, Hear):
                return
            self.at += 1
            yield item


def _shown(channel: str, data: bytes | None) -> str:
    return f"subscribe {channel}" if data is None else f"write {channel or '-'} {data.hex()}"


@dataclass(kw_only=True)
class ScriptedMeter(VirtualMeter):
    """The device of a transcript, for the radio. It has what was read there, and no more."""

    script: Script
    progress: Progress
    service: str = ANY_SERVICE
    _read: dict[str, int] = field(default_factory=dict)

    def measurement_channels(self) -> frozenset[str]:
        """See VirtualMeter."""
        return self.script.channels

    def characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        hears = [item for item in self.script.items if isinstance(item, Hear)]
        written = {item.channel for item in hears if item.data is not None}
        told = {item.channel for item in self.script.items if isinstance(item, Say)}
        told |= {item.channel for item in hears if item.data is None}
        rows = []
        for channel in sorted(told | written | self.script.reads.keys()):
            properties = {"read"} if channel in self.script.reads else set[str]()
            properties |= {"write", "write_without_response"} if channel in written else set()
            if channel in told:
                properties.add("indicate" if channel in INDICATED else "notify")
            service = SERVICE_OF.get(channel, self.service)
            rows.append(Characteristic(service=service, channel=channel, properties=frozenset(properties)))
        return tuple(rows)

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        return self.characteristics()

    def read(self, channel: str) -> bytes:
        """See VirtualMeter: each value in its turn, the last for ever."""
        values = self.script.reads[channel]
        turn = self._read[channel] = self._read.get(channel, -1) + 1
        return values[min(turn, len(values) - 1)]

    def on_subscribed(self, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        items = self.progress.items
        waits = self.progress.at < len(items) and items[self.progress.at]
        if isinstance(waits, Hear) and waits.channel in subscribed and self.progress.hear(waits.channel, None):
            return self._outgoing()
        return iter(())

    def write(self, channel: str, data: bytes, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        return self._outgoing() if self.progress.hear(channel, data) else iter(())

    def _outgoing(self) -> Iterator[Outgoing]:
        for item in self.progress.say():
            match item:
                case Say(channel, data):
                    yield Outgoing(channel, data, indicate=channel in INDICATED)
                case Go():
                    yield Outgoing(min(self.script.channels), b"")  # the fault takes the line before this one


def said_before_loss(script: Script) -> int | None:
    """How much a scripted meter says before its line goes; None where it does not go."""
    if not any(isinstance(item, Go) for item in script.items):
        return None
    until = next(at for at, item in enumerate(script.items) if isinstance(item, Go))
    return sum(isinstance(item, Say) for item in script.items[:until])
