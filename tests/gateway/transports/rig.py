"""Virtual meters within reach of the gateway's `Ble` transport, in two tiers: the bench of these tests.

Tier A is bleak on our bumble backend: pip only. Tier B is unmodified bleak with its BlueZ backend, a private
dbus-daemon, and our `org.bluez` in a process of its own. (Tier C, the real bluetoothd, is `bluetoothd`'s.)
"""

import asyncio
import json
import os
import pickle
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

from dbus_fast import Message, MessageType

from gateway.conversation import Sighting
from gateway.drivers import DRIVERS
from gateway.simulators import sinocare_meter as sinocare
from gateway.simulators import taidoc_meter as taidoc
from gateway.simulators.air import BONDING_KEYS, Air, radio
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.glucose_meter import GlucoseMeter
from gateway.simulators.line import BleLine
from gateway.simulators.meter import VirtualMeter
from gateway.simulators.omron_cuff import OmronCuff
from gateway.simulators.pressure_cuff import PressureCuff
from gateway.simulators.thermometer import Thermometer
from gateway.simulators.ua651_cuff import Ua651
from gateway.transports.ble import Backend, Ble
from gateway.transports.bluez import system_bus
from gateway.transports.bumble_backend import BumbleClient, BumbleScanner, Typist

SERVICES = frozenset[str]().union(*(driver.services for driver in DRIVERS))
NOON = datetime.fromisoformat("2026-03-05T12:00")
LOG = "bluez.log"
IN_A_GUEST = os.environ.get("KANGDOCK_BLUETOOTHD") == "1"
"""Which has no processor of its own, and is slow."""
WITHIN_S = 120.0 if IN_A_GUEST else 20.0
"""Ends a test that hangs; none is judged by it."""
SOON_S = 10.0 if IN_A_GUEST else 0.5
"""How long a meter is called that will not answer."""
SILENT_S = 3.0 if IN_A_GUEST else 0.2
"""A meter that calls is heard many times meanwhile."""


def noon() -> datetime:
    return NOON


def glucose_meter(**options) -> GlucoseMeter:
    return GlucoseMeter(name="VGM", address="C4:5E:00:00:00:01", now=noon, **options)


def pressure_cuff(**options) -> PressureCuff:
    return PressureCuff(name="VBP", address="C4:5E:00:00:00:02", now=noon, **options)


def thermometer(**options) -> Thermometer:
    return Thermometer(name="VTH", address="C4:5E:00:00:00:03", now=noon, **options)


def omron_cuff(**options) -> OmronCuff:
    return OmronCuff(name="BLESmart_1", address="C4:5E:00:00:00:08", now=noon, **options)


def ua651(**options) -> Ua651:
    return Ua651(address="C4:5E:00:00:00:09", now=noon, **options)


def sinocare_meter(line: sinocare.SinocareMeter) -> BleLine:
    return BleLine(
        name="SN-6W",
        address="C4:5E:00:00:00:04",
        now=noon,
        line=line,
        service=sinocare.SERVICE,
        notify=sinocare.NOTIFY,
        write_to=sinocare.WRITE,
    )


def taidoc_meter(line: taidoc.TaiDocMeter) -> BleLine:
    return BleLine(
        name="FORA 6 CONNECT",
        address="C4:5E:00:00:00:07",
        now=noon,
        line=line,
        service=taidoc.SERVICE,
        notify=taidoc.CHANNEL,
        write_to=taidoc.CHANNEL,
    )


class Bench(ABC):
    """What a test holds: the transport, and a hand on every meter by its name."""

    may_bond_by_itself = False

    def __init__(self, ble: Ble) -> None:
        self.ble = ble
        self._scan: asyncio.Task[None] | None = None
        self._heard: dict[str, asyncio.Future[Sighting]] = {}

    async def sighting_of(self, name: str) -> Sighting:
        """The next sighting of a meter. From the first call on a scanner runs, as it always does in a gateway."""
        if self._scan is None:
            self._scan = asyncio.ensure_future(self._listen())
        heard = self._heard[name] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(WITHIN_S):
            return await heard

    async def _listen(self) -> None:
        async with aclosing(self.ble.sightings()) as sightings:
            async for sighting in sightings:
                heard = self._heard.get(sighting.name)
                if heard is not None and not heard.done():
                    heard.set_result(sighting)

    async def end(self) -> None:
        if self._scan is not None:
            self._scan.cancel()
            await asyncio.gather(self._scan, return_exceptions=True)

    @abstractmethod
    async def tell(self, name: str, what: str) -> Any:
        """advertise, hush, forget_bond, report."""

    @abstractmethod
    async def update(self, meter: VirtualMeter) -> None:
        """`meter` was used: what it stores now is what the one on the air stores."""


class BumbleBench(Bench):
    def __init__(self, ble: Ble, meters: dict[str, BumbleMeter], typist: Typist) -> None:
        super().__init__(ble)
        self._meters, self._typist = meters, typist

    async def tell(self, name: str, what: str) -> Any:
        meter = self._meters[name]
        if what == "report":
            return {
                "pairings": meter.pairings,
                "passkeys_shown": meter.passkeys_shown,
                "stored": len(meter.meter.records),
                "agent_calls": ["RequestPasskey"] * self._typist.asked,
            }
        return await getattr(meter, what)()

    async def update(self, meter: VirtualMeter) -> None:
        """They are one and the same."""


