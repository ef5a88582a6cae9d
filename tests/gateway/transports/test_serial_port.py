"""Serial meters on real pseudo terminals: plugged, pulled, plugged again, asked and calling, up to the outbox."""

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import serial

from gateway import drivers
from gateway.buffer.limits import OutboxFull
from gateway.buffer.outbox import Outbox
from gateway.config import SerialSettings
from gateway.conversation import (
    Context,
    Driver,
    Lost,
    Record,
    Refused,
    SerialLine,
    Sighting,
    Talk,
    emit,
    remember,
    write,
)
from gateway.converse import LATE
from gateway.docking import Docking
from gateway.drivers.framing import Framer, ending, next_frame
from gateway.proof import Proof
from gateway.rejournal import finish_interrupted
from gateway.simulators.line import LineMeter
from gateway.simulators.serial_line import LineFaults, PtyMeter
from gateway.transports import serial_link, serial_port
from gateway.transports.serial_link import CannotOpen, open_tty
from gateway.transports.serial_port import Port, SerialPorts, ports_there, usb_ports
from gateway.visits import Visits
from gateway.wire.vocabulary import Kind
from tests.gateway.test_docking import Board
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


# --- the transport -----------------------------------------------------------------------------------------------


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


def test_what_was_said_before_anybody_listened_is_marked_and_what_follows_is_not():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        monitor.say(b"one ")
        async with transport(sockets, settle_s=WITHIN_S) as ports, aclosing(ports.sightings()) as sightings:
            kept = await anext(sightings)
            assert (kept.calling, kept.waited) == (True, True)
            async with ports.open(kept) as link:
                assert await heard(link, 4) == b"one "
            ports._settle_s = 0.0  # the port has been open for long
            monitor.say(b"two")
            now = await anext(sightings)
            assert (now.calling, now.waited) == (True, False)
            monitor.unplug()

    asyncio.run(scenario())


def test_a_meter_with_a_usb_id_of_its_own_calls_as_soon_as_it_speaks():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            assert ports.state == ""
            first = asyncio.ensure_future(anext(sightings))
            await asyncio.sleep(0)
            sockets.plug("1-1.2", monitor)
            await until(lambda: opened(ports, "1-1.2"))
            assert ports.state == "ok"
            assert not first.done()
            monitor.say(b"one ")
            sighting = await first
            assert sighting == Sighting(transport="serial", address="1-1.2", usb_id=KNOWN, calling=True)
            monitor.say(b"two")
            async with ports.open(sighting) as link:
                assert await heard(link, 7) == b"one two"
                assert await link.receive(0) is None
            monitor.unplug()

    asyncio.run(scenario())


def test_what_was_said_before_the_port_was_opened_is_heard():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        monitor.say(b"kept by the meter")
        await monitor.quiet()
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            sighting = await anext(sightings)
            async with ports.open(sighting) as link:
                assert await heard(link, 17) == b"kept by the meter"
        monitor.unplug()

    asyncio.run(scenario())


def test_what_comes_between_two_conversations_begins_the_next():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"first")
            async with ports.open(await anext(sightings)) as link:
                await heard(link, 5)
                monitor.say(b"second")
                await monitor.quiet()
                await until(lambda: ports._plugged["1-1.2"].open.waiting)
            again = await anext(sightings)
            assert again.calling
            async with ports.open(again) as link:
                assert await heard(link, 6) == b"second"
        monitor.unplug()

    asyncio.run(scenario())


def test_bytes_nobody_could_take_are_called_out_again_later_and_not_at_once(monkeypatch):
    monkeypatch.setattr(serial_port, "CALL_AGAIN_S", 0.3)

    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        loop = asyncio.get_running_loop()
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"kept")
            sighting = await anext(sightings)
            called = loop.time()
            async with ports.open(sighting):
                pass  # the disk is full: nothing may be fetched
            again = await anext(sightings)
            assert loop.time() - called >= 0.25
            async with ports.open(again) as link:
                assert await heard(link, 4) == b"kept"
        monitor.unplug()

    asyncio.run(scenario())


