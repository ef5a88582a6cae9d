"""The frames of PanGao (攀高) cuffs: length, address, command, data, sum; what Sinocare sells as BA-8xx.

Which of them are readings is `pangao`'s business. The length counts every byte of the frame, itself included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gateway.conversation import Decoder, Garbled
from gateway.drivers.cursor import name_of

SMALLEST_BYTES = 4
STATE_BYTES, PRESSURE_BYTES, RESULT_BYTES = 4, 6, 8
KNOWN_BYTES = (STATE_BYTES, 5, PRESSURE_BYTES, RESULT_BYTES)
"""What cuffs are known to send: where it stands, that it is on, a pressure while it measures, the result."""

EVERYBODY, ANYBODY = 0x55, 0xFF
"""The addresses before a cuff has told its own, over Bluetooth and on a wire."""


class Command(IntEnum):
    """What a frame is about (SDConstant.h of Sinocare's kit, two apps)."""

    ON = 0x3A
    CONNECTED = 0xA0
    START = 0xA1
    STOP = 0xA2
    CONNECTION_OPEN = 0xA3
    POWER_OFF = 0xA6
    SET_DATE = 0xA8
    SET_TIME = 0xA9
    HELLO = 0xAA
    HISTORY = 0xAC
    STARTED = 0xB1
    ZEROING = 0xB3
    ZEROED = 0xB4
    PRESSURE = 0xB7
    RESULT = 0xB8


COMMANDS = {command.value: command.name.lower() for command in Command}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame whose sum is right."""

    length: int
    address: int
    command: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A measurement in mmHg and beats a minute; it carries no time and no number."""

    systolic: int
    diastolic: int
    pulse: int


def frame(data: bytes) -> Frame:
    """One whole frame; raises Garbled: truncated, length, trailing_bytes, checksum."""
    if not data:
        raise Garbled("truncated")
    if data[0] < SMALLEST_BYTES:
        raise Garbled("length")
    if len(data) < data[0]:
        raise Garbled("truncated")
    if len(data) > data[0]:
        raise Garbled("trailing_bytes")
    if sum(data[:-1]) & 0xFF != data[-1]:
        raise Garbled("checksum")
    return Frame(length=data[0], address=data[1], command=data[2], data=data[3:-1])


def result(it: Frame) -> Result | None:
    """The measurement in a frame, or None. A byte before the numbers has no public meaning: see `is_ambiguous`."""
    if it.command != Command.RESULT or it.length != RESULT_BYTES:
        return None
    _, systolic, diastolic, pulse = it.data
    return Result(systolic=systolic, diastolic=diastolic, pulse=pulse)


def is_ambiguous(it: Frame) -> bool:
    """Whether the unknown byte of a result may be the systolic's high one.

    Two apps leave it out. Were it that, a systolic that lies well above the diastolic without it would lie beyond
    295 mmHg, where these cuffs give up (Er-H).
    """
    mark, systolic, diastolic, _ = it.data
    return mark != 0 and systolic < diastolic + 10


def cut(buffer: bytes) -> int:
    """See `framing.Cut`. There is no head to look for: a known length and a right sum make a frame."""
    size = buffer[0]
    if size not in KNOWN_BYTES:
        return -1
    if len(buffer) < size:
        return 0
    return size if sum(buffer[: size - 1]) & 0xFF == buffer[size - 1] else -1


def request(address: int, command: int) -> bytes:
    """A frame to a cuff."""
    unsigned = bytes((SMALLEST_BYTES, address, command))
    return unsigned + bytes([sum(unsigned) & 0xFF])


def decode(data: bytes) -> dict[str, Any]:
    """A PanGao frame as fields."""
    it = frame(data)
    fields: dict[str, Any] = {
        "length": it.length,
        "address": it.address,
        "command": it.command,
        "command_name": name_of(it.command, COMMANDS),
        "data_hex": it.data.hex(),
    }
    measured = result(it)
    if measured is not None:
        fields |= {
            "systolic": measured.systolic,
            "diastolic": measured.diastolic,
            "pulse": measured.pulse,
            "unit": "mmHg",
            "status": it.data[0],
        }
    return fields


DECODERS: Mapping[str, Decoder] = {"pangao.bp": decode}
