"""Bionime Rightest glucose meters with Bluetooth (GM700SB, GM550): unlocked, asked record by record, locked again.

The frames are `bionime_frames`'. The maker's protocol is not public: two programs that speak it are the source.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from gateway.conversation import (
    Context,
    Driver,
    Garbled,
    Record,
    Refused,
    Sighting,
    Silence,
    Step,
    Talk,
    note,
    remember,
    subscribe,
    wait,
    write,
)
from gateway.drivers import bionime_frames as frames
from gateway.drivers.bionime_frames import About, Command, Glucose
from gateway.drivers.ble_common import NoReading, bond, emit_or_note
from gateway.drivers.ble_time import step_s
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Purpose, Shown
from gateway.wire.vocabulary import Kind, OffScale

SERVICE = "fee0"
LOCK, ANSWERS, QUESTIONS = "fee1", "fee2", "fee3"
UNLOCKED, LOCKED = b"\0", b"\1"

_SERIAL = re.compile(r"[0-9]{4}[A-Z]{2,4}[0-9]{3,5}(\(.\))?")
"""Its name is its serial number, such as 2782WBC1987(C)."""
_MAKERS_NAME = re.compile(r"GM[0-9]|RIGHTEST|BIONIME", re.IGNORECASE)
"""The service alone says nothing: wristbands have it, too."""

SETTLE_TIMEOUT_S = 2.0
"""It tells its number once it is listened to, and needs half a second to lock its keys."""
ANSWER_TIMEOUT_S = 5.0
TRIES = 3
MOST_STRAYS = 32
MARK_EVERY = 10
"""Records between two marks: so many are read again after a loss."""


def recognise(sighting: Sighting) -> bool:
    """The service, and a name of the maker or a serial number like its own."""
    name = _name_of(sighting)
    return SERVICE in sighting.services and (_SERIAL.fullmatch(name) or _MAKERS_NAME.match(name)) is not None


def _name_of(sighting: Sighting) -> str:
    return sighting.name.strip("\0 ")


def talk(context: Context) -> Talk:
    """Unlock, read what is new, and lock again whatever happened: else the meter shows PCL, and that is all."""
    yield from bond()
    yield from note("maker", "Bionime")
    meter = _Meter(context)
    yield from meter.open()
    try:
        yield from meter.read()
    except (Garbled, Refused):
        yield from meter.lock()
        raise
    yield from meter.lock()


class _Meter:
    """One conversation."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._parts: list[bytes] = []
        self._serial = ""
        self._command = Command.RECORD

    def open(self) -> Step[None]:
        """Listens, hears the serial number, and unlocks the meter. Raises Garbled("no_serial")."""
        yield from subscribe(ANSWERS)
        event = yield from wait(SETTLE_TIMEOUT_S)
        told = "" if isinstance(event, Silence) else frames.serial_number(event.data)
        name = _name_of(self._context.sighting)
        self._serial = name if _SERIAL.fullmatch(name) else told
        if not self._serial:  # it is part of every reading's identity
            raise Garbled("no_serial")
        yield from note("serial", self._serial)
        yield from write(LOCK, UNLOCKED)
        yield from wait(SETTLE_TIMEOUT_S)

    def lock(self) -> Step[None]:
        """Gives the meter back to its owner."""
        try:
            yield from write(LOCK, LOCKED)
        except Refused:
            yield from note("error", "left_locked")

    def read(self) -> Step[None]:
        """What is new since the last conversation; raises Garbled("no_answer")."""
        about = yield from self._about()
        yield from note("records", str(about.total))
        known = self._known()
        if known is not None and (yield from self._is_at(known, about)):
            first = known.index + 1
        elif known is not None and about.total == about.maximum and (yield from self._back_to(known, about)):
            return
        else:
            first = 1
        for index in range(first, about.total + 1):
            if (it := (yield from self._record(index))) is None:
                continue
            yield from emit_or_note(record_of(it))
            if index % MARK_EVERY == 0 or index == about.total:
                yield from self._mark(it)

    def _about(self) -> Step[About]:
        """How many records there are. Meters of 2017 ask for another command, and for a password before it."""
        answer = yield from self._ask(Command.RECORD, b"\0\0", tries=1)
        if answer is None:
            self._command = Command.RECORD_2017
            yield from self._ask(Command.ENABLE_MEMORY, b"Bn0", tries=1)
            clock = yield from self._ask(Command.CLOCK, bytes(6), tries=1)
            if clock is not None:
                yield from self._note_clock(clock)
            answer = yield from self._ask(self._command, b"\0\0", tries=TRIES)
        if answer is None:
            raise Garbled("no_answer")
        return frames.about(answer)

    def _note_clock(self, answer: bytes) -> Step[None]:
        try:
            at = frames.clock(answer)
        except Garbled:
            return
        yield from note("clock", at.isoformat())

    def _record(self, index: int) -> Step[Glucose | None]:
        """The record at `index`, 1 being the oldest; None, and a note of why, where nobody can read it: it keeps
        no other in the meter. Raises Garbled("no_answer")."""
        answer = yield from self._ask(self._command, index.to_bytes(2, "little"), tries=TRIES)
        if answer is None:
            raise Garbled("no_answer")
        try:
            return frames.glucose(answer)
        except Garbled as garbled:
            yield from note("error", f"garbled_{garbled.error}")
            return None

    def _ask(self, command: Command, data: bytes, *, tries: int) -> Step[bytes | None]:
        """The answer to `command`, about the record that was asked for; None after silence."""
        for _ in range(tries):
            yield from write(QUESTIONS, frames.request(command, data))
            for _ in range(MOST_STRAYS):
                event = yield from wait(ANSWER_TIMEOUT_S)
                if isinstance(event, Silence):
                    break
                if event.channel != ANSWERS or (frame := self._whole(event.data)) is None:
                    continue
                try:
                    answered = frames.unwrapped(frame)
                except Garbled as garbled:
                    yield from note("error", f"garbled_{garbled.error}")
                    break
                about_records = command in (Command.RECORD, Command.RECORD_2017)
                if answered[1] == command ^ 0xFF and (not about_records or answered[2:4] == data):
                    return answered
        return None

    def _whole(self, notification: bytes) -> bytes | None:
        """A whole answer, once its last part is here. A part says of how many it is which; an answer in one need
        not."""
        if notification[:1] == b"\x4f":
            self._parts.clear()
            return notification
        if len(notification) < 2 or not 1 <= notification[1] <= notification[0]:
            return None
        parts, number = notification[0], notification[1]
        if number == 1:
            self._parts.clear()
        if number != len(self._parts) + 1:
            self._parts.clear()
            return None
        self._parts.append(notification[2:])
        if number < parts:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole

    # --- what was read before ---

    def _known(self) -> "_Mark | None":
        whose, _, rest = (self._context.last_record or "").partition(" ")
        index, _, data = rest.partition("@")
        if whose != self._serial or not _MARK.fullmatch(rest):
            return None
        return _Mark(index=int(index), data=data)

    def _mark(self, it: Glucose) -> Step[None]:
        yield from remember(f"{self._serial} {it.index}@{it.data.hex()}")

    def _is_at(self, known: "_Mark", there: About) -> Step[bool]:
        """Whether the record we read last still stands where it stood: then what is behind it is new."""
        if not 1 <= known.index <= there.total:
            return False
        it = yield from self._record(known.index)
        return it is not None and it.data.hex() == known.data

    def _back_to(self, known: "_Mark", there: About) -> Step[bool]:
        """Reads a full memory, which moves as the oldest is forgotten, from the newest to the known record."""
        newest: Glucose | None = None
        for index in range(there.total, 0, -1):
            if (it := (yield from self._record(index))) is None:
                continue
            newest = newest or it
            if it.data.hex() == known.data:
                break
            yield from emit_or_note(record_of(it))
        if newest is not None:
            yield from self._mark(newest)
        return True


