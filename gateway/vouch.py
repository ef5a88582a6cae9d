"""Record and circumstances in, Reading out: its id, when it was taken and how well that is known, and whether the
numbers can be true.

Pure. What the numbers mean for a person is `gateway.clinical`'s business, and whose they are is the cloud's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from gateway.conversation import Garbled, Record
from gateway.units import rounded
from gateway.wire.codec import FIRST_YEAR, LAST_YEAR
from gateway.wire.messages import Device, Quality, Reading, TakenAt, TimeQuality, Visit
from gateway.wire.vocabulary import KINDS, QUANTITIES

NAMESPACE = UUID("5b0d4d0c-7f4e-5d0b-9c4e-6b616e67646f")
"""Every reading's id grows from this; changing it would make every meter's memory new to the cloud."""

CLOCK_AGREES_S = 120.0
"""A measured clock within two minutes is a good clock. Its offset is applied all the same: ninety seconds are
enough to carry one customer's reading into the next one's visit."""
TOLD_WITHIN_S = 3.0
"""What was seen being taken is told a moment later: by the radio, and by a gateway that had much to do."""
JUST_TAKEN_BEFORE = timedelta(minutes=2)
JUST_TAKEN_AFTER = timedelta(minutes=1)
"""Unmeasured, only a time this near to its arrival is believed: the meter was docked right after measuring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """All that is known of a record beside itself."""

    device: Device
    driver: str
    conversation: UUID
    received: datetime  # UTC, by the gateway's clock
    clock_offset_s: float | None  # gateway minus meter, measured in this conversation
    gateway_clock_trusted: bool
    local_utc_offset_min: int  # the zone of a meter's naive clock
    visit: Visit | None
    arrival: int  # number of the record in the conversation


def vouch(record: Record, circumstances: Circumstances) -> Reading:
    """The reading a record is, under these circumstances.

    Numbers that cannot be true are kept, with quality `rejected`. Raises Garbled (`incomplete_record`,
    `unknown_quantity`, `not_a_number`) for a record no reading can be made of; drivers do not emit such.
    """
    check(record)
    values = {name: rounded(name, value) for name, value in record.values.items()}
    quality, why = plausibility(values)
    key = record.key or f"{circumstances.conversation}/{circumstances.arrival}"
    return Reading(
        id=uuid5(NAMESPACE, f"{circumstances.device.key}|{record.kind}|{key}"),
        kind=record.kind,
        device=circumstances.device,
        record_key=key,
        time=taken_at(record, circumstances),
        conversation=circumstances.conversation,
        driver=circumstances.driver,
        values=values,
        off_scale=record.off_scale,
        shown=record.shown,
        meal=record.meal,
        purpose=record.purpose,
        quality=quality,
        quality_why=why,
        flags=record.flags,
        user_slot=record.user_slot,
        visit=circumstances.visit,
    )


def taken_at(record: Record, circumstances: Circumstances) -> TakenAt:
    """When a record was taken. "meter" is the meter's naive time in the store's zone; the first line that fits:

    | gateway's clock | meter's time                            | at              | quality   |
    |-----------------|-----------------------------------------|-----------------|-----------|
    | trusted         | whatever it says, seen being taken      | received        | gateway   |
    | any             | none, or flagged `time_fault`           | received        | untrusted |
    | any             | in no year the wire carries             | received        | untrusted |
    | untrusted       | any                                     | meter           | untrusted |
    | trusted         | offset measured, up to 2 min            | meter + offset  | device    |
    | trusted         | offset measured, more                   | meter + offset  | corrected |
    | trusted         | not measured, 2 min before to 1 min     | meter           | device    |
    |                 | after it was received                   |                 |           |
    | trusted         | not measured, older                     | meter           | untrusted |
    | trusted         | more than 1 min after it was received,  | received        | untrusted |
    |                 | whatever was measured                   |                 |           |

    An old time nobody can check is the better guess: it keeps a meter's memory in order and old readings from
    raising today's alarms. A time to come is no guess at all, and what was seen was not seen before it was taken.
    """
    at, quality = _judge_time(record, circumstances)
    return TakenAt(
        at=at,
        quality=quality,
        received=circumstances.received,
        device="" if record.device_time is None else record.device_time.isoformat(),
        offset_s=circumstances.clock_offset_s,
        early_s=_early_s(record, circumstances, quality),
    )


