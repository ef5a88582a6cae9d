"""Sinocare (三诺) glucose and uric acid meters over Bluetooth: listened to, and asked for what they kept.

The frames are `sinocare_frames`', the channels `ble_line`'s, what a value means nobody's here.
"""

from collections.abc import Mapping
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
    emit,
    note,
    time_to_set,
)
from gateway.drivers import sinocare_frames as frames
from gateway.drivers.ble_common import NoReading, emit_or_note, introduce
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.ble_time import step_s
from gateway.drivers.ble_told import FIRST_TIMEOUT_S, IDLE_TIMEOUT_S
from gateway.drivers.framing import Framer, next_or_note
from gateway.drivers.sinocare_frames import BLOOD, Command, Frame, Result
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Purpose, Shown
from gateway.wire.vocabulary import Kind, OffScale

SERVICES = frozenset({"ffe0", "ffb0"})
LINES = (Line(listen="ffe1", say=("ffe2", "ffe1")), Line(listen="ffb1", say=("ffb2",)))
NAMES = ("Sinocare", "BDE_WEIXIN_TTM", "SN-", "AW+AIR", "UG11", "JW+AIR", "JZ+Air")
"""Both services belong to Bluetooth modules that many makers buy: only the name tells whose meter it is."""

ANSWER_TIMEOUT_S = 3.0
"""A meter that answers at all does so at once; while it waits for blood it may not (the maker's kit, 3.4)."""
MEASURING_TIMEOUT_S = 60.0
"""A finger has to be pricked; each step is told, and begins the minute again."""

HISTORIES: Mapping[int, tuple[bytes, ...]] = {
    frames.CARBON: (b"\0\x01", b"\0\x05"),
    frames.CARBON_2001: (b"\0\x01", b"\0\x05"),
}
"""What to ask a machine's memory for, by sample type: 0001 glucose, 0005 uric acid. The layout of what other
machines would answer is not public; AnWen+ Air tells its memory by itself."""

SAYS_NOTHING_BYTES = 2
"""A memory frame as short as the request: our own, given back, or an empty memory."""

MEASURING_RANGE_MMOL_L = (Decimal("1.1"), Decimal("33.3"))
"""Beyond it Sinocare's glucose meters show LO and HI (the maker's kit, 4.3), whatever number a frame holds."""

