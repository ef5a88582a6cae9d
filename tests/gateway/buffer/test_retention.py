"""What is forgotten after a week, and that a wrong clock forgets nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.buffer.outbox import Outbox
from gateway.wire.messages import Outcome, Receipt
from hil_tests.readings import reading, reading_id

pytestmark = pytest.mark.usefixtures("lone_callers_are_saved")

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
BOOT = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


async def save_and_send(outbox: Outbox, number: int) -> None:
    await outbox.put([reading(number)])
    batch = await outbox.next_batch(200)
    assert batch is not None
    await outbox.settle(Receipt(batch=batch.id, outcome=Outcome.ACCEPTED))


async def held(outbox: Outbox) -> list[str]:
    return [one.reading.record_key for one in reversed(await outbox.recent(100))]


def test_received_readings_and_raw_bytes_are_kept_for_a_week_and_unsent_ones_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock(NOON)
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=clock)
        talk = uuid4()
        for day in range(12):
            clock.now = NOON + day * DAY
            await save_and_send(outbox, day)
            await outbox.journal(talk, clock.now, "2a18", bytes([day]))
            await outbox.housekeep(clock.now, clock_trusted=True)
        assert await held(outbox) == [str(day) for day in range(5, 12)]
        assert [data[0] for _, _, data in await outbox.journal_of(talk)] == list(range(5, 12))

        await outbox.put([reading(100)])
        clock.now += 400 * DAY
        await outbox.housekeep(clock.now, clock_trusted=True)
        assert await held(outbox) == ["100"]
        assert outbox.stats().unsent == 1
        assert outbox.stats().journal_bytes == 0

        await outbox.close()
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=clock)
        assert outbox.stats().unsent == 1
        batch = await outbox.next_batch(200)
        assert batch is not None
        assert [one.id for one in batch.readings] == [reading_id(100)]
        await outbox.close()

    asyncio.run(main())


def test_what_was_saved_before_the_clock_was_set_is_not_mistaken_for_old(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock(BOOT)
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=clock)
        await save_and_send(outbox, 1)
        await outbox.put([reading(2)])
        await outbox.journal(uuid4(), clock.now, "2a18", b"\x01")
        clock.now = NOON
        assert await outbox.housekeep(clock.now, clock_trusted=True) == 0
        assert await held(outbox) == ["1", "2"]
        assert outbox.stats().journal_bytes > 0
        # A week after the first trusted look, what had been received by then has had its time.
        assert await outbox.housekeep(NOON + 7 * DAY, clock_trusted=True) == 2
        assert await held(outbox) == ["2"]
        await outbox.close()

    asyncio.run(main())


def test_an_untrusted_clock_forgets_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=Clock(NOON))
        await save_and_send(outbox, 1)
        await outbox.housekeep(NOON, clock_trusted=True)
        assert await outbox.housekeep(NOON + 3650 * DAY, clock_trusted=False) == 0
        assert await held(outbox) == ["1"]
        await outbox.close()

    asyncio.run(main())


def test_a_trusted_clock_that_was_ahead_and_came_back_forgets_nothing_early(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=Clock(NOON))
        await save_and_send(outbox, 1)
        await outbox.housekeep(NOON + 5 * DAY, clock_trusted=True)
        await outbox.housekeep(NOON, clock_trusted=True)
        await outbox.housekeep(NOON + 6 * DAY, clock_trusted=True)
        assert await held(outbox) == ["1"]
        await outbox.housekeep(NOON + 7 * DAY, clock_trusted=True)
        assert await held(outbox) == []
        await outbox.close()

    asyncio.run(main())


def test_forgotten_readings_do_not_make_new_ones_look_sent(tmp_path: Path) -> None:
    """Row numbers are never used again, even when the table has been empty."""

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=Clock(NOON))
        talk = uuid4()
        await save_and_send(outbox, 1)
        await outbox.journal(talk, NOON, "2a18", b"\x01")
        await outbox.housekeep(NOON, clock_trusted=True)
        await outbox.housekeep(NOON + 8 * DAY, clock_trusted=True)
        assert await held(outbox) == []
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=Clock(NOON))
        await outbox.put([reading(2)])
        await outbox.journal(talk, NOON, "2a18", b"\x02")
        await outbox.housekeep(NOON + 9 * DAY, clock_trusted=True)
        assert outbox.stats().unsent == 1
        assert len(await outbox.journal_of(talk)) == 1
        batch = await outbox.next_batch(200)
        assert batch is not None
        assert [one.id for one in batch.readings] == [reading_id(2)]
        await outbox.close()

    asyncio.run(main())
