"""What makers' own cuffs tell in whole mmHg and beats, often with neither time nor number, as a record.

The frames are each driver's own; whether the numbers can be true is `gateway.vouch`'s business.
"""

from datetime import datetime
from decimal import Decimal

from gateway.conversation import Record
from gateway.drivers.ble_common import NoReading
from gateway.drivers.ble_time import step_s
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind


def record_of(
    systolic: int,
    diastolic: int,
    pulse: int,
    *,
    mean: int = 0,
    key: str = "",
    at: datetime | None = None,
    live: bool = False,
    flags: tuple[str, ...] = (),
) -> Record | NoReading:
    """The reading in whole numbers; 0 is no number. A pulse of 0 was not counted, a mean pressure of 0 not
    told."""
    if systolic == 0 or diastolic == 0:
        return NoReading(why="no_value")
    values = {"systolic_mmhg": Decimal(systolic), "diastolic_mmhg": Decimal(diastolic)}
    if mean:
        values["mean_arterial_mmhg"] = Decimal(mean)
    shown = [Shown(quantity=name, value=str(value), unit="mmHg") for name, value in values.items()]
    if pulse:
        values["pulse_per_min"] = Decimal(pulse)
        shown.append(Shown(quantity="pulse_per_min", value=str(pulse), unit="/min"))
    return Record(
        kind=Kind.BLOOD_PRESSURE,
        key=key,
        values=values,
        shown=tuple(shown),
        device_time=at,
        time_step_s=step_s(at),
        live=live,
        flags=flags,
    )
