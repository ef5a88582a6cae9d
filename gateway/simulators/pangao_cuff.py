"""A virtual PanGao cuff: says that it is on, tells its pressures while it measures, and its result; or is asked.

Written from the published frames and two apps. What carries the bytes is `line`'s and `serial_line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from gateway.simulators.line import HEARD_WITHIN, LineMeter

SERVICE = "00005970-6d75-4753-5053-676e6f6c7553"
NOTIFY = "02005970-6d75-4753-5053-676e6f6c7553"
WRITE = "01005970-6d75-4753-5053-676e6f6c7553"

EVERYBODY, ITSELF, HOST, ON_A_WIRE = 0x55, 0x3A, 0xA3, 0xFF

MEASURING = timedelta(seconds=30)
"""How long one measurement takes."""


@dataclass(kw_only=True)
class PanGaoCuff(LineMeter):
    """`wired`: it speaks only when asked, one frame at a time, and repeats its last result for ever."""

    wired: bool = False
    connected: bool = False
    _last: bytes = b""
    _heard: bytes = b""

    def measure(self, systolic: int, diastolic: int, pulse: int, *, status: int = 0) -> None:
        """Somebody pressed its button; `status` is the byte nobody knows."""
        steps = [(0xB1, b""), (0xB3, b""), (0xB4, b"")]
        steps += [(0xB7, bytes((0, pressure))) for pressure in (diastolic, systolic)]
        # On a wire it says what goes on whenever it is asked, as long as it goes on.
        within = MEASURING if self.wired else HEARD_WITHIN
        self.untold.step(*[self._frame(command, data) for command, data in steps], within=within)
        self.untold.result(self._frame(0xB8, bytes((status, systolic, diastolic, pulse))))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter: nothing before it was greeted."""
        return iter(())

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self._heard += data
        while self._heard and len(self._heard) >= self._heard[0] > 0:
            size = self._heard[0]
            request, self._heard = self._heard[:size], self._heard[size:]
            if sum(request[:-1]) & 0xFF == request[-1]:
                yield from self._answer(request[1], request[2])

    def on_line_lost(self) -> None:
        """See LineMeter. What it had to tell of a measurement is gone with the listener, but for its result; on a
        wire, where it is asked, it goes on measuring without one."""
        self.connected, self._heard = False, b""
        if not self.wired:
            self.untold.forget_steps()

    def _answer(self, address: int, command: int) -> Iterator[bytes]:
        match address, command:
            case (0x55, 0xAA) if not self.wired:
                yield _frame(EVERYBODY, ITSELF, bytes([HOST]))
            case (0xA3, 0xA0) if not self.wired:
                self.connected = True
                yield from self.untold.tell()
            case (0xFF, 0xA0) if self.wired:
                self._last = self.untold.next() or self._last
                if self._last:
                    yield self._last

    def _frame(self, command: int, data: bytes) -> bytes:
        return _frame(ON_A_WIRE if self.wired else ITSELF, command, data)


def _frame(address: int, command: int, data: bytes) -> bytes:
    unsigned = bytes((4 + len(data), address, command)) + data
    return unsigned + bytes([sum(unsigned) & 0xFF])
