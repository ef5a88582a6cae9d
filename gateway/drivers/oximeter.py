"""What a finger in a clip shows once it has come to rest, as a record.

When that is, and the frames, are each driver's own.
"""

from decimal import Decimal

from gateway.conversation import Record
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind


def record_of(spo2: int, pulse: int) -> Record:
    """The reading in percent and beats a minute. It is of now, and has neither time nor number."""
    numbers = {"spo2_percent": (spo2, "%"), "pulse_per_min": (pulse, "/min")}
    return Record(
        kind=Kind.OXYGEN_SATURATION,
        key="",
        live=True,
        values={name: canonical(name, Decimal(number), unit) for name, (number, unit) in numbers.items()},
        shown=tuple(
            Shown(quantity=name, value=str(number), unit=unit) for name, (number, unit) in numbers.items()
        ),
    )