BEYOND = {frames.ABOVE_RANGE: OffScale.HI, frames.BELOW_RANGE: OffScale.LO}
GLUCOSE_ONLY = frozenset({frames.WL_1, frames.ANWEN_AIR})
"""What older machines, which measure nothing but glucose, tell as an error of that number."""


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Introduce, say hello, read the memory, set the clock if staff asked for it, and listen for results."""
    yield from introduce()
    line = yield from open_line(LINES)
    conversation = _Conversation(line, context)
    try:
        yield from conversation.run()
    except Lost:
        if not conversation.told:
            raise


class _Conversation:
    """What one meter tells. A meter that hangs up, or says it switches off, after telling has simply finished."""

    def __init__(self, line: Line, context: Context) -> None:
        self._line = line
        self._context = context
        self._framer = Framer(frames.cut)
        self._machine: int | None = None
        self._measuring = False  # it waited for blood or began a test: the next result is of this moment
        self._beyond: OffScale | None = None  # told as an error since the last test began
        self._clock_answered = False
        self.told = False
        self._over = False

    def run(self) -> Step[None]:
        """To its end."""
        yield from say(self._line, frames.connection_test())
        yield from self._hear(ANSWER_TIMEOUT_S)
        if self._machine is None:  # it does not greet; its first result says which machine it is
            yield from self._hear()
        for which in HISTORIES.get(self._machine or 0, ()):
            yield from self._ask(frames.request(self._machine or 0, Command.HISTORY, which))
        if self._context.set_clock_to is not None:
            yield from self._set_clock((yield from time_to_set(self._context)))
        if self._machine is not None:
            yield from self._hear()

    def _ask(self, request: bytes) -> Step[None]:
        if not self._over:
            yield from say(self._line, request)
            yield from self._hear(ANSWER_TIMEOUT_S)

    def _set_clock(self, moment: datetime) -> Step[None]:
        """Only now, as what was read from the memory is in the time of the old clock."""
        request = frames.set_time(self._machine or 0, moment)
        if request is None:
            yield from note("error", "clock_not_settable")
            return
        yield from self._ask(request)
        if self._clock_answered:
            yield from note("clock_set", moment.replace(second=0, microsecond=0).isoformat())
        else:
            yield from note("error", "clock_not_confirmed")

    def _hear(self, timeout_s: float | None = None) -> Step[None]:
        """Takes frames until nothing comes for `timeout_s`, or for as long as is worth waiting, or it is off."""
        while not self._over:
            patience_s = self._patience_s() if timeout_s is None else timeout_s
            data = yield from next_or_note(self._framer, patience_s, channel=self._line.listen)
            if data is None:
                return
            if data != frames.CR_LF:
                yield from self._take(data)

    def _patience_s(self) -> float:
        if self._measuring:
            return MEASURING_TIMEOUT_S
        return IDLE_TIMEOUT_S if self.told else FIRST_TIMEOUT_S

    def _take(self, data: bytes) -> Step[None]:
        try:
            it = frames.frame(data)
            if it.payload != frames.GREETING:  # our own, given back, says nothing of the meter
                self._machine = it.machine
            measured = frames.result(it)
        except Garbled as garbled:  # one bad frame must not cost those behind it
            yield from note("error", f"garbled_{garbled.error}")
            return
        match it.command:
            case Command.WAITING_FOR_BLOOD | Command.TEST_STARTED:
                self._measuring, self._beyond = True, None
            case Command.POWER_OFF | Command.BLUETOOTH_OFF:
                self._over = True
            case Command.SET_TIME:
                self._clock_answered = True
            case Command.ERROR:
                live = self._measuring
                self.told, self._measuring = True, False
                yield from self._error(it, live=live)
            case Command.HISTORY_BY_INDEX if measured is None:
                pass  # the number of the newest record
            case _ if it.command in frames.RESULTS:
                yield from self._result(it, measured)

    def _error(self, it: Frame, *, live: bool) -> Step[None]:
        number = frames.error_number(it)
        beyond = BEYOND.get(number) if it.machine in GLUCOSE_ONLY else None
        if beyond is None:
            yield from note("error", frames.ERRORS.get(number, f"error_{number}"))
        elif beyond is not self._beyond:  # an error state may be told more than once
            self._beyond = beyond
            yield from emit(Record(kind=Kind.GLUCOSE, key="", off_scale={"glucose_mmol_l": beyond}, live=live))

    def _result(self, it: Frame, measured: Result | None) -> Step[None]:
        if len(it.payload) <= SAYS_NOTHING_BYTES:
            return
        self.told = True
        just_now = self._measuring and it.command == Command.RESULT
        if just_now:
            self._measuring = False
        if measured is None:
            yield from note("error", f"unknown_layout_{it.machine:04X}")
            return
        try:
            made = record_of(measured, just_now=just_now)
        except Garbled as garbled:
            made = NoReading(why=garbled.error)
        yield from emit_or_note(made)


# --- what a result is --------------------------------------------------------------------------------------

KINDS = {
    "glucose": (Kind.GLUCOSE, "glucose_mmol_l"),
    "uric_acid": (Kind.URIC_ACID, "urate_umol_l"),
}
DECLARED = {"mmol/L": "mmol/L", "mg/dL": "mg/dL", "umol/L": "µmol/L"}


def record_of(it: Result, *, just_now: bool = False) -> Record | NoReading:
    """The reading in a result, or why it is none; `just_now` where this conversation saw it being taken.

    Raises Garbled("unknown_unit") for a unit that analyte has not.
    """
    if it.analyte not in KINDS:
        return NoReading(why="unsupported_analyte")
    if it.old_sample or it.sample not in (None, BLOOD, frames.CONTROL_SOLUTION, frames.FOREIGN_CONTROL):
        return NoReading(why="unknown_sample")
    if it.range == "contradictory":
        return NoReading(why="contradictory_range")
    kind, quantity = KINDS[it.analyte]
    value = canonical(quantity, it.value, DECLARED.get(it.unit, it.unit))
    beyond = _off_scale(it, value)
    if beyond is OffScale.HI and it.is_without_unit:  # or mg/dL: nobody may be told HI for what is none
        return NoReading(why="unknown_unit")
    flags = []
    if it.clock_not_set:
        # Without a clock "now" is all that is known, and only of what is measured now.
        flags.append("time_fault" if just_now else "clock_not_set")
    shown = Shown(quantity=quantity, value=f"{it.value:f}", unit=DECLARED[it.unit])
    return Record(
        kind=kind,
        key=key_of(it),
        values={} if beyond else {quantity: value},
        off_scale={quantity: beyond} if beyond else {},
        shown=() if beyond else (shown,),
        device_time=it.time,
        time_step_s=step_s(it.time),
        live=just_now,
        purpose=Purpose.PATIENT if it.sample in (None, BLOOD) else Purpose.CONTROL,
        flags=tuple(flags),
    )


def key_of(it: Result) -> str:
    """The record's own name, the same live and out of the memory: order number and time in the 2000 family; time
    and value in older machines, which number their records only in the memory. Where the calendar is empty the
    value belongs to it, as order numbers begin again when the memory is cleared."""
    if it.time is not None:
        moment = it.time.isoformat()
        return f"{moment}#{it.value}" if it.sample is None else f"{it.order}@{moment}"
    return "" if it.order is None else f"{it.order}#{it.value}"


def _off_scale(it: Result, value: Decimal) -> OffScale | None:
    match it.range:
        case "high":
            return OffScale.HI
        case "low":
            return OffScale.LO
        case "not_provided" if it.analyte == "glucose":
            least, most = MEASURING_RANGE_MMOL_L
            return OffScale.LO if value < least else OffScale.HI if value > most else None
        case _:
            return None


DRIVER = Driver(
    name="ble.sinocare",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Sinocare 三诺 glucose and uric acid meters with Bluetooth: WL-1, WL-2, 安稳+Air, GM501 智惠, "
    "SC301 优智, SG901 Air, 臻准2000/3000, UA Ring/Pro/Plus, UG Plus, UG-23, EA-19, EA-23.",
    source="The maker's own frames with what the meters showed (SDK设备返回格式.xlsx), its error table of "
    "2022-07-15, SDConstant.h and the READMEs of its kits; five public apps.",
    quirks="HI and LO frames still hold a number: it is never taken. Machines 0004 and 0012 have no such flag: "
    "beyond 1.1 to 33.3 mmol/L, and as errors 11 and 12, they mean HI and LO. That mg/dL of 0012 comes in tenths "
    "only one app says. Its memory tells no unit and is taken for mmol/L, which meters for China show; a number "
    "beyond that range may be mg/dL and is refused. A meter whose clock was never set says so: what is measured "
    "now counts as now, what it kept has no trusted time. Nobody can ask for its time, and what a result says "
    "tells nothing of the clock: it may be told late. Only machine 0004's clock can be set, to the minute; its "
    "memory comes in packages whose layout is not public, and is not asked for. The 2000 family is asked by "
    "sample type. Of 000A, 0018, 0020, 0024, 2002 and others the layout is not public: their results are noted as "
    "errors, and their bytes kept. The old WL-1 has no seconds: two equal values within a minute become one "
    "reading.",
    proven_by="Frames of eight meters published by the maker with what the display said, captured frames of a "
    "WL-1 and a 安稳+Air, commands of five apps, transcripts, a virtual meter. No conversation with a real one "
    "yet; reading the memory of the 2000 family, setting the clock and control solution are unproven.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.CONTROL, Doubt.MEMORY, Doubt.CLOCK}),
    services=SERVICES,
    names=NAMES,
    sets_clock=True,
    decoders=frames.DECODERS,
)
