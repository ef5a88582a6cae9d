"""Meters of TaiDoc (FORA, GlucoRx and others), asked record by record over Bluetooth or a serial line.

The frames are `taidoc_frames`', one question `taidoc_line`'s, a memory that moves `taidoc_memory`'s, and what its
values mean on which model `taidoc_records`'.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.conversation import (
    Context,
    Driver,
    Garbled,
    Lost,
    Refused,
    SerialLine,
    Sighting,
    Step,
    Talk,
    emit,
    note,
    subscribe,
    time_to_set,
    wait,
)
from gateway.drivers import oximeter
from gateway.drivers import taidoc_frames as frames
from gateway.drivers.ble_common import NoReading, bond, emit_or_note, introduce
from gateway.drivers.taidoc_frames import Command
from gateway.drivers.taidoc_line import NoAnswer, Pair, TaiDocLine
from gateway.drivers.taidoc_memory import Marks, read_memories
from gateway.drivers.taidoc_records import Family, family_of, record_of, users_of
from gateway.proof import Doubt, Proof

SERVICE = "00001523-1212-efde-1523-785feabcd123"
"""Copied from an example of the radio's maker, as by hobby boards, robots and toys: no evidence alone."""
HEALTH_SERVICES = frozenset({"1808", "1809", "1810", "1822"})
CHANNEL = "00001524-1212-efde-1523-785feabcd123"

NAMES = ("FORA", "TAIDOC", "TD-", "TNG")
"""How their names begin. Most advertise the glucose or the blood pressure service only, and it carries nothing."""
TELLS_BY_THE_STANDARD = re.compile(r"FORA IR20", re.IGNORECASE)
"""Names of those whose standard service does tell the measurements."""


def recognise(sighting: Sighting) -> bool:
    """One of its names, or the maker's service beside one for glucose, temperature, pressure or oxygen."""
    if not sighting.name or TELLS_BY_THE_STANDARD.match(sighting.name):
        return False
    is_a_meter = SERVICE in sighting.services and not HEALTH_SERVICES.isdisjoint(sighting.services)
    return is_a_meter or sighting.name.upper().startswith(NAMES)


def recognise_line(sighting: Sighting) -> bool:
    """Never: an adapter does not say what hangs on it, so this driver is named in the settings."""
    return False


def talk(context: Context) -> Talk:
    """Over Bluetooth: pair, introduce, read what is new, and let the meter rest."""
    yield from bond()
    yield from introduce()
    yield from subscribe(CHANNEL)
    line = TaiDocLine(CHANNEL)
    yield from line.wake()
    model = yield from line.model()
    if (yield from _read(line, context, model)):
        try:
            yield from line.say(Command.POWER_OFF)
        except (Lost, Refused):
            return  # it is off already


def talk_on_line(context: Context) -> Talk:
    """On a wire: the same, but it is left on, as it was put there to be asked. Silence: no meter is there."""
    line = TaiDocLine("")
    yield from line.wake()
    try:
        model = yield from line.model()
    except NoAnswer:
        return
    yield from _read(line, context, model)


def _read(line: TaiDocLine, context: Context, model: str) -> Step[bool]:
    """Everything a meter that is awake has to say; whether it may be switched off."""
    yield from note("maker", "TaiDoc")
    yield from note("model", f"TD-{model}")
    serial = yield from _serial(line)
    yield from _clock(line)
    family = family_of(model, context.sighting.name)
    match family:
        case Family.UNKNOWN:
            yield from note("error", "unknown_model")
            yield from line.pair(0, 0)  # its bytes are in the journal, for whoever teaches us the model
            return False
        case Family.OXIMETER:
            yield from _live(line)
            return False
        case _:

            def hand_over(pair: Pair, beside: Sequence[Pair]) -> Step[None]:
                return _hand_over(pair, beside, family)

            marks = Marks.parse(context.last_record, serial)
            yield from read_memories(line, users_of(model), marks, hand_over)
    if context.set_clock_to is not None:
        yield from _set_clock(line, (yield from time_to_set(context)))
    return True


def _hand_over(pair: Pair, beside: Sequence[Pair], family: Family) -> Step[None]:
    try:
        made = record_of(pair, beside, family)
    except Garbled as garbled:  # one bad record must not keep the others in the meter
        made = NoReading(why=f"garbled_{garbled.error}")
    yield from emit_or_note(made)


def _serial(line: TaiDocLine) -> Step[str]:
    """Sixteen digits in two halves, each with its bytes the wrong way round; "" where nobody set one.

    It is part of every reading's identity, so a meter that does not answer is not read.
    """
    high = yield from line.ask(Command.SERIAL_HIGH)
    low = yield from line.ask(Command.SERIAL_LOW)
    serial = (high.data[::-1] + low.data[::-1]).hex()
    if not serial.strip("0") or not serial.strip("f"):
        return ""
    yield from note("serial", serial)
    return serial


