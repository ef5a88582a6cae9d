"""A virtual thermometer: service 0x1809, in memory, bytes out; it forgets what has been confirmed.

Written from the Health Thermometer Service 1.0 text. The radio is `bumble_meter`'s.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from gateway.simulators.delivers_once import DeliversOnce
from gateway.simulators.meter import Characteristic, date_time, float32, float32_word

HEALTH_THERMOMETER = "1809"
MEASUREMENT, TYPE, CLOCK = "2a1c", "2a1d", "2a08"

ARMPIT, EAR, MOUTH, TYMPANUM = 1, 3, 6, 9


class Result(IntEnum):
    """Results that are no number: FLOAT words of IEEE 11073-20601."""

    ABOVE_RANGE = 0x007FFFFE
    FAILED = 0x007FFFFF
    BELOW_RANGE = 0x00800002


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureRecord:
    """One measurement, in degrees Celsius or Fahrenheit."""

    value: Decimal | Result
    fahrenheit: bool = False
    at: datetime | None = None
    site: int | None = None

    def measurement(self) -> bytes:
        """The bytes of 0x2A1C."""
        flags = self.fahrenheit << 0 | (self.at is not None) << 1 | (self.site is not None) << 2
        return b"".join(
            (
                bytes([flags]),
                float32_word(self.value) if isinstance(self.value, Result) else float32(self.value),
                b"" if self.at is None else date_time(self.at),
                b"" if self.site is None else bytes([self.site]),
            )
        )


@dataclass(kw_only=True)
class Thermometer(DeliversOnce[TemperatureRecord]):
    """Tells each measurement once.

    One that can only measure in one place (`only_site`) says so once, in 0x2A1D, and not in its records. Nobody is
    connected while it measures, so there are no intermediate temperatures.
    """

    advertised: tuple[str, ...] = (HEALTH_THERMOMETER,)
    only_site: int | None = None
    measured_on = MEASUREMENT

    def measure(
        self,
        value: Decimal | Result,
        *,
        fahrenheit: bool = False,
        site: int | None = MOUTH,
        dated: bool = True,
    ) -> TemperatureRecord:
        """Takes one measurement now; the value is in the unit it will be sent in."""
        record = TemperatureRecord(
            value=value,
            fahrenheit=fahrenheit,
            at=self.clock() if dated else None,
            site=site if self.only_site is None else None,
        )
        self.records.append(record)
        return record

    def own_characteristics(self) -> tuple[Characteristic, ...]:
        """See VirtualMeter."""
        reads = frozenset({"read"})
        table = [
            Characteristic(
                service=HEALTH_THERMOMETER,
                channel=MEASUREMENT,
                properties=frozenset({"indicate"}),
                protected=True,
            ),
            Characteristic(service=HEALTH_THERMOMETER, channel=CLOCK, properties=reads, protected=True),
        ]
        if self.only_site is not None:
            table.append(Characteristic(service=HEALTH_THERMOMETER, channel=TYPE, properties=reads))
        return tuple(table)

    def read(self, channel: str) -> bytes:
        """See VirtualMeter."""
        if channel == TYPE and self.only_site is not None:
            return bytes([self.only_site])
        return super().read(channel)
