"""ACON On Call (艾科) glucose meters, over Bluetooth or a serial line at 9600 baud: text commands that begin with
`&` and end in a checksum printed in decimal.

The record's grammar is known from two apps only, and not in full: what does not fit is refused, never guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.conversation import (
    Context,
    Decoder,
    Driver,
    Garbled,
    Record,
    SerialLine,
    Sighting,
    Step,
    Talk,
    note,
    subscribe,
    write,
)
from gateway.drivers.ble_common import NoReading, bond, emit_or_note, introduce
from gateway.drivers.ble_time import step_s
from gateway.drivers.framing import Framer, next_frame
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind, OffScale

SERVICES = frozenset({"c14d2c0a-401f-b7a9-841f-e2e93b80f631", "11223344-5566-7788-99aa-bbccddeeff00"})
CHANNEL = "81eb77bd-89b8-4494-8a09-7f83d986ddc7"
"""Notifies, and is written to. Another maker's Bluetooth module: other devices have it, too, so names decide."""
NAMES = ("101", "EH-MC10")
"""How names begin: the meter's number, 101C00028D9, or the module's."""

REPLY_TIMEOUT_S = 3.0
"""At 9600 baud a record takes 40 ms; a meter that has not gone on by then has told everything, or is off."""

QUANTITY = "glucose_mmol_l"
LO_MG_DL, HI_MG_DL = 9, 601
"""Numbers that stand for what lies below 10 and above 600."""


def recognise_ble(sighting: Sighting) -> bool:
    """The module's service under one of their names."""
    return bool(SERVICES & sighting.services) and sighting.name.startswith(NAMES)


def recognise_serial(sighting: Sighting) -> bool:
    """Never by itself: a serial adapter does not say what hangs on it, so the settings do."""
    return False


def talk_ble(context: Context) -> Talk:
    """Pair, introduce, start, and read every record."""
    yield from bond()
    yield from introduce()
    yield from subscribe(CHANNEL)
    framer = Framer(_cut)
    yield from write(CHANNEL, request("&TB"))
    if (yield from next_frame(framer, REPLY_TIMEOUT_S, channel=CHANNEL)) is not None:
        yield from write(CHANNEL, request("&N0"))
    yield from _records(framer, CHANNEL)


def talk_serial(context: Context) -> Talk:
    """Read every record."""
    framer = Framer(_cut)
    yield from write("", request("&EZ", wired=True))
    yield from _records(framer, "")


def _records(framer: Framer, channel: str) -> Step[None]:
    """Emits what comes until nothing more does. Nothing is acknowledged, deleted or remembered."""
    while (data := (yield from next_frame(framer, REPLY_TIMEOUT_S, channel=channel))) is not None:
        if not data.strip():
            continue
        made: Record | NoReading | None
        try:
            result = message(data).result
            made = None if result is None else record_of(result)
        except Garbled as garbled:  # one bad record must not cost those behind it
            made = NoReading(why=f"garbled_{garbled.error}")
        yield from emit_or_note(made)
    if framer.skipped or framer.flush():
        yield from note("error", "garbled_bytes")


# --- what a record is --------------------------------------------------------------------------------------


def record_of(it: "Result") -> Record:
    """The reading in a record. Its key is time and value: there are no record numbers."""
    beyond = {LO_MG_DL: OffScale.LO, HI_MG_DL: OffScale.HI}.get(it.mg_dl)
    number = Decimal(it.mg_dl)
    return Record(
        kind=Kind.GLUCOSE,
        key=f"{it.time.isoformat()}#{it.mg_dl}",
        values={} if beyond is not None else {QUANTITY: canonical(QUANTITY, number, "mg/dL")},
        off_scale={} if beyond is None else {QUANTITY: beyond},
        shown=() if beyond is not None else (Shown(quantity=QUANTITY, value=str(number), unit="mg/dL"),),
        device_time=it.time,
        time_step_s=step_s(it.time),
    )


