"""The frames of Sinocare's "SN" protocol: 53 4E, length, machine, command, payload, sum.

Which of them are readings is `sinocare`'s business. Where the layout of a machine is not public, its frames are
known as frames, and no number is taken out of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import Cursor, name_of

HEAD = b"SN"
GREETING = b"SINO"
CR_LF = b"\r\n"
"""Follows a frame of the 2000 family now and then, outside its length."""
SMALLEST_LENGTH = 4  # machine, command, sum
LARGEST_LENGTH = 64  # the longest known is 27; a larger one is a garbled length


class Command(IntEnum):
    """What a frame is about (SDConstant.h of the maker's kit)."""

    CONNECTION_TEST = 0x01
    ERROR = 0x02
    WAITING_FOR_BLOOD = 0x03
    RESULT = 0x04
    HISTORY = 0x05
    SET_TIME = 0x06
    IDENTITY = 0x07
    CLEAR_HISTORY = 0x08
    CODE = 0x09
    TEST_STARTED = 0x0A
    POWER_OFF = 0x0B
    BLUETOOTH_OFF = 0x0C
    HISTORY_PUSHED = 0x0E
    SETTING = 0x11
    HISTORY_BY_INDEX = 0x20
    PROGRESS = 0xB7


COMMANDS = {command.value: command.name.lower() for command in Command}
RESULTS = frozenset({Command.RESULT, Command.HISTORY, Command.HISTORY_PUSHED, Command.HISTORY_BY_INDEX})

WL_1, ANWEN_AIR, CARBON, CARBON_2001 = 0x0004, 0x0012, 0x2000, 0x2001
"""The machines whose results are public: WL-1, AnWen+ Air, and the "carbon" family (UG, UA, EA-19, GM501 ...)."""

ANALYTES = {0: "glucose", 1: "uric_acid"}
UNITS = {0: "mmol/L", 1: "mg/dL", 2: "umol/L"}
BLOOD, CONTROL_SOLUTION, FOREIGN_CONTROL = 1, 2, 3
SAMPLES = {BLOOD: "blood", CONTROL_SOLUTION: "control_solution", FOREIGN_CONTROL: "external_control", 4: "urine"}
"""SDConstant.h numbers them so; in every published frame it is 1."""

CLOCK_NOT_SET, LOW, HIGH, NOT_PROVIDED = 0x02, 0x10, 0x20, 0xFF

ERRORS = {
    0: "self_check_failed",
    1: "battery_or_strip_not_seated",
    2: "temperature_out_of_range",
    3: "used_strip_or_wrong_step",
    4: "code_chip_or_strip_fault",
    5: "strip_pulled",
    6: "device_fault",
    7: "too_little_blood",
    8: "sampling_uneven",
    9: "haematocrit_out_of_range",
    10: "charging",
    0x11: "above_range",
    0x12: "below_range",
}
"""E-0 to E-10 of the maker's error table of 2022-07-15; HI and LO by its kit for WL-1 and AnWen+ Air, 4.3."""
ABOVE_RANGE, BELOW_RANGE = 0x11, 0x12


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame whose sum is right."""

    machine: int
    command: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A measurement, now or out of the memory. None is what the frame does not carry."""

    machine: int
    command: int
    time: datetime | None  # None: the meter's calendar is empty
    analyte: str
    value: Decimal
    unit: str
    order: int | None = None
    sample: int | None = None
    old_sample: int = 0  # the sample type of older machines: 0 is blood
    flags: int = NOT_PROVIDED
    haematocrit: int | None = None
    temperature_c: Decimal | None = None
    unit_byte: int | None = None

    @property
    def range(self) -> str:
        """in_range, high, low, contradictory, or not_provided."""
        if self.flags == NOT_PROVIDED:
            return "not_provided"
        words = {0: "in_range", HIGH: "high", LOW: "low"}
        return words.get(self.flags & (HIGH | LOW), "contradictory")

    @property
    def is_without_unit(self) -> bool:
        """The memory of AnWen+ Air leaves out the unit that its live results declare."""
        return self.machine == ANWEN_AIR and self.unit_byte is None

    @property
    def clock_not_set(self) -> bool:
        """The meter says that its clock was never set."""
        return self.flags != NOT_PROVIDED and bool(self.flags & CLOCK_NOT_SET)

    def fields(self) -> dict[str, Any]:
        """As decoder fields."""
        fields: dict[str, Any] = {
            "time": None if self.time is None else self.time.isoformat(),
            "analyte": self.analyte,
            "value": self.value,
            "unit": self.unit,
        }
        optional = {
            "order": self.order,
            "sample": self.sample,
            "temperature_c": self.temperature_c,
            "unit_byte": self.unit_byte,
            "haematocrit": self.haematocrit,
        }
        fields |= {name: value for name, value in optional.items() if value is not None}
        if self.sample is not None:  # the family that has flags
            fields |= {
                "sample_name": name_of(self.sample, SAMPLES),
                "range": self.range,
                "clock_not_set": self.clock_not_set,
            }
        return fields


def cut(buffer: bytes) -> int:
    """See `framing.Cut`. A frame that was cut off gives way to the one that begins inside of it, or in place of
    its sum. Nothing that a result says looks like a head, so that there it counts even where the sum is right."""
    if buffer.startswith(CR_LF):
        return len(CR_LF)
    head = buffer.find(HEAD)
    if head != 0:
        kept = buffer.endswith(HEAD[:1]) or buffer == CR_LF[:1]
        return -(head if head > 0 else len(buffer) - kept)
    if len(buffer) < 3:
        return 0
    if not SMALLEST_LENGTH <= buffer[2] <= LARGEST_LENGTH:
        return -1
    size = 3 + buffer[2]
    if len(buffer) < size:
        return 0
    is_sound = _sum(buffer[:size]) == buffer[size - 1]
    if is_sound and buffer[5] not in RESULTS:
        return size
    again = buffer.find(HEAD, len(HEAD), size + 1)
    if again > 0 and (again < size - 1 or not is_sound):
        return -again
    sum_may_be_a_head = not is_sound and buffer[size - 1 :] == HEAD[:1]
    return 0 if sum_may_be_a_head else size


def frame(data: bytes) -> Frame:
    """One whole frame; raises Garbled: truncated, grammar, length, trailing_bytes, checksum."""
    cursor = Cursor(data)
    if cursor.take(2) != HEAD:
        raise Garbled("grammar")
    length = cursor.u8()
    if length < SMALLEST_LENGTH:
        raise Garbled("length")
    body = cursor.take(length)
    machine = int.from_bytes(body[:2], "big")
    rest = cursor.rest()
    if rest and not (rest == CR_LF and machine >> 8 == CARBON >> 8):
        raise Garbled("trailing_bytes")
    if _sum(data[: 3 + length]) != body[-1]:
        raise Garbled("checksum")
    return Frame(machine=machine, command=body[2], payload=body[3:-1])


def result(it: Frame) -> Result | None:
    """The measurement in a frame, None where the layout is not public; raises Garbled("datetime_range").

    Which layout it is shows in the machine, and in the length: a machine had several.
    """
    if it.command not in RESULTS:
        return None
    match it.machine, it.command, len(it.payload):
        case ((0x2000 | 0x2001), _, 23):
            return _carbon(it)
        case 0x0012, Command.RESULT, 14:
            return _glucose(it, order=None, at=0, unit=it.payload[13])
        case 0x0012, Command.HISTORY_PUSHED, 12:
            return _glucose(it, order=int.from_bytes(it.payload[:2], "big"), at=2)
        case 0x0004, Command.RESULT, 12:
            return _glucose(it, order=None, at=0)
        case 0x0004, Command.RESULT, 10:
            return _old_glucose(it)
        case _:  # among them the memory of machine 0004, which comes in packages of several
            return None


def error_number(it: Frame) -> int:
    """The number in an error frame: its last byte that says anything."""
    return next((byte for byte in reversed(it.payload) if byte), 0)


def request(machine: int, command: int, payload: bytes = b"\0\0") -> bytes:
    """A frame to a meter."""
    body = machine.to_bytes(2, "big") + bytes([command]) + payload
    unsigned = HEAD + bytes([len(body) + 1]) + body
    return unsigned + bytes([sum(unsigned[2:]) & 0xFF])


def connection_test() -> bytes:
    """To be answered with "CARE". Public only for machine 0004; the answer says which machine it is."""
    return request(WL_1, Command.CONNECTION_TEST, GREETING)


def set_time(machine: int, moment: datetime) -> bytes | None:
    """Sets the clock; None where the layout is not public. Machine 0004 takes no seconds."""
    if machine != WL_1:
        return None
    fields = (moment.year % 100, moment.month, moment.day, moment.hour, moment.minute)
    return request(machine, Command.SET_TIME, bytes(fields))


def decode(data: bytes) -> dict[str, Any]:
    """A Sinocare frame as fields."""
    it = frame(data)
    fields: dict[str, Any] = {
        "machine": f"{it.machine:04X}",
        "command": it.command,
        "command_name": name_of(it.command, COMMANDS),
        "checksum_ok": True,
    }
    measured = result(it)
    if measured is not None:
        return fields | measured.fields()
    fields["payload_hex"] = it.payload.hex()
    match it.command:
        case Command.ERROR:
            number = error_number(it)
            fields |= {"error_number": number, "error_name": name_of(number, ERRORS)}
        case Command.CONNECTION_TEST if it.payload.isascii():
            fields["payload"] = it.payload.decode("ascii")
        case Command.SET_TIME if it.machine == WL_1 and len(it.payload) == 5:
            moment = _moment(it.payload + b"\0")
            fields["time"] = None if moment is None else moment.isoformat()
    return fields


def _carbon(it: Frame) -> Result:
    cursor = Cursor(it.payload)
    order = int.from_bytes(cursor.take(2), "big")
    moment = _moment(cursor.take(6))
    cursor.take(4)  # reserved; machine 2001 counts its uptime there
    sample = cursor.u8()
    item = int.from_bytes(cursor.take(2), "big")
    number = int.from_bytes(cursor.take(2), "big")
    decimals = cursor.u8() >> 4
    unit = cursor.u8()
    cursor.u8()  # unknown: 00 or F0
    haematocrit, flags = cursor.u8(), cursor.u8()
    cursor.u8()  # calibration code
    cursor.end()
    return Result(
        machine=it.machine,
        command=it.command,
        order=order,
        time=moment,
        sample=sample,
        analyte=name_of(item, ANALYTES),
        value=Decimal(number).scaleb(-decimals),
        unit=name_of(unit, UNITS),
        haematocrit=None if haematocrit == NOT_PROVIDED else haematocrit,
        flags=flags,
    )


def _glucose(it: Frame, *, order: int | None, at: int, unit: int | None = None) -> Result:
    """AnWen+ Air, and the newer WL-1: date at `at`, value; in a live one sample type, temperature, code."""
    payload = it.payload
    return Result(
        machine=it.machine,
        command=it.command,
        order=order,
        time=_moment(payload[at : at + 6]),
        analyte="glucose",
        value=_tenths(payload[at + 6 : at + 8]),
        unit=name_of(unit or 0, {0: "mmol/L", 1: "mg/dL"}),
        unit_byte=unit,
        old_sample=0 if order is not None else payload[8],
        temperature_c=None if order is not None else _tenths(payload[9:11]),
    )


def _old_glucose(it: Frame) -> Result:
    """The first WL-1: a date without seconds, value, a byte that is 00 or 19 in captures, temperature."""
    payload = it.payload
    return Result(
        machine=it.machine,
        command=it.command,
        time=_moment(payload[:5] + b"\0"),
        analyte="glucose",
        value=_tenths(payload[5:7]),
        unit="mmol/L",
        temperature_c=_tenths(payload[8:10]),
    )


def _tenths(data: bytes) -> Decimal:
    return Decimal(int.from_bytes(data, "big")).scaleb(-1)


def _moment(data: bytes) -> datetime | None:
    """YY MM DD hh mm ss; None where all are 0 or FF: a calendar that was never set."""
    if set(data[:3]) in ({0}, {0xFF}):
        return None
    year, month, day, hour, minute, second = data
    if year > 99:
        raise Garbled("datetime_range")
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - naive, as the meter says it
    except ValueError:
        raise Garbled("datetime_range") from None


def _sum(data: bytes) -> int:
    return sum(data[2:-1]) & 0xFF


DECODERS: Mapping[str, Decoder] = {"sinocare.sn": decode}
