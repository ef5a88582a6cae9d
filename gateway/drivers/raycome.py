"""Raycome (脉搏波) cuffs over Bluetooth: listened to while somebody measures. Frames and conversation.

The frames have no sum: only their exact length and their end tell them from noise. A measurement is never begun
from here: an empty cuff must not inflate by itself.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.conversation import Context, Decoder, Driver, Garbled, Lost, Sighting, Step, Talk, note
from gateway.drivers.ble_common import emit_or_note, introduce
from gateway.drivers.ble_line import Line, open_line
from gateway.drivers.cuff import record_of
from gateway.drivers.cursor import name_of
from gateway.drivers.framing import Framer, next_or_note
from gateway.drivers.untimed import Untimed
from gateway.proof import Proof

SERVICE = "fff0"
LINE = Line(listen="fff1", say=("fff2",))
NAMES = ("RBP", "BP06", "Bluetooth BP")
"""The service belongs to Bluetooth modules that many makers buy: only the name tells whose cuff it is."""

HEAD, END, READY = b"\xfd\xfd", b"\r\n", 0xA5
STARTED, FINISHED, COMMAND, PRESSURE, RESULT, ERROR = 0x06, 0x07, 0xFA, 0xFB, 0xFC, 0xFD
BYTES = {STARTED: 5, FINISHED: 5, PRESSURE: 7, RESULT: 8, ERROR: 6}
TYPES = {STARTED: "started", FINISHED: "finished", PRESSURE: "pressure", RESULT: "result", ERROR: "error"}
START, STOP, SET_TIME = 0x05, 0x06, 0x09
COMMANDS = {START: "start", STOP: "stop", SET_TIME: "set_time"}
COMMAND_BYTES = {START: 6, STOP: 6, SET_TIME: 12}

ERRORS = {
    0x01: "pulse_too_weak_or_cuff_leaks",
    0x02: "interference",
    0x03: "inflation_too_long",
    0x05: "result_abnormal",
    0x0B: "battery_low",
    0x0C: "calibration",
    0x0E: "device_fault",
}


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Introduce and listen. A cuff that hangs up after a result has simply finished."""
    yield from introduce()
    line = yield from open_line((LINE,))
    results = Untimed(context.last_record)
    try:
        yield from _listen(line, results)
    except Lost:
        if not results.count:
            raise


def _listen(line: Line, results: Untimed) -> Step[None]:
    framer = Framer(cut)
    while (data := (yield from next_or_note(framer, results.patience_s, channel=line.listen))) is not None:
        match data[2:3]:
            case b"\x06" | b"\xfb":
                results.going_on()
            case b"\xfd":
                results.came_to_nothing()
                yield from note("error", ERRORS.get(data[3], f"error_{data[3]}"))
            case b"\xfc" if results.is_new(data):
                yield from emit_or_note(record_of(*data[3:6], live=results.seen))
                yield from results.keep()


def cut(buffer: bytes) -> int:
    """See `framing.Cut`."""
    if buffer[0] == READY:
        return 1
    if not HEAD.startswith(buffer[:2]):
        found = [at for at in (buffer.find(HEAD[:1], 1), buffer.find(READY, 1)) if at > 0]
        return -min(found, default=len(buffer))
    size = _size(buffer)
    if size <= 0:
        return size
    if len(buffer) < size:
        return 0
    return size if buffer.startswith(END, size - len(END)) else -1


def _size(buffer: bytes) -> int:
    """The length of the frame that stands in front; 0 while it does not show, -1 where there is none."""
    if len(buffer) < 3:
        return 0
    if buffer[2] != COMMAND:
        return BYTES.get(buffer[2], -1)
    return COMMAND_BYTES.get(buffer[3], -1) if len(buffer) > 3 else 0


def decode(data: bytes) -> dict[str, Any]:
    """A Raycome frame as fields; raises Garbled: truncated, grammar, length, datetime_range."""
    if data == bytes([READY]):
        return {"type": READY, "type_name": "ready"}
    if data[:2] != HEAD[: len(data)]:
        raise Garbled("grammar")
    size = _size(data)
    if size < 0:
        raise Garbled("grammar")
    if size == 0 or len(data) < size:
        raise Garbled("truncated")
    if len(data) > size:
        raise Garbled("length")
    if not data.endswith(END):
        raise Garbled("grammar")
    fields: dict[str, Any] = {"type": data[2], "type_name": TYPES.get(data[2], "command")}
    match data[2]:
        case 0xFA:
            fields |= {"command": data[3], "command_name": name_of(data[3], COMMANDS)}
            if data[3] == SET_TIME:
                fields["time"] = _moment(data[4:10]).isoformat()
        case 0xFB:
            fields["pressure_mmHg"] = int.from_bytes(data[3:5], "big")
        case 0xFC:
            systolic, diastolic, pulse = data[3:6]
            fields |= {"systolic": systolic, "diastolic": diastolic, "pulse": pulse, "unit": "mmHg"}
        case 0xFD:
            fields |= {"error": data[3], "error_name": name_of(data[3], ERRORS)}
    return fields


def _moment(data: bytes) -> datetime:
    year, month, day, hour, minute, second = data
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - naive, as the meter says it
    except ValueError:
        raise Garbled("datetime_range") from None


DECODERS: Mapping[str, Decoder] = {"raycome.bp": decode}

DRIVER = Driver(
    name="ble.raycome",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Raycome 脉搏波 RBP-9000, RBP-9804 and BP06 cuffs, also sold by Sinocare.",
    source="Five public apps that agree on start and result; two of them on pressures; error codes from one.",
    quirks="The frames have no checksum: only their exact length and end are checked. A result carries no time "
    "and no number, and is told several times: it is of now, and two equal ones count once unless the second was "
    "seen being taken. The cuff is never made to inflate from here, nor is its clock set.",
    proven_by="Published commands, layouts on which five apps agree, transcripts, a virtual cuff. No captured "
    "result is public, and there was no conversation with a real cuff yet.",
    proof=Proof.AGREED,
    services=frozenset({SERVICE}),
    names=NAMES,
    decoders=DECODERS,
)
