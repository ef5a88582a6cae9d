"""BeneCheck (百捷) meters whose Bluetooth glucose service carries uric acid and cholesterol, too: the low byte of
a record's sequence number says which it is.

What a measurement says is `ble_glucose`'s to read. This stands before it in DRIVERS: there, all would be glucose.
"""

from collections.abc import Mapping
from typing import Any

from gateway.conversation import (
    Arrived,
    Context,
    Decoder,
    Driver,
    Garbled,
    Record,
    Refused,
    Sighting,
    Step,
    Talk,
    note,
    subscribe,
    write,
)
from gateway.drivers import benecheck, ble_glucose, ble_glucose_frames
from gateway.drivers import ble_racp as racp
from gateway.drivers.ble_common import NoReading, bond, emit_or_note, introduce, subscribe_if_there
from gateway.drivers.ble_told import next_told
from gateway.proof import Doubt, Proof

SERVICE = "1808"
MEASUREMENT = "2a18"
NAMES = ("benecheck", "gl-")
"""How their names begin: BeneCheck-0270, BeneCheck GL-0F8B0C, GL-..."""

ANALYTES = {0x41: "glucose", 0x51: "uric_acid", 0x61: "cholesterol"}
"""By the low byte of the sequence number."""

FIRST_TIMEOUT_S = 60.0
"""The meter is switched on by its strip and tells the result when it has one; cholesterol takes the longest."""


def recognise(sighting: Sighting) -> bool:
    """A glucose service under one of their names."""
    return SERVICE in sighting.services and sighting.name.casefold().startswith(NAMES)


def talk(context: Context) -> Talk:
    """Pair, introduce, ask for everything where the meter can be asked, and listen until nothing more comes.

    Everything, each time: with an analyte in its low byte a sequence number is no place to go on from.
    """
    yield from bond()
    yield from introduce()
    yield from subscribe(MEASUREMENT)
    if (yield from subscribe_if_there(racp.RACP)):
        yield from _ask()
    told = False
    while (data := (yield from _next(told))) is not None:
        told = True
        try:
            made = record_of(ble_glucose_frames.measurement(data))
        except Garbled as garbled:  # one bad frame must not cost those behind it
            made = NoReading(why=f"garbled_{garbled.error}")
        yield from emit_or_note(made)


def _ask() -> Step[None]:
    try:
        yield from write(racp.RACP, racp.REPORT_ALL)
    except Refused:
        yield from note("error", "memory_not_told")  # what it measures now is told all the same


def _next(told: bool) -> Step[bytes | None]:
    """The next measurement; None when nothing more comes, the meter hangs up, or it says that this was all."""
    while isinstance(event := (yield from next_told(told, first_s=FIRST_TIMEOUT_S)), Arrived):
        if event.channel == MEASUREMENT:
            return event.data
        if event.channel == racp.RACP and told:
            return None
    return None


# --- what a measurement is ---------------------------------------------------------------------------------


def key_of(it: ble_glucose_frames.Measurement) -> str:
    """The record's own name: analyte, time and number. The sequence number names the analyte, and no record."""
    return f"{it.sequence_number}@{it.base_time.text()}#{it.concentration}"


def record_of(it: ble_glucose_frames.Measurement) -> Record | NoReading:
    """The reading in a measurement, or why it is none. Raises Garbled("not_a_number")."""
    analyte = ANALYTES.get(it.sequence_number & 0xFF)
    if analyte is None:
        return NoReading(why="unsupported_analyte")
    kind, quantity = benecheck.QUANTITIES[analyte]
    return ble_glucose.record_as(it, kind, quantity, key=key_of(it), offset_min=it.time_offset_min or 0)


def decode(data: bytes) -> dict[str, Any]:
    """A measurement (0x2A18) of such a meter as fields."""
    fields = ble_glucose_frames.decode_measurement(data)
    return {"analyte": ANALYTES.get(fields["sequence_number"] & 0xFF, "unknown"), **fields}


DECODERS: Mapping[str, Decoder] = {"benecheck.gls": decode}

DRIVER = Driver(
    name="ble.benecheck",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices='BeneCheck (百捷) Bluetooth meters for glucose, uric acid and cholesterol: "BeneCheck-0270", '
    '"BeneCheck GL-0F8B0C", "GL-...".',
    source="chinnsenn2/JamBoBleSDK BeneCheckThreeInOne.java and its examples; Bluetooth SIG Glucose Service 1.0.",
    quirks="The low byte of the sequence number is the analyte: 41 glucose, 51 uric acid, 61 cholesterol; any "
    "other is refused. Two equal results of one analyte within one second are one reading.",
    proven_by="A uric acid and a cholesterol notification that people published; transcripts written by hand; a "
    "virtual meter. Whether the meter can be asked for its memory is not published: it is asked, and listened to "
    "either way. HI and LO only as the glucose service has them.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.OFF_SCALE, Doubt.MEMORY}),
    services=frozenset({SERVICE}),
    decoders=DECODERS,
)
