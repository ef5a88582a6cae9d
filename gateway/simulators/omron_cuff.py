"""A virtual Omron cuff with the service FE4A: a ring of 14-byte records in a memory that is read by address.

Written from the published sessions and memory of a HEM-7143T1. The radio is `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from gateway.simulators.meter import Characteristic, Outgoing, VirtualMeter

SERVICE = "fe4a"
NOTIFY = "49123040-aee8-11e1-a74d-0002a5d5c51b"
WRITE = "db5b55e0-aee7-11e1-965e-0002a5d5c51b"
UNLOCK = "b305b680-aee7-11e1-a730-0002a5d5c51b"

MEMORY_BYTES = 0x1000
CLOCK = 0x0294
FIRST_RECORD = 0x02E8
RECORD_BYTES = 14
START, READ, END = 0x0000, 0x0100, 0x0F00
HIGHEST_BIT = 0x8000


@dataclass(kw_only=True)
class OmronCuff(VirtualMeter):
    """Keeps `slots` records and overwrites the oldest. It forgets nothing by being read."""

    model: str = "HEM-7143T1-AP"
    advertised: tuple[str, ...] = (SERVICE,)
    slots: int = 30
    records: list[bytes] = field(default_factory=list)  # by slot
    measured: int = 0
    unlocked: bool = False
    started: bool = False

    def measure(
        self, systolic: int, diastolic: int, pulse: int, *, irregular: bool = False, movement: bool = False
    ) -> bytes:
        """Takes one measurement now, in mmHg, and returns what it stores."""
        at = self.clock()
        date = movement << 15 | irregular << 14 | at.month << 10 | at.day << 5 | at.hour
        time = 1 << 12 | at.minute << 6 | at.second
        record = bytes((systolic - 25, diastolic, pulse, at.year - 2000))
        record += date.to_bytes(2, "little") + time.to_bytes(2, "little")
        record += bytes(2) + self.measured.to_bytes(2, "little") + bytes(2)
        if len(self.records) < self.slots:
            self.records.append(record)
        else:
            self.records[self.measured % self.slots] = record
        self.measured += 1
        return record

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        rows = {NOTIFY: {"notify"}, WRITE: {"write"}, UNLOCK: {"write", "notify"}}
        return tuple(
            Characteristic(service=SERVICE, channel=channel, properties=frozenset(properties), protected=True)
            for channel, properties in rows.items()
        )

    def measurement_channels(self) -> frozenset[str]:
        """See VirtualMeter: every reply counts."""
        return frozenset({NOTIFY})

    def write(self, channel: str, data: bytes, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        if channel == UNLOCK and data[:1] == b"\x11":
            self.unlocked = True
            return iter([Outgoing(UNLOCK, b"\x91\0" + data[1:5] + bytes(14))])
        said = self.answer(data) if channel == WRITE else None
        return iter([] if said is None else [Outgoing(NOTIFY, said)] * (1 + self.faults.duplicate))

    def answer(self, data: bytes) -> bytes | None:
        """The reply to a packet; None to one that is broken, or comes before the cuff was unlocked."""
        if not self.unlocked or len(data) != data[0] or _exclusive_or(data):
            return None
        kind, address, count = int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big"), data[5]
        if kind == START:
            self.started = True
            return _packet(kind, address, count, b"")
        if kind == READ and self.started:
            return _packet(kind, address, count, bytes(self._memory()[address : address + count]))
        if kind == END:
            self.started = False
            return _packet(kind, address, 0, b"")
        return None

    def on_link_lost(self) -> None:
        """See VirtualMeter."""
        self.unlocked = self.started = False

    def _memory(self) -> bytearray:
        memory = bytearray(b"\xff" * MEMORY_BYTES)
        memory[CLOCK - 8 : CLOCK + 6] = b"\xc0\x50" + bytes(6) + _clock(self.clock())
        stored = b"".join(self.records)
        memory[FIRST_RECORD : FIRST_RECORD + len(stored)] = stored
        return memory


def _packet(kind: int, address: int, count: int, data: bytes) -> bytes:
    body = (kind | HIGHEST_BIT).to_bytes(2, "big") + address.to_bytes(2, "big") + bytes([count]) + data + b"\0"
    body = bytes([len(body) + 2]) + body
    return body + bytes([_exclusive_or(body)])


def _exclusive_or(data: bytes) -> int:
    result = 0
    for byte in data:
        result ^= byte
    return result


def _clock(at: datetime) -> bytes:
    return bytes((at.year - 2000, at.month, at.day, at.hour, at.minute, at.second))
