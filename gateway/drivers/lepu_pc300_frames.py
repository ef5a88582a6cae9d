"""The frames of the Lepu (Creative) PC-300 family: a token, a type, and what was measured.

What of it is a reading is `lepu_pc300`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import exactly
from gateway.drivers.framing import counted
from gateway.wire.vocabulary import OffScale

_HEAD = b"\xaa\x55"
_HEAD_BYTES = 4
"""aa 55, the token, and how many bytes the type, the data and the check are."""


class Token(IntEnum):
    """What a frame is about; a device has others, for its electrocardiogram and its settings."""

    PRESSURE = 0x42
    PRESSURE_RESULT = 0x43
    OXYGEN = 0x53
    TEMPERATURE = 0x72
    GLUCOSE = 0x73
    STRIP = 0xE2  # of a BeneCheck module: type 1 glucose, 2 uric acid, 3 cholesterol
    ABOUT = 0xFF


RESULT, FAILURE = 1, 2
GLUCOSE, URIC_ACID, CHOLESTEROL = 1, 2, 3
NAME = 1

PRESSURE_ERRORS = {
    1: "cuff_loose",
    2: "over_pressure",
    3: "no_pulse",
    4: "movement",
    5: "measurement_abnormal",
    6: "cuff_leaks",
    7: "self_test",
    8: "inflation_blocked",
    9: "movement",
    10: "cuff_leaks",
    11: "hardware",
    12: "measurement_too_long",
    14: "battery_low",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, its check found right."""

    token: int
    type: int
    data: bytes


def request(token: int, type_: int, data: bytes = b"") -> bytes:
    """The host's frame."""
    head = _HEAD + bytes((token, len(data) + 2, type_)) + data
    return head + bytes([_check(head)])


def _check(data: bytes) -> int:
    """CRC-8/MAXIM."""
    check = 0
    for byte in data:
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0x8C if check & 1 else 0)
    return check


def frame(data: bytes) -> Frame:
    """One frame of either side; raises Garbled: truncated, grammar, length, checksum."""
    if not data.startswith(_HEAD[: len(data)]):
        raise Garbled("grammar")
    if len(data) < _HEAD_BYTES + 2:
        raise Garbled("truncated")
    size = _HEAD_BYTES + data[3]
    if data[3] < 2:
        raise Garbled("grammar")
    if len(data) != size:
        raise Garbled("truncated" if len(data) < size else "length")
    if _check(data[:-1]) != data[-1]:
        raise Garbled("checksum")
    return Frame(token=data[2], type=data[4], data=data[5:-1])


def _size(buffer: bytes) -> int:
    if len(buffer) < _HEAD_BYTES:
        return 0
    size = _HEAD_BYTES + buffer[3]
    if buffer[3] < 2:
        return -1
    if len(buffer) < size:
        return 0
    return size if _check(buffer[: size - 1]) == buffer[size - 1] else -1


