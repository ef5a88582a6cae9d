"""A virtual Poctor M3102: tells each result as a line of text, and keeps nothing.

Written from the layout a maker's kit reads. What carries the bytes is `line`'s and `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from gateway.simulators.line import LineMeter

SERVICE = "00010203-0405-0607-0809-0a0b0c0d1910"
NOTIFY = "00010203-0405-0607-0809-0a0b0c0d2b10"
WRITE = "00010203-0405-0607-0809-0a0b0c0d2b11"


class Strip(IntEnum):
    """What a strip measures."""

    GLUCOSE = 0
    URIC_ACID = 1
    KETONE = 3


@dataclass(kw_only=True)
class PoctorMeter(LineMeter):
    """`raw` is tenths of mmol/L, of uric acid µmol/L."""

    def measure(self, strip: Strip, raw: int) -> None:
        """One test, done now."""
        at = self.clock()
        self._tell(f"{strip},{at.year},{at.month},{at.day},{at.hour},{at.minute},{raw:04},0,0")

    def measure_beyond(self, strip: Strip, *, high: bool) -> None:
        """One test whose result is above or below what the meter can tell."""
        self._tell(f"{strip},{high:d}")

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: it takes no commands."""
        return iter(())

    def _tell(self, line: str) -> None:
        self.untold.result(f"{line}\r\n".encode())
