"""Virtual cuffs with services of their makers: Yonker, which tells a result once, and Microlife, which is asked.

Written from the published layouts, never from the drivers. What carries the bytes is `line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from gateway.simulators.line import LineMeter

YONKER_SERVICE = "cdeacd80-5235-4c07-8846-93a37ee6b86d"
YONKER_CHANNEL = "cdeacd81-5235-4c07-8846-93a37ee6b86d"
MICROLIFE_SERVICE, MICROLIFE_NOTIFY, MICROLIFE_WRITE = "fff0", "fff1", "fff2"


@dataclass(kw_only=True)
class YonkerCuff(LineMeter):
    """Tells the pressure while it inflates, and the result when it is done, or to who listens next."""

    has_clock: bool = True

    def measure(self, systolic: int, diastolic: int, pulse: int) -> None:
        """One measurement, done now."""
        at = self.clock()
        date = bytes((at.day, at.month, at.year - 2000, at.hour, at.minute)) if self.has_clock else bytes(5)
        self.untold.step(*[bytes((0x80, 0, pressure, 0)) for pressure in (40, 110, 160)])
        self.untold.result(bytes((0x81, systolic, diastolic, pulse, 0, 0)) + date + bytes(4))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self.untold.forget_steps()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: it takes no commands."""
        return iter(())


A6, BP3G = 0x31, 0x3A
ACKNOWLEDGED = b"\x81"


@dataclass(kw_only=True)
class MicrolifeCuff(LineMeter):
    """Keeps results and tells them all when asked; reading changes nothing."""

    model: int = BP3G
    user: int = 1
    slots: int = 6  # of its memory; those without a record are sent as zeros
    records: list[tuple[datetime, int, int, int]] = field(default_factory=list)
    clock_set_to: datetime | None = None
    disconnected: bool = False
    _heard: bytes = b""

    def measure(self, systolic: int, diastolic: int, pulse: int) -> None:
        """One measurement, done now."""
        self.records.append((self.clock(), systolic, diastolic, pulse))

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: what is not whole, or has a wrong sum, is not answered."""
        self._heard += data
        while len(self._heard) >= 4:
            size = 4 + int.from_bytes(self._heard[2:4], "big")
            if len(self._heard) < size:
                return
            asked, self._heard = self._heard[:size], self._heard[size:]
            if asked[:2] == b"\x4d\xff" and asked[-1] == sum(asked[:-1]) % 256:
                yield from self._answer(asked[4], asked[5:-1])

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""

    def _answer(self, command: int, arguments: bytes) -> Iterator[bytes]:
        match command:
            case 0x00:
                yield self._frame(self._memory())
            case 0x03:
                self.records.clear()
                yield self._frame(ACKNOWLEDGED)
            case 0x04:
                self.disconnected = True
            case 0x05:
                padding = 20 if self.model == A6 else 42
                yield self._frame(bytes((0x05, self.user)) + b"KANGDOCK".ljust(padding))
            case 0x0D:
                year, month, day, hour, minute, second = arguments
                self.clock_set_to = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001
                yield self._frame(ACKNOWLEDGED)

    def _memory(self) -> bytes:
        if self.model == BP3G:
            head, size = bytes(38), 10
            kept = [
                bytes((sys, dia, pulse, at.year - 2000, at.month, at.day, at.hour, at.minute, 0, 0))
                for at, sys, dia, pulse in self.records
            ]
        else:
            head, size = bytes(1 + 4 * 7), 7
            kept = [
                bytes(
                    (
                        sys,
                        dia,
                        pulse,
                        (at.month & 0b0011) << 6 | at.day,
                        (at.month & 0b1100) << 4 | at.hour,
                        at.minute,
                        at.year - 2000,
                    )
                )
                for at, sys, dia, pulse in self.records
            ]
        return head + b"".join(kept) + bytes(size * (self.slots - len(kept)))

    def _frame(self, payload: bytes) -> bytes:
        body = bytes((0x4D, self.model)) + (len(payload) + 1).to_bytes(2, "big") + payload
        return body + bytes([sum(body) % 256])
