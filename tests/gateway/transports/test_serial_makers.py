"""Meters that are asked on a wire, over a pseudo terminal: each named in the settings, read by its own driver."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.config import SerialSettings
from gateway.conversation import Context
from gateway.converse import converse
from gateway.drivers import recognise
from gateway.simulators.benecheck_meter import Analyte, BeneCheckMeter
from gateway.simulators.line import LineMeter
from gateway.simulators.oncall_meter import HI, OnCallMeter
from gateway.simulators.serial_line import LineFaults, PtyMeter
from gateway.simulators.taidoc_meter import URIC_ACID, TaiDocMeter
from gateway.transports.serial_port import Port, SerialPorts
from tests.gateway.transports.rig import WITHIN_S, noon
from tests.gateway.transports.test_ble_makers import Home

NOW = datetime(2026, 3, 5, 4, 0, tzinfo=UTC)
SOCKET = "1-1.3"


def three_in_one() -> LineMeter:
    meter = BeneCheckMeter(now=noon)
    meter.measure(Analyte.GLUCOSE, Decimal(98))
    meter.measure(Analyte.GLUCOSE, Decimal(176))
    meter.measure(Analyte.URIC_ACID, Decimal("6.6"))
    list(meter.begin())  # told to nobody: the wire was not plugged in yet
    return meter


def on_call() -> LineMeter:
    meter = OnCallMeter(now=noon, wired=True)
    for minutes, mg_dl in enumerate((98, 176, HI)):
        meter.clock_error = timedelta(minutes=minutes)
        meter.measure(mg_dl)
    return meter


def td_4279() -> LineMeter:
    meter = TaiDocMeter(now=noon, model="4279")
    meter.measure(66, URIC_ACID)
    for mg_dl in (176, 98):
        meter.measure(mg_dl)
    return meter


GLUCOSE = [{"glucose_mmol_l": Decimal("5.4")}, {"glucose_mmol_l": Decimal("9.8")}]


@pytest.mark.parametrize(
    ("make", "driver", "brought"),
    [
        (three_in_one, "serial.benecheck", [*GLUCOSE, {"urate_umol_l": Decimal(393)}]),
        (on_call, "serial.acon_oncall", [{}, *reversed(GLUCOSE)]),
        (td_4279, "serial.taidoc", [*GLUCOSE, {"urate_umol_l": Decimal(393)}]),
    ],
)
@pytest.mark.parametrize(
    "faults", [LineFaults(), LineFaults(piece_bytes=3), LineFaults(garbage_before=b"\xff\x24&P")], ids=repr
)
def test_a_meter_on_a_wire_is_asked_and_read_whatever_else_is_on_the_line(make, driver, brought, faults):
    async def scenario():
        wire = PtyMeter(make(), faults=faults)
        wire.plug()
        settings = SerialSettings(usb_path=SOCKET, driver=driver, label="meter")
        port = Port(device=wire.path, address=SOCKET, usb_id="1a86:7523")
        ports = SerialPorts((settings,), recognise, look=lambda: [port], look_every_s=0.02, ask_every_s=0.05)
        home = Home(len(brought))
        async with asyncio.timeout(WITHIN_S), aclosing(ports.sightings()) as sightings:
            sighting = await anext(sightings)
            found = recognise(sighting)
            assert found.name == driver
            async with ports.open(sighting) as link:
                talk = converse(found.talk(Context(sighting=sighting, now=NOW)), link, home)
                talking = asyncio.ensure_future(talk)
                await home.enough.wait()
                talking.cancel()  # what it still waits for is a strip
                await asyncio.gather(talking, return_exceptions=True)
        wire.unplug()
        assert [record.values for record in home.records] == brought

    asyncio.run(scenario())
