"""The meters with Bluetooth: how each family's double is made and put on the air, and how a customer uses it.

What a meter says is its simulator's.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.simulators import (
    benecheck_meter,
    bioland_meter,
    blt_cuff,
    jxh_cuff,
    lpm311_meter,
    oncall_meter,
    onetouch,
    pangao_cuff,
    pc300_box,
    poctor_meter,
    raycome_cuff,
    sinocare_meter,
    taidoc_meter,
    vendor_cuffs,
)
from gateway.simulators.benecheck_meter import Analyte, BeneCheckGlucoseService, BeneCheckMeter
from gateway.simulators.bioland_meter import BiolandMeter
from gateway.simulators.bionime_meter import BionimeMeter, BionimeOnAir
from gateway.simulators.blt_cuff import BltCuff
from gateway.simulators.glucose_meter import GlucoseMeter
from gateway.simulators.jxh_cuff import JxhCuff
from gateway.simulators.line import BleLine, LineMeter
from gateway.simulators.lpm311_meter import Lpm311Meter
from gateway.simulators.meter import VirtualMeter
from gateway.simulators.omron_cuff import OmronCuff
from gateway.simulators.oncall_meter import OnCallMeter
from gateway.simulators.onetouch import VerioFlex
from gateway.simulators.pangao_cuff import PanGaoCuff
from gateway.simulators.pc300_box import Pc300Box
from gateway.simulators.poctor_meter import PoctorMeter, Strip
from gateway.simulators.pressure_cuff import PressureCuff
from gateway.simulators.raycome_cuff import RaycomeCuff
from gateway.simulators.sinocare_meter import SinocareMeter
from gateway.simulators.taidoc_meter import TaiDocMeter
from gateway.simulators.thermometer import Thermometer
from gateway.simulators.ua651_cuff import Ua651
from gateway.simulators.vendor_cuffs import MicrolifeCuff, YonkerCuff
from gateway.units import canonical
from gateway.wire.vocabulary import Kind
from hil_tests.trade.family import (
    Family,
    Keeps,
    Making,
    Measured,
    blood_pressure,
    glucose,
    lipids,
    measure_mg_dl,
    measure_mmol_l,
    measure_pressure,
    mmol_l,
    pressures,
    uric_acid,
)

Make = Callable[[Making], VirtualMeter]


def _sig(meter: type[VirtualMeter], called: str = "") -> Make:
    """A meter of a standard service."""

    def make(making: Making) -> VirtualMeter:
        return meter(
            name=called or making.name,
            address=making.address,
            serial=making.serial,
            now=making.now,
            clock_error=making.clock_error,
        )

    return make


def _on(
    line: type[LineMeter],
    called: str,
    service: str,
    notify: str,
    write_to: str = "",
    *,
    inner_serial: str = "{:08d}",
    carrier: type[BleLine] = BleLine,
    **options: Any,
) -> Make:
    """A maker's meter on its own service. `called` and `inner_serial` are given the meter's number."""

    def make(making: Making) -> VirtualMeter:
        inner = inner_serial.format(7000 + making.number)
        return carrier(
            name=called.format(7000 + making.number),
            address=making.address,
            serial=making.serial,
            now=making.now,
            clock_error=making.clock_error,
            line=line(now=making.now, serial=inner, clock_error=making.clock_error, **options),
            service=service,
            notify=notify,
            write_to=write_to or notify,
            advertised=(service,),
        )

    return make


def _sig_pressure(meter: Any, n: int) -> Measured:
    meter.measure(*map(Decimal, pressures(n)))
    return blood_pressure(n)


def _sig_temperature(meter: Any, n: int) -> Measured:
    value = Decimal(340 + n % 90) / 10
    meter.measure(value)
    return Kind.BODY_TEMPERATURE, {"body_temperature_cel": canonical("body_temperature_cel", value, "°C")}


def _three_in_one(meter: BeneCheckGlucoseService, n: int) -> Measured:
    if n % 2:
        meter.measure_analyte(Analyte.URIC_ACID, Decimal(200 + n) / 1000)
        return uric_acid(200 + n, "µmol/L")
    meter.measure_analyte(Analyte.GLUCOSE, mmol_l(n))
    return glucose(mmol_l(n), "mmol/L")


def _dongle(meter: BeneCheckMeter, n: int) -> Measured:
    meter.measure(Analyte.URIC_ACID, Decimal(30 + n) / 10)
    return uric_acid(Decimal(30 + n) / 10, "mg/dL")


def _ketone(meter: PoctorMeter, n: int) -> Measured:
    meter.measure(Strip.KETONE, 1 + n)
    return Kind.KETONE, {"ketone_mmol_l": Decimal(1 + n) / 10}


def _box(meter: Pc300Box, n: int) -> Measured:
    if n % 2:
        meter.measure_glucose(mmol_l(n))
        return glucose(mmol_l(n), "mmol/L")
    systolic, diastolic, pulse = pressures(n)
    meter.measure_pressure(systolic, (systolic + 2 * diastolic) // 3, diastolic, pulse)
    return blood_pressure(n)


def _lipids(meter: Lpm311Meter, n: int) -> Measured:
    total, hdl, _ = lipids(n)
    meter.measure(total, hdl, None)
    return Kind.LIPID_PANEL, {"total_cholesterol_mmol_l": total, "hdl_mmol_l": hdl}


RADIO: tuple[Family, ...] = (
    Family(driver="ble.glucose", make=_sig(GlucoseMeter), use=measure_mmol_l, how_many=3),
    Family(
        driver="ble.blood_pressure", make=_sig(PressureCuff), use=_sig_pressure, how_many=2, keeps=Keeps.TILL_TOLD
    ),
    Family(driver="ble.thermometer", make=_sig(Thermometer), use=_sig_temperature, keeps=Keeps.TILL_TOLD),
    Family(driver="ble.omron", make=_sig(OmronCuff, "BLESmart_00000480"), use=measure_pressure),
    Family(
        driver="ble.and_ua651", make=_sig(Ua651, "A&D_UA-651BLE_000001"), use=_sig_pressure, keeps=Keeps.TILL_TOLD
    ),
    Family(driver="ble.benecheck", make=_sig(BeneCheckGlucoseService, "BeneCheck-0270"), use=_three_in_one),
    Family(
        driver="ble.sinocare",
        make=_on(SinocareMeter, "SN-6W", sinocare_meter.SERVICE, sinocare_meter.NOTIFY, sinocare_meter.WRITE),
        use=measure_mmol_l,
    ),
    Family(
        driver="ble.taidoc",
        make=_on(
            TaiDocMeter,
            "FORA 6 CONNECT",
            taidoc_meter.SERVICE,
            taidoc_meter.CHANNEL,
            inner_serial="41832203{:08d}",
        ),
        use=measure_mg_dl,
        how_many=2,
    ),
    Family(
        driver="ble.acon_oncall",
        make=_on(OnCallMeter, "101C{:07d}", oncall_meter.SERVICE, oncall_meter.CHANNEL, inner_serial="101C{:07d}"),
        use=measure_mg_dl,
    ),
    Family(
        driver="ble.microlife",
        make=_on(
            MicrolifeCuff,
            "BP3GY1-2N",
            vendor_cuffs.MICROLIFE_SERVICE,
            vendor_cuffs.MICROLIFE_NOTIFY,
            vendor_cuffs.MICROLIFE_WRITE,
            slots=99,
        ),
        use=measure_pressure,
    ),
    Family(
        driver="ble.bioland",
        make=_on(
            BiolandMeter,
            "Bioland-BGM",
            bioland_meter.SERVICE,
            bioland_meter.NOTIFY,
            bioland_meter.WRITE,
            inner_serial="G{:08d}",
        ),
        use=measure_mg_dl,
    ),
    Family(
        driver="ble.bionime",
        make=_on(
            BionimeMeter,
            "2782WBC{:04d}(C)",
            "fee0",
            "fee2",
            "fee3",
            inner_serial="2782WBC{:04d}(C)",
            carrier=BionimeOnAir,
        ),
        use=measure_mg_dl,
    ),
    Family(
        driver="ble.lifescan",
        make=_on(VerioFlex, "OneTouch Z7QX", onetouch.SERVICE, onetouch.NOTIFY, onetouch.WRITE),
        use=measure_mmol_l,
    ),
    Family(
        driver="ble.blt",
        make=_on(BltCuff, "BLT_WBP", blt_cuff.SERVICE, blt_cuff.NOTIFY, blt_cuff.WRITE),
        use=measure_pressure,
    ),
    Family(
        driver="ble.jxh",
        make=_on(JxhCuff, "BPM-188", jxh_cuff.SERVICE, jxh_cuff.NOTIFY, jxh_cuff.WRITE),
        use=measure_pressure,
    ),
    Family(
        driver="ble.lpm311",
        make=_on(Lpm311Meter, "LPM311", lpm311_meter.SERVICE, lpm311_meter.CHANNEL),
        use=_lipids,
        keeps=Keeps.LAST,
    ),
    Family(
        driver="ble.pangao",
        make=_on(PanGaoCuff, "ClinkBlood", pangao_cuff.SERVICE, pangao_cuff.NOTIFY, pangao_cuff.WRITE),
        use=measure_pressure,
        keeps=Keeps.TILL_TOLD,
    ),
    Family(
        driver="ble.raycome",
        make=_on(RaycomeCuff, "RBP-9804", raycome_cuff.SERVICE, raycome_cuff.NOTIFY, raycome_cuff.WRITE),
        use=measure_pressure,
        keeps=Keeps.LAST,
    ),
    Family(
        driver="ble.benecheck_dongle",
        make=_on(BeneCheckMeter, "BeneCheck TC-B DONGLE", benecheck_meter.SERVICE, benecheck_meter.NOTIFY, "1001"),
        use=_dongle,
        keeps=Keeps.NOTHING,
    ),
    Family(
        driver="ble.yonker",
        make=_on(YonkerCuff, "YK-IBPA1", vendor_cuffs.YONKER_SERVICE, vendor_cuffs.YONKER_CHANNEL),
        use=measure_pressure,
        keeps=Keeps.NOTHING,
    ),
    Family(
        driver="ble.poctor",
        make=_on(PoctorMeter, "PoctorM3102", poctor_meter.SERVICE, poctor_meter.NOTIFY, poctor_meter.WRITE),
        use=_ketone,
        keeps=Keeps.NOTHING,
    ),
    Family(
        driver="ble.pc300",
        make=_on(Pc300Box, "PC_300SNT", pc300_box.SERVICE, pc300_box.NOTIFY, pc300_box.WRITE),
        use=_box,
        keeps=Keeps.NOTHING,
    ),
)