@asynccontextmanager
async def bumble_bench(
    *meters: VirtualMeter, passkeys: Mapping[str, int] | None = None, keeps_advertising: bool = False, **options
) -> AsyncIterator[Bench]:
    """Tier A."""
    air = Air()
    served = {meter.name: BumbleMeter(meter, keeps_advertising=keeps_advertising) for meter in meters}
    for meter in served.values():
        await meter.power_on(air)
    typist = Typist(passkeys or {}, BONDING_KEYS)
    adapter = await radio(air, name="gateway", address="C0:00:00:00:00:01", delegate=typist)
    backend = Backend(scanner=BumbleScanner, client=BumbleClient, options={"radio": adapter, "typist": typist})
    for meter in served.values():
        await meter.advertise()
    bench = BumbleBench(Ble(SERVICES, backend=backend, **options), served, typist)
    try:
        yield bench
    finally:
        await bench.end()
        for meter in served.values():
            await meter.power_off()


class BlueZService:
    """A private dbus-daemon and the process of our `org.bluez` on it."""

    def __init__(self, directory: Path) -> None:
        self.address = f"unix:path={directory}/bus"
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def running(self) -> Iterator["BlueZService"]:
        daemon = shutil.which("dbus-daemon")
        try:
            self._processes.append(
                subprocess.Popen(
                    [
                        daemon,
                        "--session",
                        "--nofork",
                        "--nopidfile",
                        "--print-address=1",
                        f"--address={self.address}",
                    ],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            )
            self._processes[0].stdout.readline()
            self.start()
            yield self
        finally:
            for process in reversed(self._processes):
                process.kill()
                process.wait()

    def start(self) -> None:
        """Our `org.bluez`; after `kill` a new one, which knows nothing of the meters of the one before."""
        del self._processes[1:]
        with (self._directory / LOG).open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.gateway.transports.bluez_process"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address},
                )
            )

    def open(self, *meters: VirtualMeter, keeps_advertising: bool = False) -> None:
        packed = pickle.dumps(meters).hex()
        self.order(do="open", meters=packed, keeps_advertising=keeps_advertising)

    def order(self, **order: Any) -> Any:
        process = self._processes[-1]
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise AssertionError((self._directory / LOG).read_text()[-2000:])
        return json.loads(answer)

    @property
    def alive(self) -> bool:
        return self._processes[-1].poll() is None

    def kill(self) -> None:
        self._processes[-1].kill()
        self._processes[-1].wait()


class MostAtOnce:
    """Overhears the bus: how many calls of `member` were ever unanswered at the same time."""

    def __init__(self, member: str) -> None:
        self.seen = 0
        self._member = member
        self._open: set[tuple[str | None, int | None]] = set()

    @asynccontextmanager
    async def overheard(self) -> AsyncIterator["MostAtOnce"]:
        async with system_bus() as bus:
            await bus.call(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus.Monitoring",
                    member="BecomeMonitor",
                    signature="asu",
                    body=[[], 0],
                )
            )
            bus.add_message_handler(self._overhear)
            yield self

    def _overhear(self, message: Message) -> bool:
        match message.message_type:
            case MessageType.METHOD_CALL if message.member == self._member:
                self._open.add((message.sender, message.serial))
            case MessageType.METHOD_RETURN | MessageType.ERROR:
                self._open.discard((message.destination, message.reply_serial))
        self.seen = max(self.seen, len(self._open))
        return True  # whoever overhears must not answer


class BlueZBench(Bench):
    def __init__(self, ble: Ble, service: BlueZService, *, adapter: str = "hci0") -> None:
        super().__init__(ble)
        self.adapter = f"/org/bluez/{adapter}"
        self._service = service

    async def tell(self, name: str, what: str) -> Any:
        return await asyncio.to_thread(self._service.order, do=what, meter=name)

    async def kill_bluez(self) -> None:
        await asyncio.to_thread(self._service.kill)

    async def restart_bluez(self, *meters: VirtualMeter) -> None:
        """After `kill_bluez`."""
        await asyncio.to_thread(self._service.start)
        await asyncio.to_thread(self._service.open, *meters)

    async def update(self, meter: VirtualMeter) -> None:
        state = pickle.dumps(meter).hex()
        await asyncio.to_thread(self._service.order, do="measure", meter=meter.name, state=state)


@asynccontextmanager
async def bluez_bench(
    service: BlueZService, *meters: VirtualMeter, keeps_advertising: bool = False, **options
) -> AsyncIterator[Bench]:
    """Tier B."""
    with mock.patch.dict(os.environ, {"DBUS_SYSTEM_BUS_ADDRESS": service.address}):
        await asyncio.to_thread(service.open, *meters, keeps_advertising=keeps_advertising)
        bench = BlueZBench(Ble(SERVICES, **options), service)
        try:
            yield bench
        finally:
            await bench.end()
            if service.alive:
                await asyncio.to_thread(service.order, do="close")
