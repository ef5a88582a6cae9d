"""Virtual OneTouch meters: an Ultra 2 that answers in lines, an Ultra Easy and a Verio Flex, in packets.

Written from what public projects know of LifeScan's protocols. Wires and radios are `line`'s and `serial_line`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from gateway.simulators.line import LineMeter

SERVICE = "af9df7a1-e595-11e3-96b4-0002a5d5c51b"
NOTIFY = "af9df7a3-e595-11e3-96b4-0002a5d5c51b"
WRITE = "af9df7a2-e595-11e3-96b4-0002a5d5c51b"

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MG_DL_PER_MMOL = Decimal("18.016")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One test in the memory."""

    at: datetime
    mg_dl: int
    control: bool = False


@dataclass(kw_only=True)
class OneTouch(LineMeter):
    """What they have in common: a memory, newest first, and a clock that can be set. `by_time`: it is kept in the
    order of times, whatever the clock was set to, and not in that of the tests; nobody has published which."""

    memory: list[Stored] = field(default_factory=list)
    tests_ever: int = 0
    by_time: bool = False
    room: int = 500

    def measure(self, mmol: Decimal, *, control: bool = False) -> None:
        """Takes a test now, in mmol/L; what is beyond 600 mg/dL is stored as the model stores it."""
        mg_dl = int((mmol * MG_DL_PER_MMOL).to_integral_value())
        self.tests_ever += 1
        stored = Stored(at=self.clock().replace(microsecond=0), mg_dl=mg_dl, control=control)
        self.memory.insert(0, replace(stored, mg_dl=self.too_high) if mg_dl > 600 else stored)
        if self.by_time:
            self.memory.sort(key=lambda one: one.at, reverse=True)
        del self.memory[self.room :]

    @property
    def too_high(self) -> int:
        """The number for HI."""
        return 601

    def set_clock(self, shown: datetime) -> None:
        """Sets what the display says the time is."""
        self.clock_error = shown - self.now()


@dataclass(kw_only=True)
class Ultra2(OneTouch):
    """Answers commands that begin with DM, each line with the sum of its bytes. `lose_line`: this one of a dump
    (0 is the first record) never comes, once."""

    serial: str = "GMF600DCY"
    lose_line: int | None = None
    _heard: bytes = b""

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self._heard += data
        while b"\r" in self._heard:
            command, _, self._heard = self._heard.partition(b"\r")
            yield from self._answers(command.strip(b"\x11\n").decode("ascii", "replace"))

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""

    def _answers(self, command: str) -> Iterator[bytes]:
        if command == "DM@":
            yield checked(f'@ "{self.serial}"')
        elif command == "DM?":
            yield checked("?P02.00.00 30/08/06")
        elif command == "DMF":
            yield checked(f"F {self._time(self.clock())}")
        elif command.startswith("DMT"):
            self.set_clock(datetime.strptime(command[3:], "%m/%d/%y %H:%M:%S"))  # noqa: DTZ007 - a naive clock
            yield checked(f"T {self._time(self.clock())}")
        elif command == "DMP":
            yield checked(f'P {len(self.memory):03d},"{self.serial}","MMOL/L"')
            lost, self.lose_line = self.lose_line, None
            for number, each in enumerate(self.memory):
                mark = "C" if each.control else " "
                if number != lost:
                    yield checked(f'P {self._time(each.at)},"{mark} {each.mg_dl:03d} ","N","00", 00')

    def _time(self, at: datetime) -> str:
        return f'"{DAYS[at.weekday()]}","{at:%m/%d/%y}","{at:%H:%M:%S}   "'


