"""Glucose meters that speak the Bluetooth SIG Glucose Service: asks for the records since last time, oldest first.

The frames are `ble_glucose_frames`', the control point's words `ble_racp`'s, where makers leave the specification
`ble_glucose_makers`', what a value means nobody's here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from gateway.conversation import (
    Arrived,
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
    time_to_set,
    wait,
    write,
)
from gateway.drivers import ble_glucose_frames as frames
from gateway.drivers import ble_glucose_makers as makers
from gateway.drivers import ble_racp as racp
from gateway.drivers.ble_common import NoReading, bond, emit_or_note, introduce, subscribe_if_there
from gateway.drivers.ble_racp import RACP, Code
from gateway.drivers.ble_time import step_s
from gateway.drivers.ieee11073 import off_scale
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Purpose, Shown
from gateway.wire.vocabulary import Kind, Meal, OffScale

SERVICE = "1808"
MEASUREMENT = "2a18"
CONTEXT = "2a34"

TRANSFER_TIMEOUT_S = 30.0
"""Glucose Profile 1.0: a collector's timer is 30 s, restarted by every notification."""
COUNT_TIMEOUT_S = 10.0
"""Counting reads no records, and what follows does not depend on it."""
ABORT_TIMEOUT_S = 5.0
"""An abort is a courtesy to a meter already in trouble; it is not worth a customer's time."""


def recognise(sighting: Sighting) -> bool:
    """A glucose service under a name. Meters that use it for uric acid, too, are known by their names alone
    (`benecheck_gls` stands before this driver), and a name comes a moment after the first advertisement."""
    return SERVICE in sighting.services and sighting.name != ""


