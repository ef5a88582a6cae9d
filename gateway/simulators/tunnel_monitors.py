"""Virtual tunnel monitors: an arm goes in, a result comes out on the wire, and nothing is kept.

Written from the published lines of each make. The wire is `serial_line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gateway.simulators.line import LineMeter

STX, ETX, RS = b"\x02", b"\x03", b"\x1e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Squeeze:
    """One measurement. `error` is the number on the display instead of the pressures; 0 is none."""

    at: datetime
    systolic: int = 0
    diastolic: int = 0
    pulse: int = 0
    error: int = 0
    moved: int = 0

    @property
    def mean(self) -> int:
        """Mean pressure, as it is computed from the other two."""
        return round((self.systolic + 2 * self.diastolic) / 3)


@dataclass(kw_only=True)
class TunnelMonitor(LineMeter):
    """What all makes have in common: it speaks when it has measured, once, and hears nothing."""

    def measure(self, systolic: int, diastolic: int, pulse: int, *, moved: int = 0) -> None:
        """An arm goes in."""
        squeeze = Squeeze(at=self.clock(), systolic=systolic, diastolic=diastolic, pulse=pulse, moved=moved)
        self.untold.result(self.told(squeeze))

    def fail(self, error: int) -> None:
        """It could not measure."""
        self.untold.result(self.told(Squeeze(at=self.clock(), error=error)))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: it does not listen."""
        return iter(())

    def told(self, squeeze: Squeeze) -> bytes:
        """The bytes of one result."""
        raise NotImplementedError


@dataclass(kw_only=True)
class OmronTunnel(TunnelMonitor):
    """HBP-9030 in format 5, or HBP-9020 (`bp`). `subject` is what was typed at it, up to 20 characters."""

    bp: bool = False
    subject: str = ""

    def told(self, squeeze: Squeeze) -> bytes:
        """See TunnelMonitor."""
        at, subject = squeeze.at, self.subject.ljust(20)
        three = (squeeze.systolic, squeeze.diastolic, squeeze.pulse)
        if self.bp:
            numbers = ",".join(f"{n:03d}" for n in (three[0], squeeze.mean, *three[1:]))
            return f"bp,{subject},{at:%Y/%m/%d,%H:%M},{numbers},{squeeze.error}\r\n".encode()
        numbers = ",".join("   " if squeeze.error else f"{n:03d}" for n in three)
        return f"{at:%Y,%m,%d,%H,%M},{subject},{squeeze.error},{numbers},{squeeze.moved}\r\n".encode()


@dataclass(kw_only=True)
class TerumoTunnel(TunnelMonitor):
    """ES-BR500."""

    def told(self, squeeze: Squeeze) -> bytes:
        """See TunnelMonitor."""
        numbers = ",".join(f"{n:03d}" for n in (squeeze.systolic, squeeze.mean, squeeze.diastolic, squeeze.pulse))
        text = f"R1,000000000,{squeeze.at:%y%m%d,%H%M%S},{numbers},0000,0000,00000,000"
        block = STX + text.encode() + ETX
        return block + bytes([sum(block) % 256])


@dataclass(kw_only=True)
class AndTunnel(TunnelMonitor):
    """TM-2655P, set to send each result in the format RB."""

    def told(self, squeeze: Squeeze) -> bytes:
        """See TunnelMonitor."""
        fields = (
            "TM2655",
            f"{squeeze.at:%y%m%d%H%M}",
            "RB",
            "M",
            f"E{squeeze.error:02d}",
            f"S{squeeze.systolic:3d}",
            f"M{squeeze.mean:3d}",
            f"D{squeeze.diastolic:3d}",
            f"P{squeeze.pulse:3d}",
            "I17",
            "L139",
        )
        text = b"".join(told.encode() + RS for told in fields)
        check = 0
        for byte in text:
            check ^= byte
        return b"\x16\x16\x0100" + STX + text + ETX + bytes([check])
