"""What real hardware this machine has, one line each, and why what is missing is skipped.

It looks and touches nothing: switching a radio on or opening a port is the gateway's.
"""

import asyncio

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from serial.tools import list_ports

DBUS_TIMEOUT_S = 5.0


async def adapters() -> list[str]:
    """Bluetooth adapters as BlueZ has them."""
    try:
        async with asyncio.timeout(DBUS_TIMEOUT_S):
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            try:
                reply = await bus.call(
                    Message(
                        destination="org.bluez",
                        path="/",
                        interface="org.freedesktop.DBus.ObjectManager",
                        member="GetManagedObjects",
                    )
                )
            finally:
                bus.disconnect()
    except TimeoutError:
        return ["bluetooth: skipped: BlueZ does not answer"]
    except (OSError, EOFError) as error:
        return [f"bluetooth: skipped: no system bus ({error})"]
    if reply is None or reply.message_type is MessageType.ERROR:
        return ["bluetooth: skipped: BlueZ is not running"]
    found = [
        f"bluetooth: {path.rsplit('/', 1)[-1]} {interfaces['org.bluez.Adapter1']['Address'].value}"
        for path, interfaces in reply.body[0].items()
        if "org.bluez.Adapter1" in interfaces
    ]
    return found or ["bluetooth: skipped: BlueZ knows no adapter"]


def serial_ports() -> list[str]:
    """Serial ports with something that tells what it is; a bare UART of the board tells nothing."""
    found = [
        f"serial: {port.device} {port.description} [{port.hwid}]"
        for port in sorted(list_ports.comports())
        if port.vid is not None
    ]
    return found or ["serial: skipped: no USB serial device is plugged in"]