def _early_s(record: Record, circumstances: Circumstances, quality: TimeQuality) -> float:
    """By how much a record may be earlier than its time."""
    if quality is TimeQuality.GATEWAY:
        return TOLD_WITHIN_S
    # The clock that was compared and the time of the record were both cut off to whole steps, so their sum is up
    # to one step late. A time that nobody compared is as early as it can be.
    compared = circumstances.clock_offset_s is not None and quality is not TimeQuality.UNTRUSTED
    return float(record.time_step_s) if compared else 0.0


def _judge_time(record: Record, circumstances: Circumstances) -> tuple[datetime, TimeQuality]:
    received, offset_s = circumstances.received, circumstances.clock_offset_s
    trusted = circumstances.gateway_clock_trusted
    if record.live and trusted:
        return received, TimeQuality.GATEWAY
    if record.device_time is None or "time_fault" in record.flags:
        return received, TimeQuality.UNTRUSTED  # of now, or of the customer before: nobody knows
    try:
        meter = record.device_time.replace(tzinfo=UTC) - timedelta(minutes=circumstances.local_utc_offset_min)
        corrected = meter + timedelta(seconds=offset_s or 0.0)
    except OverflowError:  # off either end of the calendar
        return received, TimeQuality.UNTRUSTED
    if not all(FIRST_YEAR <= moment.year <= LAST_YEAR for moment in (meter, corrected)):
        return received, TimeQuality.UNTRUSTED
    if not trusted:
        return meter, TimeQuality.UNTRUSTED
    if corrected > received + JUST_TAKEN_AFTER:
        return received, TimeQuality.UNTRUSTED
    if offset_s is not None:
        agrees = abs(offset_s) <= CLOCK_AGREES_S
        return min(corrected, received), TimeQuality.DEVICE if agrees else TimeQuality.CORRECTED
    just_taken = received - meter <= JUST_TAKEN_BEFORE
    return meter, TimeQuality.DEVICE if just_taken else TimeQuality.UNTRUSTED


LEAST_PULSE_PRESSURE_MMHG = Decimal(10)
USUAL_PULSE_PRESSURE_MMHG = (Decimal(20), Decimal(100))
"""House values, like the ranges in the vocabulary, until the chain's medical lead confirms them."""


def plausibility(values: Mapping[str, Decimal]) -> tuple[Quality, tuple[str, ...]]:
    """Whether numbers can be true, and why not: `<what>_impossible` rejects, `<what>_unusual` only flags.

    Each quantity within its range; systolic at least 10 above diastolic (20 to 100 is usual); HDL and LDL
    below total cholesterol.
    """
    impossible, unusual = [], []
    for name, value in values.items():
        limits = QUANTITIES[name].range
        if not limits.reject_below <= value <= limits.reject_above:
            impossible.append(name)
        elif not limits.flag_below <= value <= limits.flag_above:
            unusual.append(name)
    if "systolic_mmhg" in values and "diastolic_mmhg" in values:
        pulse_pressure = values["systolic_mmhg"] - values["diastolic_mmhg"]
        least, most = USUAL_PULSE_PRESSURE_MMHG
        if pulse_pressure < LEAST_PULSE_PRESSURE_MMHG:
            impossible.append("pulse_pressure")
        elif not least <= pulse_pressure <= most:
            unusual.append("pulse_pressure")
    total = values.get("total_cholesterol_mmol_l")
    for part in ("hdl", "ldl"):
        share = values.get(f"{part}_mmol_l")
        if total is not None and share is not None and share >= total:
            impossible.append(f"{part}_of_total")
    why = tuple(f"{what}_impossible" for what in impossible) + tuple(f"{what}_unusual" for what in unusual)
    if impossible:
        return Quality.REJECTED, why
    return Quality.FLAGGED if unusual else Quality.PLAUSIBLE, why


def check(record: Record) -> None:
    """Raises Garbled (`incomplete_record`, `unknown_quantity`) where the cloud would set the reading aside:
    better known here, beside the meter."""
    info = KINDS[record.kind]
    present = record.values.keys() | record.off_scale.keys()
    if not present.issubset(info.quantities):
        raise Garbled("unknown_quantity")
    if not present or not present.issuperset(info.required):
        raise Garbled("incomplete_record")
