"""A virtual ACON On Call glucose meter: answers text commands, on a wire or through a Bluetooth module.

Written from the published commands; its records are laid out as two apps read them. What carries the bytes is
`line`'s and `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from gateway.simulators.line import LineMeter

SERVICE = "c14d2c0a-401f-b7a9-841f-e2e93b80f631"
CHANNEL = "81eb77bd-89b8-4494-8a09-7f83d986ddc7"

LO, HI = 9, 601


@dataclass(kw_only=True)
class OnCallMeter(LineMeter):
    """`wired`: on a serial line, where a checksum stands behind 06 and a carriage return ends a message."""

    serial: str = "101C00028D9"
    wired: bool = False
    records: list[tuple[datetime, int]] = field(default_factory=list)  # oldest first; mg/dL
    _heard: bytes = b""

    def measure(self, mg_dl: int) -> None:
        """One test, done now; LO and HI are numbers, too."""
        self.records.append((self.clock(), mg_dl))

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter. A message has no length: a known one ends where its checksum does."""
        self._heard += data
        for command, answer in (("&TB ", self._about), ("&N0 ", self._list), ("&EZ ", self._list)):
            asked = self._message(command.encode())
            if asked in self._heard:
                self._heard = self._heard.partition(asked)[2]
                yield from answer()

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""

    def _about(self) -> Iterator[bytes]:
        yield self._message(f"&M{self.serial} ".encode())

    def _list(self) -> Iterator[bytes]:
        yield self._message(f"&N{len(self.records)} ".encode())
        for at, mg_dl in reversed(self.records):
            yield self._message(f"&N{at:%y%m%d%H%M} {mg_dl} 0 0 0 0 ".encode(), record=True)
        yield self._message(b"&N ")

    def _message(self, text: bytes, *, record: bool = False) -> bytes:
        between = (b"\x1e" if record else b"") + b"\x06" if self.wired else b""
        return text + between + str(modbus_crc(text)).encode() + (b"\r" if self.wired else b"")


def modbus_crc(data: bytes) -> int:
    """CRC-16/MODBUS: polynomial 8005 reflected, all ones to begin with."""
    crc = 0xFFFF
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        crc = crc >> 1 ^ (0xA001 if (crc ^ bit) & 1 else 0)
    return crc
