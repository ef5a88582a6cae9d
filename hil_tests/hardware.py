"""What real hardware this machine has, one line each, and why what is missing is skipped.

It looks and touches nothing: switching a radio on or opening a port is the gateway's.
"""

from serial.tools import list_ports

from gateway.transports import bluez


async def adapters() -> list[str]:
    """Bluetooth adapters as BlueZ has them."""
    try:
        async with bluez.system_bus() as bus:
            found = bluez.adapters(await bluez.managed(bus))
    except bluez.BluezError as error:
        why = {"NoBus": "no system bus", "NoReply": "BlueZ does not answer"}.get(
            error.word, "BlueZ is not running"
        )
        return [f"bluetooth: skipped: {why}"]
    return [f"bluetooth: {name} {one['Address']}" for name, one in found.items()] or [
        "bluetooth: skipped: BlueZ knows no adapter"
    ]


def serial_ports() -> list[str]:
    """Serial ports with something that tells what it is; a bare UART of the board tells nothing."""
    found = [
        f"serial: {port.device} {port.description} [{port.hwid}]"
        for port in sorted(list_ports.comports())
        if port.vid is not None
    ]
    return found or ["serial: skipped: no USB serial device is plugged in"]
