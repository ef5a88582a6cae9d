"""The virtual tunnel monitors against published lines, face to face with their drivers, and at the dock."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from gateway import drivers
from gateway.buffer.outbox import Outbox
from gateway.config import SerialSettings
from gateway.docking import Docking
from gateway.drivers import and_tm, omron_hbp, terumo
from gateway.simulators.serial_line import LineFaults, PtyMeter
from gateway.simulators.tunnel_monitors import AndTunnel, OmronTunnel, TerumoTunnel
from gateway.transports.serial_port import SerialPorts
from gateway.visits import Visits
from gateway.wire.messages import TimeQuality
from tests.gateway.simulators.meeting import meet
from tests.gateway.test_docking import Board
from tests.gateway.transports.rig import WITHIN_S
from tests.gateway.transports.serial_rig import ADAPTER, NOW, Sockets

NOON = datetime.fromisoformat("2026-03-05T12:00:30")


def now() -> datetime:
    return NOON


def at(moment: str):
    return lambda: datetime.fromisoformat(moment)


def test_the_lines_are_the_published_ones():
    hbp_9030 = OmronTunnel(now=at("2026-07-11T09:05"), subject="12345678901234567890")
    hbp_9030.measure(120, 80, 72)
    hbp_9030.fail(7)
    assert list(hbp_9030.begin()) == [
        b"2026,07,11,09,05,12345678901234567890,0,120,080,072,0\r\n",
        b"2026,07,11,09,05,12345678901234567890,7,   ,   ,   ,0\r\n",
    ]
    hbp_9020 = OmronTunnel(now=at("2023-04-27T15:06"), subject="9" * 20, bp=True)
    hbp_9020.measure(140, 77, 68)
    assert list(hbp_9020.begin()) == [b"bp,99999999999999999999,2023/04/27,15:06,140,098,077,068,0\r\n"]
    br_500 = TerumoTunnel(now=at("2026-04-29T10:38"))
    br_500.measure(119, 76, 83)
    assert [piece.hex() for piece in br_500.begin()] == [
        "0252312c3030303030303030302c3236303432392c3130333830302c3131392c3039302c3037362c3038332c"
        "303030302c303030302c30303030302c30303003eb"
    ]
    tm_2655 = AndTunnel(now=at("2019-10-29T14:29"))
    tm_2655.measure(102, 62, 83)
    [told] = tm_2655.begin()
    assert told[6:-2].replace(b"\x1e", b"|") == b"TM2655|1910291429|RB|M|E00|S102|M 75|D 62|P 83|I17|L139|"
    assert told[:6].hex() == "161601303002"
    assert told[-2:].hex() == "033b"  # ETX, and all bytes of the text together by exclusive or


MAKES = [
    (omron_hbp.DRIVER, OmronTunnel, {}),
    (omron_hbp.DRIVER, OmronTunnel, {"bp": True}),
    (terumo.DRIVER, TerumoTunnel, {}),
    (and_tm.DRIVER, AndTunnel, {}),
]


@pytest.mark.parametrize(("driver", "make", "options"), MAKES)
@pytest.mark.parametrize("piece_bytes", [None, 1, 7])
def test_each_result_is_read_once_however_it_is_cut(driver, make, options, piece_bytes):
    monitor = make(now=now, clock_error=timedelta(hours=-1), **options)
    for systolic in (118, 131, 142):
        monitor.measure(systolic, 80, 70)
    met = meet(driver, monitor, piece_bytes=piece_bytes)
    assert [record.values["systolic_mmhg"] for record in met.records] == [118, 131, 142]
    assert {record.device_time.hour for record in met.records} == {11}
    assert len({record.key for record in met.records}) == 3
    assert not [note for note in met.notes if note[0] == "error"]


@pytest.mark.parametrize(("driver", "make", "options"), MAKES[::2] + MAKES[3:])
def test_a_failed_measurement_is_no_reading(driver, make, options):
    monitor = make(now=now, **options)
    monitor.fail(5)
    monitor.measure(118, 80, 70)
    met = meet(driver, monitor)
    assert len(met.records) == 1
    expected = "no_value" if make is TerumoTunnel else "error_5"
    assert ("error", expected) in met.notes


@pytest.mark.parametrize(("driver", "make", "options"), MAKES)
@pytest.mark.parametrize("lose_after", range(0, 150, 7))
def test_a_line_lost_anywhere_brings_whole_results_only(driver, make, options, lose_after):
    monitor = make(now=now, **options)
    monitor.measure(118, 80, 70)
    monitor.measure(131, 80, 70)
    met = meet(driver, monitor, lose_after=lose_after)
    assert [record.values["systolic_mmhg"] for record in met.records] in ([], [118], [118, 131])


def test_three_monitors_at_one_counter_with_a_plug_pulled_in_mid_result(tmp_path):
    """The whole dock on pseudo terminals: what was told whole is kept once, half a result is no reading."""

    async def scenario():
        wires = {
            "1-1.1": PtyMeter(OmronTunnel(now=now), faults=LineFaults(piece_bytes=5, unplug_after=55 * 2 + 20)),
            "1-1.2": PtyMeter(TerumoTunnel(now=now), faults=LineFaults(garbage_before=b"\xff\x00")),
            "1-1.3": PtyMeter(AndTunnel(now=now), faults=LineFaults(piece_bytes=1)),
        }
        names = dict(zip(wires, ("serial.omron_hbp", "serial.terumo", "serial.and_tm"), strict=True))
        settings = [SerialSettings(usb_path=path, driver=name) for path, name in names.items()]
        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        board, sockets = Board(), Sockets()
        for path, wire in wires.items():
            sockets.plug(path, wire, ADAPTER)
        docking = Docking(
            outbox,
            board,
            Visits({"counter-1": ()}),
            clock=lambda: NOW + timedelta(seconds=40),
            clock_trusted=lambda: True,
            gateway="gw-1",
        )
        # As if the ports had been open for long: what a monitor says then, it says of now.
        ports = SerialPorts(settings, drivers.recognise, look=sockets.look, look_every_s=0.02, settle_s=0.0)
        watching = asyncio.ensure_future(docking.watch(ports))
        try:
            async with asyncio.timeout(WITHIN_S):
                for systolic in range(110, 113):
                    for wire in wires.values():
                        wire.meter.measure(systolic, 70, 60)
                        wire.speak()
                        await wire.quiet()
                await board.until(lambda: len(board.readings) == 8)
                await board.until(lambda: "lost" in board.endings)
                omron = wires["1-1.1"]
                sockets.plug("1-1.1", omron, ADAPTER)
                omron.meter.measure(120, 70, 60)
                omron.speak()
                await board.until(lambda: len(board.readings) == 9)
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
        told.setdefault(reading.driver, []).append(reading.values["systolic_mmhg"])
        # To the second it came, though two of them say only the minute, which may lie before the visit began.
        assert (reading.time.quality, reading.time.at) == (TimeQuality.GATEWAY, NOW + timedelta(seconds=40))
    assert told == {
        "serial.omron_hbp": [110, 111, 120],
        "serial.terumo": [110, 111, 112],
        "serial.and_tm": [110, 111, 112],
    }
