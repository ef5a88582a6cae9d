"""A&D's tunnel monitors TM-2655P and TM-2657P: blocks of text between control bytes, with a check byte.

A measurement is never begun from here, and the last result is never asked for: an arm may be in the cuff, or
nobody's. How a result is listened to is `tunnel`'s business, how the port is opened `gateway.transports`'.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import xor
from typing import Any

from gateway.conversation import Context, Decoder, Driver, Garbled, Record, SerialLine, Sighting, Talk, note
from gateway.drivers.ble_common import NoReading
from gateway.drivers.cuff import record_of as cuff_record
from gateway.drivers.framing import Framer, counted
from gateway.drivers.tunnel import emit_each_result
from gateway.proof import Proof

HEAD = b"\x16\x16\x01"  # SYN SYN SOH
HEADER_BYTES = 6  # HEAD, two of address, and what kind of block it is
STX, ETX, ACK, NAK, RS = 0x02, 0x03, 0x06, 0x15, "\x1e"
LONGEST_BLOCK = 1024
"""More than the pulses of a whole measurement."""
RESULT, PULSES = "RB", "RP"
CENTURY = 2000
LETTERS: Mapping[str, str] = {
    "E": "error_code",
    "S": "systolic",
    "M": "map",
    "D": "diastolic",
    "P": "pulse",
    "I": "inflation",
    "L": "amplitude",
}
"""Each number stands behind its letter."""
_LETTERED = re.compile(r"([A-Z]) *(\d{1,4})")
_PULSE = re.compile(r" *(\d+), *(\d+)")
_MOMENT = re.compile(r"\d{10}")


def recognise(sighting: Sighting) -> bool:
    """An adapter does not say what hangs on it: the settings do."""
    return False


def talk(context: Context) -> Talk:
    """Listen."""
    yield from note("maker", "A&D")
    yield from emit_each_result(context, Framer(counted((HEAD,), _size)), made_of)


def made_of(frame: bytes) -> Record | NoReading | None:
    """The reading in a block, or why it is none; None for a block that is not about a result. Raises Garbled."""
    it = block(frame)
    return None if it.time is None or it.command == PULSES else record_of(it)


def record_of(it: "Block") -> Record | NoReading:
    """The reading in a result, or why it is none."""
    if it.command != RESULT or it.time is None or "error_code" not in it.numbers:
        return NoReading(why="unsupported_format")
    numbers = it.numbers
    if numbers["error_code"]:
        return NoReading(why=f"error_{numbers['error_code']}")
    told = [numbers.get(name, 0) for name in ("systolic", "diastolic", "pulse")]
    return cuff_record(
        *told,
        mean=numbers.get("map", 0),
        key=f"{it.time.isoformat(timespec='minutes')}#{'/'.join(map(str, told))}",
        at=it.time,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block: what the host commands or the monitor acknowledges, or a result. `numbers` by LETTERS' words."""

    kind: int  # STX, ACK or NAK
    command: str = ""
    model: str = ""
    time: datetime | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    other: tuple[str, ...] = ()  # how it was measured, and what nobody has described
    pulses: tuple[tuple[int, int], ...] = ()


def block(frame: bytes) -> Block:
    """A whole block; raises Garbled: truncated, grammar, checksum, trailing_bytes, datetime_range."""
    if not frame.startswith(HEAD):
        raise Garbled("truncated" if HEAD.startswith(frame) else "grammar")
    if len(frame) < HEADER_BYTES:
        raise Garbled("truncated")
    kind = frame[HEADER_BYTES - 1]
    if kind in (ACK, NAK):
        if len(frame) > HEADER_BYTES:
            raise Garbled("trailing_bytes")
        return Block(kind=kind)
    if kind != STX:
        raise Garbled("grammar")
    end = frame.find(ETX, HEADER_BYTES)
    if not 0 <= end < len(frame) - 1:
        raise Garbled("truncated")
    if end + 2 != len(frame):
        raise Garbled("trailing_bytes")
    text = frame[HEADER_BYTES:end]
    if reduce(xor, text, 0) != frame[-1]:
        raise Garbled("checksum")
    if not text or not text.isascii():
        raise Garbled("grammar")
    return _text(text.decode("ascii"))


