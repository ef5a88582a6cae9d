"""Lepu (Creative) PC-300 and PC-200 health check boxes over Bluetooth: listened to while a customer is measured.

The frames are `lepu_pc300_frames`'. Nothing is begun from here: an empty cuff must not inflate by itself.
"""

import re
from typing import TypeAlias

from gateway.conversation import Context, Driver, Garbled, Lost, Record, Sighting, Step, Talk, note, remember
from gateway.drivers import cuff, oximeter
from gateway.drivers import lepu_pc300_frames as frames
from gateway.drivers.ble_common import NoReading, emit_or_note
from gateway.drivers.ble_line import Line, open_line, say
from gateway.drivers.framing import Framer, next_or_note
from gateway.drivers.lepu_pc300_frames import Frame, Oxygen, Strip, Temperature, Token
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind

SERVICE = "fff0"
LINE = Line(listen="fff1", say=("fff2",))
NAMES = ("PC_300", "PC-300", "GM_300", "PC-200")
"""The service is a Bluetooth module's that many makers buy: only the name tells."""

LISTEN_TIMEOUT_S = 60.0
"""A customer is measured in several ways, one after the other, and what it tells to nobody is gone. Whatever it
tells begins the minute again."""
REPEATED_WITHIN_FRAMES = 10
"""A result is told more than once. The same again with fewer frames between is the same one."""
BEFORE, LONG_AGO = 0, -REPEATED_WITHIN_FRAMES
"""In place of a frame's number: it was told to the connection before; and too long ago to be told again."""
AT_ONCE_S = 5.0
"""What a box tells again to a new connection it tells when it is greeted. A result behind such a pause may be the
next customer's, with the same number. Better twice, and without a time it links nobody, than lost."""
SETTLED_AFTER_FRAMES = 30
"""An oximeter tells its numbers every second, and nurses wait half a minute before they write one down."""
AGREEING_FRAMES, AGREE_WITHIN_PERCENT = 8, 1


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Say hello and listen. A box that hangs up after it told a result has simply finished."""
    line = yield from open_line((LINE,))
    yield from note("maker", "Lepu")
    yield from say(line, frames.request(Token.ABOUT, frames.NAME))
    framer, results = Framer(frames.FRAMES), _Results(context.last_record)
    try:
        if context.last_record:
            yield from _listen(line, framer, results, AT_ONCE_S)
            results.paused()
        yield from _listen(line, framer, results, LISTEN_TIMEOUT_S)
    except Lost:
        if not results.told:
            raise


def _listen(line: Line, framer: Framer, results: "_Results", timeout_s: float) -> Step[None]:
    """Takes frames until nothing comes for `timeout_s`."""
    while (data := (yield from next_or_note(framer, timeout_s, channel=line.listen))) is not None:
        try:
            made = results.take(frames.frame(data))
        except Garbled as garbled:
            made = NoReading(why=f"garbled_{garbled.error}")
        yield from emit_or_note(made)
        if isinstance(made, Record) and results.mark:  # an SpO2 is measured anew
            yield from remember(results.mark)


Key: TypeAlias = tuple[int, int]
"""Of what kind a result is: token and type."""
_REMEMBERED = re.compile("(?:[0-9a-f]{2}){2,}")


def _results_in(mark: str | None) -> dict[Key, bytes]:
    """What was remembered, see `_Results.mark`."""
    words = [bytes.fromhex(word) for word in (mark or "").split() if _REMEMBERED.fullmatch(word)]
    return {(word[0], word[1]): word[2:] for word in words}


class _Results:
    """Which frames are results, and which of them are new. None of them has a time or a number, so the last ones
    are remembered: what is told first thing to a new connection may be what was told to the one before."""

    def __init__(self, mark: str | None) -> None:
        self.told = False
        self._count = 0
        self._last = {key: (data, BEFORE) for key, data in _results_in(mark).items()}  # and at which frame
        self._oxygen: list[int] = []
        self._oxygen_told = False
        self._going_on: set[Token] = set()  # what told its steps: the next result of it is theirs

    def take(self, it: Frame) -> Record | NoReading | None:
        """The reading in a frame, why a result is none, or None where it is no new result. Raises Garbled."""
        self._count += 1
        made = self._made(it)
        if isinstance(made, Record):
            self.told = True
        return made

    def _made(self, it: Frame) -> Record | NoReading | None:
        match it.token, it.type:
            case Token.PRESSURE, _:
                self._last.pop((Token.PRESSURE_RESULT, frames.RESULT), None)
                self._going_on.add(Token.PRESSURE)
                return None
            case Token.OXYGEN, frames.RESULT:
                return self._settled(frames.oxygen(it))
            case Token.PRESSURE_RESULT, frames.RESULT if it.data and self._is_new(it):
                bp = frames.pressure(it)
                flags = ("irregular_pulse",) if bp.is_irregular else ()
                live = self._was_seen(Token.PRESSURE)
                return cuff.record_of(bp.systolic, bp.diastolic, bp.pulse, mean=bp.mean, live=live, flags=flags)
            case Token.PRESSURE_RESULT, frames.FAILURE if it.data and self._is_new(it):
                self._was_seen(Token.PRESSURE)
                return NoReading(why=frames.pressure_error(it))
            case ((Token.GLUCOSE | Token.STRIP), _) if it.data and self._is_new(it):
                found = frames.strip(it)
                return NoReading(why="unsupported_analyte") if found is None else strip_record(found)
            case Token.TEMPERATURE, frames.RESULT if it.data:
                heat = frames.temperature(it)
                if not heat.is_final:
                    self._going_on.add(Token.TEMPERATURE)
                    self._not_again((Token.TEMPERATURE, frames.RESULT))
                    return None
                live = self._was_seen(Token.TEMPERATURE)
                return temperature_record(heat, live=live) if self._is_new(it) else None
            case _:
                return None

    def _was_seen(self, token: Token) -> bool:
        """Whether the result that was just told was seen being taken; asked once for each."""
        seen = token in self._going_on
        self._going_on.discard(token)
        return seen

    @property
    def mark(self) -> str:
        """The last result of each kind, for the next connection."""
        return " ".join(f"{token:02x}{type_:02x}{data.hex()}" for (token, type_), (data, _) in self._last.items())

    def paused(self) -> None:
        """It has fallen silent: what it had to tell again it has told."""
        self._not_again(*self._last)

    def _not_again(self, *keys: Key) -> None:
        """A result of these kinds is no repetition of what the connection before was told."""
        for key in keys:
            data, count = self._last.get(key, (b"", LONG_AGO))
            if count == BEFORE:
                self._last[key] = (data, LONG_AGO)

    def _is_new(self, it: Frame) -> bool:
        is_glucose = it.token in (Token.GLUCOSE, Token.STRIP) and it.type == frames.GLUCOSE
        key = (Token.GLUCOSE if is_glucose else it.token, it.type)
        before, count = self._last.get(key, (b"", 0))
        self._last[key] = (it.data, self._count)
        return before != it.data or self._count - count > REPEATED_WITHIN_FRAMES

    def _settled(self, now: Oxygen) -> Record | None:
        """One reading of a finger: when its numbers have come to rest."""
        if now.is_off or not 0 < now.spo2 <= 100 or not now.pulse:
            self._oxygen, self._oxygen_told = [], False
            return None
        self._oxygen.append(now.spo2)
        last = self._oxygen[-AGREEING_FRAMES:]
        at_rest = len(self._oxygen) >= SETTLED_AFTER_FRAMES and max(last) - min(last) <= AGREE_WITHIN_PERCENT
        if self._oxygen_told or not at_rest:
            return None
        self._oxygen_told = True
        return oximeter.record_of(now.spo2, now.pulse)


# --- what a result is --------------------------------------------------------------------------------------

_STRIPS = {
    "glucose": (Kind.GLUCOSE, "glucose_mmol_l"),
    "uric_acid": (Kind.URIC_ACID, "urate_umol_l"),
    "cholesterol": (Kind.LIPID_PANEL, "total_cholesterol_mmol_l"),
}


def strip_record(it: Strip) -> Record | NoReading:
    """The reading of a strip. A scale that two programs see differently is refused."""
    kind, quantity = _STRIPS[it.analyte]
    if it.beyond is not None:
        return Record(kind=kind, key="", off_scale={quantity: it.beyond})
    if it.value is None:
        return NoReading(why="unknown_unit")
    return Record(
        kind=kind,
        key="",
        values={quantity: canonical(quantity, it.value, it.unit)},
        shown=(Shown(quantity=quantity, value=str(it.value), unit=it.unit),),
    )


def temperature_record(it: Temperature, *, live: bool) -> Record | NoReading:
    """The reading of a thermometer that has come to its end."""
    quantity = "body_temperature_cel"
    if it.beyond is not None:
        return Record(kind=Kind.BODY_TEMPERATURE, key="", off_scale={quantity: it.beyond}, live=live)
    if it.celsius is None:
        return NoReading(why="no_value")
    return Record(
        kind=Kind.BODY_TEMPERATURE,
        key="",
        live=live,
        values={quantity: canonical(quantity, it.celsius, "°C")},
        shown=(Shown(quantity=quantity, value=str(it.celsius), unit="°C"),),
    )


DRIVER = Driver(
    name="ble.pc300",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Lepu (Creative) PC-300 and PC-200 health check boxes: blood pressure, SpO2, temperature, and of the "
    "meter plugged into them glucose, uric acid and cholesterol.",
    source="Lepu's Bluetooth kit (viatomEcho/LepuBle, Pc300BleResponse), a demonstration program of the maker's "
    "protocol, and frames that a French project shows.",
    quirks="Results have neither time nor number and are told more than once: the same again within ten frames is "
    "one result, also first thing to the next connection, and glucose comes on two tokens. Glucose in mg/dL is "
    "refused, as two programs disagree on its scale by ten. A temperature counts when the box says that it is "
    "final, an SpO2 after half a minute, at rest. A pressure or a temperature that follows its own steps is of "
    "now. Nothing is asked for but its name; its clock is of no use to results without a time.",
    proven_by="Captured frames of a glucose, an SpO2 and a temperature; their layouts, and blood pressure's, from "
    "two programs. Uric acid and cholesterol from one. What it tells again when connected again nobody says. "
    "Transcripts by hand, a virtual box.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.VALUES, Doubt.MEMORY}),
    services=frozenset({SERVICE}),
    names=NAMES,
    decoders=frames.DECODERS,
)