def test_a_meter_that_is_asked_is_sighted_again_and_again_and_a_late_answer_is_no_answer():
    async def scenario():
        sockets, logger = Sockets(), wire(Logger)
        sockets.plug("1-1.3", logger, ADAPTER)
        setting = SerialSettings(usb_path="1-1.3", driver="serial.logger", label="Logger")
        async with transport(sockets, setting) as ports, aclosing(ports.sightings()) as sightings:
            sighting, again = await anext(sightings), await anext(sightings)
            assert (sighting.name, sighting.driver, sighting.calling) == ("Logger", "serial.logger", False)
            assert again == sighting
            logger.say(b"stale")
            await until(lambda: ports._plugged["1-1.3"].open.waiting)
            async with ports.open(sighting) as link:
                await link.write("", b"?", True)
                assert await link.receive(WITHIN_S) == (LATE, b"stale")
                assert await link.receive(WITHIN_S) == ("", b"END\r\n")
        logger.unplug()

    asyncio.run(scenario())


def test_two_ports_at_once_do_not_mix_and_a_named_driver_belongs_to_one_of_them():
    async def scenario():
        sockets, left, right, stranger = Sockets(), wire(), wire(), wire()
        sockets.plug("1-1.1", left, ADAPTER)
        sockets.plug("1-1.2", right, ADAPTER)
        sockets.plug("1-1.4", stranger, ADAPTER)
        settings = [SerialSettings(usb_path=f"1-1.{n}", driver="serial.monitor", label=f"{n}") for n in (1, 2)]
        async with transport(sockets, *settings) as ports, aclosing(ports.sightings()) as sightings:
            first = asyncio.ensure_future(anext(sightings))
            await until(lambda: opened(ports, "1-1.1") and opened(ports, "1-1.2"))
            left.say(b"left")
            right.say(b"right")
            one, other = sorted([await first, await anext(sightings)], key=lambda it: it.address)
            assert (one.name, other.name) == ("1", "2")
            async with ports.open(other) as second, ports.open(one) as first:
                assert await heard(second, 5) == b"right"
                assert await heard(first, 4) == b"left"
            assert "1-1.4" not in ports._plugged, "nobody knows what hangs there"
        for one in (left, right, stranger):
            one.unplug()

    asyncio.run(scenario())


def test_a_plug_pulled_in_mid_frame_is_a_loss_after_what_came_and_its_next_plug_is_another_port():
    async def scenario():
        sockets, monitor = Sockets(), wire(unplug_after=4)
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"half a frame")
            async with ports.open(await anext(sightings)) as link:
                assert await heard(link, 4) == b"half"
                with pytest.raises(Lost):
                    await link.receive(WITHIN_S)
                with pytest.raises(Lost):
                    await link.write("", b"?", True)
            sockets.plug("1-1.2", monitor)
            monitor.say(b"whole")
            async with ports.open(await anext(sightings)) as link:
                assert await heard(link, 5) == b"whole"
            monitor.unplug()
            await until(lambda: not ports._plugged)

    asyncio.run(scenario())


def test_what_a_meter_said_just_before_it_was_pulled_is_not_the_next_meters():
    async def scenario():
        sockets, first, second = Sockets(), wire(), wire()
        sockets.plug("1-1.2", first)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            first.say(b"first")
            called = await anext(sightings)
            first.unplug()
            await until(lambda: not ports._plugged)
            sockets.plug("1-1.2", second)
            await until(lambda: opened(ports, "1-1.2"))
            second.say(b"second")
            await second.quiet()
            async with ports.open(called) as link:
                assert await heard(link, 5) == b"first"
                with pytest.raises(Lost):
                    await link.receive(0)
            async with ports.open(called) as link:
                assert await heard(link, 6) == b"second"
        second.unplug()

    asyncio.run(scenario())


def test_a_port_that_is_gone_cannot_be_opened():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        async with transport(sockets) as ports:
            with pytest.raises(Lost):
                async with ports.open(Sighting(transport="serial", address="1-1.2")):
                    pass
        assert not monitor.is_plugged

    asyncio.run(scenario())


