"""Meters on real pseudo terminals, their drivers, and the transport that finds them: for tests of serial lines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from decimal import Decimal
from functools import partial

from gateway import drivers
from gateway.config import SerialSettings
from gateway.conversation import (
    Context,
    Driver,
    Record,
    SerialLine,
    Talk,
    emit,
    remember,
    write,
)
from gateway.drivers.framing import Framer, ending, next_frame
from gateway.proof import Proof
from gateway.simulators.line import LineMeter
from gateway.simulators.serial_line import LineFaults, PtyMeter
from gateway.transports.serial_port import Port, SerialPorts
from gateway.wire.vocabulary import Kind
from tests.gateway.transports.rig import NOON, WITHIN_S

NOW = NOON.replace(tzinfo=UTC) - timedelta(hours=8)
QUIET_S = 0.2
"""After so long without a byte the drivers here have heard it all."""
KNOWN = "1234:0001"
"""What recognises itself: a monitor with a USB id of its own."""
TIOCGEXCL = 0x80045440
"""Asks a terminal whether it is exclusive (ioctl_tty(2)); Python has no name for it."""
ADAPTER = "1a86:7523"


# --- a meter that speaks by itself, one that is asked, and their drivers -----------------------------------------


@dataclass(kw_only=True)
class Monitor(LineMeter):
    """Says `BP <number> <systolic>` and a line end after each measurement, once."""

    number: int = 0
    unsaid: list[str] = field(default_factory=list)

    def measure(self, systolic: int) -> None:
        self.number += 1
        self.unsaid.append(f"BP {self.number} {systolic}\r\n")

    def begin(self) -> Iterator[bytes]:
        while self.unsaid:
            yield self.unsaid.pop(0).encode()

    def hear(self, data: bytes) -> Iterator[bytes]:
        return iter(())


@dataclass(kw_only=True)
class Logger(Monitor):
    """Says the same, all it has, whenever it hears `?`."""

    def hear(self, data: bytes) -> Iterator[bytes]:
        for _ in range(data.count(b"?")):
            yield from (line.encode() for line in self.unsaid)
            yield b"END\r\n"


def listen(context: Context) -> Talk:
    framer = Framer(ending(b"\r\n"))
    while (line := (yield from next_frame(framer, QUIET_S))) not in (None, b"END\r\n"):
        _, number, systolic = line.split()
        values = {"systolic_mmhg": Decimal(systolic.decode()), "diastolic_mmhg": Decimal(60)}
        yield from emit(Record(kind=Kind.BLOOD_PRESSURE, key=number.decode(), values=values))


def ask(context: Context) -> Talk:
    yield from write("", b"?")
    yield from listen(context)
    yield from remember(f"{context.last_record or ''}+")


def made(name: str, talk, *, asks: bool) -> Driver:
    return Driver(
        name=name,
        transport="serial",
        recognise=lambda sighting: sighting.usb_id == KNOWN and not asks,
        talk=talk,
        devices="",
        source="",
        quirks="",
        proven_by="",
        proof=Proof.ONE_SOURCE,
        line=SerialLine(baud=9600, asks=asks),
    )


MONITOR = made("serial.monitor", listen, asks=False)
LOGGER = made("serial.logger", ask, asks=True)
recognise = partial(drivers.recognise, drivers=(MONITOR, LOGGER))


def wire(meter: type[Monitor] = Monitor, **faults) -> PtyMeter:
    return PtyMeter(meter(now=lambda: NOON), faults=LineFaults(**faults))


class Sockets:
    """The USB sockets of a counter: which wire is in which."""

    def __init__(self) -> None:
        self._wires: dict[str, tuple[PtyMeter, str]] = {}

    def plug(self, address: str, wire: PtyMeter, usb_id: str = KNOWN) -> None:
        wire.plug()
        self._wires[address] = (wire, usb_id)

    def look(self) -> list[Port]:
        return [
            Port(device=wire.path, address=address, usb_id=usb_id)
            for address, (wire, usb_id) in self._wires.items()
            if wire.is_plugged
        ]


@asynccontextmanager
async def transport(sockets: Sockets, *settings: SerialSettings, **options) -> AsyncIterator[SerialPorts]:
    """A transport that looks often, and whoever listens to it. What is said once a port is open did not wait."""
    options = {"look_every_s": 0.02, "ask_every_s": 0.05, "settle_s": 0.0} | options
    made = SerialPorts(settings, recognise, look=sockets.look, **options)
    async with asyncio.timeout(WITHIN_S):
        yield made


async def until(what) -> None:
    while not what():  # noqa: ASYNC110 - there is no event for what a kernel does
        await asyncio.sleep(0.005)


def opened(ports: SerialPorts, address: str) -> bool:
    it = ports._plugged.get(address)
    return it is not None and it.open is not None


async def heard(link, count: int) -> bytes:
    data = b""
    while len(data) < count:
        came = await link.receive(WITHIN_S)
        assert came is not None
        data += came[1]
    return data
