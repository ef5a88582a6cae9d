"""Yonker (永康, Contec class) cuffs YK-BPA and YK-IBPA: a vendor's service that tells each result once.

Yonker's oximeters have the same service and the same first byte: names and lengths keep them apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.conversation import (
    Arrived,
    Context,
    Decoder,
    Driver,
    Garbled,
    Record,
    Sighting,
    Step,
    Talk,
    subscribe,
)
from gateway.drivers.ble_common import NoReading, bond, emit_or_note, introduce
from gateway.drivers.ble_told import next_told
from gateway.drivers.cuff import record_of
from gateway.drivers.cursor import Cursor
from gateway.proof import Doubt, Proof

SERVICE = "cdeacd80-5235-4c07-8846-93a37ee6b86d"
CHANNEL = "cdeacd81-5235-4c07-8846-93a37ee6b86d"
NAMES = ("YK-BP", "YK-IBP", "KF-DT")
"""Cuffs only: YK-81C and BleModuleA are oximeters."""

LISTEN_TIMEOUT_S = 60.0
"""Who switched a cuff on measures within a minute; each pressure it tells meanwhile begins the minute again."""

RESULT, PROGRESS = 0x81, 0x80


def recognise(sighting: Sighting) -> bool:
    """The vendor's service under a cuff's name."""
    return SERVICE in sighting.services and sighting.name.upper().startswith(NAMES)


def talk(context: Context) -> Talk:
    """Pair, introduce, listen."""
    yield from bond()
    yield from introduce()
    yield from subscribe(CHANNEL)
    told = measuring = False
    while (data := (yield from _next(told))) is not None:
        if data[:1] == bytes([PROGRESS]):
            measuring = True  # the pressure while the cuff inflates is no reading
            continue
        told = True
        made: Record | NoReading
        try:
            made = reading_of(result(data), live=measuring)
        except Garbled as garbled:  # one bad frame must not cost the result behind it
            made = NoReading(why=f"garbled_{garbled.error}")
        measuring = False
        yield from emit_or_note(made)


def _next(told: bool) -> Step[bytes | None]:
    """What the cuff says next; None when it has finished. One that hangs up after a result has simply finished."""
    while isinstance(event := (yield from next_told(told, first_s=LISTEN_TIMEOUT_S)), Arrived):
        if event.channel == CHANNEL:
            return event.data
    return None


def reading_of(it: "Result", *, live: bool) -> Record | NoReading:
    """The reading in a result. Its key is its time and its numbers; "" where the clock was never set. `live`: the
    cuff was seen inflating before."""
    key = "" if it.time is None else f"{it.time.isoformat()}#{it.systolic}/{it.diastolic}/{it.pulse}"
    return record_of(it.systolic, it.diastolic, it.pulse, key=key, at=it.time, live=live)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished measurement, in mmHg and beats a minute; `time` is None where the whole date is zero."""

    systolic: int
    diastolic: int
    pulse: int
    time: datetime | None


def result(data: bytes) -> Result:
    """One result; raises Garbled: header, truncated, trailing_bytes, datetime_range."""
    cursor = Cursor(data)
    if cursor.u8() != RESULT:
        raise Garbled("header")
    systolic, diastolic, pulse = cursor.take(3)
    cursor.take(2)  # of unknown meaning, like the four at the end; zeros in what was published
    day, month, year, hour, minute = date = cursor.take(5)
    cursor.take(4)
    cursor.end()
    try:
        time = datetime(2000 + year, month, day, hour, minute) if any(date) else None  # noqa: DTZ001
    except ValueError:
        raise Garbled("datetime_range") from None
    return Result(systolic=systolic, diastolic=diastolic, pulse=pulse, time=time)


def decode(data: bytes) -> dict[str, Any]:
    """One result as fields."""
    it = result(data)
    return {
        "systolic": it.systolic,
        "diastolic": it.diastolic,
        "pulse": it.pulse,
        "time": None if it.time is None else it.time.isoformat(),
    }


DECODERS: Mapping[str, Decoder] = {"yonker.bp": decode}

DRIVER = Driver(
    name="ble.yonker",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Yonker YK-BPA and YK-IBPA cuffs, Femmto KF-DT.",
    source="derdilla/blood-pressure-monitor-fl yonker_measurement_data.dart and its test.",
    quirks="Its clock is unreliable and has no seconds: a result that follows pressures told here is of now. "
    "Pressures while the cuff inflates (80 ...) are no readings. The same service on an oximeter is not "
    "touched. Pressures above 255 mmHg do not fit into its frame.",
    proven_by="One captured result; that the first three numbers are the pressures and the pulse, two more "
    "public projects say of two other models. Transcripts written by hand, a virtual cuff. HI, LO and errors "
    "are unknown.",
    proof=Proof.CAPTURED,
    doubts=frozenset({Doubt.OFF_SCALE, Doubt.ERRORS}),
    services=frozenset({SERVICE}),
    decoders=DECODERS,
)
