"""What the outbox does when its share of the disk, or the disk, is used up: refuse, and drop nothing unsent."""

import asyncio
import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from gateway.buffer import writer
from gateway.buffer.outbox import Limits, Outbox, OutboxFull
from hil_tests.readings import reading_id
from tests.gateway.buffer.test_outbox import NOON, ids_sent, readings

pytestmark = pytest.mark.usefixtures("lone_callers_are_saved")


def test_a_full_outbox_refuses_new_readings_and_keeps_the_unsent_ones(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", limits=Limits(max_bytes=300_000))
        kept: list[UUID] = []
        with pytest.raises(OutboxFull):
            for number in range(10_000):
                await outbox.put(readings(number))
                kept.append(reading_id(number))
        with pytest.raises(OutboxFull):
            await outbox.journal(uuid4(), NOON, "2a18", b"\x00" * 5000)
        assert 100 < len(kept) < 600
        assert await ids_sent(outbox) == kept
        # Once the cloud has them, history gives way to new readings.
        assert await outbox.put(readings(*range(20_000, 20_050))) == 50
        await outbox.close()

    asyncio.run(main())


def test_old_raw_bytes_give_way_before_a_reading_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", limits=Limits(max_bytes=400_000))
        for _ in range(70):
            await outbox.journal(uuid4(), NOON, "2a18", b"\x00" * 4000)
        for number in range(250):
            await outbox.put(readings(number))
        assert outbox.stats().unsent == 250
        assert outbox.stats().journal_bytes < 70 * 4000
        await outbox.close()

    asyncio.run(main())


def test_the_raw_journal_forgets_its_oldest_bytes_and_not_its_newest(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", limits=Limits(journal_max_bytes=10_000))
        talk = uuid4()
        for number in range(100):
            await outbox.journal(talk, NOON, "2a18", bytes([number]) * 500)
        kept = [data[0] for _, _, data in await outbox.journal_of(talk)]
        assert kept == list(range(100 - len(kept), 100))
        assert 15 <= len(kept) < 25
        assert outbox.stats().journal_bytes <= 10_000
        await outbox.close()

    asyncio.run(main())


def test_a_disk_without_its_reserve_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        disk = os.statvfs(tmp_path)
        everything = disk.f_blocks * disk.f_frsize
        outbox = await Outbox.open(tmp_path, gateway="store-1", limits=Limits(reserve_free_bytes=everything))
        with pytest.raises(OutboxFull):
            await outbox.put(readings(1))
        await outbox.close()

    asyncio.run(main())


def test_a_storm_of_callers_is_refused_and_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING_JOBS", 0)

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        with pytest.raises(OutboxFull):
            await outbox.put(readings(1))
        await outbox.close()

    asyncio.run(main())
