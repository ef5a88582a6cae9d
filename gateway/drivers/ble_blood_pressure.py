"""Cuffs that speak the Bluetooth SIG Blood Pressure Service: listens until the cuff has told all it kept.

The frames are `ble_pressure_frames`'; whether a value is believable is `gateway.vouch`'s business.
"""

from decimal import Decimal

from gateway.conversation import Context, Driver, Record, Sighting, Talk
from gateway.drivers import ble_pressure_frames as frames
from gateway.drivers.ble_common import NoReading, bond, introduce
from gateway.drivers.ble_time import step_s
from gateway.drivers.ble_told import emit_what_is_told
from gateway.drivers.ieee11073 import Number, off_scale
from gateway.proof import Proof
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind, OffScale

SERVICE = "1810"
MEASUREMENT = "2a35"  # 2a36, the pressure while the cuff deflates, is never asked for: it is never a reading

TURNED_AROUND = ("BM85",)
"""Models whose bytes break the specification in the one known way. A list, never a guess from the bytes."""

_USER_UNKNOWN = 0xFF


def recognise(sighting: Sighting) -> bool:
    """A blood pressure service."""
    return SERVICE in sighting.services


def talk(context: Context) -> Talk:
    """Pair, introduce, listen."""
    yield from bond()
    about = yield from introduce()
    turned = any(model in about.model or model in context.sighting.name for model in TURNED_AROUND)
    parse = frames.bm85_measurement if turned else frames.measurement
    yield from emit_what_is_told(MEASUREMENT, lambda data: record_of(parse(data)))


def record_of(it: frames.Measurement) -> Record | NoReading:
    """The reading in a measurement, or why it is none: without both pressures it says nothing about a person.

    Raises Garbled("not_a_number") for a number beyond all measure.
    """
    values: dict[str, Decimal] = {}
    beyond: dict[str, OffScale] = {}
    shown: list[Shown] = []
    for quantity, number, unit in (
        ("systolic_mmhg", it.systolic, it.unit),
        ("diastolic_mmhg", it.diastolic, it.unit),
        ("mean_arterial_mmhg", _unless_zero(it.mean), it.unit),
        ("pulse_per_min", it.pulse, "/min"),
    ):
        if isinstance(number, Decimal):
            values[quantity] = canonical(quantity, number, unit)
            shown.append(Shown(quantity=quantity, value=str(number), unit=unit))
        elif number is not None and (scale := off_scale(number)) is not None:
            beyond[quantity] = scale
        elif quantity in ("systolic_mmhg", "diastolic_mmhg"):
            return NoReading(why="no_value")
    flags = it.status_flags
    if it.status is not None and it.pulse_range != "in_range":
        flags.append(f"pulse_{it.pulse_range}")
    at = None if it.timestamp is None else it.timestamp.naive()
    return Record(
        kind=Kind.BLOOD_PRESSURE,
        key=key_of(it),
        values=values,
        off_scale=beyond,
        shown=tuple(shown),
        device_time=at,
        time_step_s=step_s(at),
        live=it.timestamp is None,  # without a clock it may not keep what nobody heard (BLS 1.0, 3.1)
        flags=tuple(flags),
        user_slot="" if it.user_id in (None, _USER_UNKNOWN) else str(it.user_id),
    )


def key_of(it: frames.Measurement) -> str:
    """The record's own name: time, user and numbers; "" without a time, as the service has no record numbers.

    A cuff without a clock may send zeros: two people with the same numbers are not one.
    The numbers belong to it because a clock that starts again with every new battery says the same time twice.
    """
    if it.timestamp is None or it.timestamp.is_blank:
        return ""
    numbers = "/".join(str(number) for number in (it.systolic, it.diastolic, it.pulse) if number is not None)
    return f"{it.timestamp.text()}#{'' if it.user_id is None else it.user_id}#{numbers}"


def _unless_zero(mean: Number) -> Number | None:
    return mean if mean else None  # Beurer BM54 sends 0 for "not provided"


DRIVER = Driver(
    name="ble.blood_pressure",
    transport="ble",
    recognise=recognise,
    talk=talk,
    devices="Any cuff with the Bluetooth SIG Blood Pressure Service 1810: Yuwell YE680A/650A/8600A, Beurer BM54 "
    "and BM85, A&D UA-651BLE, Omron and others.",
    source="Bluetooth SIG Blood Pressure Service 1.0 and Blood Pressure Profile 1.0.",
    quirks="A mean pressure of 0 means not provided (BM54). BM85 turns pulse and status around and hides a user "
    "id. NaN for a pressure is a failed measurement, not a reading. A delivered record never comes again.",
    proven_by="Captured indications of a Beurer BM54 and BM85, vectors of five public libraries, transcripts, a "
    "virtual cuff.",
    proof=Proof.CAPTURED,
    services=frozenset({SERVICE}),
    decoders=frames.DECODERS,
)
