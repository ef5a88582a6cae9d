"""A virtual Bionime GM700SB: tells its serial number, and answers about its memory while it is unlocked.

Written from what two public programs say of the maker's protocol. A single byte is for the lock, else a question.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.simulators.line import BleLine, LineMeter
from gateway.simulators.meter import Characteristic

SERVICE, LOCK_CHANNEL, ANSWERS, QUESTIONS = "fee0", "fee1", "fee2", "fee3"
UNLOCK, LOCK = b"\0", b"\1"

_PART_BYTES = 18


@dataclass(kw_only=True)
class BionimeMeter(LineMeter):
    """Keeps up to `capacity` results, the oldest at 1. `of_2017`: answers another command, in one part."""

    serial: str = "2782WBC1987(C)"
    capacity: int = 500
    of_2017: bool = False
    is_unlocked: bool = False
    records: list[bytes] = field(default_factory=list)
    last_transfer: int = 0

    def measure(self, mg_dl: int, *, high: bool = False, control: bool = False) -> bytes:
        """Takes one measurement now."""
        at = self.clock()
        month, day = at.month - 1, at.day - 1
        record = bytes(
            (
                (month & 0x03) << 6 | day,
                (month & 0x0C) << 4 | at.hour,
                at.minute,
                high << 7 | at.year - 2000,
                control << 2 | mg_dl >> 8,
                mg_dl & 0xFF,
            )
        )
        self.records.append(record)
        del self.records[: -self.capacity]
        return record

    def begin(self) -> Iterator[bytes]:
        """See LineMeter: its number, without the head of other answers."""
        text = bytes([len(self.serial)]) + self.serial.encode()
        yield text + bytes([sum(text) & 0xFF])

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        if data in (UNLOCK, LOCK):
            self.is_unlocked = data == UNLOCK
        elif self.is_unlocked and data[:1] == b"\xb0" and sum(data[:-1]) & 0xFF == data[-1]:
            answer = self._answer(data[1], data[2:-1])
            if answer is not None:
                frame = bytes([0x4F, data[1] ^ 0xFF]) + answer
                yield from _parts(frame + bytes([sum(frame) & 0xFF]))

    def _answer(self, command: int, data: bytes) -> bytes | None:
        at = self.clock()
        match command:
            case 0x02 if self.of_2017:
                return b""
            case 0x06 if self.of_2017:
                return bytes((1, at.year - 2000, at.month - 1, at.day - 1, at.hour, at.minute))
            case 0x07 | 0x61 if (command == 0x07) == self.of_2017:
                index = int.from_bytes(data, "little")
                if index == 0:
                    figures = (len(self.records), self.capacity, self.last_transfer)
                    return data + b"".join(figure.to_bytes(2, "little") for figure in figures)
                if index > len(self.records):
                    return None
                self.last_transfer = index
                return data + self.records[index - 1] + bytes(0 if self.of_2017 else 10)
            case _:
                return None


@dataclass(kw_only=True)
class BionimeOnAir(BleLine):
    """It has a third channel: its lock."""

    service: str = SERVICE
    notify: str = ANSWERS
    write_to: str = QUESTIONS
    advertised: tuple[str, ...] = (SERVICE,)
    write_properties: frozenset[str] = frozenset({"write"})

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        lock = Characteristic(
            service=SERVICE, channel=LOCK_CHANNEL, properties=frozenset({"read", "write"}), protected=True
        )
        return (lock, *super().own_characteristics())


def _parts(frame: bytes) -> Iterator[bytes]:
    pieces = [frame[at : at + _PART_BYTES] for at in range(0, len(frame), _PART_BYTES)]
    for number, piece in enumerate(pieces, 1):
        yield bytes((len(pieces), number)) + piece