@dataclass(kw_only=True)
class UltraEasy(OneTouch):
    """Packets, each acknowledged. `deaf_to`: so many requests go unheard; `says_twice`: every answer comes twice;
    `measures_at`: a test is added when the record of this index is asked for, once."""

    serial: str = "C354PCCCY"
    deaf_to: int = 0
    says_twice: bool = False
    measures_at: int | None = None
    _heard: bytes = b""
    _sequence: int = 0
    _expected: int = 0

    @property
    def too_high(self) -> int:
        """See OneTouch."""
        return 0xFFFF

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self._heard += data
        while len(self._heard) > 1 and len(self._heard) >= self._heard[1]:
            size = self._heard[1]
            frame, self._heard = self._heard[:size], self._heard[size:]
            if frame[-2:] == crc16(frame[:-2]):
                yield from self._answers(frame[2], frame[3:-3])

    def on_line_lost(self) -> None:
        """See LineMeter."""
        self._heard = b""

    def _answers(self, control: int, payload: bytes) -> Iterator[bytes]:
        if control & 0x08:
            self._sequence = self._expected = 0
            yield framed(0x0C)
        elif control & 0x04:
            self._sequence = control >> 1 & 1
        elif self.deaf_to:
            self.deaf_to -= 1
        else:
            self._expected = 1 - (control & 1)
            bits = self._sequence | self._expected << 1
            yield framed(0x04 | bits)
            for _ in range(2 if self.says_twice else 1):
                yield framed(bits, self._answer(payload))

    def _answer(self, payload: bytes) -> bytes:
        match payload[:3]:
            case b"\x05\x0b\x02":
                return b"\x05\x06" + self.serial.encode()
            case b"\x05\x0d\x02":
                return b"\x05\x06\x11P02.00.0025/05/07"
            case b"\x05\x20\x01":
                self.set_clock(datetime(1970, 1, 1) + timedelta(seconds=int.from_bytes(payload[3:7], "little")))  # noqa: DTZ001
                return b"\x05\x06" + self._seconds(self.clock())
            case b"\x05\x20\x02":
                return b"\x05\x06" + self._seconds(self.clock())
        if payload[:2] != b"\x05\x1f":
            return b"\x05\x09"
        index = int.from_bytes(payload[2:4], "little")
        if index == self.measures_at:
            self.measures_at = None
            self.measure(Decimal("4.4"))
        if index >= len(self.memory):
            return b"\x05\x0f" + len(self.memory).to_bytes(2, "little")
        stored = self.memory[index]
        return b"\x05\x06" + self._seconds(stored.at) + stored.mg_dl.to_bytes(4, "little")

    def _seconds(self, at: datetime) -> bytes:
        return int((at - datetime(1970, 1, 1)).total_seconds()).to_bytes(4, "little")  # noqa: DTZ001


@dataclass(kw_only=True)
class VerioFlex(OneTouch):
    """The same packets in notifications, records by their lifetime number. `locked`: it was not paired.
    `says_twice`: every answer comes twice."""

    locked: bool = False
    says_twice: bool = False

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        if len(data) < 9 or data[0] != 0x01 or data[-2:] != crc16(data[1:-2]):
            return  # also the host's acknowledgement, 81
        yield b"\x81"
        for _ in range(2 if self.says_twice else 1):
            yield b"\x01" + framed(0, b"\x03" + self._answer(data[5:-3]))

    def _answer(self, request: bytes) -> bytes:
        if self.locked:
            return b"\x07"
        match request[:1], request[1:]:
            case b"\x20", b"\x02":
                return b"\x06" + self._seconds(self.clock())
            case b"\x20", shown if shown[:1] == b"\x01":
                self.set_clock(datetime(2000, 1, 1) + timedelta(seconds=int.from_bytes(shown[1:], "little")))  # noqa: DTZ001
                return b"\x06"
            case b"\x0a", b"\x02\x06":
                return b"\x06" + self.tests_ever.to_bytes(4, "little")
            case b"\x27", b"\x00":
                return b"\x06" + len(self.memory).to_bytes(2, "little")
            case b"\xb3", number:
                index = self.tests_ever - int.from_bytes(number, "little")
                if 0 <= index < len(self.memory):
                    stored = self.memory[index]
                    value = stored.mg_dl.to_bytes(2, "little") + bytes([stored.control, 1, 0, 0, 0])
                    return b"\x06" + self._seconds(stored.at) + value
                return b"\x09"
        return b"\x08"

    def _seconds(self, at: datetime) -> bytes:
        return int((at - datetime(2000, 1, 1)).total_seconds()).to_bytes(4, "little")  # noqa: DTZ001


def checked(text: str) -> bytes:
    """A line with its sum."""
    return f"{text} {sum(text.encode()) & 0xFFFF:04X}\r\n".encode()


def framed(control: int, payload: bytes = b"") -> bytes:
    """A packet."""
    frame = bytes([0x02, 6 + len(payload), control]) + payload + b"\x03"
    return frame + crc16(frame)


def crc16(data: bytes) -> bytes:
    """CRC-CCITT from FFFF, low byte first."""
    register = 0xFFFF
    for bit in (byte >> place & 1 for byte in data for place in range(7, -1, -1)):
        top = register >> 15
        register = register << 1 & 0xFFFF
        if top != bit:
            register ^= 0x1021
    return register.to_bytes(2, "little")
