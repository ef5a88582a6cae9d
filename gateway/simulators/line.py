"""A virtual meter that speaks frames on one line, and the same meter on a Bluetooth service.

What the frames say is each meter's own, from its protocol; the radio is `bumble_meter`'s, a wire `serial_line`'s.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.simulators.meter import Characteristic, Outgoing, VirtualMeter

NOTIFICATION_BYTES = 20
"""What fits into one notification where nobody has asked for a larger MTU: 23 less the ATT header."""


HEARD_WITHIN = timedelta(seconds=1)
"""A step of a measurement is heard by who listens at that moment, or by nobody."""


@dataclass(slots=True, kw_only=True)
class Untold:
    """What a meter has to say by itself: a step of a measurement now or never, a result until it was told."""

    now: Callable[[], datetime]
    _frames: list[tuple[datetime | None, bytes]] = field(default_factory=list)

    def step(self, *frames: bytes, within: timedelta = HEARD_WITHIN) -> None:
        """It says `frames` at this moment, and does not keep them."""
        until = self.now() + within
        self._frames += [(until, frame) for frame in frames]

    def result(self, *frames: bytes) -> None:
        """It says `frames` now, or when somebody listens."""
        self._frames += [(None, frame) for frame in frames]

    def tell(self) -> Iterator[bytes]:
        """One after the other, and each once."""
        while (frame := self.next()) is not None:
            yield frame

    def next(self) -> bytes | None:
        """The next there is to say."""
        while self._frames:
            until, frame = self._frames.pop(0)
            if until is None or self.now() <= until:
                return frame
        return None

    @property
    def results(self) -> tuple[bytes, ...]:
        """What it keeps until it was told."""
        return tuple(frame for until, frame in self._frames if until is None)

    @property
    def steps(self) -> tuple[bytes, ...]:
        """What it says now or never."""
        return tuple(frame for until, frame in self._frames if until is not None)

    def forget_steps(self) -> None:
        """Whoever listened is gone."""
        self._frames = [one for one in self._frames if one[0] is None]


@dataclass(kw_only=True)
class LineMeter(ABC):
    """A meter with a clock, a serial number and a line. It yields what it says in the pieces it says it in."""

    now: Callable[[], datetime]
    serial: str = "SN-0001"
    clock_error: timedelta = timedelta(0)  # how far the meter's clock is ahead of the truth
    untold: Untold = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.untold = Untold(now=self._now)  # and no lambda: a meter may be sent to another process

    def _now(self) -> datetime:
        return self.now()

    def clock(self) -> datetime:
        """What the meter's display says the time is."""
        return self.now() + self.clock_error

    def begin(self) -> Iterator[bytes]:
        """What it says by itself: once somebody listens (Bluetooth), or after a measurement (a serial line)."""
        return iter(())

    @abstractmethod
    def hear(self, data: bytes) -> Iterator[bytes]:
        """What it answers to bytes from the host, which may be a part of a frame, or more than one."""

    def on_line_lost(self) -> None:  # noqa: B027 - most meters have nothing to forget
        """The line went in mid-sentence: what was half said or half heard is forgotten."""


@dataclass(kw_only=True)
class BleLine(VirtualMeter):
    """`line` on a service with a channel that notifies and one that is written to; they may be one and the same.

    UUIDs are short ("fff0") or full. `advertised` is the meter's own: some advertise another service, or none.
    A piece longer than `split` is sent as several notifications.
    """

    line: LineMeter
    service: str
    notify: str
    write_to: str
    split: int = NOTIFICATION_BYTES
    indicate: bool = False
    has_information: bool = True  # device information and battery, besides its own service
    write_properties: frozenset[str] = field(
        default_factory=lambda: frozenset({"write", "write_without_response"})
    )

    def measurement_channels(self) -> frozenset[str]:
        """See VirtualMeter: every piece that is sent counts."""
        return frozenset({self.notify})

    def characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        return super().characteristics() if self.has_information else self.own_characteristics()

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        sends = frozenset({"indicate" if self.indicate else "notify"})
        rows = {self.notify: sends}
        rows[self.write_to] = rows.get(self.write_to, frozenset()) | self.write_properties
        return tuple(
            Characteristic(service=self.service, channel=channel, properties=properties, protected=True)
            for channel, properties in rows.items()
        )

    def on_subscribed(self, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        return self._outgoing(self.line.begin()) if self.notify in subscribed else iter(())

    def write(self, channel: str, data: bytes, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        return self._outgoing(self.line.hear(data))

    def on_link_lost(self) -> None:
        """See VirtualMeter."""
        self.line.on_line_lost()

    def _outgoing(self, said: Iterator[bytes]) -> Iterator[Outgoing]:
        for piece in said:
            for _ in range(2 if self.faults.duplicate else 1):
                for at in range(0, len(piece), self.split):
                    yield Outgoing(self.notify, piece[at : at + self.split], indicate=self.indicate)