def test_a_cable_has_nothing_to_pair_or_to_read():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"!")
            async with ports.open(await anext(sightings)) as link:
                await link.pair()
                await link.subscribe("2a18")
                with pytest.raises(Refused):
                    await link.read("2a29")
        monitor.unplug()

    asyncio.run(scenario())


def test_more_than_the_queue_holds_waits_in_the_kernel(monkeypatch):
    monkeypatch.setattr(serial_link, "WAITING_BYTES", 1000)
    flood = bytes(range(256)) * 64

    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(flood)
            sighting = await anext(sightings)
            await until(lambda: not ports._plugged["1-1.2"].open._reading)
            async with ports.open(sighting) as link:
                assert await heard(link, len(flood)) == flood
        monitor.unplug()

    asyncio.run(scenario())


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


# --- the whole dock on it ----------------------------------------------------------------------------------------


@dataclass
class Counter:
    outbox: Outbox
    board: Board
    visits: Visits
    sockets: Sockets

    async def kept(self) -> dict[str, list[int]]:
        """Systolic values by the meter's address, in the order they were kept."""
        kept: dict[str, list[int]] = {}
        for held in reversed(await self.outbox.recent(1000)):
            kept.setdefault(held.reading.device.address, []).append(int(held.reading.values["systolic_mmhg"]))
        return kept


@asynccontextmanager
async def counter(directory: Path, *settings: SerialSettings, **options) -> AsyncIterator[Counter]:
    outbox = await Outbox.open(directory, gateway="gw-1")
    board, visits, sockets = Board(), Visits({"a": ["1-1.1"], "b": ["1-1.2"]}), Sockets()
    docking = Docking(
        options.pop("holding", outbox),
        board,
        visits,
        clock=lambda: NOW,
        clock_trusted=lambda: True,
        recognise=recognise,
        gateway="gw-1",
    )
    ports = SerialPorts(settings, recognise, look=sockets.look, look_every_s=0.02, ask_every_s=0.05)
    watching = asyncio.ensure_future(docking.watch(ports))
    try:
        async with asyncio.timeout(WITHIN_S):
            yield Counter(outbox, board, visits, sockets)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await outbox.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("gateway.docking.REST_S", 0.01)
    monkeypatch.setattr("gateway.docking.RETRY_S", 0.01)


def test_two_monitors_speak_at_once_and_each_reading_goes_to_its_own_slot(tmp_path):
    async def scenario():
        left, right = wire(piece_bytes=3), wire(garbage_before=b"")
        async with counter(tmp_path) as it:
            visits = {slot: it.visits.open(slot, f"C000{slot}", NOW, id=uuid4()) for slot in "ab"}
            it.sockets.plug("1-1.1", left)
            it.sockets.plug("1-1.2", right)
            for number in range(20):
                left.meter.measure(100 + number)
                right.meter.measure(140 + number)
                left.speak()
                right.speak()
            await it.board.until(lambda: len(it.board.readings) == 40)
            left.unplug()
            right.unplug()
            kept = await it.kept()
            for reading in it.board.readings:
                assert reading.visit == visits["a" if reading.device.address == "1-1.1" else "b"]
                assert reading.device.key == f"gw-1/{reading.device.address}"
        assert kept == {"1-1.1": list(range(100, 120)), "1-1.2": list(range(140, 160))}

    asyncio.run(scenario())


def test_every_measurement_of_a_day_is_kept_once_in_conversations_of_its_own(tmp_path):
    async def scenario():
        monitor = wire()
        async with counter(tmp_path) as it:
            it.sockets.plug("1-1.1", monitor)
            for number in range(3):
                monitor.meter.measure(120 + number)
                monitor.speak()
                await it.board.until_ended(number + 1)
            kept = await it.kept()
            monitor.unplug()
        assert kept == {"1-1.1": [120, 121, 122]}
        assert it.board.endings == [None, None, None]
        assert len({reading.conversation for reading in it.board.readings}) == 3

    asyncio.run(scenario())


