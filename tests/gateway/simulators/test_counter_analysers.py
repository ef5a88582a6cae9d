"""A lipid printer, an analyser and a glucose meter on their cables, at the dock, with a plug pulled in each."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from gateway import drivers
from gateway.buffer.outbox import Outbox
from gateway.config import SerialSettings
from gateway.docking import Docking
from gateway.simulators.astm_analyser import AstmAnalyser
from gateway.simulators.lipid_printer import LipidPrinter
from gateway.simulators.onetouch import UltraEasy
from gateway.simulators.serial_line import LineFaults, PtyMeter
from gateway.transports.serial_port import SerialPorts
from gateway.visits import Visits
from tests.gateway.test_docking import Board
from tests.gateway.transports.rig import NOON, WITHIN_S
from tests.gateway.transports.serial_rig import ADAPTER, NOW, Sockets, until


class Clock:
    """Goes on a minute whenever it is asked to."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self):
        return self.time

    def tick(self) -> None:
        self.time += timedelta(minutes=1)


def test_a_plug_pulled_anywhere_costs_nothing_and_doubles_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.docking.REST_S", 0.01)
    monkeypatch.setattr("gateway.docking.RETRY_S", 0.01)

    async def scenario():
        clock = Clock()
        printer = PtyMeter(LipidPrinter(now=clock, zeros_every=11), faults=LineFaults(piece_bytes=7))
        analyser = PtyMeter(AstmAnalyser(now=clock, bad_checksums=1), faults=LineFaults(unplug_after=400))
        glucose = PtyMeter(UltraEasy(now=clock), faults=LineFaults(unplug_after=200))
        wires = {"1-1.1": printer, "1-1.2": analyser, "1-1.3": glucose}
        names = ("serial.cardiochek", "serial.astm", "serial.lifescan_ultraeasy")
        settings = [SerialSettings(usb_path=path, driver=name) for path, name in zip(wires, names, strict=True)]
        for number in range(3):
            clock.tick()
            printer.meter.measure_panel(Decimal("5.12"), Decimal("1.31"), Decimal("1.70"))
            analyser.meter.measure_hba1c(Decimal(6) + number)
            glucose.meter.measure(Decimal(5) + number)
        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        board, sockets = Board(), Sockets()
        docking = Docking(
            outbox,
            board,
            Visits({"counter-1": ()}),
            clock=lambda: NOW + timedelta(minutes=4),
            clock_trusted=lambda: True,
            gateway="gw-1",
        )
        ports = SerialPorts(settings, drivers.recognise, look=sockets.look, look_every_s=0.02, ask_every_s=0.05)
        watching = asyncio.ensure_future(docking.watch(ports))
        try:
            async with asyncio.timeout(WITHIN_S):
                for path, wire in wires.items():
                    sockets.plug(path, wire, ADAPTER)
                    wire.speak()
                await board.until(lambda: board.endings.count("lost") == 2)
                for path in ("1-1.2", "1-1.3"):
                    sockets.plug(path, wires[path], ADAPTER)
                analyser.speak()
                await board.until(lambda: len(board.readings) == 9)
                await until(lambda: not analyser.meter.runs)  # the last acknowledgement follows the reading
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await outbox.close()
        for wire in wires.values():
            wire.unplug()
        return board.readings

    readings = asyncio.run(scenario())
    told: dict[str, list[Decimal]] = {}
    for reading in readings:
        told.setdefault(reading.driver, []).append(next(iter(reading.values.values())))
    assert {driver: sorted(values) for driver, values in told.items()} == {
        "serial.cardiochek": [Decimal("5.12")] * 3,
        "serial.astm": [Decimal("6.0"), Decimal("7.0"), Decimal("8.0")],
        "serial.lifescan_ultraeasy": [Decimal("5.0"), Decimal("6.0"), Decimal("7.0")],
    }
    assert len({reading.id for reading in readings}) == 9
    assert {reading.device.serial for reading in readings} == {"3093537", "AF20052397", "C354PCCCY"}
