"""The Poctor M3102 for glucose, uric acid and ketone: a line of text, told right after the test.

Nobody has published a line of one: the layout is a maker's kit's.
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
    Lost,
    Record,
    Sighting,
    Step,
    Talk,
    note,
    subscribe,
)
from gateway.drivers.ble_common import NoReading, bond, emit_or_note, introduce
from gateway.drivers.ble_time import step_s
from gateway.drivers.framing import Framer, ending, next_frame
from gateway.proof import Doubt, Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind, OffScale

SERVICE = "00010203-0405-0607-0809-0a0b0c0d1910"
CHANNEL = "00010203-0405-0607-0809-0a0b0c0d2b10"
NAMES = ("Poctor", "POCTOR")
"""The service is a chip maker's: only the name tells whose meter it is."""

STRIP_TIMEOUT_S = 60.0
"""The meter is switched on by its strip, and tells the result when it has one; how long that takes is unknown."""
MORE_TIMEOUT_S = 10.0
"""After a result: the meter has said what it had to say."""


def recognise(sighting: Sighting) -> bool:
    """By its name."""
    return sighting.name.startswith(NAMES)


def talk(context: Context) -> Talk:
    """Pair, introduce, listen."""
    yield from bond()
    yield from introduce()
    yield from subscribe(CHANNEL)
    framer, told = Framer(ending(b"\n")), False
    while (line := (yield from _next(framer, told))) is not None:
        told = True
        made: Record | NoReading
        try:
            made = record_of(result(line))
        except Garbled as garbled:  # one bad line must not cost the result behind it
            made = NoReading(why=f"garbled_{garbled.error}")
        yield from emit_or_note(made)
    if framer.flush():
        yield from note("error", "garbled_truncated")


def _next(framer: Framer, told: bool) -> Step[bytes | None]:
    """The next line; None when no more comes. A meter that hangs up after a result has simply finished."""
    try:
        return (yield from next_frame(framer, MORE_TIMEOUT_S if told else STRIP_TIMEOUT_S, channel=CHANNEL))
    except Lost:
        if not told:
            raise
        return None


# --- what a result is --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """What a strip measures: the last `decimals` digits of a number stand behind the point."""

    analyte: str
    kind: Kind
    quantity: str
    unit: str
    decimals: int


_MEASURES = {
    0: _Measure(analyte="glucose", kind=Kind.GLUCOSE, quantity="glucose_mmol_l", unit="mmol/L", decimals=1),
    1: _Measure(analyte="uric_acid", kind=Kind.URIC_ACID, quantity="urate_umol_l", unit="µmol/L", decimals=0),
    3: _Measure(analyte="ketone", kind=Kind.KETONE, quantity="ketone_mmol_l", unit="mmol/L", decimals=1),
}


def record_of(it: "Result") -> Record | NoReading:
    """The reading in a result, or why it is none. HI and LO come without a time, and are not kept by the meter."""
    measure = _MEASURES.get(it.type)
    if measure is None:
        return NoReading(why="unsupported_analyte")
    number = it.number
    return Record(
        kind=measure.kind,
        key="" if it.time is None else f"{it.time.isoformat()}#{it.raw}",
        values={} if number is None else {measure.quantity: canonical(measure.quantity, number, measure.unit)},
        off_scale={} if it.beyond is None else {measure.quantity: it.beyond},
        shown=() if number is None else (Shown(quantity=measure.quantity, value=str(number), unit=measure.unit),),
        device_time=it.time,
        time_step_s=step_s(it.time),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line: a number with its time, or that it is beyond the range."""

    type: int
    raw: int
    time: datetime | None
    beyond: OffScale | None
    rest: tuple[str, ...]  # two words nobody has explained

    @property
    def number(self) -> Decimal | None:
        """The value in the unit of its type; None for HI and LO, and for what is of no known type."""
        measure = _MEASURES.get(self.type)
        if measure is None or self.beyond is not None:
            return None
        return Decimal(self.raw).scaleb(-measure.decimals)


_WORD = rb"([0-9]{1,6})"
_NUMBER = re.compile(rb",".join([_WORD] * 7) + rb",([\x20-\x2b\x2d-\x7e]*)" * 2)
_BEYOND = re.compile(rb"([0-9]{1,6}),([01])")
_BEYOND_WORDS = {0: OffScale.LO, 1: OffScale.HI}


def result(line: bytes) -> Result:
    """One line with its end; raises Garbled: truncated, grammar, datetime_range."""
    if not line.endswith(b"\r\n"):
        raise Garbled("truncated")
    text = line[:-2]
    if match := _BEYOND.fullmatch(text):
        kind, which = map(int, match.groups())
        return Result(type=kind, raw=which, time=None, beyond=_BEYOND_WORDS[which], rest=())
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise Garbled("grammar")
    *numbers, first, second = match.groups()
    kind, year, month, day, hour, minute, raw = map(int, numbers)
    try:
        time = datetime(year if year > 99 else 2000 + year, month, day, hour, minute)  # noqa: DTZ001
    except ValueError:
        raise Garbled("datetime_range") from None
    return Result(type=kind, raw=raw, time=time, beyond=None, rest=(first.decode(), second.decode()))


def decode(data: bytes) -> dict[str, Any]:
    """One line as fields."""
    it = result(data)
    measure = _MEASURES.get(it.type)
    fields: dict[str, Any] = {"type": it.type, "analyte": "unknown" if measure is None else measure.analyte}
    if it.beyond is not None:
        return fields | {"range": "low" if it.beyond is OffScale.LO else "high"}
    fields |= {"time": None if it.time is None else it.time.isoformat(), "raw_value": it.raw, "range": "in_range"}
    if measure is not None:
        fields[_FIELDS[measure.unit]] = it.number
    return fields | {"rest": list(it.rest)}


_FIELDS = {"mmol/L": "mmol_L", "µmol/L": "umol_L"}

DECODERS: Mapping[str, Decoder] = {"poctor.m3102": decode}

DRIVER = Driver(
    name="ble.poctor",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Poctor M3102 for glucose, uric acid and ketone.",
    source="viatomEcho/LepuBle PoctorM3102Data.kt.",
    quirks="The last digit of glucose and ketone is a decimal (mmol/L), uric acid is in µmol/L. HI and LO come "
    "without a time. Whether a result is told late nobody says, so it is of the time in it. Two equal results "
    "of one analyte within one minute become one reading.",
    proven_by="Nothing but a virtual meter: no line of a real one has been published. The layout is from one "
    "maker's kit; two words of a line are not explained, and a control solution would be taken for a person's. "
    "Compare a first reading with the meter's display.",
    proof=Proof.ONE_SOURCE,
    doubts=frozenset({Doubt.CONTROL}),
    services=frozenset({SERVICE}),
    names=NAMES,
    decoders=DECODERS,
)
