"""A virtual blood-pressure cuff: service 0x1810, in memory, bytes out; it forgets what has been confirmed.

Written from the Blood Pressure Service 1.0 text. The radio is `bumble_meter`'s.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.simulators.delivers_once import DeliversOnce
from gateway.simulators.meter import (
    NAN,
    Characteristic,
    date_time,
    sfloat,
    sfloat_word,
)

BLOOD_PRESSURE = "1810"
MEASUREMENT, FEATURE, CLOCK = "2a35", "2a49", "2a08"

BODY_MOVEMENT, CUFF_LOOSE, IRREGULAR_PULSE, WRONG_POSITION = 1 << 0, 1 << 1, 1 << 2, 1 << 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CuffRecord:
    """One measurement, in mmHg or in kPa; None is sent as NaN."""

    systolic: Decimal | None
    diastolic: Decimal | None
    mean: Decimal | None = None
    pulse: Decimal | None = None
    kpa: bool = False
    at: datetime | None = None
    user: int | None = None
    status: int | None = None

    def measurement(self) -> bytes:
        """The bytes of 0x2A35."""
        flags = (
            self.kpa << 0
            | (self.at is not None) << 1
            | (self.pulse is not None) << 2
            | (self.user is not None) << 3
            | (self.status is not None) << 4
        )
        return b"".join(
            (
                bytes([flags]),
                *(_sfloat_or_nan(part) for part in (self.systolic, self.diastolic, self.mean)),
                b"" if self.at is None else date_time(self.at),
                b"" if self.pulse is None else sfloat(self.pulse),
                b"" if self.user is None else bytes([self.user]),
                b"" if self.status is None else self.status.to_bytes(2, "little"),
            )
        )


@dataclass(kw_only=True)
class PressureCuff(DeliversOnce[CuffRecord]):
    """Tells each measurement once."""

    advertised: tuple[str, ...] = (BLOOD_PRESSURE,)
    measured_on = MEASUREMENT

    def measure(
        self,
        systolic: Decimal,
        diastolic: Decimal,
        pulse: Decimal | None = None,
        *,
        kpa: bool = False,
        user: int | None = None,
        status: int | None = 0,
        dated: bool = True,
    ) -> CuffRecord:
        """Takes one measurement now; the pressures are in the unit it will be sent in."""
        mean = ((systolic + 2 * diastolic) / 3).quantize(Decimal("0.1") if kpa else Decimal(1))
        record = CuffRecord(
            systolic=systolic,
            diastolic=diastolic,
            mean=mean,
            pulse=pulse,
            kpa=kpa,
            at=self.clock() if dated else None,
            user=user,
            status=status,
        )
        self.records.append(record)
        return record

    def fail_to_measure(self, status: int = CUFF_LOOSE) -> CuffRecord:
        """A measurement that came to nothing, sent as NaN."""
        record = CuffRecord(systolic=None, diastolic=None, at=self.clock(), status=status)
        self.records.append(record)
        return record

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        protected = {"protected": True}
        return (
            Characteristic(
                service=BLOOD_PRESSURE, channel=MEASUREMENT, properties=frozenset({"indicate"}), **protected
            ),
            Characteristic(service=BLOOD_PRESSURE, channel=FEATURE, properties=frozenset({"read"})),
            Characteristic(service=BLOOD_PRESSURE, channel=CLOCK, properties=frozenset({"read"}), **protected),
        )

    def read(self, channel: str) -> bytes:
        """See VirtualMeter."""
        if channel == FEATURE:
            return (0x003F).to_bytes(2, "little")
        return super().read(channel)


def _sfloat_or_nan(value: Decimal | None) -> bytes:
    return sfloat_word(NAN) if value is None else sfloat(value)
