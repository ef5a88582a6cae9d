"""Which serial port is meant, and that nobody else has it."""

import asyncio
import fcntl
import os
import struct
import termios
from contextlib import aclosing
from dataclasses import replace

import pytest
import serial

from gateway.config import SerialSettings
from gateway.conversation import (
    SerialLine,
)
from gateway.transports import serial_link, serial_port
from gateway.transports.serial_link import CannotOpen, open_tty
from gateway.transports.serial_port import Port, SerialPorts, ports_there, usb_ports
from tests.gateway.transports.rig import WITHIN_S
from tests.gateway.transports.serial_rig import (
    ADAPTER,
    KNOWN,
    MONITOR,
    TIOCGEXCL,
    Sockets,
    recognise,
    transport,
    until,
    wire,
)

# --- exclusive ---------------------------------------------------------------------------------------------------


def test_a_port_somebody_else_has_is_waited_for(monkeypatch):
    monkeypatch.setattr(serial_port, "RETRY_OPEN_S", (0.02,))

    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        other = serial.Serial(monitor.path, exclusive=True)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            first = asyncio.ensure_future(anext(sightings))
            await until(lambda: ports.state == "failed")
            assert ports._plugged["1-1.2"].trouble == "busy"
            other.close()
            await until(lambda: ports.state == "ok")
            monitor.say(b"!")
            assert (await first).calling
        monitor.unplug()

    asyncio.run(scenario())


def test_nobody_else_gets_a_port_that_is_open():
    async def scenario():
        monitor = wire()
        tty = open_tty(monitor.plug(), SerialLine(baud=2400, data_bits=7, parity="E", stop_bits=2))
        with pytest.raises(CannotOpen, match="busy"):
            open_tty(monitor.path, SerialLine(baud=9600))
        _, _, cflag, _, speed, _, _ = termios.tcgetattr(tty.fileno())
        assert speed == termios.B2400
        assert cflag & termios.CSTOPB
        assert struct.unpack("i", fcntl.ioctl(tty.fileno(), TIOCGEXCL, bytes(4))) == (1,)
        if os.geteuid() != 0:  # it stops everybody but root
            with pytest.raises(OSError, match="busy"):
                os.open(monitor.path, os.O_RDWR)
        tty.close()
        monitor.unplug()
        with pytest.raises(CannotOpen, match="gone"):
            open_tty(monitor.path, SerialLine(baud=9600))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "why"),
    [(OSError(13, "denied"), "denied"), (OSError(5, "I/O"), "gone"), (ValueError("baud"), "failed")],
)
def test_why_a_port_cannot_be_opened_is_one_word(error, why):
    assert serial_link.why_not(error) == why


# --- which port is meant -----------------------------------------------------------------------------------------


def test_a_device_that_is_not_on_usb_is_a_port_while_it_exists(tmp_path):
    device = tmp_path / "rfcomm0"
    setting = SerialSettings(device=str(device), driver="serial.monitor")
    listed = [Port(device="/dev/ttyUSB0", address="1-1.2", usb_id=ADAPTER)]
    assert ports_there([setting], listed) == listed
    device.touch()
    assert ports_there([setting], listed) == [*listed, Port(device=str(device), address=str(device))]


def test_a_device_that_is_named_is_not_found_on_usb_once_more(tmp_path):
    device = tmp_path / "ttyUSB0"
    device.touch()
    (tmp_path / "by-path").symlink_to(device)
    setting = SerialSettings(device=str(tmp_path / "by-path"), driver="serial.monitor")
    listed = [Port(device=str(device), address="1-1.2", usb_id=ADAPTER)]
    assert [port.address for port in ports_there([setting], listed)] == [str(tmp_path / "by-path")]


@pytest.mark.parametrize(
    ("setting", "driver"),
    [
        ({"usb_path": "1-1.2"}, "serial.monitor"),
        ({"usb_id": ADAPTER}, "serial.monitor"),
        ({"usb_path": "1-1.2", "usb_id": ADAPTER}, "serial.monitor"),
        ({"usb_path": "1-1.2", "usb_id": KNOWN}, ""),
        ({"usb_path": "1-1.20"}, ""),
    ],
)
def test_settings_mean_a_port_by_its_place_by_what_it_is_or_by_both(setting, driver):
    port = Port(device="/dev/ttyUSB7", address="1-1.2", usb_id=ADAPTER, product="USB2.0-Serial")
    sighting = serial_port.sighting_of(port, [SerialSettings(driver="serial.monitor", **setting)])
    assert (sighting.driver, sighting.name) == (driver, "USB2.0-Serial")


def test_the_speed_of_the_settings_comes_before_the_drivers():
    port = Port(device="/dev/ttyUSB7", address="1-1.2", usb_id=ADAPTER)
    setting = SerialSettings(driver="serial.monitor", usb_path="1-1.2", baud=2400)
    assert serial_port.line_of(MONITOR, port, [setting]) == replace(MONITOR.line, baud=2400)
    assert serial_port.line_of(MONITOR, port, []) == MONITOR.line


def test_the_ports_of_this_machine_can_be_listed():
    assert all(port.address and port.usb_id for port in usb_ports())


def test_a_meter_that_is_configured_and_not_there_is_absent():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        setting = SerialSettings(usb_path="1-1.2", driver="serial.monitor")
        async with transport(sockets, setting) as ports, aclosing(ports.sightings()) as sightings:
            first = asyncio.ensure_future(anext(sightings))
            await asyncio.sleep(0)
            assert ports.state == "absent"
            sockets.plug("1-1.2", monitor, ADAPTER)
            await until(lambda: ports.state == "ok")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        monitor.unplug()

    asyncio.run(scenario())


def test_a_look_that_fails_is_looked_again():
    async def scenario():
        sockets, monitor, looks = Sockets(), wire(), iter([OSError, TypeError])
        sockets.plug("1-1.2", monitor)

        def look() -> list[Port]:
            if (failure := next(looks, None)) is not None:
                raise failure
            return sockets.look()

        ports = SerialPorts([], recognise, look=look, look_every_s=0.01)
        async with asyncio.timeout(WITHIN_S), aclosing(ports.sightings()) as sightings:
            first = asyncio.ensure_future(anext(sightings))
            await until(lambda: ports.state == "failed")
            await until(lambda: ports.state == "ok")
            monitor.say(b"!")
            assert (await first).calling
        monitor.unplug()

    asyncio.run(scenario())
