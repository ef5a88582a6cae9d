"""A virtual Sinocare meter: tells each step of a test as it happens, keeps results, and gives them when asked.

Written from the maker's published frames. What carries the bytes is `line`'s and `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from gateway.simulators.line import LineMeter

SERVICE, NOTIFY, WRITE = "ffe0", "ffe1", "ffe2"

OLD, CARBON = 0x0004, 0x2000
"""Two machines: the first WL-1, and the family of today."""

TEST_CONNECTION, ERROR, WAITING, RESULT, HISTORY, SET_TIME, STARTED, OFF = 1, 2, 3, 4, 5, 6, 10, 11

CLOCK_NOT_SET, LO, HI = 0x02, 0x10, 0x20
MEMORY = 200
"""Results a meter keeps; the oldest gives way, and the numbers go on."""
BLOOD, CONTROL = 1, 2


class Item(IntEnum):
    """What a strip measures, and what the memory is asked for by: sample types 0001 and 0005."""

    GLUCOSE = 0
    URIC_ACID = 1


SAMPLE_TYPES = {b"\x00\x01": Item.GLUCOSE, b"\x00\x05": Item.URIC_ACID}


@dataclass(frozen=True, slots=True, kw_only=True)
class SinocareRecord:
    """One result; glucose in mmol/L, uric acid in µmol/L."""

    order: int
    at: datetime
    item: Item
    value: Decimal
    flags: int = 0
    sample: int = BLOOD
    haematocrit_percent: int = 0

    def payload(self, machine: int) -> bytes:
        """As that machine lays it out."""
        at = self.at
        date = bytes((at.year % 100, at.month, at.day, at.hour, at.minute))
        if machine == OLD:
            return date + _u16(int(self.value * 10)) + b"\x19" + _u16(250)
        decimals, unit = (1, 0) if self.item is Item.GLUCOSE else (0, 2)
        return b"".join(
            (
                _u16(self.order),
                date + bytes([at.second]),
                bytes(4),
                bytes([self.sample]) + _u16(self.item) + _u16(int(self.value.scaleb(decimals))),
                bytes((decimals << 4 | 0x0E, unit, 0, self.haematocrit_percent, self.flags, 0x3C)),
            )
        )


@dataclass(kw_only=True)
class SinocareMeter(LineMeter):
    """Whoever listens is told each step of a test, and later its result; every result stays in the memory."""

    machine: int = CARBON
    records: list[SinocareRecord] = field(default_factory=list)
    greets: bool = True
    _heard: bytes = b""

    def measure(
        self,
        value: Decimal,
        item: Item = Item.GLUCOSE,
        *,
        flags: int = 0,
        sample: int = BLOOD,
        haematocrit_percent: int = 42,
    ) -> SinocareRecord:
        """A test now: a strip is put in, blood dropped, the result shown."""
        record = SinocareRecord(
            order=self.records[-1].order % 0xFFFF + 1 if self.records else 1,
            at=self.clock(),
            item=item,
            value=value,
            flags=flags,
            sample=sample,
            haematocrit_percent=haematocrit_percent,
        )
        self.records = [*self.records, record][-MEMORY:]
        self.untold.step(self.frame(WAITING, b"\x00\x05"), self.frame(STARTED, bytes(2)))
        self.untold.result(self.frame(RESULT, record.payload(self.machine)))
        return record

    def fail(self, number: int) -> None:
        """A test that came to nothing: E-`number`."""
        self.untold.step(self.frame(WAITING, b"\x00\x05"), self.frame(ERROR, bytes((0, number))))

    def switch_off(self) -> None:
        """Says that it goes, as the last thing it says."""
        self.untold.step(self.frame(OFF, b"\x02\x00"))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter: the tests nobody was told of."""
        return self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self._heard += data
        while len(self._heard) > 2 and len(self._heard) >= 3 + self._heard[2]:
            size = 3 + self._heard[2]
            request, self._heard = self._heard[:size], self._heard[size:]
            if request[:2] == b"SN" and request[-1] == sum(request[2:-1]) & 0xFF:
                yield from self._answer(request[5], request[6:-1])

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""
        self.untold.forget_steps()

    def frame(self, command: int, payload: bytes) -> bytes:
        """A frame of this machine."""
        body = self.machine.to_bytes(2, "big") + bytes([command]) + payload
        unsigned = bytes([len(body) + 1]) + body
        return b"SN" + unsigned + bytes([sum(unsigned) & 0xFF])

    def _answer(self, command: int, payload: bytes) -> Iterator[bytes]:
        match command:
            case 1 if payload == b"SINO" and self.greets:
                yield self.frame(TEST_CONNECTION, b"CARE")
            case 5:
                for record in list(self.records):
                    if self.machine == CARBON and SAMPLE_TYPES.get(payload) is record.item:
                        yield self.frame(HISTORY, record.payload(self.machine))
            case 6 if self.machine == OLD and len(payload) == 5:
                year, month, day, hour, minute = payload
                self.clock_error = datetime(2000 + year, month, day, hour, minute) - self.now()  # noqa: DTZ001
                yield self.frame(SET_TIME, payload)


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "big")
