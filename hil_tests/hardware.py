"""What real hardware this machine has, one line each, and why what is missing is skipped.

It looks and touches nothing: switching a radio on or opening a port is the gateway's. A TOML file names what the
long tests may use:

    [ble]
    adapter = "hci0"

    [[meters]]
    driver = "ble.glucose"
    address = "C4:64:E3:00:00:01"

    [[meters]]
    driver = "serial.taidoc"
    usb_path = "1-1.2"
"""

import asyncio
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serial.tools import list_ports

from gateway.drivers import DRIVERS
from gateway.transports import bluez


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What of a file is there. `settings` is for a gateway, as TOML; "" where nothing is. `lines` say which was
    which."""

    lines: tuple[str, ...]
    settings: str = ""


NO_HARDWARE = Hardware(lines=("real meters: skipped: no --hardware file names any",))

SERIAL = """
[[serial]]
usb_path = "{usb_path}"
driver = "{driver}"
"""


def plugged(file: Path | None) -> Hardware:
    """What of `file` is plugged in; raises ValueError for a file that says something else than it may."""
    return NO_HARDWARE if file is None else asyncio.run(_plugged(tomllib.loads(file.read_text("utf-8"))))


async def _plugged(named: Mapping[str, Any]) -> Hardware:
    adapter, meters = named.get("ble", {}).get("adapter", ""), named.get("meters", [])
    if named.keys() - {"ble", "meters"} or not all(_is_known(meter) for meter in meters):
        raise ValueError("[ble] adapter, and [[meters]] with driver and address or usb_path; nothing else")
    there, no_radio = frozenset[str](), "no adapter is named"
    if adapter:
        there, no_radio = await _adapters()
    has_radio = adapter in there
    ports = frozenset(port.location for port in list_ports.comports() if port.location)
    lines = [*_lines(meters, has_radio, no_radio or f"BlueZ has no {adapter}", ports)]
    settings = "".join(
        SERIAL.format(**meter) for meter in meters if "usb_path" in meter and meter["usb_path"] in ports
    )
    if not has_radio and not settings:
        return Hardware(lines=tuple(lines))
    radio = f'adapter = "{adapter}"' if has_radio else "enabled = false"
    return Hardware(lines=tuple(lines), settings=f"\n[ble]\n{radio}\n{settings}")


def _is_known(meter: Mapping[str, Any]) -> bool:
    drivers = {driver.name: driver.transport for driver in DRIVERS}
    where = {"serial": "usb_path", "ble": "address"}.get(drivers.get(meter.get("driver", ""), ""))
    return meter.keys() == {"driver", where}


def _lines(
    meters: list[Mapping[str, Any]], has_radio: bool, no_radio: str, ports: Collection[str]
) -> Iterator[str]:
    for meter in meters:
        if "address" in meter:
            what = f"{meter['driver']} {meter['address']}"
            yield f"real: {what}: use it while this runs" if has_radio else f"real: {what}: skipped: {no_radio}"
        else:
            what = f"{meter['driver']} at {meter['usb_path']}"
            is_there = meter["usb_path"] in ports
            yield f"real: {what}: use it while this runs" if is_there else f"real: {what}: skipped: not plugged in"


async def _adapters() -> tuple[frozenset[str], str]:
    """The names of BlueZ's adapters, or why there is none."""
    try:
        async with bluez.system_bus() as bus:
            return frozenset(bluez.adapters(await bluez.managed(bus))), ""
    except bluez.BluezError as error:
        return frozenset(), {"NoBus": "no system bus", "NoReply": "BlueZ does not answer"}.get(
            error.word, "BlueZ is not running"
        )


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