def _clock(line: TaiDocLine) -> Step[None]:
    answer = yield from line.ask(Command.CLOCK)
    try:
        at = frames.moment(answer.data).at
    except Garbled:
        return  # a clock nobody set
    yield from note("clock", at.isoformat())


SET_CLOCK_TIMEOUT_S = 15.0
"""What the maker's own app waits for this one answer."""
HALF_A_MINUTE = timedelta(seconds=30)


def _set_clock(line: TaiDocLine, wanted: datetime) -> Step[None]:
    """To the nearer minute: the meter's clock has no seconds to set."""
    at = (wanted + HALF_A_MINUTE).replace(second=0, microsecond=0)
    data = frames.packed(at)
    answer = yield from line.ask(Command.SET_CLOCK, data, timeout_s=SET_CLOCK_TIMEOUT_S)
    if answer.data == data:
        yield from note("clock_set", at.isoformat())
    else:
        yield from note("error", "clock_not_set")


# --- an oximeter on a finger -------------------------------------------------------------------------------

SAMPLE_EVERY_S = 3.0
SETTLING_SAMPLES, PATIENT_SAMPLES = 10, 20
"""Half a minute is what nurses wait before they write an oximeter's number down; a full one is given to it."""
MOST_SAMPLES = 60
"""A finger left in the clip is one reading, not one a minute; after three minutes its owner has gone."""
AGREEING_SAMPLES = 4
AGREE_WITHIN_PERCENT = 1


def _live(line: TaiDocLine) -> Step[None]:
    """An oximeter says what it measures now. The number counts when it has come to rest; none without a finger."""
    seen: list[int] = []
    told = False
    while len(seen) < (MOST_SAMPLES if told else PATIENT_SAMPLES):
        try:
            if seen:
                yield from wait(SAMPLE_EVERY_S)
            answer = yield from line.ask(Command.RECORD_VALUE)
        except (Lost, NoAnswer):
            if not told:
                raise
            return  # it went to sleep with the finger that left
        spo2, pulse = frames.oxygen(answer.data)
        if not (0 < spo2 <= 100 and pulse):
            break
        seen.append(spo2)
        last = seen[-AGREEING_SAMPLES:]
        if not told and len(seen) >= SETTLING_SAMPLES and max(last) - min(last) <= AGREE_WITHIN_PERCENT:
            yield from emit(oximeter.record_of(spo2, pulse))
            told = True
    if not told:
        yield from note("error", "not_settled" if seen else "no_value")


DRIVER = Driver(
    name="ble.taidoc",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="FORA 6 Connect (TD-4183), MD6, D40, GD40, P30 PLUS, IR42, O2; TaiDoc TD-3128, TD-3140, TD-4141, "
    "TD-4206, TD-4216, TD-4279, TD-8201, TD-8255 and their sisters, over Bluetooth.",
    source="Glucometer Protocols (TD-42xx), Tidepool's GlucoRx driver, three public re-implementations (FORA 6 "
    "Connect, D40 and MD6, the iFORA app), advmeds' decoders.",
    quirks="There is no record number: two equal results of the same minute cannot be told apart and become one "
    "reading. No reply says which record it is, and index 0 is the newest and moves, so a block of records counts "
    "only if the memory stood still. A D40 keeps glucose and blood pressure in one list, told apart by a bit of "
    "the time. A haematocrit's own QC mark is wrong on real meters, so the glucose beside it decides. Glucose "
    "above 600 or below 20 mg/dL and ketone above 8.0 mmol/L are HI and LO by the maker's specification, other "
    "analytes beyond the ranges of its app. Of a glucose model we do not know, only records without the bits that "
    "may be an analyte are read. A temperature with mode bits may be a bottle's and is refused. Seconds are never "
    "told, nor which user a record is of. Lactate has no quantity here. The memory is never cleared. D40 and MD6 "
    "pair with the code 111111.",
    proven_by="A captured glucose, temperature and SpO2 frame, unit tests of two public libraries; others saw "
    "glucose, haematocrit and blood pressure (D40, MD6) and uric acid (6 Connect) agree with a real meter's "
    "display. Ketone's scale is from two sources, cholesterol's and haemoglobin's from one; triglyceride's is "
    "thin, nobody has shown one. TD-3128, TD-3140 and thermometers' memories are only from the maker's app. No "
    "conversation with a real meter of ours yet.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.VALUES, Doubt.MEMORY}),
    services=frozenset({SERVICE}),
    names=NAMES,
    sets_clock=True,
    decoders=frames.DECODERS,
)

SERIAL_DRIVER = replace(
    DRIVER,
    name="serial.taidoc",
    transport="serial",
    recognise=recognise_line,
    talk=talk_on_line,
    devices="The same meters on RS-232, such as TD-4279 and TD-3128 with their cable. Their USB cables are no "
    "serial ports (CP2110, HID) and are not read.",
    services=frozenset(),
    names=(),
    line=SerialLine(baud=19200, asks=True),
)