def _text(text: str) -> Block:
    if RS not in text:
        return Block(kind=STX, command=text)
    fields = text.removesuffix(RS).split(RS)
    if len(fields) < 3:
        raise Garbled("truncated")
    model, moment, command, *rest = fields
    if command == PULSES:
        return Block(kind=STX, command=command, model=model, time=_time(moment), pulses=_pulses(rest))
    numbers, other = {}, []
    for told in rest:
        found = _LETTERED.fullmatch(told)
        if found is not None and found[1] in LETTERS:
            numbers[LETTERS[found[1]]] = int(found[2])
        else:
            other.append(told)
    return Block(kind=STX, command=command, model=model, time=_time(moment), numbers=numbers, other=tuple(other))


def _pulses(fields: list[str]) -> tuple[tuple[int, int], ...]:
    found = [_PULSE.fullmatch(told) for told in fields[1:]]  # the first says how many there are
    return tuple((int(each[1]), int(each[2])) for each in found if each is not None)


def _time(told: str) -> datetime:
    if _MOMENT.fullmatch(told) is None:
        raise Garbled("grammar")
    year, month, day, hour, minute = (int(told[at : at + 2]) for at in range(0, len(told), 2))
    try:
        return datetime(CENTURY + year, month, day, hour, minute)  # noqa: DTZ001 - naive, as the monitor says it
    except ValueError:
        raise Garbled("datetime_range") from None


def _size(buffer: bytes) -> int:
    """How long the block is that stands in front; see `framing.counted`."""
    if len(buffer) < HEADER_BYTES:
        return 0
    match buffer[HEADER_BYTES - 1]:
        case kind if kind in (ACK, NAK):
            return HEADER_BYTES
        case kind if kind != STX:
            return -1
    end, again = buffer.find(ETX, HEADER_BYTES), buffer.find(HEAD, HEADER_BYTES)
    if again >= 0 and (end < 0 or again < end):
        return -1  # the end was lost: another block begins
    if end >= 0:
        return end + 2
    return 0 if len(buffer) < LONGEST_BLOCK else -1


def decode_block(data: bytes) -> dict[str, Any]:
    """A block as fields: a command, an acknowledgement, or a result."""
    it = block(data)
    if it.kind != STX:
        return {"ack": it.kind == ACK}
    if it.time is None:
        return {"command": it.command}
    fields: dict[str, Any] = {"model": it.model, "time": it.time.isoformat(), "command": it.command}
    if it.command == PULSES:
        return fields | {"pulses": [list(each) for each in it.pulses]}
    return fields | it.numbers | {"other": list(it.other)}


DECODERS: Mapping[str, Decoder] = {"and.tm2655": decode_block}

DRIVER = Driver(
    name="serial.and_tm",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="A&D tunnel monitors TM-2655P and TM-2657P on RS-232, set to send each result (format RB).",
    source="Commands and two results, without their control bytes, in BaobabHealthTrust/app_vitals; three more "
    "public programs read the same fields.",
    quirks="A result is told once and there is no memory: while the gateway is down it is lost. The speed is "
    "2400, selectable to 9600: say it in [[serial]] baud. The clock has no seconds and cannot be asked: a "
    "result is of when it came, unless it waited in the port while nobody listened. An error code makes "
    "numbers beside it worthless.",
    proven_by="The published commands with their check bytes, results rebuilt from the published text, "
    "transcripts written by hand, a virtual monitor on a pseudo terminal. No conversation with a real one yet; "
    "that a result's check byte follows the commands' rule is not proven.",
    proof=Proof.AGREED,
    line=SerialLine(baud=2400),
    decoders=DECODERS,
)
