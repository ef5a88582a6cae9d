"""Bioland (爱奥乐) glucose meters over Bluetooth: asked for one record after another until they say that was all.

The frames are `bioland_frames`', the channels `ble_line`'s, what a value means nobody's here.
"""

from datetime import datetime
from decimal import Decimal

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
from gateway.drivers import bioland_frames as frames
from gateway.drivers.bioland_frames import Frame, GlucoseRecord
from gateway.drivers.ble_common import NoReading, emit_or_note, introduce
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.ble_time import step_s
from gateway.drivers.ble_told import FIRST_TIMEOUT_S, IDLE_TIMEOUT_S
from gateway.drivers.framing import Framer, next_or_note
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind, OffScale

SERVICES = frozenset({"1000", "ff00"})
LINES = (Line(listen="1002", say=("1001", "1003")), Line(listen="ff01", say=("ff01",)))
NAMES = ("Bioland-BGM",)
"""Both services are used by other makers, and by Bioland's cuffs (Bioland-BPM), for frames of their own: only the
name tells whose meter it is."""

ANSWER_TIMEOUT_S = 3.0
"""The app that does it asks again after 2 s."""
ATTEMPTS = 2
MOST_RECORDS = 1000
SAME_AGAIN = 3
"""A meter that gives its newest record to everybody who asks, and never walks, is not asked for ever."""
EARLIEST_YEAR = 2026
"""A gateway that thinks it is earlier has no clock yet, and must not give its time to a meter."""

