"""A virtual Raycome cuff: calls that it is ready, tells its pressures, and its result more than once.

Written from five public apps. What carries the bytes is `line`'s and `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.simulators.line import LineMeter

SERVICE, NOTIFY, WRITE = "fff0", "fff1", "fff2"

READY, STARTED, FINISHED = b"\xa5", b"\xfd\xfd\x06\r\n", b"\xfd\xfd\x07\r\n"
TIMES_TOLD = 3


@dataclass(kw_only=True)
class RaycomeCuff(LineMeter):
    """What it measured while nobody listened it tells to the next who does, for its display still shows it."""

    inflations_by_host: int = 0
    _shown: bytes = b""

    def measure(self, systolic: int, diastolic: int, pulse: int) -> None:
        """Somebody pressed its button, and whoever is connected may watch."""
        self._shown = b"\xfd\xfd\xfc" + bytes((systolic, diastolic, pulse)) + b"\r\n"
        pressures = [b"\xfd\xfd\xfb" + bytes((0, pressure)) + b"\r\n" for pressure in (diastolic, systolic)]
        self.untold.step(STARTED, *pressures, *[self._shown] * TIMES_TOLD, FINISHED)

    def fail(self, code: int) -> None:
        """A measurement that came to nothing."""
        self.untold.step(STARTED, b"\xfd\xfd\xfd" + bytes([code]) + b"\r\n")

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        yield READY
        said = self.untold.next()
        if said is None and self._shown:
            yield self._shown
        while said is not None:
            yield said
            said = self.untold.next()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter. Told to start it would inflate, whoever wears it or not: nobody should."""
        self.inflations_by_host += data == b"\xfd\xfd\xfa\x05\r\n"
        return iter(())

    def on_line_lost(self) -> None:
        """See LineMeter: only the display remembers."""
        self.untold.forget_steps()
