"""A virtual TaiDoc (FORA) meter: answers eight-byte questions, its memory newest first.

Written from the public descriptions of the bus (Glucometer Protocols, TD-42xx). The line is `line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from gateway.simulators.line import LineMeter

SERVICE = "00001523-1212-efde-1523-785feabcd123"
CHANNEL = "00001524-1212-efde-1523-785feabcd123"

_FRAME_BYTES = 8
_START, _FROM_HOST, _FROM_METER = 0x51, 0xA3, 0xA5
_NOTICE = 0x54

GLUCOSE, HAEMATOCRIT, KETONE, URIC_ACID, CHOLESTEROL, HAEMOGLOBIN, TRIGLYCERIDE = 0, 6, 7, 8, 9, 11, 13
GENERAL, BEFORE_MEAL, AFTER_MEAL, CONTROL = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TaiDocRecord:
    """One stored measurement: its minute, the bits beside it, and the four bytes of its value."""

    at: datetime
    value: bytes
    minute_bits: int = 0  # 0x80: a blood pressure, 0x40: arrhythmia
    hour_bits: int = 0  # 0x40 of a TD-4183: already transmitted

    def time(self) -> bytes:
        """The four bytes of the time half."""
        day, minute, hour = time_bytes(self.at)[:2], self.at.minute, self.at.hour
        return day + bytes([minute | self.minute_bits, hour | self.hour_bits])


@dataclass(kw_only=True)
class TaiDocMeter(LineMeter):
    """Measures, stores, and answers; it never speaks first, but for a notice right after a connection."""

    serial: str = "4183220300000042"
    model: str = "4183"
    capacity: int = 1000
    asleep: bool = False  # the first frame only wakes it
    notices: bool = False
    records: list[TaiDocRecord] = field(default_factory=list)  # newest first
    is_off: bool = False
    set_to: datetime | None = None
    _heard: bytes = b""

    def measure(
        self, raw: int, analyte: int = GLUCOSE, category: int = GENERAL, *, auxiliary: int = 0x19
    ) -> TaiDocRecord:
        """Takes one measurement of blood now; `raw` is in the analyte's own parts of a unit."""
        return self._store(
            TaiDocRecord(
                at=self.clock(),
                value=raw.to_bytes(2, "little") + bytes([auxiliary, category << 6 | analyte << 2]),
            )
        )

    def measure_pressure(self, systolic: int, mean: int, diastolic: int, pulse: int) -> TaiDocRecord:
        """Takes one blood pressure now."""
        value = bytes([systolic, mean, diastolic, pulse])
        return self._store(TaiDocRecord(at=self.clock(), value=value, minute_bits=0x80))

    def _store(self, record: TaiDocRecord) -> TaiDocRecord:
        self.records.insert(0, record)
        del self.records[self.capacity :]
        return record

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        self.is_off = False
        if self.notices:
            yield _frame(_NOTICE, bytes(4))

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self._heard += data
        while len(self._heard) >= _FRAME_BYTES and not self.is_off:
            asked, self._heard = self._heard[:_FRAME_BYTES], self._heard[_FRAME_BYTES:]
            if self.asleep:
                self.asleep = False
                continue
            if asked[0] != _START or asked[6] != _FROM_HOST or sum(asked[:7]) & 0xFF != asked[7]:
                continue
            answer = self._answer(asked[1], asked[2:6])
            if answer is not None:
                yield _frame(asked[1], answer)

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""

    def _answer(self, command: int, data: bytes) -> bytes | None:
        match command:
            case 0x22 | 0x29:
                return bytes(4)
            case 0x23:
                return time_bytes(self.clock())
            case 0x24:
                return bytes.fromhex(self.model)[::-1] + bytes(2)
            case 0x25 | 0x26:
                index = int.from_bytes(data[:2], "little")
                if index >= len(self.records):
                    return None
                record = self.records[index]
                return record.time() if command == 0x25 else record.value
            case 0x27:
                return bytes.fromhex(self.serial)[:3:-1]
            case 0x28:
                return bytes.fromhex(self.serial)[3::-1]
            case 0x2B:
                count = len(self.records)
                return count.to_bytes(2, "little") + ((count - 1) & 0xFFFF).to_bytes(2, "little")
            case 0x33:
                self._set_clock(data)
                return data
            case 0x50:
                self.is_off = True
                return None
            case 0x52:
                self.records.clear()
                return bytes(4)
            case _:
                return None

    def _set_clock(self, data: bytes) -> None:
        day = int.from_bytes(data[:2], "little")
        self.set_to = datetime(2000 + (day >> 9), day >> 5 & 15, day & 31, data[3], data[2])  # noqa: DTZ001
        self.clock_error = self.set_to - self.now()


def time_bytes(at: datetime) -> bytes:
    """A time as the bus has it: seven bits of year, four of month, five of day; then minute and hour."""
    day = (at.year - 2000) << 9 | at.month << 5 | at.day
    return day.to_bytes(2, "little") + bytes([at.minute, at.hour])


def _frame(command: int, data: bytes) -> bytes:
    head = bytes([_START, command]) + data + bytes([_FROM_METER])
    return head + bytes([sum(head) & 0xFF])
