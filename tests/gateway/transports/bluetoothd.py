"""Tier C: these tests on the machine's real bluetoothd, so that our own `org.bluez` cannot drift from it.

Wanted with KANGDOCK_BLUETOOTHD=1, by `make hil`, where there is a bluetoothd and /dev/vhci (a guest: see
`hil_tests.conformance`). The kernel's Bluetooth and bluetoothd are real; adapter and meters are bumble's.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from unittest import mock

from dbus_fast import Message, Variant

from gateway.simulators.meter import VirtualMeter
from gateway.transports import agent
from gateway.transports.ble import Ble
from gateway.transports.bluez import (
    ADAPTER1,
    BLUEZ,
    PROPERTIES,
    BluezError,
    adapters,
    call,
    devices,
    managed,
    system_bus,
)
from tests.gateway.transports.bluez_process import VIRTUAL_ADAPTER
from tests.gateway.transports.rig import LOG, SERVICES, WITHIN_S, BlueZBench, BlueZService


class BluetoothdService(BlueZService):
    """The process of the adapter and the meters; bluetoothd is the machine's, which starts it again if it ends."""

    @contextmanager
    def running(self) -> Iterator[BlueZService]:
        with (self._directory / LOG).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.gateway.transports.bluez_process", "--vhci"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._processes.append(process)
        try:
            yield self
        finally:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """bluetoothd, as a fault of its own would."""
        os.kill(asyncio.run(_process_of_bluez()), signal.SIGKILL)


class BluetoothdBench(BlueZBench):
    """Asks our agent what bluetoothd asked it."""

    may_bond_by_itself = True  # it raises security when a protected value is touched; whether in time is chance
    asked: list[str]

    async def tell(self, name: str, what: str) -> Any:
        told = await super().tell(name, what)
        return {**told, "agent_calls": self.asked} if what == "report" else told

    async def restart_bluez(self, *meters: VirtualMeter) -> None:
        """The machine does, and the meters are where they were."""


@asynccontextmanager
async def bluetoothd_bench(
    service: BluetoothdService, *meters: VirtualMeter, keeps_advertising: bool = False, **options
) -> AsyncIterator[BluetoothdBench]:
    """Tier C. bluetoothd has forgotten every meter of the test before."""
    asked: list[str] = []

    original = agent.answer

    def answer(message: Message, passkeys: Mapping[str, int]) -> Message | None:
        reply = original(message, passkeys)
        if reply is not None and str(message.member).startswith("Request"):
            asked.append(str(message.member))
        return reply

    await asyncio.to_thread(service.open, *meters, keeps_advertising=keeps_advertising)
    name = await _fresh_adapter()
    with mock.patch("gateway.transports.agent.answer", answer):
        bench = BluetoothdBench(Ble(SERVICES, **{"adapter": name, **options}), service, adapter=name)
        bench.asked = asked
        try:
            yield bench
        finally:
            await bench.end()
            if service.alive:
                await asyncio.to_thread(service.order, do="close")


async def _process_of_bluez() -> int:
    async with system_bus() as bus:
        told = await bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="GetConnectionUnixProcessID",
                signature="s",
                body=[BLUEZ],
            )
        )
        return int(told.body[0])


async def _fresh_adapter() -> str:
    """The name of the adapter made here, once bluetoothd has it; nothing is known on it and it is on."""
    async with asyncio.timeout(WITHIN_S), system_bus() as bus:
        while True:
            with suppress(BluezError):  # it is being started
                found = await managed(bus)
                names = [name for name, one in adapters(found).items() if one.get("Address") == VIRTUAL_ADAPTER]
                if names:
                    break
            await asyncio.sleep(0.1)
        await call(
            bus, f"/org/bluez/{names[0]}", PROPERTIES, "Set", "ssv", [ADAPTER1, "Powered", Variant("b", True)]
        )
        for one in devices(found, names[0]):
            with suppress(BluezError):
                await call(bus, f"/org/bluez/{names[0]}", ADAPTER1, "RemoveDevice", "o", [one.path])
        return names[0]