FRAMES = counted((_HEAD,), _size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """A blood pressure; a mean or a pulse of 0 was not told."""

    systolic: int
    mean: int
    diastolic: int
    pulse: int
    is_irregular: bool


def pressure(it: Frame) -> Pressure:
    """Raises Garbled("length")."""
    high, low, mean, diastolic, pulse = _at_least(it.data, 5)[:5]
    return Pressure(
        systolic=(high & 0x7F) << 8 | low,
        mean=mean,
        diastolic=diastolic,
        pulse=pulse,
        is_irregular=bool(high & 0x80),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """What a strip gave: a number in `unit`, or that it is beyond the range. `value` is None where two programs
    that read it disagree on its scale."""

    analyte: str
    value: Decimal | None
    unit: str
    beyond: OffScale | None


_BEYOND = {0x10: OffScale.LO, 0x20: OffScale.HI}


def strip(it: Frame) -> Strip | None:
    """A strip's result, None for a type nobody has described; raises Garbled: length, grammar."""
    flags, high, low = exactly(it.data, 3)
    number, beyond = high << 8 | low, _BEYOND.get(flags & 0x30)
    if it.token == Token.STRIP and it.type == URIC_ACID:
        return Strip(analyte="uric_acid", value=Decimal(number).scaleb(-1), unit="mg/dL", beyond=beyond)
    if it.token == Token.STRIP and it.type == CHOLESTEROL:
        return Strip(analyte="cholesterol", value=Decimal(number), unit="mg/dL", beyond=beyond)
    if it.type != GLUCOSE:
        return None
    if flags & 1:  # whole mg/dL in one program, tenths in the other
        return Strip(analyte="glucose", value=None, unit="mg/dL", beyond=beyond)
    return Strip(analyte="glucose", value=_bcd(it.data[1:]), unit="mmol/L", beyond=beyond)


def _bcd(data: bytes) -> Decimal:
    """Decimal digits, the last behind the point."""
    digits = data.hex()
    if not digits.isdecimal():
        raise Garbled("grammar")
    return Decimal(int(digits)).scaleb(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """A temperature, final or still rising; None where it is none."""

    celsius: Decimal | None
    beyond: OffScale | None
    is_final: bool


_PROBE_OFF, _STATE, _FINAL = 0x10, 0x60, 0x40
_TOO_HIGH, _TOO_LOW = 0x0520, 0xF000
LEAST_CEL, MOST_CEL = Decimal("32.0"), Decimal("43.0")


def temperature(it: Frame) -> Temperature:
    """Raises Garbled("length")."""
    flags = _at_least(it.data, 1)[0]
    is_final = flags & _STATE == _FINAL and not flags & _PROBE_OFF
    if len(it.data) < 3:
        return Temperature(celsius=None, beyond=None, is_final=is_final)
    raw = int.from_bytes(it.data[1:3], "big")
    celsius = 30 + Decimal(raw).scaleb(-2)
    if raw >= _TOO_LOW or celsius < LEAST_CEL:
        return Temperature(celsius=None, beyond=OffScale.LO, is_final=is_final)
    if raw >= _TOO_HIGH or celsius > MOST_CEL:
        return Temperature(celsius=None, beyond=OffScale.HI, is_final=is_final)
    return Temperature(celsius=celsius, beyond=None, is_final=is_final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oxygen:
    """What an oximeter measures now; 0 is no number."""

    spo2: int
    pulse: int
    is_off: bool  # no finger, or still looking for its pulse


def oxygen(it: Frame) -> Oxygen:
    """Raises Garbled("length")."""
    data = _at_least(it.data, 5)
    return Oxygen(spo2=data[0], pulse=int.from_bytes(data[1:3], "little"), is_off=bool(data[4] & 0x06))


def pressure_error(it: Frame) -> str:
    """Why a blood pressure failed; raises Garbled("length")."""
    code = _at_least(it.data, 1)[0] & 0x7F
    return PRESSURE_ERRORS.get(code, f"error_{code}")


def _at_least(data: bytes, count: int) -> bytes:
    if len(data) < count:
        raise Garbled("length")
    return data


def decode(data: bytes) -> dict[str, Any]:
    """A frame of either side as fields."""
    it = frame(data)
    fields: dict[str, Any] = {"token": it.token, "type": it.type, "length": data[3], "data_hex": it.data.hex()}
    match it.token, it.type:
        case Token.PRESSURE_RESULT, 1 if it.data:
            bp = pressure(it)
            fields |= {"systolic": bp.systolic, "map": bp.mean, "diastolic": bp.diastolic, "pulse": bp.pulse}
            fields["irregular"] = bp.is_irregular
        case Token.PRESSURE_RESULT, 2 if it.data:
            fields |= {"error_code": it.data[0] & 0x7F, "error_name": pressure_error(it)}
        case ((Token.GLUCOSE | Token.STRIP), _) if it.data and (found := strip(it)) is not None:
            fields |= {"analyte": found.analyte, "unit": found.unit, "value": found.value}
            fields["range"] = {OffScale.HI: "high", OffScale.LO: "low", None: "in_range"}[found.beyond]
        case Token.TEMPERATURE, 1 if it.data:
            heat = temperature(it)
            fields |= {"celsius": heat.celsius, "final": heat.is_final}
        case Token.OXYGEN, 1:
            air = oxygen(it)
            fields |= {"spo2": air.spo2, "pulse": air.pulse, "probe_off": air.is_off}
        case Token.PRESSURE, _ if len(it.data) >= 2:
            fields["pressure_mmHg"] = (it.data[0] & 0x0F) << 8 | it.data[1]
    return fields


DECODERS: Mapping[str, Decoder] = {"lepu.pc300": decode}
