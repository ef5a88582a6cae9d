"""A counter with virtual meters on it: a radio and serial ports of their own, and what goes wrong with them.

It is outside the gateway's process, as meters are: BlueZ is our `org.bluez` on a private bus, ports are pseudo
terminals in a list that stands for the kernel's. What the meters are is `meters`', who uses them `__main__`'s.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from bumble.pairing import PairingDelegate
from dbus_fast import BusType
from dbus_fast.aio import MessageBus

from gateway.simulators.air import BONDING_KEYS, Air, radio
from gateway.simulators.bluez import BlueZ
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.line import LineMeter
from gateway.simulators.meter import VirtualMeter
from gateway.simulators.serial_line import PtyMeter
from hil_tests.trade.family import Family, Keeps, Making, Measured
from hil_tests.trade.meters import everyone, measuring
from hil_tests.trade.telling import Telling, Tellings

SLOTS = ("counter-1", "counter-2", "counter-3")
DROPS, PULLS, NOISE, ECHOES = 0.12, 0.12, 0.1, 0.08
"""How many of a hundred uses meet a lost link, a pulled plug, noise on the line, notifications that come twice."""
NOISE_BYTES = b"\x00\xff\x51\x53\x4e\x02\x24P\x05garbage\r\n"
"""Noise that begins like the frames of half the families."""
ADDRESSES = "C4:5E:00:00"
CLOCKS = (
    *(timedelta(0),) * 6,
    timedelta(minutes=-13),
    timedelta(minutes=17),
    timedelta(hours=3),
    timedelta(days=-400),
)
"""How wrong meters' clocks are: most are right, the others wrong by minutes, hours, a year."""
LISTENED_TO_WITHIN_S = 15.0
"""Somebody who holds a meter that only tells live waits so long for its Bluetooth sign, then puts it back."""
LOOK_S = 0.05
IDLE_WITHIN_S = 40.0
"""The longest a driver listens to a meter that has told everything."""
NAGS_EVERY_S = 8.0
"""An analyser that nobody answers asks for the line again; E1381 says after ten seconds."""


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
    tellings: Tellings
    uses: int = 0
    heard: int = 0  # how much an analyser had been answered when it was last looked at

    def use(self) -> "Taken":
        """A customer measures."""
        self.uses += 1
        once = self.family.keeps.tells_once
        before = self.tellings.kept() if once else ()
        at, what = datetime.now(UTC), self.family.use(measuring(self.device), self.uses)
        return Taken(what=what, at=at, telling=self.tellings.measured(before) if once else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A measurement: what must arrive, when it was made, and what becomes of one that is told once."""

    what: Measured
    at: datetime
    telling: Telling | None


class Shop:
    """The forty meters, and what went wrong with them. `listens` says whether the gateway runs and, of a port,
    has it open."""

    def __init__(self, meters: list[Meter], ports: Path, chance: Random) -> None:
        self.meters = meters
        self.faults = Counter[str]()
        self.listens: Callable[[str | None], bool] = lambda port: False
        self._ports = ports
        self._chance = chance
        self._going_on: set[asyncio.Task[None]] = set()

    async def measure(self, meter: Meter) -> Taken | None:
        """A customer uses `meter`, and sometimes something goes wrong; None where it could not be used."""
        match meter.on:
            case BumbleMeter() as radio_meter:
                return await self._by_radio(meter, radio_meter)
            case PtyMeter() as wired:
                return await self._by_wire(meter, wired)

    async def put_down(self, meter: Meter) -> None:
        """The customer has seen the value, or had enough: what only tells live is switched off."""
        if meter.family.keeps is Keeps.NOTHING and isinstance(meter.on, BumbleMeter):
            await meter.on.switch_off()

    @property
    def links_lost(self) -> int:
        """How many lines to radio meters really went."""
        return sum(meter.on.links_lost for meter in self.meters if isinstance(meter.on, BumbleMeter))

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

    async def call_again(self, addresses: Collection[str]) -> None:
        """These radio meters call once more, as they do when somebody picks them up."""
        for meter in self.meters:
            if isinstance(meter.on, BumbleMeter) and meter.address in addresses:
                await meter.on.advertise()

    async def nag(self) -> None:
        """Analysers that nobody has answered ask again, for ever."""
        while True:
            await asyncio.sleep(NAGS_EVERY_S)
            for meter in self.meters:
                if not (isinstance(meter.on, PtyMeter) and meter.family.keeps is Keeps.ALL):
                    continue
                answered, meter.heard = len(meter.on.heard) > meter.heard, len(meter.on.heard)
                if not (meter.family.is_asked or answered):
                    meter.on.meter.on_line_lost()
                    meter.on.speak()

    async def close(self) -> None:
        """Everybody goes home, the meters too."""
        for task in self._going_on:
            task.cancel()
        await asyncio.gather(*self._going_on, return_exceptions=True)
        for meter in self.meters:
            if isinstance(meter.on, BumbleMeter):
                await meter.on.power_off()
            else:
                meter.on.unplug()

    async def _by_radio(self, meter: Meter, on: BumbleMeter) -> Taken | None:
        echo = self._happens(ECHOES, "notifications twice")
        on.meter.faults = replace(on.meter.faults, duplicate=echo)
        if meter.family.keeps is not Keeps.NOTHING:
            taken = meter.use()
            self._drop(on)
            self._run(_call(on))
            return taken
        await on.switch_off()
        await on.advertise()
        if not await _comes(lambda: on.is_listened_to and self.listens(None), LISTENED_TO_WITHIN_S):
            await on.switch_off()
            return None
        taken = meter.use()
        self._drop(on)
        on.speak()
        return taken

    async def _by_wire(self, meter: Meter, on: PtyMeter) -> Taken | None:
        keeps = meter.family.keeps
        if keeps is Keeps.NOTHING and not await _comes(lambda: self.listens(on.path), LISTENED_TO_WITHIN_S):
            return None
        taken = meter.use()
        if self._happens(NOISE, "noise"):
            on.say(NOISE_BYTES)
        # What is told once and kept nowhere is lost with the plug: nobody can prove more of such a meter.
        if keeps is not Keeps.NOTHING and self._happens(PULLS, "plug pulled"):
            on.pull_after(self._chance.randint(1, 40))
            self._run(self._pull(on))
        on.speak()
        return taken

    async def _pull(self, on: PtyMeter) -> None:
        """The plug is out, in mid-frame if the meter has said enough by then, and goes in again."""
        await _comes(lambda: not on.is_plugged, self._chance.uniform(0.5, 4.0))
        on.unplug()
        on.pull_after(None)
        self.list_ports()
        await asyncio.sleep(self._chance.uniform(0.5, 2.5))
        on.plug()
        self.list_ports()
        on.speak()

    def _drop(self, on: BumbleMeter) -> None:
        drops = self._happens(DROPS, "link lost")
        on.lose_link_after(self._chance.randint(0, 3) if drops else None)

    def _happens(self, chance: float, what: str) -> bool:
        happens = self._chance.random() < chance
        self.faults[what] += happens
        return happens

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)


async def _call(on: BumbleMeter) -> None:
    """It calls; where it is still being read, it calls afterwards."""
    await _comes(lambda: on.is_idle, IDLE_WITHIN_S)
    await on.advertise()


async def _comes(what: Callable[[], bool], within_s: float) -> bool:
    """Whether it comes true in time."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (true := what()) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - other processes do it
        await asyncio.sleep(LOOK_S)
    return true


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
        shop = Shop(list(_meters(chance)), directory / "ports", chance)
        for meter in shop.meters:
            if isinstance(meter.on, BumbleMeter):
                await meter.on.power_on(air)
            else:
                meter.on.plug()
        shop.list_ports()
        nagging = asyncio.create_task(shop.nag())
        try:
            yield shop
        finally:
            nagging.cancel()
            await shop.close()
            bus.disconnect()


def _meters(chance: Random) -> Iterator[Meter]:
    for number, family in enumerate(everyone(), start=1):
        address = f"1-1.{number}" if family.is_serial else f"{ADDRESSES}:00:{number:02X}"
        device = family.make(
            Making(number=number, address=address, now=store_time, clock_error=chance.choice(CLOCKS))
        )
        tellings = Tellings(device)
        yield Meter(
            family=family,
            address=address,
            slot=SLOTS[number % len(SLOTS)],
            device=device,
            on=_overheard(device, tellings),
            tellings=tellings,
        )


def _overheard(device: VirtualMeter | LineMeter, tellings: Tellings) -> BumbleMeter | PtyMeter:
    if isinstance(device, LineMeter):
        return PtyMeter(device, overheard=tellings.overheard)
    on_air = BumbleMeter(device, overheard=tellings.overheard)
    tellings.links_lost = lambda: on_air.links_lost
    return on_air


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
