"""BLT (宝莱特, Biolight) WBP cuffs over Bluetooth: their results as they are taken, and what they kept.

The frames are `blt_frames`'. Nothing is acknowledged that would let the cuff forget, and no measurement is begun
from here: an empty cuff must not inflate by itself.
"""

from dataclasses import replace
from datetime import datetime

from gateway.conversation import (
    Context,
    Driver,
    Garbled,
    Lost,
    Record,
    Sighting,
    Step,
    Talk,
    note,
    time_to_set,
)
from gateway.drivers import blt_frames as frames
from gateway.drivers.ble_common import NoReading, emit_or_note, introduce
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.ble_told import FIRST_TIMEOUT_S, IDLE_TIMEOUT_S
from gateway.drivers.blt_frames import SYSTOLIC_BIT, Frame, Id, Result
from gateway.drivers.cuff import record_of
from gateway.drivers.framing import Framer, next_or_note
from gateway.proof import Doubt, Proof

SERVICE = "fff0"
LINE = Line(listen="fff4", say=("fff1",))
NAMES = ("BLT_WBP", "al_WBP", "AL_WBP")
"""The service belongs to Bluetooth modules that many makers buy: only the name tells whose cuff it is."""

ANSWER_TIMEOUT_S = 3.0
"""The maker's app asks the next thing after less than a second."""


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Introduce, hear its state, read its memory, set the clock if staff asked for it, and listen for results."""
    yield from introduce()
    line = yield from open_line((LINE,))
    cuff = _Cuff(line)
    try:
        yield from cuff.hear(ANSWER_TIMEOUT_S)
        yield from cuff.ask(frames.request(Id.ASK_COUNT, b"\0"))
        if cuff.keeps:
            yield from cuff.ask(frames.request(Id.ASK_STORED, bytes(3)))
        if context.set_clock_to is not None:
            yield from cuff.set_clock((yield from time_to_set(context)))
        yield from cuff.hear(IDLE_TIMEOUT_S if cuff.told else FIRST_TIMEOUT_S)
    except Lost:
        if not cuff.told:  # to hang up after telling is to have finished
            raise


class _Cuff:
    """What one cuff tells."""

    def __init__(self, line: Line) -> None:
        self.told = False
        self.keeps = 0
        self._inflated = False  # pressures were told: the next result is theirs
        self._line = line
        self._framer = Framer(frames.cut)
        self._answered = 0  # the id it last said it understood

    def ask(self, request: bytes) -> Step[None]:
        """Asks, and takes what comes of it."""
        yield from say(self._line, request)
        yield from self.hear(ANSWER_TIMEOUT_S)

    def set_clock(self, moment: datetime) -> Step[None]:
        """Only when the old clock was noted, and what was kept in its time was read."""
        self._answered = 0
        yield from self.ask(frames.set_time(moment))
        if self._answered == Id.SET_TIME:
            yield from note("clock_set", moment.isoformat())
        else:
            yield from note("error", "clock_not_confirmed")

    def hear(self, timeout_s: float) -> Step[None]:
        """Takes frames until nothing comes for `timeout_s`."""
        while (data := (yield from next_or_note(self._framer, timeout_s, channel=self._line.listen))) is not None:
            try:
                it = frames.frame(data)
            except Garbled as garbled:  # one bad frame must not cost those behind it
                yield from note("error", f"garbled_{garbled.error}")
                continue
            yield from self._take(it)

    def _take(self, it: Frame) -> Step[None]:
        match it.id:
            case Id.STATE:
                yield from self._state(it)
            case Id.STORED_COUNT:
                self.keeps = frames.stored_count(it) or 0
            case Id.STORED_BEGIN | Id.USER:
                yield from say(self._line, frames.answer(it.id))
            case Id.ANSWER if it.data:
                self._answered = it.data[0]
            case Id.PRESSURE:
                self._inflated = True
            case Id.RESULT | Id.STORED:
                self.told = True
                live = it.id == Id.RESULT and self._inflated
                self._inflated = self._inflated and not live
                measured = frames.result(it)
                made = NoReading(why="unknown_layout") if measured is None else reading_of(measured, live=live)
                yield from emit_or_note(made)

    def _state(self, it: Frame) -> Step[None]:
        if version := frames.version(it):
            yield from note("firmware", version)
        clock = frames.clock(it)
        if clock is not None and not self.told:
            yield from note("clock", clock.isoformat())
        yield from say(self._line, frames.answer(it.id))


def reading_of(it: Result, *, live: bool) -> Record | NoReading:
    """The reading in a result, or why it is none; `live` where its pressures were seen."""
    if it.failed is not None:
        return NoReading(why=f"measuring_failed_{it.failed}")
    if it.mark & SYSTOLIC_BIT:
        return NoReading(why="unknown_status")  # as with the pressure, it may be the systolic's ninth bit
    key = f"{it.time.isoformat()}#{it.systolic}/{it.diastolic}/{it.pulse}"
    made = record_of(it.systolic, it.diastolic, it.pulse, key=key, at=it.time, live=live)
    return replace(made, user_slot=it.user) if isinstance(made, Record) else made


DRIVER = Driver(
    name="ble.blt",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="BLT 宝莱特 (Biolight) WBP cuffs with Bluetooth.",
    source="The maker's own sample app in three public copies, and a captured result in another (JamBoBleSDK).",
    quirks="An AA inside a frame is sent twice. Time is in seconds since 2000; a result that follows pressures "
    "told here is of now. The memory is read, but the cuff is never told that it was: it may give the same "
    "results again, by the same names. The cuff is never made to inflate from here. Errors have numbers whose "
    "words are not public.",
    proven_by="One captured result, whose sum and time are right; the maker's app; transcripts, a virtual cuff. "
    "Reading the memory and setting the clock are from the app only. No conversation with a real one yet.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.MEMORY, Doubt.CLOCK}),
    services=frozenset({SERVICE}),
    names=NAMES,
    sets_clock=True,
    decoders=frames.DECODERS,
)