QUANTITY = "glucose_mmol_l"
UNIT = "mg/dL"


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Introduce, greet, ask who it is and for every record, then listen for what is measured now.

    Asking sets the meter's clock. Without a clock of our own nothing is asked: the records stay where they are.
    """
    introduction = yield from introduce()
    line = yield from open_line(LINES)
    meter = _Meter(line, context, known=bool(introduction.serial))
    try:
        if context.local_now().year < EARLIEST_YEAR:
            yield from note("error", "gateway_clock_unknown")
        else:
            yield from meter.ask_all()
        yield from meter.listen()
    except Lost:
        if not meter.told:
            raise


class _Meter:
    """What one meter tells. One that hangs up after telling something has simply finished."""

    def __init__(self, line: Line, context: Context, *, known: bool) -> None:
        self._line = line
        self._context = context
        self._now = context.local_now()  # as last told to the meter
        self._set_to: datetime | None = None
        self._known = known  # its serial number is, from device information
        self._framer = Framer(frames.cut)
        self._asking = False  # a record may be the answer to a question, and of any time
        self._counting = False  # a countdown was seen since: the next record is of this moment
        self._glucose = True
        self.told = False

    def ask_all(self) -> Step[None]:
        """Who it is, then record after record; the next only when the last is on disk."""
        self._asking = True
        yield from say(self._line, frames.handshake())
        yield from self._next(ANSWER_TIMEOUT_S)
        answered = yield from self._ask(frames.INFO)
        same, last = 0, ""
        for _ in range(MOST_RECORDS):
            it = yield from self._ask(frames.RECORD)
            answered = answered or it
            if it is None or it.category != frames.RECORD:
                break
            same = same + 1 if it.data.hex() == last else 0
            last = it.data.hex()
            if same == SAME_AGAIN:
                break
        if answered is not None:
            yield from note("clock_set", self._now.isoformat())
            self._set_to = self._now

    def listen(self) -> Step[None]:
        """Until nothing more comes."""
        self._asking = self._counting = False
        while (yield from self._next(IDLE_TIMEOUT_S if self.told else FIRST_TIMEOUT_S)) is not None:
            pass

    def _ask(self, category: int) -> Step[Frame | None]:
        """The answer to a request, or None; a countdown, or a record nobody can read, is none."""
        for _ in range(ATTEMPTS):
            self._now = yield from time_to_set(self._context)
            yield from say(self._line, frames.request(category, self._now))
            while (it := (yield from self._next(ANSWER_TIMEOUT_S))) is not None:
                if it.category in (category, frames.END, frames.END_V1):
                    return it
        return None

    def _next(self, timeout_s: float) -> Step[Frame | None]:
        """The next frame, with what it holds handed over; None when nothing came for `timeout_s`."""
        while True:
            data = yield from next_or_note(self._framer, timeout_s, channel=self._line.listen)
            if data is None:
                return None
            try:
                it = frames.frame(data)
            except Garbled as garbled:
                yield from note("error", f"garbled_{garbled.error}")
                continue
            yield from self._take(it)
            return it

    def _take(self, it: Frame) -> Step[None]:
        if it.category == frames.COUNTDOWN:
            self._counting = not self._asking
        elif it.category == frames.INFO:
            yield from self._introduce(it)
        elif it.category == frames.RECORD:
            self.told = self._known = True  # too late to tell another serial number
            just_now, self._counting = self._counting, False
            yield from self._record(it, just_now)
        elif it.category in (frames.END, frames.END_V1):
            self.told = True

    def _introduce(self, it: Frame) -> Step[None]:
        told = frames.info(it)
        if told is None:
            yield from note("error", "unknown_layout")
            return
        self._glucose = told.type == frames.GLUCOSE
        if not self._known and len(set(told.serial)) > 1:
            yield from note("serial", told.serial)
        yield from note("firmware", told.version)
        if told.battery_percent is not None:
            yield from note("battery_percent", str(told.battery_percent))

    def _record(self, it: Frame, just_now: bool) -> Step[None]:
        try:
            measured = frames.record(it)
        except Garbled as garbled:
            yield from note("error", f"garbled_{garbled.error}")
            return
        if measured is None or not self._glucose:
            yield from note("error", "unknown_layout")
            return
        # The answer to the last question may come late, behind a countdown: it is of before the clock was set.
        is_late = self._set_to is not None and measured.time < self._set_to.replace(second=0, microsecond=0)
        made = record_of(measured, live=just_now and not is_late)
        yield from emit_or_note(made)


def record_of(it: GlucoseRecord, *, live: bool) -> Record | NoReading:
    """The reading in a record, or why it is none; `live` where its countdown was seen."""
    beyond = {"low": OffScale.LO, "high": OffScale.HI}.get(it.range)
    if it.mg_dl == 0:
        return NoReading(why="no_value")
    return Record(
        kind=Kind.GLUCOSE,
        key=key_of(it),
        values={} if beyond else {QUANTITY: canonical(QUANTITY, Decimal(it.mg_dl), UNIT)},
        off_scale={QUANTITY: beyond} if beyond else {},
        shown=() if beyond else (Shown(quantity=QUANTITY, value=str(it.mg_dl), unit=UNIT),),
        device_time=it.time,
        time_step_s=step_s(it.time),
        live=live,
    )


def key_of(it: GlucoseRecord) -> str:
    """The record's own name: its minute, its value, and the byte nobody knows."""
    return f"{it.time.isoformat()}#{it.mg_dl}" + (f"+{it.retain}" if it.retain else "")


DRIVER = Driver(
    name="ble.bioland",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Bioland 爱奥乐 G-500 and other glucose meters that call themselves Bioland-BGM.",
    source="Two public apps: AppiaGlucometers (with the maker's examples as tests) and LepuBle.",
    quirks="Every question carries the host's time and sets the meter's clock; what it was before cannot be "
    "asked: what the meter kept from before has no trusted time, unless it was measured right before. What "
    "follows a countdown while nothing is asked is of now. A gateway without a clock asks nothing. 18 mg/dL "
    "means LO and 707 or more HI. Times have no seconds: two equal values within a minute become one reading. "
    "Some modules are written to on 1001, others on 1003. Version 1 of the protocol is understood, but not "
    "asked for.",
    proven_by="The maker's examples in the tests of one app, layouts on which two apps agree, transcripts, a "
    "virtual meter. LO and HI are from one app only. No conversation with a real one yet.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.OFF_SCALE}),
    services=SERVICES,
    names=NAMES,
    sets_clock=True,
    decoders=frames.DECODERS,
)
