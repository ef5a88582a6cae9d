"""A virtual BLT cuff: tells its state and clock, keeps results, gives them when asked, and tells one being taken.

Written from the maker's own app. What carries the bytes is `line`'s and `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from gateway.simulators.line import LineMeter

SERVICE, NOTIFY, WRITE = "fff0", "fff4", "fff1"

ANSWER, PRESSURE, RESULT, STATE, STORED, STORED_BEGIN, STORED_COUNT = 3, 40, 41, 42, 43, 44, 45
FAILED = 0x10
OK = 0x55
START_OF_TIME = datetime(2000, 1, 1)  # noqa: DTZ001 - its own naive seconds


class User(IntEnum):
    """Who the cuff is set to."""

    A = 1
    B = 2
    GUEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BltResult:
    """One measurement."""

    at: datetime
    systolic: int
    diastolic: int
    pulse: int
    user: User

    def time(self) -> bytes:
        """As the cuff counts it."""
        return int((self.at - START_OF_TIME).total_seconds()).to_bytes(4, "little")

    def numbers(self) -> bytes:
        """As they stand in every frame."""
        return bytes((self.systolic, self.diastolic, 0, self.pulse))


@dataclass(kw_only=True)
class BltCuff(LineMeter):
    """Whoever connects is told its state, and what it measures while they listen; it keeps every result."""

    stored: list[BltResult] = field(default_factory=list)
    _heard: bytes = b""

    def measure(self, systolic: int, diastolic: int, pulse: int, user: User = User.A) -> BltResult:
        """A measurement while nobody listens."""
        result = BltResult(at=self.clock(), systolic=systolic, diastolic=diastolic, pulse=pulse, user=user)
        self.stored.append(result)
        return result

    def measure_now(self, systolic: int, diastolic: int, pulse: int, user: User = User.A) -> None:
        """A measurement that whoever is connected watches."""
        result = self.measure(systolic, diastolic, pulse, user)
        self.untold.step(*[_frame(PRESSURE, bytes((pressure, 0, 0))) for pressure in (diastolic, systolic)])
        told = bytes((user << 5, 0)) + result.numbers() + result.time() + b"\0"
        self.untold.step(_frame(RESULT, told))

    def fail(self, error: int) -> None:
        """A measurement that came to nothing."""
        self.untold.step(_frame(RESULT, bytes((FAILED, error)) + bytes(9)))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        now = int((self.clock() - START_OF_TIME).total_seconds()).to_bytes(4, "little")
        yield _frame(STATE, b"\x4b\x21\x00" + now)
        yield from self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self._heard += data
        while len(self._heard) > 1 and len(plain := self._heard[1:].replace(b"\xaa\xaa", b"\xaa")) > plain[0]:
            request = plain[: 1 + plain[0]]
            doubled = request[:-1].count(b"\xaa")
            self._heard = self._heard[1 + len(request) + doubled :]
            if sum(request[:-1]) & 0xFF == request[-1]:
                yield from self._answer(request[1], request[2:-1])

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""
        self.untold.forget_steps()

    def _answer(self, id_: int, data: bytes) -> Iterator[bytes]:
        match id_:
            case 121:
                yield _frame(STORED_COUNT, bytes((len(self.stored), 0)))
            case 122:
                yield _frame(STORED_BEGIN, bytes((1, 0, len(self.stored), 0)))
                for number, one in enumerate(list(self.stored), 1):
                    where = bytes((number, 0, 1, 0))
                    yield _frame(STORED, where + bytes([one.user << 5]) + one.numbers() + one.time())
            case 107:
                told = START_OF_TIME + timedelta(seconds=int.from_bytes(data[1:5], "little"))
                self.clock_error = told - self.now()
                yield _frame(ANSWER, bytes((107, OK)))


def _frame(id_: int, data: bytes) -> bytes:
    body = bytes((len(data) + 2, id_)) + data
    return b"\xaa" + body[:1] + body[1:].replace(b"\xaa", b"\xaa\xaa") + bytes([sum(body) & 0xFF])
