"""A conversation that was cut off is finished from the journal: nobody has to notice that a reading is missing."""

import asyncio
from decimal import Decimal

from gateway.buffer.outbox import Outbox
from gateway.conversation import Arrived, Context, Record, emit, subscribe, wait
from gateway.docking import ENDED
from gateway.rejournal import finish_interrupted
from gateway.wire.vocabulary import Kind
from tests.gateway.test_docking import CONVERSATION, a_driver
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
