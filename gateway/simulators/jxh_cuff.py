"""A virtual JXH cuff (Lepu BPM-188): keeps its results by user, and tells a measurement while it goes on.

Written from the maker's kit. `of_the_old`: a result without user, number and time. The line is `line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from gateway.simulators.line import LineMeter

SERVICE, NOTIFY, WRITE = "18f0", "2af0", "2af1"


@dataclass(kw_only=True)
class JxhCuff(LineMeter):
    """Two users. Whoever listens is told each pressure; a result nobody was told waits for who listens next."""

    of_the_old: bool = False
    kept: list[bytes] = field(default_factory=list)
    set_to: datetime | None = None

    def measure(self, systolic: int, diastolic: int, pulse: int, *, user: int = 0, uneven: bool = False) -> None:
        """Takes one measurement now: the pressure rises and falls, and the result is told and kept."""
        pressures = systolic.to_bytes(2, "big") + diastolic.to_bytes(2, "big")
        at = self.clock()
        if self.of_the_old:
            data = pressures + bytes(2) + pulse.to_bytes(2, "big") + bytes(3)
        else:
            number = sum(result[6] == user for result in self.kept) + 1
            time = bytes((at.year - 2000, at.month, at.day, at.hour, at.minute))
            data = pressures + bytes((uneven, pulse, user)) + number.to_bytes(2, "big") + time
            self.kept.append(data)
        rising = (30, systolic + 30, diastolic)
        self.untold.step(*[_frame(pressure >> 8, bytes([pressure & 0xFF])) for pressure in rising])
        self.untold.result(_frame(0x1C, data))

    def fail(self, code: int) -> None:
        """A measurement that came to nothing."""
        self.untold.step(_frame(0, bytes([30])), _frame(0x3C, bytes(5) + bytes([code])))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self.untold.forget_steps()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        if len(data) < 6 or data[:3] != b"\x02\x40\xdc" or _check(data[:-1]) != data[-1]:
            return
        match data[4]:
            case 0xB1 if not self.of_the_old:
                for user in (0, 1):
                    mine = [result for result in self.kept if result[6] == user]
                    for result in mine[:-1]:
                        yield _frame(0xB1, result)
                    yield _frame(0xB3, mine[-1] if mine else bytes(6) + bytes([user]) + bytes(7))
            case 0xB0:
                year, month, day, hour, minute, second = data[5:11]
                self.set_to = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001
                self.clock_error = self.set_to - self.now()
                yield _frame(0xB0, b"")


def _check(data: bytes) -> int:
    check = 0
    for byte in data[1:]:
        check ^= byte
    return check


def _frame(command: int, data: bytes) -> bytes:
    head = bytes((0x02, 0x40, 0xDD, len(data) + 1, command)) + data
    return head + bytes([_check(head)])
