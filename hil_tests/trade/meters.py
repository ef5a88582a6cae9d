"""What the forty meters are: how each family's double is made, how a customer uses it, and what must come of it.

What a meter says on its line is its simulator's; where it stands, and what goes wrong, is `shop`'s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.drivers import DRIVERS
from gateway.simulators import sinocare_meter, taidoc_meter
from gateway.simulators.benecheck_meter import Analyte, BeneCheckMeter
from gateway.simulators.glucose_meter import GlucoseMeter
from gateway.simulators.line import BleLine, LineMeter
from gateway.simulators.meter import VirtualMeter
from gateway.simulators.pressure_cuff import PressureCuff
from gateway.simulators.sinocare_meter import SinocareMeter
from gateway.simulators.taidoc_meter import TaiDocMeter
from gateway.simulators.thermometer import Thermometer
from gateway.simulators.tunnel_monitors import OmronTunnel
from gateway.units import canonical
from gateway.wire.vocabulary import Kind

Values = dict[str, Decimal]
Use = Callable[[Any, int], tuple[Kind, Values]]
"""Measures number `n` with this meter, another value every time; what must arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of meter. `make` is given (name, address, serial, now); a serial port's settings name `driver`."""

    driver: str
    make: Callable[[str, str, str, Callable[[], datetime]], VirtualMeter | LineMeter]
    use: Use
    how_many: int = 1

    @property
    def is_serial(self) -> bool:
        """Whether it hangs on a port."""
        return self.driver.startswith("serial.")

    @property
    def asks(self) -> bool:
        """Whether it keeps what it measured and is asked for it."""
        (driver,) = (one for one in DRIVERS if one.name == self.driver)
        return driver.line is None or driver.line.asks


def measuring(meter: VirtualMeter | LineMeter) -> Any:
    """The part that measures."""
    return meter.line if isinstance(meter, BleLine) else meter


# --- what customers measure: value number n, no two alike in a meter's life --------------------------------


def mg_dl(n: int) -> int:
    """A glucose in mg/dL."""
    return 72 + n % 300


def mmol_l(n: int) -> Decimal:
    """A glucose in mmol/L."""
    return Decimal(40 + n % 200) / 10


def pressures(n: int) -> tuple[int, int, int]:
    """Systolic, diastolic, pulse: none high enough for an emergency."""
    return 105 + n % 30, 65 + n // 30 % 20, 60 + n % 31


def blood_pressure(n: int) -> tuple[Kind, Values]:
    """What must arrive of `pressures`."""
    systolic, diastolic, pulse = map(Decimal, pressures(n))
    return Kind.BLOOD_PRESSURE, {"systolic_mmhg": systolic, "diastolic_mmhg": diastolic, "pulse_per_min": pulse}


def glucose(value: Decimal | int, unit: str) -> tuple[Kind, Values]:
    """What must arrive of a glucose."""
    return Kind.GLUCOSE, {"glucose_mmol_l": canonical("glucose_mmol_l", Decimal(value), unit)}


def _sig_glucose(meter: GlucoseMeter, n: int) -> tuple[Kind, Values]:
    meter.measure(mmol_l(n))
    return glucose(mmol_l(n), "mmol/L")


def _sig_pressure(meter: PressureCuff, n: int) -> tuple[Kind, Values]:
    meter.measure(*map(Decimal, pressures(n)))
    return blood_pressure(n)


def _sig_temperature(meter: Thermometer, n: int) -> tuple[Kind, Values]:
    value = Decimal(355 + n % 40) / 10
    meter.measure(value)
    return Kind.BODY_TEMPERATURE, {"body_temperature_cel": value}


def _sinocare(meter: SinocareMeter, n: int) -> tuple[Kind, Values]:
    meter.measure(mmol_l(n))
    return glucose(mmol_l(n), "mmol/L")


def _taidoc(meter: TaiDocMeter, n: int) -> tuple[Kind, Values]:
    meter.measure(mg_dl(n))
    return glucose(mg_dl(n), "mg/dL")


def _benecheck(meter: BeneCheckMeter, n: int) -> tuple[Kind, Values]:
    if n % 2:
        meter.measure(Analyte.URIC_ACID, Decimal(30 + n) / 10)
        return Kind.URIC_ACID, {"urate_umol_l": canonical("urate_umol_l", Decimal(30 + n) / 10, "mg/dL")}
    meter.measure(Analyte.GLUCOSE, Decimal(mg_dl(n)))
    return glucose(mg_dl(n), "mg/dL")


def _told(meter: OmronTunnel, n: int) -> tuple[Kind, Values]:
    meter.measure(*pressures(n))
    return blood_pressure(n)


def _on(service: str, notify: str, write_to: str, line: type[LineMeter], **more: Any) -> Any:
    """Makes a vendor's meter on its Bluetooth service."""

    def make(name: str, address: str, serial: str, now: Callable[[], datetime]) -> BleLine:
        return BleLine(
            name=more.get("called", name),
            address=address,
            serial=serial,
            now=now,
            line=line(now=now, serial=more.get("inner_serial", serial)),
            service=service,
            notify=notify,
            write_to=write_to,
        )

    return make


def _wired(line: type[LineMeter]) -> Any:
    """Makes a meter on a wire."""
    return lambda name, address, serial, now: line(now=now, serial=serial)


def _sig(meter: type[VirtualMeter]) -> Any:
    """Makes a meter of a standard service."""
    return lambda name, address, serial, now: meter(name=name, address=address, serial=serial, now=now)


FAMILIES: tuple[Family, ...] = (
    Family(driver="ble.glucose", make=_sig(GlucoseMeter), use=_sig_glucose, how_many=4),
    Family(driver="ble.blood_pressure", make=_sig(PressureCuff), use=_sig_pressure, how_many=4),
    Family(driver="ble.thermometer", make=_sig(Thermometer), use=_sig_temperature, how_many=2),
    Family(
        driver="ble.sinocare",
        make=_on(
            sinocare_meter.SERVICE, sinocare_meter.NOTIFY, sinocare_meter.WRITE, SinocareMeter, called="SN-6W"
        ),
        use=_sinocare,
        how_many=2,
    ),
    Family(
        driver="ble.taidoc",
        make=_on(
            taidoc_meter.SERVICE,
            taidoc_meter.CHANNEL,
            taidoc_meter.CHANNEL,
            TaiDocMeter,
            called="FORA 6 CONNECT",
        ),
        use=_taidoc,
        how_many=2,
    ),
    Family(driver="serial.taidoc", make=_wired(TaiDocMeter), use=_taidoc),
    Family(driver="serial.benecheck", make=_wired(BeneCheckMeter), use=_benecheck),
    Family(driver="serial.omron_hbp", make=_wired(OmronTunnel), use=_told),
)


def everyone() -> Iterator[Family]:
    """Each meter's family, one after the other."""
    for family in FAMILIES:
        yield from [family] * family.how_many
