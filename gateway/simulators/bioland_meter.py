"""A virtual Bioland meter: one record for each question, newest first, and whoever asks sets its clock.

Written from the maker's examples and two apps. What carries the bytes is `line`'s and `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from gateway.simulators.line import LineMeter

SERVICE, NOTIFY, WRITE = "1000", "1002", "1001"

INFO, COUNTDOWN, RECORD, END, HANDSHAKE = 0, 2, 3, 5, 9
LO_MG_DL, HI_MG_DL = 18, 707
REQUEST_BYTES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BiolandRecord:
    """One stored result."""

    at: datetime
    mg_dl: int

    def data(self) -> bytes:
        """As the meter sends it."""
        at = self.at
        date = bytes((at.year % 100, at.month, at.day, at.hour, at.minute, 0))
        return date + self.mg_dl.to_bytes(2, "little")


@dataclass(kw_only=True)
class BiolandMeter(LineMeter):
    """Its serial number has nine characters. `plain_sum`: its firmware adds up without the 2."""

    serial: str = "G50000001"
    battery_percent: int = 80
    plain_sum: bool = False
    records: list[BiolandRecord] = field(default_factory=list)
    _walked: int = 0
    _heard: bytes = b""

    def measure(self, mg_dl: int) -> BiolandRecord:
        """A test while nobody listens."""
        record = BiolandRecord(at=self.clock(), mg_dl=mg_dl)
        self.records.insert(0, record)
        return record

    def measure_now(self, mg_dl: int) -> None:
        """A test that whoever is connected watches: a countdown, and the result."""
        self.untold.step(*[self._frame(COUNTDOWN, bytes((0, left))) for left in (5, 4, 3, 2, 1)])
        self.untold.step(self._frame(RECORD, self.measure(mg_dl).data()))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self._heard += data
        while len(self._heard) > 1 and len(self._heard) >= self._heard[1] > 0:
            size = self._heard[1]
            request, self._heard = self._heard[:size], self._heard[size:]
            if request[0] == 0x5A and (request[-1] - sum(request[:-1])) & 0xFF in (0, 2):
                yield from self._answer(request)

    def on_line_lost(self) -> None:
        """See LineMeter: the next to ask is given the newest record first again."""
        self._walked, self._heard = 0, b""
        self.untold.forget_steps()

    def _answer(self, request: bytes) -> Iterator[bytes]:
        if len(request) == REQUEST_BYTES:
            year, month, day, hour, minute, second = request[3:9]
            told = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - naive, as it is told
            self.clock_error = told - self.now()
        match request[2]:
            case 9:
                yield self._frame(HANDSHAKE, b"\0")
            case 0:
                told_of_itself = bytes((0x20, 1, self.battery_percent, 2, 7)) + self.serial.encode("ascii")[:9]
                yield self._frame(INFO, told_of_itself.ljust(14))
            case 3 if self._walked < len(self.records):
                self._walked += 1
                yield self._frame(RECORD, self.records[self._walked - 1].data())
            case 3:
                yield self._frame(END, b"\0")

    def _frame(self, category: int, data: bytes) -> bytes:
        unsigned = bytes((0x55, 4 + len(data), category)) + data
        return unsigned + bytes([sum(unsigned) + (0 if self.plain_sum else 2) & 0xFF])
