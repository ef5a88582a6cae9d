"""Virtual BeneCheck meters: $PCL frames on a line or through the dongle, and the one with a glucose service.

Written from the published frames. What carries the bytes is `line`'s and `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from gateway.simulators.glucose_meter import GlucoseMeter, GlucoseRecord
from gateway.simulators.line import LineMeter

SERVICE, NOTIFY = "1000", "1002"

ECHO, CLEAR, FAILED = 0x01, 0x20, 0xD0
_HEAD, _HEADER_BYTES = b"$PCL", 10


class Analyte(IntEnum):
    """What a strip measures: the command that counts it; the next reads it, and names it in the other meter."""

    GLUCOSE = 0x40
    URIC_ACID = 0x50
    CHOLESTEROL = 0x60

    @property
    def read(self) -> int:
        """The command that reads its records."""
        return self + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BeneCheckRecord:
    """One result. `raw` is whole mg/dL, of uric acid tenths of mg/dL."""

    analyte: Analyte
    at: datetime
    raw: int

    def payload(self, index: int) -> bytes:
        """Nine bytes: the index, the minute, the value."""
        at = self.at
        date = bytes((at.year - 2000, at.month, at.day, at.hour, at.minute))
        return _u16(index) + date + _u16(self.raw)


@dataclass(kw_only=True)
class BeneCheckMeter(LineMeter):
    """Tells a result right after the test, with index 0, and keeps it: index 1 is the oldest of its analyte."""

    records: list[BeneCheckRecord] = field(default_factory=list)
    first_index: int = 1
    many_in_a_frame: int = 1
    _heard: bytes = b""

    def measure(self, analyte: Analyte, mg_dl: Decimal) -> BeneCheckRecord:
        """One test, done now."""
        raw = int(mg_dl * 10) if analyte is Analyte.URIC_ACID else int(mg_dl)
        record = BeneCheckRecord(analyte=analyte, at=self.clock(), raw=raw)
        self.records.append(record)
        self.untold.result(frame(analyte.read, 0, record.payload(0)))
        return record

    def fail(self) -> None:
        """One test that came to nothing."""
        self.untold.result(frame(FAILED, 0x0700))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: a frame that is not whole, or whose sum is wrong, is not answered."""
        self._heard += data
        while True:
            at = self._heard.find(_HEAD)
            self._heard = self._heard[max(at, 0) :]
            if at < 0 or len(self._heard) <= _HEADER_BYTES:
                return
            size = _HEADER_BYTES + int.from_bytes(self._heard[8:10], "little") + 1
            if len(self._heard) < size:
                return
            asked, self._heard = self._heard[:size], self._heard[size:]
            if asked[-1] == sum(asked[1:-1]) & 0xFF:
                yield from self._answer(int.from_bytes(asked[4:6], "little"), asked[6:8], asked[10:-1])

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""

    def _answer(self, command: int, parameter: bytes, payload: bytes) -> Iterator[bytes]:
        if command == ECHO:
            yield frame(ECHO, 0x0100)
        if command == CLEAR:
            cleared = {1: Analyte.GLUCOSE, 2: Analyte.URIC_ACID, 4: Analyte.CHOLESTEROL}.get(parameter[0])
            self.records = [record for record in self.records if record.analyte is not cleared]
            yield frame(CLEAR, int.from_bytes(parameter, "little"))
        for analyte in Analyte:
            kept = [record for record in self.records if record.analyte is analyte]
            if command == analyte:
                yield frame(command, 0, _u16(len(kept)))
            elif command == analyte.read and len(payload) == 4:
                first, last = int.from_bytes(payload[:2], "little"), int.from_bytes(payload[2:], "little")
                numbered = enumerate(kept, start=self.first_index)
                wanted = [record.payload(index) for index, record in numbered if first <= index <= last]
                for at in range(0, len(wanted), self.many_in_a_frame):
                    yield frame(command, 0, b"".join(wanted[at : at + self.many_in_a_frame]))


@dataclass(kw_only=True)
class BeneCheckGlucoseService(GlucoseMeter):
    """The Bluetooth one: each result is a glucose measurement in mol/L whose sequence number says what it is. A
    full memory lets its oldest go."""

    memory: int = 50

    def measure_analyte(self, analyte: Analyte, mmol_l: Decimal) -> GlucoseRecord:
        """One test, done now."""
        record = GlucoseRecord(
            sequence=analyte.read, base_time=self.clock(), value=mmol_l.scaleb(-3), offset_min=None
        )
        self.records = [*self.records, record][-self.memory :]
        return record


def frame(command: int, parameter: int = 0, payload: bytes = b"") -> bytes:
    """A frame with its checksum: the sum of all bytes after the first."""
    body = _HEAD + _u16(command) + _u16(parameter) + _u16(len(payload)) + payload
    return body + bytes([sum(body[1:]) & 0xFF])


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "little")
