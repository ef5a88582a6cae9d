"""Meters with services of their makers, over the virtual radio: each is seen, known and read by its own driver."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.conversation import Context
from gateway.converse import converse
from gateway.drivers import recognise
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
    vendor_cuffs,
)
from gateway.simulators.benecheck_meter import Analyte, BeneCheckGlucoseService, BeneCheckMeter
from gateway.simulators.bioland_meter import BiolandMeter
from gateway.simulators.bionime_meter import BionimeMeter, BionimeOnAir
from gateway.simulators.blt_cuff import BltCuff
from gateway.simulators.jxh_cuff import JxhCuff
from gateway.simulators.line import BleLine, LineMeter
from gateway.simulators.lpm311_meter import Lpm311Meter
from gateway.simulators.oncall_meter import OnCallMeter
from gateway.simulators.onetouch import VerioFlex
from gateway.simulators.pangao_cuff import PanGaoCuff
from gateway.simulators.pc300_box import Pc300Box
from gateway.simulators.poctor_meter import PoctorMeter, Strip
from gateway.simulators.raycome_cuff import RaycomeCuff
from gateway.simulators.vendor_cuffs import MicrolifeCuff, YonkerCuff
from tests.gateway.transports.rig import WITHIN_S, noon

NOW = datetime(2026, 3, 5, 4, 0, tzinfo=UTC)


def on_the_air(line: LineMeter, name: str, service: str, notify: str, write_to: str = "") -> BleLine:
    return BleLine(
        name=name,
        address="C4:5E:00:00:00:31",
        now=noon,
        line=line,
        service=service,
        notify=notify,
        write_to=write_to or notify,
        advertised=(service,),
    )


def dongle() -> BleLine:
    line = BeneCheckMeter(now=noon)
    line.measure(Analyte.URIC_ACID, Decimal("6.6"))
    return on_the_air(line, "BeneCheck TC-B DONGLE", benecheck_meter.SERVICE, benecheck_meter.NOTIFY, "1001")


def three_in_one() -> BeneCheckGlucoseService:
    meter = BeneCheckGlucoseService(name="BeneCheck-0270", address="C4:5E:00:00:00:32", now=noon)
    meter.measure_analyte(Analyte.URIC_ACID, Decimal("0.393"))
    meter.measure_analyte(Analyte.GLUCOSE, Decimal("5.6"))
    return meter


def on_call() -> BleLine:
    line = OnCallMeter(now=noon)
    line.measure(110)
    return on_the_air(line, line.serial, oncall_meter.SERVICE, oncall_meter.CHANNEL)


def yonker_cuff() -> BleLine:
    line = YonkerCuff(now=noon)
    line.measure(131, 83, 81)
    return on_the_air(line, "YK-IBPA1", vendor_cuffs.YONKER_SERVICE, vendor_cuffs.YONKER_CHANNEL)


def microlife_cuff() -> BleLine:
    line = MicrolifeCuff(now=noon)
    for systolic in (131, 128, 125):
        line.measure(systolic, 83, 81)
    return on_the_air(
        line,
        "BP3GY1-2N",
        vendor_cuffs.MICROLIFE_SERVICE,
        vendor_cuffs.MICROLIFE_NOTIFY,
        vendor_cuffs.MICROLIFE_WRITE,
    )


def poctor_m3102() -> BleLine:
    line = PoctorMeter(now=noon)
    line.measure(Strip.KETONE, 12)
    return on_the_air(line, "PoctorM3102", poctor_meter.SERVICE, poctor_meter.NOTIFY, poctor_meter.WRITE)


def verio_flex() -> BleLine:
    line = VerioFlex(now=noon)
    for value in ("5.6", "7.8"):
        line.measure(Decimal(value))
    return on_the_air(line, "OneTouch Z7QX", onetouch.SERVICE, onetouch.NOTIFY, onetouch.WRITE)


def bioland_g_500() -> BleLine:
    line = BiolandMeter(now=noon)
    for mg_dl in (98, 121):
        line.measure(mg_dl)
    return on_the_air(line, "Bioland-BGM", bioland_meter.SERVICE, bioland_meter.NOTIFY, bioland_meter.WRITE)


def clink_blood() -> BleLine:
    line = PanGaoCuff(now=noon)
    line.measure(128, 80, 72)
    return on_the_air(line, "ClinkBlood", pangao_cuff.SERVICE, pangao_cuff.NOTIFY, pangao_cuff.WRITE)


def raycome_cuff_9804() -> BleLine:
    line = RaycomeCuff(now=noon)
    line.measure(128, 80, 72)
    return on_the_air(line, "RBP-9804", raycome_cuff.SERVICE, raycome_cuff.NOTIFY, raycome_cuff.WRITE)


def blt_wbp() -> BleLine:
    line = BltCuff(now=noon)
    line.measure(170, 92, 70)
    return on_the_air(line, "BLT_WBP", blt_cuff.SERVICE, blt_cuff.NOTIFY, blt_cuff.WRITE)


def lpm_311() -> BleLine:
    line = Lpm311Meter(now=noon)
    line.measure(Decimal("5.12"), Decimal("1.23"), None)
    return on_the_air(line, "LPM311", lpm311_meter.SERVICE, lpm311_meter.CHANNEL)


def gm700sb() -> BleLine:
    line = BionimeMeter(now=noon)
    for mg_dl in (98, 176):
        line.measure(mg_dl)
    return BionimeOnAir(name=line.serial, address="C4:5E:00:00:00:31", now=noon, line=line)


def bpm_188() -> BleLine:
    line = JxhCuff(now=noon)
    line.measure(128, 80, 72)
    return on_the_air(line, "BPM-188", jxh_cuff.SERVICE, jxh_cuff.NOTIFY, jxh_cuff.WRITE)


def pc_300() -> BleLine:
    line = Pc300Box(now=noon)
    line.measure_pressure(128, 93, 80, 72)
    line.measure_glucose(Decimal("5.8"))
    return on_the_air(line, "PC_300SNT", pc300_box.SERVICE, pc300_box.NOTIFY, pc300_box.WRITE)


class Home:
    """A keeper that says when it has been given enough."""

    def __init__(self, enough: int) -> None:
        self.records, self.enough, self._missing = [], asyncio.Event(), enough

    async def save(self, record):
        self.records.append(record)
        if len(self.records) == self._missing:
            self.enough.set()

    async def note(self, what, value):
        pass

    async def remember(self, value):
        pass


@pytest.mark.parametrize(
    ("make", "driver", "brought"),
    [
        (dongle, "ble.benecheck_dongle", [{"urate_umol_l": Decimal(393)}]),
        (three_in_one, "ble.benecheck", [{"urate_umol_l": Decimal(393)}, {"glucose_mmol_l": Decimal("5.6")}]),
        (on_call, "ble.acon_oncall", [{"glucose_mmol_l": Decimal("6.1")}]),
        (
            yonker_cuff,
            "ble.yonker",
            [{"systolic_mmhg": 131, "diastolic_mmhg": 83, "pulse_per_min": 81}],
        ),
        (
            microlife_cuff,
            "ble.microlife",
            [
                {"systolic_mmhg": systolic, "diastolic_mmhg": 83, "pulse_per_min": 81}
                for systolic in (131, 128, 125)
            ],
        ),
        (bioland_g_500, "ble.bioland", [{"glucose_mmol_l": Decimal("6.7")}, {"glucose_mmol_l": Decimal("5.4")}]),
        (clink_blood, "ble.pangao", [{"systolic_mmhg": 128, "diastolic_mmhg": 80, "pulse_per_min": 72}]),
        (raycome_cuff_9804, "ble.raycome", [{"systolic_mmhg": 128, "diastolic_mmhg": 80, "pulse_per_min": 72}]),
        (blt_wbp, "ble.blt", [{"systolic_mmhg": 170, "diastolic_mmhg": 92, "pulse_per_min": 70}]),
        (poctor_m3102, "ble.poctor", [{"ketone_mmol_l": Decimal("1.2")}]),
        (
            lpm_311,
            "ble.lpm311",
            [{"total_cholesterol_mmol_l": Decimal("5.12"), "hdl_mmol_l": Decimal("1.23")}],
        ),
        (gm700sb, "ble.bionime", [{"glucose_mmol_l": Decimal("5.4")}, {"glucose_mmol_l": Decimal("9.8")}]),
        (bpm_188, "ble.jxh", [{"systolic_mmhg": 128, "diastolic_mmhg": 80}] * 2),  # told, and kept
        (
            pc_300,
            "ble.pc300",
            [
                {"systolic_mmhg": 128, "diastolic_mmhg": 80, "mean_arterial_mmhg": 93, "pulse_per_min": 72},
                {"glucose_mmol_l": Decimal("5.8")},
            ],
        ),
        (verio_flex, "ble.lifescan", [{"glucose_mmol_l": Decimal("5.6")}, {"glucose_mmol_l": Decimal("7.8")}]),
    ],
)
def test_a_makers_meter_is_known_and_read_by_its_own_driver(bench_of, make, driver, brought):
    async def scenario():
        meter = make()
        async with bench_of(meter) as bench:
            sighting = await bench.sighting_of(meter.name)
            found = recognise(sighting)
            assert found.name == driver
            home = Home(len(brought))
            async with bench.ble.open(sighting) as link, asyncio.timeout(WITHIN_S):
                talk = converse(found.talk(Context(sighting=sighting, now=NOW)), link, home)
                talking = asyncio.ensure_future(talk)
                await home.enough.wait()
                talking.cancel()  # what it still waits for is somebody who uses the meter again
                await asyncio.gather(talking, return_exceptions=True)
            assert [record.values for record in home.records] == brought

    asyncio.run(scenario())
