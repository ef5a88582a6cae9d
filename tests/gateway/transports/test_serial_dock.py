"""Serial meters on real pseudo terminals up to the outbox: every reading once, in its slot, after any mishap."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.buffer.limits import OutboxFull
from gateway.buffer.outbox import Outbox
from gateway.config import SerialSettings
from gateway.conversation import (
    Context,
    Sighting,
)
from gateway.converse import LATE
from gateway.docking import Docking
from gateway.rejournal import finish_interrupted
from gateway.transports import serial_port
from gateway.transports.serial_port import SerialPorts
from gateway.visits import Visits
from tests.gateway.test_docking import Board
from tests.gateway.transports.rig import WITHIN_S
from tests.gateway.transports.serial_rig import (
    ADAPTER,
    LOGGER,
    MONITOR,
    NOW,
    Logger,
    Sockets,
    heard,
    recognise,
    transport,
    wire,
)

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