_MARK = re.compile(r"[0-9]{1,5}@[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """The record that was read last: where it stood, and its six bytes."""

    index: int
    data: str


LEAST_MG_DL, MOST_MG_DL = 10, 600
"""What these meters measure; above it they set a bit, and no number is believed."""


def record_of(it: Glucose) -> Record | NoReading:
    """The reading in a record, or why it is none."""
    if it.at is None:
        return NoReading(why="garbled_datetime_range")
    beyond: OffScale | None = None
    if it.is_high or it.mg_dl > MOST_MG_DL:
        beyond = OffScale.HI
    elif it.mg_dl < LEAST_MG_DL:
        beyond = OffScale.LO
    quantity = "glucose_mmol_l"
    return Record(
        kind=Kind.GLUCOSE,
        key=f"{it.at:%Y-%m-%dT%H:%M}/{it.data.hex()}",
        values={quantity: canonical(quantity, Decimal(it.mg_dl), "mg/dL")} if beyond is None else {},
        off_scale={} if beyond is None else {quantity: beyond},
        shown=(Shown(quantity=quantity, value=str(it.mg_dl), unit="mg/dL"),) if beyond is None else (),
        device_time=it.at,
        time_step_s=step_s(it.at),
        purpose=Purpose.CONTROL if it.is_control else Purpose.PATIENT,
    )


DRIVER = Driver(
    name="ble.bionime",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Bionime Rightest GM700SB and GM550 glucose meters with Bluetooth.",
    source="Two public programs that speak the maker's protocol: markchuang56/iOS-Demo (2017) and "
    "chanwunkong/pico-vitals-gateway (Rev 1.1).",
    quirks="Its name is its serial number. The first pairing is confirmed with a key on the meter. While it is "
    "read it shows PCL, so it is given back at the end; after a lost line its owner switches it off and on. One "
    "of 2017 answers another command. The meal bits mean different things in the two programs and are left out. "
    "Above 600 mg/dL it says so in a bit, and its number is not believed; below 10 is LO. Two equal results of a "
    "minute are one reading. The clock of newer meters is not asked for.",
    proven_by="One captured record and one captured answer of an empty meter, both of 2017; by its notes, the "
    "newer program reads a real GM700SB in this order. Transcripts by hand, a virtual meter. What meters of 2017 "
    "want before they answer is not all known.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.ASKING}),
    services=frozenset({SERVICE}),
    decoders=frames.DECODERS,
)