# --- the frames --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A stored result: when, how much, and the words behind it, which nobody has explained."""

    time: datetime
    mg_dl: int
    rest: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, either way: its first word, the others, its checksum, and the result in it."""

    command: str
    words: tuple[str, ...]
    crc: int
    wired: bool
    result: Result | None


_MESSAGE = re.compile(rb"(&[!-~]+(?: [!-~]+)* )\x1e?(\x06?)([0-9]{1,5})[\r\n]*")
"""What the checksum is of: everything to the last blank, and that blank. On a wire 06 introduces the checksum (two
apps: after a record there is 1E before it), and a carriage return ends the message."""
_BEGINS = re.compile(rb"&[!-~\x06\x1e\r\n ]*")
_RESULT = re.compile(r"&N(?P<date>[0-9]{10}|20[0-9]{10}|20[0-9]{12})")
"""The date may have two digits of the year or four, and seconds or none."""
_SHORT_DATE, _LONG_DATE = len("yymmddHHMM"), len("yyyymmddHHMMSS")
_MG_DL = re.compile(r"[0-9]{1,4}")


def request(command: str, *, wired: bool = False) -> bytes:
    """A command with its checksum."""
    text = f"{command} ".encode()
    return text + b"\x06" * wired + str(crc16(text)).encode() + b"\r" * wired


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def message(data: bytes) -> Message:
    """A whole message; raises Garbled: header, grammar, missing_checksum, checksum, datetime_range."""
    if not data.startswith(b"&"):
        raise Garbled("header")
    if not _BEGINS.fullmatch(data):
        raise Garbled("grammar")
    match = _MESSAGE.fullmatch(data)
    if match is None:
        raise Garbled("missing_checksum")
    crc = int(match[3])
    if crc != crc16(match[1]):
        raise Garbled("checksum")
    command, *words = match[1].decode().split()
    return Message(
        command=command, words=tuple(words), crc=crc, wired=bool(match[2]), result=_result(command, words)
    )


def _result(command: str, words: list[str]) -> Result | None:
    match = _RESULT.fullmatch(command)
    if match is None:
        return None  # a request, the meter's data, or the head of a list
    if not words or not _MG_DL.fullmatch(words[0]):
        raise Garbled("grammar")
    date = (match["date"] if len(match["date"]) > _SHORT_DATE else f"20{match['date']}").ljust(_LONG_DATE, "0")
    try:
        time = datetime.strptime(date, "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        raise Garbled("datetime_range") from None
    return Result(time=time, mg_dl=int(words[0]), rest=tuple(words[1:]))


_LINE_ENDS = b"\r\n"


def _cut(buffer: bytes) -> int:
    """See `Cut`: a message has no length and on Bluetooth no end, so its true checksum is what ends it. The line
    end that may follow is cut off by itself."""
    if buffer[0] in _LINE_ENDS:
        return 1
    if not buffer.startswith(b"&"):
        at = buffer.find(b"&")
        return -(at if at >= 0 else len(buffer))
    again = buffer.find(b"&", 1)
    text = buffer if again < 0 else buffer[:again]
    for blank in re.finditer(rb" \x1e?\x06?(?=[0-9])", text):
        digits = re.compile(rb"[0-9]{1,5}").match(text, blank.end())
        if digits and digits[0] == str(crc16(text[: blank.start() + 1])).encode():
            return digits.end()
    return -again if again > 0 else 0


def decode(data: bytes) -> dict[str, Any]:
    """One message as fields."""
    it = message(data)
    fields: dict[str, Any] = {"command": it.command, "crc": it.crc, "wired": it.wired}
    if it.result is None:
        return fields | ({"words": list(it.words)} if it.words else {})
    beyond = {LO_MG_DL: "low", HI_MG_DL: "high"}.get(it.result.mg_dl, "in_range")
    return fields | {
        "command": "&N",
        "time": it.result.time.isoformat(),
        "analyte": "glucose",
        "mg_dL": it.result.mg_dl,
        "range": beyond,
        "rest": list(it.result.rest),
    }


DECODERS: Mapping[str, Decoder] = {"acon.oncall": decode}

_SOURCE = "chinnsenn2/JamBoBleSDK OnCallBloodSugar.java (Bluetooth), NET201X/KangShuoTech ClsQCTDeviceComAKBG.cs."
_QUIRKS = (
    "A checksum in decimal digits. 9 mg/dL stands for LO, 601 for HI. A record without a time that can be read is "
    "refused. Two equal results within one minute become one reading."
)
_PROVEN_BY = (
    "Only published commands, whose checksums are true, and a virtual meter. How a record is written is known "
    "from two apps and not in full: its date is an assumption, and how control solution is marked is not known, "
    "so it would be taken for a person's. Compare a first reading with the meter's display."
)
BLE_DRIVER = Driver(
    name="ble.acon_oncall",
    transport="ble",
    recognise=recognise_ble,
    talk=talk_ble,
    devices='ACON On Call (艾科) Sure Sync and others with Bluetooth: "101C00028D9", "EH-MC10".',
    source=_SOURCE,
    quirks=_QUIRKS,
    proven_by=_PROVEN_BY,
    proof=Proof.AGREED,
    doubts=frozenset({Doubt.CONTROL, Doubt.TIMES}),
    services=SERVICES,
    decoders=DECODERS,
)
SERIAL_DRIVER = Driver(
    name="serial.acon_oncall",
    transport="serial",
    recognise=recognise_serial,
    talk=talk_serial,
    devices="ACON On Call (艾科) Plus and EZ on their cable. Named in the settings.",
    source=_SOURCE,
    quirks=_QUIRKS,
    proven_by=_PROVEN_BY,
    proof=Proof.AGREED,
    doubts=frozenset({Doubt.CONTROL, Doubt.TIMES}),
    line=SerialLine(baud=9600, asks=True),
    decoders=DECODERS,
)
