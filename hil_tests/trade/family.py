"""What a kind of meter is to the trade, and what customers measure with it.

Which kinds there are is `radio_meters`' and `wired_meters`'; where a meter stands, and what goes wrong, `shop`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from gateway.drivers import DRIVERS
from gateway.simulators.line import LineMeter
from gateway.simulators.meter import VirtualMeter
from gateway.units import canonical
from gateway.wire.vocabulary import Kind

Values: TypeAlias = dict[str, Decimal]
Measured: TypeAlias = tuple[Kind, Values]
Use: TypeAlias = Callable[[Any, int], Measured]
"""Measures number `n` with this meter, another value every time; what must arrive."""


class Keeps(StrEnum):
    """What a meter still knows of what it measured, and so what may be asked of a gateway."""

    ALL = "all"
    LAST = "last"  # on its display, and told as often as it is asked: nobody uses it again before that was read
    TILL_TOLD = "till told"  # once: BlueZ takes it also for a gateway that dies at that moment
    NOTHING = "nothing"  # it is told while it is measured, to whoever listens

    @property
    def tells_once(self) -> bool:
        """Whether it forgets what it has told, whoever heard it."""
        return self in (Keeps.TILL_TOLD, Keeps.NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What a new meter is given. `number` is its own in the shop."""

    number: int
    address: str
    now: Callable[[], datetime]
    clock_error: timedelta

    @property
    def name(self) -> str:
        """For a meter that may be called anything."""
        return f"V{self.number:02d}"

    @property
    def serial(self) -> str:
        """Eight digits."""
        return f"{7000 + self.number:08d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of meter, read by `driver`; so many of them stand in the shop."""

    driver: str
    make: Callable[[Making], VirtualMeter | LineMeter]
    use: Use
    how_many: int = 1
    keeps: Keeps = Keeps.ALL
    takes_s: float = 0.0  # from the first sign of a measurement to its result: nobody leaves before

    @property
    def is_serial(self) -> bool:
        """Whether it hangs on a port."""
        return self.driver.startswith("serial.")

    @property
    def is_asked(self) -> bool:
        """Whether the gateway asks it, on a cable; else it speaks by itself."""
        (driver,) = (one for one in DRIVERS if one.name == self.driver)
        return driver.line is not None and driver.line.asks


# --- what customers measure: value number n, no two alike in a meter's life --------------------------------


def mg_dl(n: int) -> int:
    """A glucose in mg/dL; the next is another in tenths of mmol/L, too."""
    return 72 + 2 * (n % 200)


def mmol_l(n: int) -> Decimal:
    """A glucose in mmol/L."""
    return Decimal(40 + n % 200) / 10


def pressures(n: int) -> tuple[int, int, int]:
    """Systolic, diastolic, pulse: none high enough for an emergency."""
    return 105 + n % 30, 65 + n // 30 % 20, 60 + n % 31


def blood_pressure(n: int) -> Measured:
    """What must arrive of `pressures`."""
    systolic, diastolic, pulse = map(Decimal, pressures(n))
    return Kind.BLOOD_PRESSURE, {"systolic_mmhg": systolic, "diastolic_mmhg": diastolic, "pulse_per_min": pulse}


def glucose(value: Decimal | int, unit: str) -> Measured:
    """What must arrive of a glucose."""
    return Kind.GLUCOSE, {"glucose_mmol_l": canonical("glucose_mmol_l", Decimal(value), unit)}


def uric_acid(value: Decimal | int, unit: str) -> Measured:
    """What must arrive of a uric acid."""
    return Kind.URIC_ACID, {"urate_umol_l": canonical("urate_umol_l", Decimal(value), unit)}


def lipids(n: int) -> tuple[Decimal, Decimal, Decimal]:
    """Total cholesterol, HDL, triglyceride in mmol/L: too much of the last for anybody to compute LDL from."""
    return Decimal(400 + n) / 100, Decimal("1.31"), Decimal("5.00")


def lipid_panel(n: int) -> Measured:
    """What must arrive of `lipids`."""
    total, hdl, triglyceride = lipids(n)
    return Kind.LIPID_PANEL, {
        "total_cholesterol_mmol_l": total,
        "hdl_mmol_l": hdl,
        "triglyceride_mmol_l": triglyceride,
    }


def measure_pressure(meter: Any, n: int) -> Measured:
    """With a cuff that takes whole numbers."""
    meter.measure(*pressures(n))
    return blood_pressure(n)


def measure_mg_dl(meter: Any, n: int) -> Measured:
    """With a meter of glucose that counts in mg/dL."""
    meter.measure(mg_dl(n))
    return glucose(mg_dl(n), "mg/dL")


def measure_mmol_l(meter: Any, n: int) -> Measured:
    """With a meter of glucose that counts in mmol/L."""
    meter.measure(mmol_l(n))
    return glucose(mmol_l(n), "mmol/L")
