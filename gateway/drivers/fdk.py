"""FDK (福达康) glucose meters and cuffs on a line, also one of classic Bluetooth. Frames and conversation.

The frames have no sum: only their head, their exact length and that no other head stands inside tell them from
noise. Both meters speak by themselves, and one byte of the head tells which it is.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from gateway.conversation import (
    Context,
    Decoder,
    Driver,
    Garbled,
    Lost,
    Record,
    SerialLine,
    Sighting,
    Step,
    Talk,
    emit,
    note,
)
from gateway.drivers.ble_common import NoReading
from gateway.drivers.cuff import record_of as pressure_of
from gateway.drivers.framing import Framer, next_or_note
from gateway.proof import Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind, OffScale

GLUCOSE_HEAD, PRESSURE_HEAD = b"\xfe\x6a\x75\x5a", b"\xfe\x6a\x73\x5a"
FRAME_BYTES = 8
STATE = 0x55  # instead of the high byte of a value: 21760 mg/dL and more
ONLINE, WAITING_FOR_BLOOD = b"\x55\xaa\xbb\xcc", b"\x55\xbb\xbb\xcc"
STATES = {ONLINE: "online", WAITING_FOR_BLOOD: "waiting_for_blood"}
TOP_BIT = 0x8000
"""Of the systolic: the app leaves it out, and does not say what it means."""

IDLE_TIMEOUT_S = 10.0
"""A countdown tells every second; ten of silence is the end of what there is to tell."""

QUANTITY, UNIT = "glucose_mmol_l", "mg/dL"
LEAST_MG_DL, MOST_MG_DL = 20, 600
"""What glucose strips measure. How it tells LO and HI is not public; beyond these it can be nothing else."""


def recognise(sighting: Sighting) -> bool:
    """An adapter does not say what hangs on it: the settings do."""
    return False


def talk(context: Context) -> Talk:
    """Listen until it falls silent."""
    framer, told, last = Framer(cut), False, b""
    while True:
        try:
            data = yield from next_or_note(framer, IDLE_TIMEOUT_S)
        except Lost:
            if not told:
                raise
            return
        if data is None:
            return
        if data[4] == STATE and data.startswith(GLUCOSE_HEAD):
            last = b""  # another test begins
        elif data != last:  # the same frame again is the same result, told twice
            told, last = True, data
            yield from _hand_over(data, live=not context.sighting.waited)


def _hand_over(data: bytes, *, live: bool) -> Step[None]:
    match record_of(data):
        case NoReading(why=why):
            yield from note("error", why)
        case Record() as record:
            yield from emit(replace(record, live=live))


def record_of(data: bytes) -> Record | NoReading:
    """The reading in a frame; neither meter tells a time or a number."""
    if data.startswith(PRESSURE_HEAD):
        systolic = int.from_bytes(data[4:6], "big")
        return pressure_of(systolic & ~TOP_BIT, data[6], data[7])
    mg_dl = int.from_bytes(data[4:6], "big")
    if not mg_dl:
        return NoReading(why="no_value")
    beyond = OffScale.LO if mg_dl < LEAST_MG_DL else OffScale.HI if mg_dl > MOST_MG_DL else None
    return Record(
        kind=Kind.GLUCOSE,
        key="",
        values={} if beyond else {QUANTITY: canonical(QUANTITY, Decimal(mg_dl), UNIT)},
        off_scale={QUANTITY: beyond} if beyond else {},
        shown=() if beyond else (Shown(quantity=QUANTITY, value=str(mg_dl), unit=UNIT),),
    )


def cut(buffer: bytes) -> int:
    """See `framing.Cut`. A head inside of a frame means that it was cut off: its bytes must not become a value."""
    heads = (GLUCOSE_HEAD, PRESSURE_HEAD)
    if not any(head.startswith(buffer[: len(head)]) for head in heads):
        found = buffer.find(GLUCOSE_HEAD[:1], 1)
        return -(found if found > 0 else len(buffer))
    if len(buffer) < FRAME_BYTES:
        return 0
    inside = buffer.find(GLUCOSE_HEAD[:2], 1)
    if 0 < inside < FRAME_BYTES:
        return -inside
    if buffer[FRAME_BYTES - 1] == GLUCOSE_HEAD[0] and len(buffer) == FRAME_BYTES:
        return 0  # the last byte may begin the next frame
    return FRAME_BYTES


def decode_glucose(data: bytes) -> dict[str, Any]:
    """A frame of a glucose meter as fields."""
    body = _body(data, GLUCOSE_HEAD)
    if body in STATES:
        return {"state": STATES[body]}
    if body[0] == STATE:
        return {"state": "countdown", "seconds": body[1]}
    mg_dl = int.from_bytes(body[:2], "big")
    return {"state": "result", "mg_dL": mg_dl, "unit": UNIT, "rest_hex": body[2:].hex()}


def decode_pressure(data: bytes) -> dict[str, Any]:
    """A frame of a cuff as fields."""
    body = _body(data, PRESSURE_HEAD)
    systolic = int.from_bytes(body[:2], "big")
    return {
        "systolic": systolic & ~TOP_BIT,
        "diastolic": body[2],
        "pulse": body[3],
        "unit": "mmHg",
        "top_bit": bool(systolic & TOP_BIT),
    }


def _body(data: bytes, head: bytes) -> bytes:
    """What follows the head; raises Garbled: grammar, truncated, trailing_bytes."""
    if data[: len(head)] != head[: len(data)]:
        raise Garbled("grammar")
    if len(data) < FRAME_BYTES:
        raise Garbled("truncated")
    if len(data) > FRAME_BYTES:
        raise Garbled("trailing_bytes")
    return data[len(head) :]


DECODERS: Mapping[str, Decoder] = {"fdk.glucose": decode_glucose, "fdk.bp": decode_pressure}

DRIVER = Driver(
    name="serial.fdk",
    transport="serial",
    recognise=recognise,
    talk=talk,
    devices="FDK 福达康 glucose meters and cuffs whose frames begin with FE 6A.",
    source="One public app (ekeng_monitor-android).",
    quirks="The frames have no checksum: only head and exact length are checked, and a frame with another head "
    "in it is refused. A result carries no time and no number: it is of now, unless it waited in the port "
    "while nobody listened, and the same one told again within ten seconds counts once. How HI, LO and errors "
    "are told is not public: beyond 20 to 600 mg/dL glucose is HI or LO. Nor is the speed of the line: 9600 is "
    "assumed, over Bluetooth it does not matter.",
    proven_by="One app only, and a cuff's bytes in its comment; transcripts, a virtual meter. No capture of a "
    "glucose result is public, and that its frame has eight bytes is taken from its other frames: unproven.",
    proof=Proof.ONE_SOURCE,
    line=SerialLine(baud=9600),
    decoders=DECODERS,
)
