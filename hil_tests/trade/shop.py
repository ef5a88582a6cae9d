"""A counter with virtual meters on it: a radio and serial ports of their own, and what goes wrong with them.

It is outside the gateway's process, as meters are: BlueZ is our `org.bluez` on a private bus, ports are pseudo
terminals in a list that stands for the kernel's. What the meters are is `meters`'.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from bumble.pairing import PairingDelegate
from dbus_fast import BusType
from dbus_fast.aio import MessageBus

from gateway.simulators.air import BONDING_KEYS, Air, radio
from gateway.simulators.bluez import BlueZ
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.line import LineMeter
from gateway.simulators.meter import VirtualMeter
from gateway.simulators.serial_line import PtyMeter
from gateway.wire.vocabulary import Kind
from hil_tests.trade.meters import Family, Values, everyone, measuring

SLOTS = ("counter-1", "counter-2")
DROPS, PULLS, NOISE = 0.12, 0.12, 0.1
"""How many of a hundred uses meet a lost link, a pulled plug, noise on the line."""
NOISE_BYTES = b"\x00\xff\x51\x53\x4e\x02\x24P\x05garbage\r\n"
"""Noise that begins like the frames of half the families."""
ADDRESSES = "C4:5E:00:00"


def store_time() -> datetime:
    """The time on the wall, naive, as meters show it."""
    return (datetime.now(UTC) + timedelta(hours=8)).replace(tzinfo=None, microsecond=0)


@dataclass(slots=True, kw_only=True)
class Meter:
    """One meter on the counter. `address` is what the gateway knows it by: a wired one's place on USB."""

    family: Family
    address: str
    slot: str
    device: VirtualMeter | LineMeter
    on: BumbleMeter | PtyMeter
    uses: int = 0

    def use(self) -> tuple[Kind, Values]:
        """A customer measures; what must arrive."""
        self.uses += 1
        return self.family.use(measuring(self.device), self.uses)


class Shop:
    """The forty meters, and what went wrong with them."""

    def __init__(self, meters: list[Meter], ports: Path, chance: Random) -> None:
        self.meters = meters
        self._ports = ports
        self.faults = Counter[str]()
        self._chance = chance

    async def show(self, meter: Meter) -> None:
        """The meter has been used: it calls the gateway, or speaks; sometimes something goes wrong."""
        match meter.on:
            case BumbleMeter() as radio_meter:
                if self._chance.random() < DROPS:
                    self.faults["link lost"] += 1
                    radio_meter.lose_link_after(self._chance.randint(0, 2))
                await radio_meter.advertise()
            case PtyMeter() as wired:
                if self._chance.random() < NOISE:
                    self.faults["noise"] += 1
                    wired.say(NOISE_BYTES)
                wired.speak()
                # What is told once and kept nowhere is lost with the plug: nobody can prove more of such a meter.
                if meter.family.asks and self._chance.random() < PULLS:
                    self.faults["plug pulled"] += 1
                    await asyncio.sleep(self._chance.uniform(0.0, 0.5))
                    wired.unplug()
                    self.list_ports()
                    await asyncio.sleep(self._chance.uniform(0.5, 2.5))
                    wired.plug()
                    self.list_ports()

    def list_ports(self) -> None:
        """Tells what is plugged in, and where: another path each time, as USB does."""
        plugged = [
            (meter.on.path, meter.address)
            for meter in self.meters
            if isinstance(meter.on, PtyMeter) and meter.on.is_plugged
        ]
        fresh = self._ports.with_suffix(".new")
        fresh.write_text(json.dumps(plugged))
        fresh.rename(self._ports)

    async def call_again(self) -> None:
        """Every radio meter calls once more, as it does when somebody picks it up: what it kept is fetched."""
        for meter in self.meters:
            if isinstance(meter.on, BumbleMeter):
                await meter.on.advertise()


@asynccontextmanager
async def opened(directory: Path, chance: Random) -> AsyncIterator[Shop]:
    """A shop with all meters in place and its own D-Bus, the DBUS_SYSTEM_BUS_ADDRESS as long as it is open."""
    with _bus(directory):
        air = Air()
        adapter = await radio(
            air,
            name="hci0",
            address="C0:00:00:00:00:01",
            delegate=PairingDelegate(PairingDelegate.NO_OUTPUT_NO_INPUT, BONDING_KEYS, BONDING_KEYS),
        )
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        await BlueZ(bus, adapter).serve()
        shop = Shop(list(_meters()), directory / "ports", chance)
        for meter in shop.meters:
            if isinstance(meter.on, BumbleMeter):
                await meter.on.power_on(air)
            else:
                meter.on.plug()
        shop.list_ports()
        try:
            yield shop
        finally:
            for meter in shop.meters:
                if isinstance(meter.on, BumbleMeter):
                    await meter.on.power_off()
                else:
                    meter.on.unplug()
            bus.disconnect()


def _meters() -> Iterator[Meter]:
    for number, family in enumerate(everyone(), start=1):
        slot = SLOTS[number % len(SLOTS)]
        name, serial = f"V{number:02d}", f"{7000 + number:08d}"
        if family.is_serial:
            place = f"1-1.{number}"
            line = family.make(name, place, serial, store_time)
            assert isinstance(line, LineMeter)
            yield Meter(family=family, address=place, slot=slot, device=line, on=PtyMeter(line))
        else:
            address = f"{ADDRESSES}:00:{number:02X}"
            device = family.make(name, address, serial, store_time)
            assert isinstance(device, VirtualMeter)
            yield Meter(family=family, address=address, slot=slot, device=device, on=BumbleMeter(device))


@contextmanager
def _bus(directory: Path) -> Iterator[None]:
    daemon = shutil.which("dbus-daemon")
    if daemon is None:
        raise RuntimeError("no dbus-daemon: apt-get install dbus-daemon")
    address = f"unix:path={directory}/bus"
    process = subprocess.Popen(
        [daemon, "--session", "--nofork", "--nopidfile", "--print-address=1", f"--address={address}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    before = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
    try:
        yield
    finally:
        process.kill()
        process.wait()
        if before is None:
            del os.environ["DBUS_SYSTEM_BUS_ADDRESS"]
        else:
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = before