@pytest.mark.usefixtures("impatient")
def test_a_memory_pulled_in_mid_frame_is_read_to_its_end_after_the_next_plug_and_every_record_once(tmp_path):
    async def scenario():
        logger = wire(Logger, unplug_after=30)
        setting = SerialSettings(usb_path="1-1.1", driver="serial.logger")
        for number in range(6):
            logger.meter.measure(110 + number)
        async with counter(tmp_path, setting) as it:
            it.sockets.plug("1-1.1", logger, ADAPTER)
            await it.board.until(lambda: "lost" in it.board.endings)
            assert 0 < len(it.board.readings) < 6
            it.sockets.plug("1-1.1", logger, ADAPTER)
            await it.board.until(lambda: None in it.board.endings)
            logger.meter.measure(120)
            await it.board.until(lambda: len(it.board.readings) == 7)
            kept = await it.kept()
            logger.unplug()
        assert kept == {"1-1.1": [110, 111, 112, 113, 114, 115, 120]}

    asyncio.run(scenario())


@pytest.mark.usefixtures("impatient")
def test_what_a_driver_remembers_of_a_serial_meter_comes_back(tmp_path):
    async def scenario():
        logger = wire(Logger)
        setting = SerialSettings(usb_path="1-1.1", driver="serial.logger")
        async with counter(tmp_path, setting) as it:
            it.sockets.plug("1-1.1", logger, ADAPTER)
            await it.board.until_ended(3)
            assert (await it.outbox.mark("serial.logger", "1-1.1")).startswith("+++")
            logger.unplug()

    asyncio.run(scenario())


def test_what_waits_when_the_watching_breaks_is_there_when_it_goes_on():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports:
            async with aclosing(ports.sightings()) as sightings:
                monitor.say(b"kept")
                await anext(sightings)
            async with aclosing(ports.sightings()) as sightings:
                sighting = await anext(sightings)
                async with ports.open(sighting) as link:
                    assert await heard(link, 4) == b"kept"
                monitor.say(b"next")
                sighting = await anext(sightings)
                async with ports.open(sighting) as link:
                    assert await heard(link, 4) == b"next"
        monitor.unplug()

    asyncio.run(scenario())


def test_what_was_said_while_the_disk_was_full_is_kept_once_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(serial_port, "CALL_AGAIN_S", 0.05)

    class Full:
        """The outbox, without room for the first two conversations."""

        refused = 0

        def __getattr__(self, name):
            return getattr(holding["outbox"], name)

        async def journal(self, *row) -> None:
            if self.refused < 2:
                self.refused += 1
                raise OutboxFull("no room")
            await holding["outbox"].journal(*row)

    holding = {}

    async def scenario():
        monitor = wire()
        async with counter(tmp_path, holding=Full()) as it:
            holding["outbox"] = it.outbox
            it.sockets.plug("1-1.1", monitor)
            monitor.meter.measure(133)
            monitor.speak()
            await it.board.until(lambda: len(it.board.readings) == 1)
            assert it.board.endings == ["outbox_full", "outbox_full"]
            monitor.unplug()

    asyncio.run(scenario())


def test_a_late_answer_in_the_journal_does_not_keep_it_from_being_played_again(tmp_path):
    async def scenario():
        async with counter(tmp_path) as it:
            conversation = uuid4()
            from gateway.docking import HEADER, header

            context = Context(sighting=Sighting(transport="serial", address="1-1.1"), now=NOW)
            facts = header("serial.logger", context, None, clock_trusted=True, gateway="gw-1")
            for channel, data in ((HEADER, facts), (LATE, b"BP 9"), ("", b"BP 1 12"), ("", b"5\r\n")):
                await it.outbox.journal(conversation, NOW, channel, data)
            known = {driver.name: driver for driver in (MONITOR, LOGGER)}
            assert await finish_interrupted(it.outbox, drivers=known, under_way=lambda: ()) == 1
            [held] = await it.outbox.recent(10)
            assert held.reading.device.key == "gw-1/1-1.1"
            assert held.reading.values["systolic_mmhg"] == 125

    asyncio.run(scenario())
