"""What a meter has sent is on disk as it arrives: whatever the driver is busy with, and however it ends."""

import asyncio
from collections import deque
from decimal import Decimal
from uuid import UUID

import pytest

from gateway import journalled as module
from gateway.buffer.limits import OutboxFull
from gateway.buffer.outbox import Outbox
from gateway.conversation import Arrived, Context, Driver, Lost, Record, Sighting, emit, read, subscribe, wait
from gateway.docking import ENDED, HEADER, Docking
from gateway.journalled import journalled
from gateway.rejournal import replay_journal
from gateway.visits import Visits
from gateway.wire.vocabulary import Kind
from tests.gateway.test_docking import CONVERSATION, NOW, Board, a_driver
from tests.gateway.transports.rig import WITHIN_S

CUFF = Sighting(transport="ble", address="C4:64:E3:12:00:01")
RECORDS = [("2a35", bytes([number])) for number in (1, 2, 3)]


class Line:
    """A link that brings what a test gives it, and is then silent, or lost."""

    def __init__(self, *arrivals: tuple[str, bytes], lost: bool = False) -> None:
        self.coming = deque(arrivals)
        self.lost = lost
        self.taken = asyncio.Event()
        self.news = asyncio.Event()

    async def pair(self) -> None: ...

    async def subscribe(self, channel: str) -> None: ...

    async def read(self, channel: str) -> bytes:
        await self.taken.wait()
        return b"answer"

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None: ...

    async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        if self.coming:
            return self.coming.popleft()
        self.taken.set()
        if self.lost:
            raise Lost("gone")
        try:
            async with asyncio.timeout(timeout_s):
                await self.news.wait()
        except TimeoutError:
            pass
        return None


class Journal:
    def __init__(self) -> None:
        self.rows: list[tuple[str, bytes]] = []
        self.disk = asyncio.Event()
        self.disk.set()

    async def __call__(self, channel: str, data: bytes) -> None:
        await self.disk.wait()
        self.rows.append((channel, data))


def run(scenario) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S):
            await scenario()

    asyncio.run(bounded())


class Stuck(Outbox):
    """An outbox that saves no reading: a driver's emit never returns."""

    stuck: asyncio.Event

    async def put(self, readings) -> int:
        self.stuck.set()
        return await asyncio.Event().wait()


def test_what_a_cuff_sends_while_the_driver_is_busy_is_on_disk_before_a_crash(tmp_path):
    def talk(context: Context):
        yield from subscribe("2a35")
        yield from wait(1.0)
        yield from emit(Record(kind=Kind.GLUCOSE, key="1", values={"glucose_mmol_l": Decimal("5.4")}))

    async def scenario():
        outbox = await Stuck.open(tmp_path, gateway="gw-1")
        outbox.stuck = asyncio.Event()
        docked = asyncio.ensure_future(docking(outbox).dock(a_driver(talk), CUFF, line := Line(*RECORDS)))
        await outbox.stuck.wait()
        await line.taken.wait()
        # The writer takes one after the other: once this is on disk, so is what came before.
        await outbox.journal(UUID(int=9), NOW, "", b"")
        kept = await outbox.journal_of(CONVERSATION)  # and nothing of the conversation has ended yet
        assert [(channel, data) for _, channel, data in kept[1:]] == RECORDS
        assert not docked.done()
        docked.cancel()
        await asyncio.gather(docked, return_exceptions=True)
        await outbox.close()

    run(scenario)


def test_what_has_arrived_is_journalled_when_the_driver_ends_without_asking():
    async def scenario():
        journal = Journal()
        async with journalled(Line(*RECORDS, lost=True), journal) as link:
            await link.subscribe("2a35")
        assert journal.rows == RECORDS

    run(scenario)


def test_a_loss_is_told_after_everything_that_came_before_it():
    async def scenario():
        async with journalled(Line(*RECORDS, lost=True), Journal()) as link:
            assert [await link.receive(1.0) for _ in RECORDS] == RECORDS
            for _ in range(2):
                with pytest.raises(Lost):
                    await link.receive(1.0)

    run(scenario)


def test_a_driver_is_handed_nothing_that_is_not_on_disk():
    async def scenario():
        journal = Journal()
        journal.disk.clear()
        async with journalled(line := Line(*RECORDS), journal) as link:
            handed = asyncio.ensure_future(link.receive(1.0))
            await line.taken.wait()
            assert not handed.done()
            journal.disk.set()
            assert await handed == RECORDS[0]
            assert journal.rows[0] == RECORDS[0]

    run(scenario)


def test_a_journal_without_room_ends_the_conversation_at_the_bytes_it_refused():
    async def full(channel: str, data: bytes) -> None:
        raise OutboxFull("full")

    async def scenario():
        async with journalled(Line(*RECORDS), full) as link:
            with pytest.raises(OutboxFull):
                await link.receive(1.0)

    run(scenario)


def test_a_meter_that_never_stops_waits_in_the_links_own_queue(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "AHEAD", 2)

    async def scenario():
        journal = Journal()
        line = Line(*(("2a35", bytes([number])) for number in range(9)))
        async with journalled(line, journal) as link:
            assert await link.receive(1.0) == ("2a35", b"\0")
            assert len(line.coming) >= 5
            assert [await link.receive(1.0) for _ in range(8)] == [("2a35", bytes([n])) for n in range(1, 9)]
        assert len(journal.rows) == 9

    run(scenario)


def test_pairing_may_hang_up_and_connect_anew():
    class Forgetful(Line):
        async def pair(self) -> None:
            self.lost = True
            await asyncio.sleep(0)
            self.lost = False
            self.coming.append(RECORDS[0])

    async def scenario():
        async with journalled(line := Forgetful(), Journal()) as link:
            await link.subscribe("2a35")
            await line.taken.wait()
            await link.pair()
            assert await link.receive(1.0) == RECORDS[0]

    run(scenario)


def docking(outbox: Outbox, board: Board | None = None, **options) -> Docking:
    given = {"visits": Visits({"counter-1": ()}), "new_id": lambda: CONVERSATION, **options}
    return Docking(outbox, board or Board(), clock=lambda: NOW, clock_trusted=lambda: True, **given)


def test_readings_without_a_key_of_their_own_replay_to_the_ids_they_had(tmp_path):
    """Also where a record came in while the driver was waiting for the answer to a read."""

    def talk(context: Context):
        yield from subscribe("2a35")
        yield from read("2a26")
        while isinstance(event := (yield from wait(0.05)), Arrived):
            values = {"glucose_mmol_l": Decimal(event.data[0])}
            yield from emit(Record(kind=Kind.GLUCOSE, key="", values=values))

    async def scenario():
        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        driver: Driver = a_driver(talk)
        assert await docking(outbox).dock(driver, CUFF, Line(*RECORDS)) == 3
        rows = [channel for _, channel, _ in await outbox.journal_of(CONVERSATION)]
        assert rows == [HEADER, "2a35", "2a35", "2a35", "2a26", ENDED]
        assert await replay_journal(outbox, CONVERSATION, drivers={"test": driver}) == 0
        assert len(await outbox.recent(10)) == 3
        await outbox.close()

    run(scenario)
