"""The meters on a cable: how each family's double is made, and how a customer uses it.

What a meter says is its simulator's.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.simulators.astm_analyser import AstmAnalyser
from gateway.simulators.benecheck_meter import Analyte, BeneCheckMeter
from gateway.simulators.fdk_meter import FdkMeter
from gateway.simulators.line import LineMeter
from gateway.simulators.lipid_printer import LipidPrinter, SlipPrinter
from gateway.simulators.oncall_meter import OnCallMeter
from gateway.simulators.onetouch import Ultra2, UltraEasy
from gateway.simulators.pangao_cuff import MEASURING, PanGaoCuff
from gateway.simulators.taidoc_meter import TaiDocMeter
from gateway.simulators.tunnel_monitors import AndTunnel, OmronTunnel, TerumoTunnel
from gateway.wire.vocabulary import Kind
from hil_tests.trade.family import (
    Family,
    Keeps,
    Making,
    Measured,
    blood_pressure,
    glucose,
    lipid_panel,
    lipids,
    measure_mg_dl,
    measure_mmol_l,
    measure_pressure,
    mg_dl,
    pressures,
    uric_acid,
)


def _wired(line: type[LineMeter], serial: str = "{:08d}", **options: Any) -> Callable[[Making], LineMeter]:
    """`serial` is given the meter's number."""

    def make(making: Making) -> LineMeter:
        return line(
            now=making.now, serial=serial.format(7000 + making.number), clock_error=making.clock_error, **options
        )

    return make


def _three_in_one(meter: BeneCheckMeter, n: int) -> Measured:
    if n % 2:
        meter.measure(Analyte.URIC_ACID, Decimal(30 + n) / 10)
        return uric_acid(Decimal(30 + n) / 10, "mg/dL")
    meter.measure(Analyte.GLUCOSE, Decimal(mg_dl(n)))
    return glucose(mg_dl(n), "mg/dL")


def _hba1c(meter: AstmAnalyser, n: int) -> Measured:
    value = Decimal(40 + n) / 10
    meter.measure_hba1c(value)
    return Kind.HBA1C, {"hba1c_percent": value}


def _lipids(meter: LipidPrinter, n: int) -> Measured:
    meter.measure_panel(*lipids(n))
    return lipid_panel(n)


def _fdk(meter: FdkMeter, n: int) -> Measured:
    if n % 2:
        meter.measure_glucose(mg_dl(n))
        return glucose(mg_dl(n), "mg/dL")
    meter.measure_pressure(*pressures(n))
    return blood_pressure(n)


WIRED: tuple[Family, ...] = (
    Family(driver="serial.taidoc", make=_wired(TaiDocMeter, "42792203{:08d}", model="4279"), use=measure_mg_dl),
    Family(driver="serial.benecheck", make=_wired(BeneCheckMeter), use=_three_in_one),
    Family(driver="serial.acon_oncall", make=_wired(OnCallMeter, "101C{:07d}", wired=True), use=measure_mg_dl),
    Family(driver="serial.lifescan_ultra2", make=_wired(Ultra2, "GMF6{:04d}Y"), use=measure_mmol_l),
    Family(driver="serial.lifescan_ultraeasy", make=_wired(UltraEasy, "C35{:04d}CY"), use=measure_mmol_l),
    Family(driver="serial.astm", make=_wired(AstmAnalyser, "AF2{:07d}"), use=_hba1c),
    Family(
        driver="serial.pangao",
        make=_wired(PanGaoCuff, wired=True),
        use=measure_pressure,
        keeps=Keeps.LAST,
        takes_s=MEASURING.total_seconds() + 5.0,  # and is asked every three seconds
    ),
    Family(driver="serial.omron_hbp", make=_wired(OmronTunnel), use=measure_pressure, keeps=Keeps.NOTHING),
    Family(
        driver="serial.omron_hbp", make=_wired(OmronTunnel, bp=True), use=measure_pressure, keeps=Keeps.NOTHING
    ),
    Family(driver="serial.and_tm", make=_wired(AndTunnel), use=measure_pressure, keeps=Keeps.NOTHING),
    Family(driver="serial.terumo", make=_wired(TerumoTunnel), use=measure_pressure, keeps=Keeps.NOTHING),
    Family(driver="serial.cardiochek", make=_wired(LipidPrinter, "{:07d}"), use=_lipids, keeps=Keeps.NOTHING),
    Family(driver="serial.ak_bu", make=_wired(SlipPrinter, "{:07d}"), use=_lipids, keeps=Keeps.NOTHING),
    Family(driver="serial.fdk", make=_wired(FdkMeter), use=_fdk, keeps=Keeps.NOTHING),
)
