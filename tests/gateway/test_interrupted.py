"""A conversation that was cut off is finished from the journal: nobody has to notice that a reading is missing."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from gateway.buffer.outbox import Outbox
from gateway.conversation import Arrived, Context, Garbled, Record, emit, remember, subscribe, wait
from gateway.docking import ENDED
from gateway.rejournal import finish_interrupted
from gateway.visits import Visits
from gateway.wire.vocabulary import Kind
from tests.gateway.test_docking import CONVERSATION, NOW, a_driver
from tests.gateway.test_journalled import CUFF, RECORDS, Line, Stuck, docking, run


def listen(context: Context):
    """What every deliver-once driver does: emit what it is told until nothing more comes."""
    yield from subscribe("2a35")
    while isinstance(event := (yield from wait(0.05)), Arrived):
        values = {"glucose_mmol_l": Decimal(event.data[0])}
        yield from emit(Record(kind=Kind.GLUCOSE, key=event.data.hex(), values=values))


DRIVERS = {"test": a_driver(listen)}


async def finish(outbox: Outbox, under_way: frozenset = frozenset()) -> int:
    return await finish_interrupted(outbox, drivers=DRIVERS, under_way=lambda: under_way)


async def keys(outbox: Outbox) -> list[str]:
    return sorted(held.reading.record_key for held in await outbox.recent(10))


def test_a_gateway_that_died_between_the_radio_and_the_disk_has_every_reading_after_its_start(tmp_path):
    async def scenario():
        outbox = await Stuck.open(tmp_path, gateway="gw-1")
        outbox.stuck = asyncio.Event()
        docked = asyncio.ensure_future(docking(outbox).dock(a_driver(listen), CUFF, line := Line(*RECORDS)))
        await outbox.stuck.wait()
        await line.taken.wait()
        docked.cancel()  # the cuff has forgotten all three, and none is saved
        await asyncio.gather(docked, return_exceptions=True)
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        assert await keys(outbox) == []
        assert await finish(outbox, frozenset({CONVERSATION})) == 0  # not while it is still going on
        assert await finish(outbox) == 3
        assert await keys(outbox) == ["01", "02", "03"]
        assert await finish(outbox) == 0  # and once is enough
        await outbox.close()

    run(scenario)


def test_what_was_cut_off_is_given_to_nobody_who_may_have_left_meanwhile(tmp_path):
    """The journal says who stood there when the conversation began, and not who came in the minutes after it."""

    async def scenario():
        outbox = await Stuck.open(tmp_path, gateway="gw-1")
        outbox.stuck = asyncio.Event()
        visits = Visits({"counter-1": ()})
        first = visits.open("counter-1", "CARD1", NOW - timedelta(minutes=1), id=CONVERSATION)
        it = docking(outbox, visits=visits)
        docked = asyncio.ensure_future(it.dock(a_driver(listen), CUFF, line := Line(*RECORDS)))
        await outbox.stuck.wait()
        await line.taken.wait()
        docked.cancel()
        await asyncio.gather(docked, return_exceptions=True)
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        await finish(outbox)
        kept = [held.reading.visit for held in await outbox.recent(10)]
        assert [(visit.id, visit.closed) for visit in kept] == [(first.id, NOW)] * 3
        await outbox.close()

    run(scenario)


def test_a_result_that_is_read_from_the_journal_is_known_when_the_meter_tells_it_again(tmp_path):
    """A cuff that shows its last result for ever has no other name for it."""

    def last_result(context: Context):
        yield from subscribe("2a35")
        while isinstance(event := (yield from wait(0.05)), Arrived):
            if event.data.hex() != context.last_record:
                values = {"glucose_mmol_l": Decimal(event.data[0])}
                yield from emit(Record(kind=Kind.GLUCOSE, key="", values=values))
                yield from remember(event.data.hex())

    async def scenario():
        outbox = await Stuck.open(tmp_path, gateway="gw-1")
        outbox.stuck = asyncio.Event()
        docked = asyncio.ensure_future(docking(outbox).dock(a_driver(last_result), CUFF, Line(RECORDS[0])))
        await outbox.stuck.wait()
        docked.cancel()
        await asyncio.gather(docked, return_exceptions=True)
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        known = {"test": a_driver(last_result)}
        assert await finish_interrupted(outbox, drivers=known, under_way=frozenset) == 1
        again = docking(outbox, new_id=lambda: UUID(int=77))
        assert await again.dock(a_driver(last_result), CUFF, Line(RECORDS[0])) == 0
        await outbox.close()

    run(scenario)


def test_what_came_after_the_driver_had_enough_is_read_too(tmp_path):
    def hasty(context: Context):
        yield from subscribe("2a35")
        yield from wait(1.0)

    async def scenario():
        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        assert await docking(outbox).dock(a_driver(hasty), CUFF, Line(*RECORDS)) == 0
        assert await finish(outbox) == 3
        await outbox.close()

    run(scenario)


def test_what_was_saved_before_a_driver_gave_up_is_counted(tmp_path):
    def hasty(context: Context):
        yield from subscribe("2a35")
        yield from wait(1.0)

    def strict(context: Context):
        yield from subscribe("2a35")
        while isinstance(event := (yield from wait(0.05)), Arrived):
            values = {"glucose_mmol_l": Decimal(event.data[0])}
            yield from emit(Record(kind=Kind.GLUCOSE, key=event.data.hex(), values=values))
            if (event.channel, event.data) == RECORDS[-1]:
                raise Garbled("grammar")

    async def scenario():
        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        await docking(outbox).dock(a_driver(hasty), CUFF, Line(*RECORDS))
        known = {"test": a_driver(strict)}
        assert await finish_interrupted(outbox, drivers=known, under_way=frozenset) == len(RECORDS)
        await outbox.close()

    run(scenario)


def test_a_conversation_that_was_heard_to_its_end_is_not_played_again(tmp_path):
    async def scenario():
        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        assert await docking(outbox).dock(a_driver(listen), CUFF, Line(*RECORDS)) == 3
        assert (await outbox.journal_of(CONVERSATION))[-1][1] == ENDED
        assert await finish_interrupted(outbox, drivers={}, under_way=frozenset) == 0
        await outbox.close()

    run(scenario)


def test_a_conversation_nobody_can_play_is_tried_once_and_kept(tmp_path):
    def broken(context: Context):
        yield from wait(1.0)
        raise ZeroDivisionError

    async def scenario():
        outbox = await Outbox.open(tmp_path, gateway="gw-1")
        await asyncio.gather(docking(outbox).dock(a_driver(broken), CUFF, Line(*RECORDS)), return_exceptions=True)
        assert await finish_interrupted(outbox, drivers={"test": a_driver(broken)}, under_way=frozenset) == 0
        rows = [channel for _, channel, _ in await outbox.journal_of(CONVERSATION)]
        assert rows[-1] == ENDED
        assert rows.count("2a35") == 3  # still there for a mended driver and `journal replay`
        await outbox.close()

    run(scenario)
