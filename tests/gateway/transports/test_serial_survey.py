"""What the doctor says of serial ports: found, busy, forbidden, missing, unknown."""

import asyncio
from functools import partial

import pytest

from gateway import drivers
from gateway.config import SerialSettings
from gateway.conversation import SerialLine
from gateway.transports.serial_link import open_tty
from gateway.transports.serial_port import Port
from gateway.transports.serial_survey import Surveyed, judge, survey, unknown_drivers
from tests.gateway.transports.serial_rig import ADAPTER, KNOWN, LOGGER, MONITOR, Sockets, wire

recognise = partial(drivers.recognise, drivers=(MONITOR, LOGGER))
TUNNEL = Port(device="/dev/ttyUSB0", address="1-1.2", usb_id=ADAPTER, product="USB Serial")


def test_each_port_is_told_with_its_driver_and_whether_it_can_be_had():
    async def scenario():
        sockets, mine, others, nobodys = Sockets(), wire(), wire(), wire()
        sockets.plug("1-1.1", mine)
        sockets.plug("1-1.2", others, ADAPTER)
        sockets.plug("1-1.3", nobodys, ADAPTER)
        held = open_tty(others.path, SerialLine(baud=9600))
        setting = SerialSettings(usb_path="1-1.2", driver="serial.logger")
        told = survey([setting], recognise, sockets.look)
        held.close()
        for one in (mine, others, nobodys):
            one.unplug()
        return told

    told = asyncio.run(scenario())
    assert [(one.driver, one.why) for one in told] == [
        ("serial.monitor", ""),
        ("serial.logger", "busy"),
        ("", ""),
    ]
    verdict, found, todo = judge(told, [], gateway_runs=True)
    assert (verdict, todo) == ("ok", "")
    assert found.startswith(f"1-1.1 ({KNOWN}): serial.monitor; 1-1.2 ({ADAPTER}): serial.logger; 1-1.3")
    assert "name it in [[serial]]" in found


@pytest.mark.parametrize(
    ("why", "found", "todo"),
    [
        ("busy", "1-1.2 is in use by another program", "fuser -v /dev/ttyUSB0"),
        ("denied", "1-1.2 may not be opened by this user", "usermod -aG dialout"),
        ("failed", "1-1.2 cannot be opened (failed)", "plug it in again"),
    ],
)
def test_what_keeps_the_gateway_from_a_port_is_said_in_words(why, found, todo):
    told = [Surveyed(port=TUNNEL, driver="serial.monitor", why=why)]
    verdict, was_found, to_do = judge(told, [], gateway_runs=False)
    assert verdict == "fail"
    assert was_found.startswith(found)
    assert todo in to_do


def test_a_meter_that_is_configured_and_not_there_is_missed():
    setting = SerialSettings(usb_path="1-1.4", usb_id=ADAPTER, driver="serial.monitor")
    assert judge([], [setting], gateway_runs=False)[:2] == (
        "warn",
        f"no port 1-1.4 {ADAPTER} for serial.monitor; no serial port is plugged in",
    )
    assert judge([], [], gateway_runs=False) == ("ok", "no serial port is plugged in", "")


def test_a_driver_nobody_knows_is_named_with_those_there_are():
    settings = [SerialSettings(device="/dev/rfcomm0", driver=name) for name in ("serial.logger", "ble.glucose")]
    assert unknown_drivers(settings, (MONITOR, LOGGER)) == [
        "serial[2].driver: no serial driver 'ble.glucose'; there are: serial.logger, serial.monitor"
    ]
