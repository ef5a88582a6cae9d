"""Every serial family at one counter, each on a real pseudo terminal, read by the drivers that ship."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from gateway import drivers
from gateway.buffer.outbox import Outbox
from gateway.config import SerialSettings
from gateway.docking import Docking
from gateway.drivers import DRIVERS
from gateway.simulators.astm_analyser import AstmAnalyser
from gateway.simulators.benecheck_meter import Analyte, BeneCheckMeter
from gateway.simulators.fdk_meter import FdkMeter
from gateway.simulators.line import LineMeter
from gateway.simulators.lipid_printer import LipidPrinter, SlipPrinter
from gateway.simulators.oncall_meter import OnCallMeter
from gateway.simulators.onetouch import Ultra2, UltraEasy
from gateway.simulators.pangao_cuff import PanGaoCuff
from gateway.simulators.serial_line import LineFaults, PtyMeter
from gateway.simulators.taidoc_meter import TaiDocMeter
from gateway.simulators.tunnel_monitors import AndTunnel, OmronTunnel, TerumoTunnel
from gateway.transports.serial_port import SerialPorts
from gateway.visits import Visits
from tests.gateway.test_docking import Board
from tests.gateway.transports.rig import NOON
from tests.gateway.transports.serial_rig import ADAPTER, NOW, Sockets

WITHIN_S = 40.0
"""Ends a test that hangs; none is judged by it."""


def used(driver: str) -> LineMeter:
    """The meter of `driver`, with one measurement taken."""
    clock = {"now": lambda: NOON}
    match driver:
        case "serial.taidoc":
            (meter := TaiDocMeter(**clock)).measure(108)
        case "serial.benecheck":
            (meter := BeneCheckMeter(**clock)).measure(Analyte.GLUCOSE, Decimal(97))
        case "serial.acon_oncall":
            (meter := OnCallMeter(**clock, wired=True)).measure(97)
        case "serial.lifescan_ultra2":
            (meter := Ultra2(**clock)).measure(Decimal("5.4"))
        case "serial.lifescan_ultraeasy":
            (meter := UltraEasy(**clock)).measure(Decimal("5.4"))
        case "serial.cardiochek":
            (meter := LipidPrinter(**clock)).measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
        case "serial.ak_bu":
            (meter := SlipPrinter(**clock)).measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
        case "serial.astm":
            (meter := AstmAnalyser(**clock)).measure_hba1c(Decimal("6.1"))
        case "serial.fdk":
            (meter := FdkMeter(**clock)).measure_pressure(128, 80, 72)
        case "serial.pangao":
            (meter := PanGaoCuff(**clock, wired=True)).measure(128, 80, 72)
        case "serial.omron_hbp":
            (meter := OmronTunnel(**clock)).measure(128, 80, 72)
        case "serial.and_tm":
            (meter := AndTunnel(**clock)).measure(128, 80, 72)
        case "serial.terumo":
            (meter := TerumoTunnel(**clock)).measure(128, 80, 72)
        case _:
            raise ValueError(f"a virtual meter for {driver} is missing in this test")
    return meter


SERIAL = tuple(driver for driver in DRIVERS if driver.transport == "serial")
KEEP_THEIR_RECORDS = (
    "serial.taidoc",
    "serial.benecheck",
    "serial.acon_oncall",
    "serial.lifescan_ultra2",
    "serial.lifescan_ultraeasy",
    "serial.astm",
)


@pytest.fixture
def impatient(monkeypatch):
    """Meters are asked again at once: these tests are about what is kept, not about manners."""
    monkeypatch.setattr("gateway.docking.REST_S", 0.01)
    monkeypatch.setattr("gateway.docking.RETRY_S", 0.01)


async def docked(directory: Path, wires: dict[str, PtyMeter], done) -> list:
    """Docks `wires` (by their driver's name) until `done(readings, sockets, paths)` returns."""
    sockets, settings, paths = Sockets(), [], {}
    for number, (driver, wire) in enumerate(wires.items(), start=1):
        paths[driver] = f"1-1.{number}"
        sockets.plug(paths[driver], wire, ADAPTER)
        settings.append(SerialSettings(usb_path=paths[driver], driver=driver))
    outbox, board = await Outbox.open(directory, gateway="gw-1"), Board()
    docking = Docking(
        outbox,
        board,
        Visits({"counter-1": ()}),
        clock=lambda: NOW,
        clock_trusted=lambda: True,
        gateway="gw-1",
    )
    ports = SerialPorts(settings, drivers.recognise, look=sockets.look, look_every_s=0.02, ask_every_s=0.05)
    watching = asyncio.ensure_future(docking.watch(ports))
    try:
        async with asyncio.timeout(WITHIN_S):
            for wire in wires.values():
                wire.speak()
            await done(board, sockets, paths)
            return [held.reading for held in await outbox.recent(1000)]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for wire in wires.values():
            wire.unplug()
        await outbox.close()


def test_every_serial_family_at_one_counter_is_read_once(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr("gateway.drivers.pangao.POLL_S", 0.05)

    async def scenario():
        wires = {driver.name: PtyMeter(used(driver.name), faults=LineFaults(piece_bytes=9)) for driver in SERIAL}

        async def done(board, sockets, paths):
            await board.until(lambda: {one.driver for one in board.readings} >= wires.keys())

        return await docked(tmp_path, wires, done)

    readings = asyncio.run(scenario())
    assert sorted(one.driver for one in readings) == sorted(driver.name for driver in SERIAL)


@pytest.mark.parametrize("driver", KEEP_THEIR_RECORDS)
@pytest.mark.parametrize("unplug_after", [3, 30])
def test_a_meter_that_keeps_its_records_loses_none_to_a_pulled_plug(driver, unplug_after, tmp_path, impatient):
    async def scenario():
        wire = PtyMeter(used(driver), faults=LineFaults(piece_bytes=5, unplug_after=unplug_after))

        async def done(board, sockets, paths):
            async def plug_again():
                while True:
                    if not wire.is_plugged:
                        sockets.plug(paths[driver], wire, ADAPTER)
                        wire.speak()
                    await asyncio.sleep(0.05)

            plugging = asyncio.ensure_future(plug_again())
            await board.until(lambda: len(board.readings) >= 1)
            plugging.cancel()
            ended = len(board.endings)
            wire.unplug()
            await board.until(lambda: len(board.endings) > ended or wire.heard == b"")

        return await docked(tmp_path, {driver: wire}, done)

    readings = asyncio.run(scenario())
    assert [one.driver for one in readings] == [driver]
