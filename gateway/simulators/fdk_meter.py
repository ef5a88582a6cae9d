"""Virtual FDK meters: a glucose meter and a cuff that speak by themselves and keep nothing.

Written from one public app. What carries the bytes is `serial_line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.simulators.line import LineMeter


@dataclass(kw_only=True)
class FdkMeter(LineMeter):
    """Either of the two: what it measures decides."""

    def measure_glucose(self, mg_dl: int) -> None:
        """A test from the strip to the result."""
        steps = [b"\x55\xaa\xbb\xcc", b"\x55\xbb\xbb\xcc"]
        steps += [bytes((0x55, left, 0xBB, 0xCC)) for left in (5, 4, 3, 2, 1)]
        steps.append(mg_dl.to_bytes(2, "big") + b"\xbb\xcc")
        self.untold.step(*[b"\xfe\x6a\x75\x5a" + step for step in steps])

    def measure_pressure(self, systolic: int, diastolic: int, pulse: int) -> None:
        """A measurement, of which only the result is told."""
        self.untold.step(b"\xfe\x6a\x73\x5a" + systolic.to_bytes(2, "big") + bytes((diastolic, pulse)))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: it listens to nobody."""
        return iter(())

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self.untold.forget_steps()
