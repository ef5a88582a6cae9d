"""Microlife cuffs with Bluetooth: A6 BT and BP3GY1-2N, which are asked for all they keep in one long answer.

The frames are `microlife_frames`'; whether the numbers can be true is `gateway.vouch`'s business.
"""

from dataclasses import replace
from datetime import datetime

from gateway.conversation import (
    Context,
    Driver,
    Garbled,
    Lost,
    Record,
    Refused,
    Sighting,
    Step,
    Talk,
    note,
    subscribe,
    time_to_set,
    write,
)
from gateway.drivers import cuff
from gateway.drivers import microlife_frames as frames
from gateway.drivers.ble_common import NoReading, bond, emit_or_note, introduce
from gateway.drivers.framing import Framer, next_frame
from gateway.drivers.microlife_frames import Op
from gateway.proof import Doubt, Proof

SERVICE = "fff0"
NOTIFICATIONS, COMMANDS = "fff1", "fff2"
NAMES = ("BP3GY", "A6 BT", "Microlife")
"""How their names begin: service fff0 is everybody's."""

REPLY_TIMEOUT_S = 5.0
"""Between two notifications of an answer: a hundred records are sixty of them, one right after the other."""


def recognise(sighting: Sighting) -> bool:
    """A Microlife name; they do not all advertise their service."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Pair, introduce, ask whose turn it is at the cuff, ask for the records, set the clock if staff want it."""
    yield from bond()
    yield from introduce()
    yield from subscribe(NOTIFICATIONS)
    line = _Line()
    about = yield from line.ask(frames.request(Op.USER))
    slot = "" if about is None else frames.user_of(about)
    wide = about is None or about.header2 != frames.A6
    answer = yield from line.ask(frames.records_request(wide=wide))
    if answer is not None:
        yield from _records(answer, slot)
    if context.set_clock_to is not None:
        yield from _set_clock(line, (yield from time_to_set(context)))
    yield from line.end()
    try:
        yield from write(COMMANDS, frames.request(Op.DISCONNECT))
    except (Refused, Lost):
        return  # it went by itself


def _records(answer: frames.Frame, slot: str) -> Step[None]:
    """Emits every record of an answer; none is ever cleared."""
    for data in frames.slots_of(answer):
        try:
            made = record_of(frames.result(answer.header2, data), slot)
        except Garbled as garbled:  # one bad record must not cost those behind it
            made = NoReading(why=f"garbled_{garbled.error}")
        yield from emit_or_note(made)


def _set_clock(line: "_Line", moment: datetime) -> Step[None]:
    answer = yield from line.ask(frames.clock_setting(moment))
    if answer is not None and answer.payload == frames.ACKNOWLEDGED:
        yield from note("clock_set", moment.isoformat())
    else:
        yield from note("error", "clock_not_set")


class _Line:
    """Questions, and their answers out of the notifications."""

    def __init__(self) -> None:
        self._framer = Framer(frames.CUT)
        self._answered = b""

    def ask(self, request: bytes) -> Step[frames.Frame | None]:
        """The answer; None where none comes. The answer before this one, told twice, is none."""
        yield from write(COMMANDS, request)
        before = self._answered
        while (data := (yield from next_frame(self._framer, REPLY_TIMEOUT_S, channel=NOTIFICATIONS))) == before:
            pass
        self._answered = data or b""
        return None if data is None else frames.frame(data)

    def end(self) -> Step[None]:
        """Says so if bytes came that were no frame."""
        if self._framer.skipped or self._framer.flush():
            yield from note("error", "garbled_bytes")


def record_of(it: frames.Result, slot: str) -> Record | NoReading:
    """The reading in a record; its key is its minute and its numbers."""
    made = cuff.record_of(
        it.systolic,
        it.diastolic,
        it.pulse,
        key=f"{it.time.isoformat()}#{it.systolic}/{it.diastolic}/{it.pulse}",
        at=it.time,
        flags=it.flags,
    )
    return made if isinstance(made, NoReading) else replace(made, user_slot=slot)


DRIVER = Driver(
    name="ble.microlife",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Microlife A6 BT and BP3GY1-2N cuffs.",
    source="derdilla/blood-pressure-monitor-fl microlife_protocol.dart, after joergmlpts/blood-pressure-monitor; "
    "markchuang56/iOS-Demo MicroLife.m (A6).",
    quirks="Two layouts of a record, told apart by the second byte of an answer: 3A ten bytes, 31 (A6) seven, "
    "with the month in the top bits of day and hour. Two equal results within one minute are one reading.",
    proven_by="One captured acknowledgement and one captured answer about the user (A6), commands with true sums; "
    "each layout of a record from one app only, with no captured record; transcripts written by hand, a virtual "
    "cuff. That an A6 takes a request for records without a time, and its name, are assumptions.",
    proof=Proof.ONE_SOURCE,
    doubts=frozenset({Doubt.ASKING}),
    services=frozenset({SERVICE}),
    names=NAMES,
    sets_clock=True,
    decoders=frames.DECODERS,
)