def talk(context: Context) -> Talk:
    """Pair, introduce, then everything since the last record; everything there is, if that record is gone."""
    yield from bond()
    about = yield from introduce()
    habits = makers.habits_of(about.maker)
    clock = yield from makers.read_clock(habits)
    yield from subscribe(MEASUREMENT)
    has_context = yield from subscribe_if_there(CONTEXT)
    yield from subscribe(RACP)
    last = _Mark.parse(context.last_record)
    done = last is not None and (yield from _Transfer(habits, has_context=has_context, since=last).run())
    if not done and (yield from _count()) != 0:
        yield from _Transfer(habits, has_context=has_context, since=None).run()
    if context.set_clock_to is not None:
        yield from makers.set_clock(clock, (yield from time_to_set(context)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """The last record of the previous conversation: its sequence number, and its whole key to know it again."""

    sequence_number: int
    key: str

    @classmethod
    def parse(cls, text: str | None) -> "_Mark | None":
        number, _, _ = (text or "").partition("@")
        believable = number.isascii() and number.isdigit() and len(number) <= len("65535")
        if text is None or not believable or int(number) > 0xFFFF:
            return None
        return cls(sequence_number=int(number), key=text)


class _Transfer:
    """One report of records. Asked for `since`, that very record must come first, or the memory is another one.

    The specification's way would be to ask from the number after it. But a meter whose memory failed counts from
    0 again (GLS 1.0, 3.1): the new records below the old number would never be asked for. One record read
    twice is the price of noticing.
    """

    def __init__(self, habits: makers.Habits, *, has_context: bool, since: _Mark | None) -> None:
        self._habits = habits
        self._has_context = has_context
        self._since = since
        self._same_memory = since is None
        self._started = False
        self._offset_min: int | None = 0  # sent with the first record, and again when it changes (GLS 1.0, 3.1)
        self._waiting: dict[int, tuple[frames.Measurement, int | None]] = {}  # for a context, one per number
        self._early: dict[int, frames.GlucoseContext] = {}  # contexts that came before their measurement
        self._last_key = ""
        self._unsure = False

    def run(self) -> Step[bool]:
        """Asks and takes what comes. False: start again from the first record. Raises Garbled if it went wrong."""
        yield from _ask(racp.REPORT_ALL if self._since is None else racp.report_from(self._since.sequence_number))
        while not isinstance(event := (yield from wait(TRANSFER_TIMEOUT_S)), Silence):
            try:
                said = _PARSERS[event.channel](event.data) if event.channel in _PARSERS else None
            except Garbled as garbled:  # one bad frame must not keep the others in the meter
                yield from note("error", f"garbled_{garbled.error}")
                if event.channel == MEASUREMENT and frames.has_offset(event.data):
                    self._offset_min = None  # it may have been a new one, and those behind it are of its time
                continue
            match said:
                case frames.Measurement():
                    yield from self._measurement(said)
                case frames.GlucoseContext():
                    yield from self._context(said)
                case racp.Response(request_op=racp.Op.REPORT):
                    yield from self._give_up_waiting()
                    self._waiting.clear()
                    yield from self._remember()
                    return self._ended(said)
        yield from self._give_up_waiting()  # and not remembered: next time they may come with their context
        yield from _abort()
        raise Garbled("racp_no_answer")

    def _measurement(self, it: frames.Measurement) -> Step[None]:
        if it.time_offset_min is not None:
            self._offset_min = it.time_offset_min
        first, self._started = not self._started, True
        if first and self._since is not None and key_of(it) == self._since.key:
            self._same_memory = True
            return  # on disk since the last conversation
        self._last_key = key_of(it)
        context = self._early.pop(it.sequence_number, None)
        if context is None and it.context_follows and self._has_context:
            replaced = self._waiting.pop(it.sequence_number, None)
            self._waiting[it.sequence_number] = (it, self._offset_min)
            if replaced is not None:  # numbers began again while we waited
                yield from self._hand_over_alone(*replaced)
            return
        if context is None and it.context_follows:  # it will not come: we cannot hear it
            yield from self._hand_over_alone(it, self._offset_min)
        else:
            yield from self._hand_over(it, self._offset_min, context)
        yield from self._remember()

    def _context(self, it: frames.GlucoseContext) -> Step[None]:
        waiting = self._waiting.pop(it.sequence_number, None)
        if waiting is None:
            self._early[it.sequence_number] = it
            return
        yield from self._hand_over(*waiting, it)
        yield from self._remember()

    def _give_up_waiting(self) -> Step[None]:
        for measurement, offset_min in list(self._waiting.values()):
            yield from self._hand_over_alone(measurement, offset_min)

    def _hand_over_alone(self, it: frames.Measurement, offset_min: int | None) -> Step[None]:
        """A record whose context was announced and did not come."""
        if self._habits.context_decides:  # it may be ketone, and must not be called glucose
            self._unsure = True
            yield from note("error", "context_missing")
        else:
            yield from self._hand_over(it, offset_min, None)

    def _hand_over(
        self, it: frames.Measurement, offset_min: int | None, context: frames.GlucoseContext | None
    ) -> Step[None]:
        try:
            made = record_of(it, offset_min, context, self._habits)
        except Garbled as garbled:
            made = NoReading(why=f"garbled_{garbled.error}")
        yield from emit_or_note(made)

    def _remember(self) -> Step[None]:
        """Only while nothing before the last record is waiting or was refused for its missing context, and only in
        the memory we think it is."""
        if self._last_key and not self._waiting and not self._unsure and self._same_memory:
            yield from remember(self._last_key)
            self._last_key = ""

    def _ended(self, response: racp.Response) -> bool:
        match response.code:
            case Code.SUCCESS | Code.NO_RECORDS_FOUND:
                return self._same_memory
            case (
                Code.OP_NOT_SUPPORTED
                | Code.INVALID_OPERATOR
                | Code.OPERATOR_NOT_SUPPORTED
                | Code.INVALID_OPERAND
                | Code.OPERAND_NOT_SUPPORTED
            ) if self._since is not None:
                return False  # a meter that cannot choose can still report all
            case _:
                raise Garbled(f"racp_{response.name}")


_PARSERS: dict[str, Callable[[bytes], frames.Measurement | frames.GlucoseContext | racp.Said]] = {
    MEASUREMENT: frames.measurement,
    CONTEXT: frames.context,
    RACP: racp.parse,
}


def _count() -> Step[int | None]:
    """How many records the meter says it has; None where it will not say. Never relied on: it may change."""
    yield from _ask(racp.COUNT_ALL)
    while not isinstance(event := (yield from wait(COUNT_TIMEOUT_S)), Silence):
        if event.channel != RACP:
            continue
        try:
            said = racp.parse(event.data)
        except Garbled:
            return None
        match said:
            case racp.Count(count=count):
                yield from note("records", str(count))
                return count
            case racp.Response(request_op=racp.Op.REPORT_NUMBER, code=code):
                return 0 if code == Code.NO_RECORDS_FOUND else None
    return None


def _ask(request: bytes) -> Step[None]:
    """Writes `request`; a refusal may be a procedure somebody else left running (ATT 0x80): abort it, once."""
    try:
        yield from write(RACP, request)
    except Refused:
        yield from _abort()
        yield from write(RACP, request)


def _abort() -> Step[None]:
    try:
        yield from write(RACP, racp.ABORT)
    except Refused:
        return  # then there was nothing to abort
    while isinstance(event := (yield from wait(ABORT_TIMEOUT_S)), Arrived) and event.channel != RACP:
        pass  # what is still under way is a copy, and comes again


# --- what a measurement is ---------------------------------------------------------------------------------

MEALS = {1: Meal.PRE_MEAL, 3: Meal.FASTING, 4: Meal.RANDOM, 5: Meal.BEDTIME}
"""2, post-prandial, is missing on purpose: it does not say how many hours after, so the flag `after_meal` does."""
_POST_PRANDIAL = 2

_NO_RESULT = frozenset(
    {
        "sensor_malfunction",
        "sample_size",
        "strip_insertion",
        "strip_type",
        "temp_too_high",
        "temp_too_low",
        "strip_pulled",
        "general_device_fault",
    }
)
"""Announcements that take the result back (GLS 1.0, 3.1): whatever number stands there is none."""


def key_of(it: frames.Measurement) -> str:
    """The record's own name: number and base time, which setting the clock does not change (GLS 1.0, 3.1)."""
    return f"{it.sequence_number}@{it.base_time.text()}"


def record_of(
    it: frames.Measurement,
    offset_min: int | None,
    context: frames.GlucoseContext | None,
    habits: makers.Habits = makers.PLAIN,
) -> Record | NoReading:
    """The reading in a measurement, or why it is none; `offset_min` is the transfer's current time offset,
    None where nobody knows it.

    Raises Garbled("not_a_number") for a number beyond all measure.
    """
    if it.type in habits.unlisted_types:
        return NoReading(why="unlisted")
    meal = None if context is None else context.meal
    if meal == frames.MEAL_IS_KETONE:
        made = record_as(
            it,
            Kind.KETONE,
            "ketone_mmol_l",
            offset_min=offset_min,
            as_shown=makers.ketone,
            stands_for=makers.ketone_off_scale,
        )
    else:
        made = record_as(it, Kind.GLUCOSE, "glucose_mmol_l", offset_min=offset_min, stands_for=habits.off_scale)
    if isinstance(made, NoReading):
        return made
    flags = made.flags
    if meal == _POST_PRANDIAL:
        flags += ("after_meal",)
    if it.context_follows and context is None:
        flags += ("context_missing",)
    return replace(made, meal=MEALS.get(meal or 0, Meal.UNKNOWN), flags=flags)


def record_as(
    it: frames.Measurement,
    kind: Kind,
    quantity: str,
    *,
    offset_min: int | None,
    as_shown: Callable[[Decimal, str], tuple[Decimal, str]] = lambda value, unit: (value, unit),
    stands_for: Callable[[Decimal, str], OffScale | None] = makers.PLAIN.off_scale,
    key: str = "",
) -> Record | NoReading:
    """A measurement as a record of `quantity`. `as_shown`: what the display showed, where something else is sent;
    `stands_for`: HI or LO, where a number only stands for it. Raises Garbled: unknown_unit, not_a_number."""
    announced = it.status_flags
    if failed := [flag for flag in announced if flag in _NO_RESULT]:
        return NoReading(why=failed[0])
    values: dict[str, Decimal] = {}
    shown: tuple[Shown, ...] = ()
    beyond = _off_scale(it)
    if beyond is None:
        if not isinstance(it.concentration, Decimal) or it.unit is None:
            return NoReading(why="no_value")
        value, unit = as_shown(*frames.display(it.concentration, it.unit))
        beyond = stands_for(value, unit)
        if beyond is None:
            values = {quantity: canonical(quantity, value, unit)}
            shown = (Shown(quantity=quantity, value=f"{value:f}", unit=unit),)
    control = it.type == frames.CONTROL_SOLUTION_TYPE or it.location == frames.CONTROL_SOLUTION_LOCATION
    at = it.user_facing_time(offset_min)
    return Record(
        kind=kind,
        key=key or key_of(it),
        values=values,
        off_scale={} if beyond is None else {quantity: beyond},
        shown=shown,
        device_time=at,
        time_step_s=step_s(at),
        purpose=Purpose.CONTROL if control else Purpose.PATIENT,
        flags=tuple(flag for flag in announced if flag in ("battery_low", "time_fault")),
    )


def _off_scale(it: frames.Measurement) -> OffScale | None:
    announced = {"result_too_high": OffScale.HI, "result_too_low": OffScale.LO}
    said = [announced[flag] for flag in it.status_flags if flag in announced]
    if len(said) == 1:
        return said[0]
    return None if it.concentration is None else off_scale(it.concentration)


DRIVER = Driver(
    name="ble.glucose",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Any meter with the Bluetooth SIG Glucose Service 1808: Yuwell, Roche Accu-Chek, Ascensia Contour, "
    "i-SENS CareSens and others.",
    source="Bluetooth SIG Glucose Service 1.0 and Glucose Profile 1.0.",
    quirks="Meal 6 means ketone (i-SENS), sent as ten times its mmol/L in mg/dL; an i-SENS record whose "
    "context did not come is refused. Sample type 10 or location 4 is control solution. Roche: type 4 is a "
    "value the meter leaves out of its lists, numbers above 600 and below 10 mg/dL are HI and LO (i-SENS: 600 "
    "and 20). A meter that counts from 0 again is read from the beginning. The clock is read on their own "
    "channel and set on i-SENS meters only. A meter is read when its name is known: BeneCheck meters have uric "
    "acid in the same service.",
    proven_by="A captured Yuwell notification, vectors of five public libraries, transcripts, a virtual meter. "
    "The quirks of Roche and i-SENS and the setting of the clock only from public software.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.CLOCK}),
    services=frozenset({SERVICE}),
    sets_clock=True,
    decoders={**frames.DECODERS, **racp.DECODERS},
)
