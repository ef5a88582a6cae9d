"""A virtual Lepu PC-300: tells pressures while it measures, every result three times, and what a finger shows.

Written from the frames that public programs read. The line is `line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from gateway.simulators.line import LineMeter

SERVICE, NOTIFY, WRITE = "fff0", "fff1", "fff2"

_TIMES = 3


@dataclass(kw_only=True)
class Pc300Box(LineMeter):
    """It keeps nothing: what it says while nobody listens is gone."""

    name: str = "PC-300SNT"

    def measure_pressure(self, systolic: int, mean: int, diastolic: int, pulse: int) -> None:
        """Takes one blood pressure: the cuff rises and falls."""
        for pressure in (40, systolic + 30, diastolic):
            self.untold.step(_frame(0x42, 1, pressure.to_bytes(2, "big")))
        result = systolic.to_bytes(2, "big") + bytes((mean, diastolic, pulse))
        self.untold.step(*[_frame(0x43, 1, result)] * _TIMES)

    def measure_glucose(self, mmol_l: Decimal) -> None:
        """Takes one glucose, in mmol/L: decimal digits."""
        self.untold.step(*[_frame(0x73, 1, b"\0" + bytes.fromhex(f"{int(mmol_l * 10):04}"))] * _TIMES)

    def measure_strip(self, kind: int, raw: int, flags: int = 0) -> None:
        """Takes one measurement with a BeneCheck strip: 2 is uric acid, 3 cholesterol."""
        self.untold.step(*[_frame(0xE2, kind, bytes([flags]) + raw.to_bytes(2, "big"))] * _TIMES)

    def measure_temperature(self, celsius: Decimal) -> None:
        """Takes one temperature: two while it rises, and the final one."""
        raw = int((celsius - 30) * 100)
        for flags, less in ((0x20, 150), (0x20, 40), *((0x40, 0),) * _TIMES):
            self.untold.step(_frame(0x72, 1, bytes([flags]) + (raw - less).to_bytes(2, "big")))

    def show_finger(self, *spo2: int, pulse: int = 67) -> None:
        """A finger is in the clip: one frame a second."""
        for percent in spo2:
            self.untold.step(_frame(0x53, 1, bytes([percent]) + pulse.to_bytes(2, "little") + b"\x25\0"))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self.untold.forget_steps()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: it is asked for its name."""
        if data == bytes.fromhex("aa55ff0201ca"):
            yield _frame(0xFF, 1, self.name.encode())


def _frame(token: int, type_: int, data: bytes) -> bytes:
    head = bytes((0xAA, 0x55, token, len(data) + 2, type_)) + data
    check = 0
    for byte in head:  # CRC-8/MAXIM
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0x8C if check & 1 else 0)
    return head + bytes([check])
