"""A meter at the dock, from the air to the outbox: real drivers, real outbox, virtual meters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from gateway import drivers
from gateway.buffer.outbox import Outbox
from gateway.conversation import (
    Arrived,
    Context,
    Driver,
    Garbled,
    Record,
    Sighting,
    emit,
    note,
    read,
    subscribe,
    wait,
)
from gateway.docking import HEADER, Docking
from gateway.proof import Proof
from gateway.rejournal import NotReplayable, replay_journal
from gateway.simulators.glucose_meter import RESULT_TOO_HIGH
from gateway.simulators.meter import Faults, Security
from gateway.visits import Visits
from gateway.wire.messages import Purpose, Reading, TimeQuality
from gateway.wire.vocabulary import Kind, Meal, OffScale
from tests.gateway.transports.rig import NOON, WITHIN_S, Bench, bumble_bench, glucose_meter, pressure_cuff

CONVERSATION = UUID("00000000-0000-4000-8000-000000000001")
NOW = NOON.replace(tzinfo=UTC) - timedelta(hours=8)


@pytest.fixture
def impatient(monkeypatch):
    """Meters are asked again at once: these tests are about what is kept, not about manners."""
    monkeypatch.setattr("gateway.docking.REST_S", 0.01)
    monkeypatch.setattr("gateway.docking.RETRY_S", 0.01)


@dataclass
class Board:
    """Keeps what it is told, and lets a test wait for it."""

    readings: list[Reading] = field(default_factory=list)
    endings: list[str | None] = field(default_factory=list)
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def seen(self, sighting: Sighting) -> None:
        """Nothing to keep."""

    def talking(self, address: str, name: str) -> None:
        """Nothing to keep."""

    def saved(self, reading: Reading) -> None:
        self.readings.append(reading)
        self.happened.set()

    def ended(self, address: str, error: str | None) -> None:
        self.endings.append(error)
        self.happened.set()

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not what():
                self.happened.clear()
                await self.happened.wait()

    async def until_ended(self, times: int) -> None:
        await self.until(lambda: len(self.endings) >= times)


@dataclass
class Dock:
    outbox: Outbox
    board: Board
    visits: Visits
    docking: Docking

    async def kept(self) -> list[Reading]:
        return [held.reading for held in reversed(await self.outbox.recent(1000))]


@asynccontextmanager
async def dock(directory: Path, *, recognise=drivers.recognise) -> AsyncIterator[Dock]:
    outbox = await Outbox.open(directory, gateway="gw-1")
    board, visits = Board(), Visits({"counter-1": ()})
    docking = Docking(
        outbox,
        board,
        visits,
        clock=lambda: NOW,
        clock_trusted=lambda: True,
        recognise=recognise,
        new_id=lambda: CONVERSATION,
    )
    try:
        yield Dock(outbox, board, visits, docking)
    finally:
        await outbox.close()


@asynccontextmanager
async def watching(dock: Dock, bench: Bench) -> AsyncIterator[None]:
    task = asyncio.ensure_future(dock.docking.watch(bench.ble))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_glucose_meter_is_docked_and_every_record_is_kept_once(bench_of, tmp_path):
    async def scenario():
        meter = glucose_meter(serial="GM-77012")
        meter.measure(Decimal("5.4"), meal=3)
        meter.measure(Decimal("98.7") / 10, mg_dl=True)
        meter.measure(Decimal("33.3"), status=RESULT_TOO_HIGH)
        meter.measure(Decimal("6.2"), control=True)
        meter.measure_ketone(Decimal("0.6"))
        async with bench_of(meter) as bench, dock(tmp_path) as it, watching(it, bench):
            visit = it.visits.open("counter-1", "C0001", NOW - timedelta(minutes=1), id=uuid4())
            await it.board.until_ended(1)
            first, in_mg_dl, high, control, ketone = kept = await it.kept()
        assert it.board.endings == [None]
        assert kept == it.board.readings
        assert first.values == {"glucose_mmol_l": Decimal("5.4")}
        assert first.meal is Meal.FASTING
        assert first.device.key == "GM-77012"
        assert first.visit == visit
        assert first.time.quality is TimeQuality.DEVICE
        assert first.time.at == NOW
        assert in_mg_dl.shown[0].unit == "mg/dL"
        assert high.off_scale == {"glucose_mmol_l": OffScale.HI}
        assert not high.values
        assert control.purpose is Purpose.CONTROL
        assert ketone.kind is Kind.KETONE
        assert ketone.values == {"ketone_mmol_l": Decimal("0.6")}

    asyncio.run(scenario())


def test_a_second_docking_brings_only_what_is_new(bench_of, tmp_path):
    async def scenario():
        meter = glucose_meter()
        meter.measure(Decimal("5.4"))
        async with bench_of(meter) as bench, dock(tmp_path) as it:
            async with bench.ble.open(sighting := await bench.sighting_of("VGM")) as link:
                assert await it.docking.dock(drivers.recognise(sighting), sighting, link) == 1
            meter.measure(Decimal("7.8"))
            await bench.update(meter)
            await bench.tell("VGM", "advertise")
            async with bench.ble.open(sighting := await bench.sighting_of("VGM")) as link:
                assert await it.docking.dock(drivers.recognise(sighting), sighting, link) == 1
            assert [r.values["glucose_mmol_l"] for r in await it.kept()] == [Decimal("5.4"), Decimal("7.8")]

    asyncio.run(scenario())


def test_a_memory_that_started_again_at_zero_is_read_in_full(tmp_path):
    async def scenario():
        meter = glucose_meter()
        for _ in range(3):
            meter.measure(Decimal("5.4"))
        async with bumble_bench(meter) as bench, dock(tmp_path) as it:
            for expected in (3, 2):
                await bench.tell("VGM", "advertise")
                async with bench.ble.open(sighting := await bench.sighting_of("VGM")) as link:
                    assert await it.docking.dock(drivers.recognise(sighting), sighting, link) == expected
                meter.lose_memory()
                meter.clock_error += timedelta(minutes=1)
                meter.measure(Decimal("6.0"))
                meter.measure(Decimal("6.1"))

    asyncio.run(scenario())


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_line_lost_midway_is_resumed_at_the_next_sighting_without_loss_or_duplicate(
    bench_of, tmp_path, impatient, after
):
    async def scenario():
        meter = glucose_meter(faults=Faults(lose_link_after=after))
        for tenth in range(4):
            meter.measure(Decimal(50 + tenth) / 10)
        async with bench_of(meter) as bench, dock(tmp_path) as it, watching(it, bench):
            await it.board.until_ended(2)
            kept = await it.kept()
        assert it.board.endings == ["lost", None]
        assert [r.record_key for r in kept] == sorted({r.record_key for r in kept})
        assert len(kept) == 4

    asyncio.run(scenario())


def test_a_cuff_that_delivers_once_is_kept_although_the_line_drops(bench_of, tmp_path, impatient):
    async def scenario():
        cuff = pressure_cuff(faults=Faults(lose_link_after=1), security=Security.JUST_WORKS)
        cuff.measure(Decimal(128), Decimal(82), Decimal(71))
        cuff.measure(Decimal("16.0"), Decimal("10.5"), Decimal(70), kpa=True)
        async with bench_of(cuff) as bench, dock(tmp_path) as it, watching(it, bench):
            await it.board.until(lambda: len(it.board.readings) == 2)
            kept = await it.kept()
            assert (await bench.tell("VBP", "report"))["stored"] == 0, "it has forgotten what was confirmed"
        assert [r.values["systolic_mmhg"] for r in kept] == [Decimal(128), Decimal(120)]

    asyncio.run(scenario())


def test_a_meter_that_says_everything_twice_is_kept_once(bench_of, tmp_path):
    async def scenario():
        meter = glucose_meter(faults=Faults(duplicate=True))
        meter.measure(Decimal("5.4"), meal=1)
        meter.measure(Decimal("7.8"))
        async with bench_of(meter) as bench, dock(tmp_path) as it, watching(it, bench):
            await it.board.until_ended(1)
            assert len(await it.kept()) == 2

    asyncio.run(scenario())


def test_a_meter_whose_clock_is_wrong_is_corrected_by_the_offset_of_the_same_conversation(tmp_path):
    async def scenario():
        meter = glucose_meter(clock_error=timedelta(hours=-5))
        meter.measure(Decimal("5.4"))
        async with bumble_bench(meter) as bench, dock(tmp_path) as it, watching(it, bench):
            await it.board.until_ended(1)
            (reading,) = await it.kept()
        assert reading.time.quality is TimeQuality.CORRECTED
        assert reading.time.at == NOW
        assert reading.time.offset_s == 5 * 3600

    asyncio.run(scenario())


def a_driver(talk) -> Driver:
    """A tiny driver of the glucose service, for what no real one does."""
    return Driver(
        name="test",
        transport="ble",
        recognise=lambda sighting: True,
        talk=talk,
        devices="",
        source="",
        quirks="",
        proven_by="",
        proof=Proof.ONE_SOURCE,
    )


def glucose(key: str, value: str = "5.4") -> Record:
    return Record(kind=Kind.GLUCOSE, key=key, values={"glucose_mmol_l": Decimal(value)})


def test_a_driver_that_breaks_does_not_end_the_watching_of_the_other_meters(tmp_path):
    async def scenario():
        def broken(context: Context):
            yield from subscribe("2a18")
            raise ZeroDivisionError

        def recognise(sighting: Sighting) -> Driver | None:
            return a_driver(broken) if sighting.name == "VGM" else drivers.recognise(sighting)

        cuff = pressure_cuff()
        cuff.measure(Decimal(128), Decimal(82))
        async with bumble_bench(glucose_meter(), cuff) as bench, dock(tmp_path, recognise=recognise) as it:
            async with watching(it, bench):
                await it.board.until(lambda: bool(it.board.readings) and "failed" in it.board.endings)
            assert len(await it.kept()) == 1

    asyncio.run(scenario())


def test_a_serial_that_comes_after_a_record_is_refused_because_ids_are_made_of_it(tmp_path):
    async def scenario():
        def late(context: Context):
            yield from emit(glucose("1"))
            yield from note("serial", "X-1")

        async with bumble_bench(glucose_meter()) as bench, dock(tmp_path) as it:
            sighting = await bench.sighting_of("VGM")
            async with bench.ble.open(sighting) as link:
                with pytest.raises(Garbled):
                    await it.docking.dock(a_driver(late), sighting, link)

    asyncio.run(scenario())


def test_a_decoders_mistake_is_repaired_by_replaying_the_journal_without_the_meter(tmp_path):
    async def scenario():
        def talk(context: Context):
            yield from note("serial", (yield from read("2a25")).decode())
            yield from subscribe("2a35")
            while isinstance(event := (yield from wait(0.2)), Arrived):
                if mistaken:
                    continue
                yield from emit(glucose("", str(event.data[1] / 10)))

        cuff = pressure_cuff()
        cuff.measure(Decimal(128), Decimal(82))
        cuff.measure(Decimal(118), Decimal(72))
        async with bumble_bench(cuff) as bench, dock(tmp_path) as it:
            mistaken = True
            async with bench.ble.open(sighting := await bench.sighting_of("VBP")) as link:
                assert await it.docking.dock(a_driver(talk), sighting, link) == 0
            mistaken = False
            conversation = CONVERSATION
            assert (await it.outbox.journal_of(conversation))[0][1] == HEADER
            known = {"test": a_driver(talk)}
            assert await replay_journal(it.outbox, conversation, drivers=known) == 2
            assert await replay_journal(it.outbox, conversation, drivers=known) == 0
            assert {r.device.serial for r in await it.kept()} == {"SN-0001"}
            assert {r.time.received for r in await it.kept()} == {NOW}
            with pytest.raises(NotReplayable):
                await replay_journal(it.outbox, conversation, drivers={})
            with pytest.raises(NotReplayable):
                await replay_journal(it.outbox, uuid4(), drivers=known)

    asyncio.run(scenario())


def test_a_real_conversation_replays_to_the_readings_it_had(tmp_path):
    async def scenario():
        meter = glucose_meter()
        for tenth in range(3):
            meter.measure(Decimal(50 + tenth) / 10, meal=1)
        async with bumble_bench(meter) as bench, dock(tmp_path) as it, watching(it, bench):
            it.visits.open("counter-1", "C0001", NOW - timedelta(minutes=1), id=uuid4())
            await it.board.until_ended(1)
            every = {driver.name: driver for driver in drivers.DRIVERS}
            assert await replay_journal(it.outbox, CONVERSATION, drivers=every) == 0
            emptied = Emptied(it.outbox)
            assert await replay_journal(emptied, CONVERSATION, drivers=every) == 3
            seen_until = [replace(one, visit=replace(one.visit, closed=NOW)) for one in await it.kept()]
            assert emptied.readings == seen_until  # who came later, the journal does not say

    asyncio.run(scenario())


class Emptied:
    """An outbox that has only its journal and its marks left."""

    def __init__(self, outbox: Outbox) -> None:
        self.journal_of, self.mark, self.set_mark = outbox.journal_of, outbox.mark, outbox.set_mark
        self.readings: list[Reading] = []

    async def put(self, readings: Sequence[Reading]) -> int:
        self.readings += readings
        return len(readings)


def test_a_meter_that_never_says_it_is_done_keeps_what_it_gave_and_is_asked_again(
    tmp_path, impatient, monkeypatch
):
    async def scenario():
        meter = glucose_meter(faults=Faults(no_racp_response=True))
        meter.measure(Decimal("5.4"))
        meter.measure(Decimal("7.8"))
        async with bumble_bench(meter) as bench, dock(tmp_path) as it, watching(it, bench):
            await it.board.until_ended(1)
            assert it.board.endings == ["garbled_racp_no_answer"]
            assert len(await it.kept()) == 2

    monkeypatch.setattr("gateway.drivers.ble_glucose.TRANSFER_TIMEOUT_S", 0.2)
    monkeypatch.setattr("gateway.drivers.ble_glucose.ABORT_TIMEOUT_S", 0.2)
    asyncio.run(scenario())
