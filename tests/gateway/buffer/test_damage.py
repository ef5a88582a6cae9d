"""A memory card that returns garbage: the gateway keeps working, and keeps what can still be read."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from gateway.buffer import schema
from gateway.buffer.outbox import Outbox
from gateway.wire.messages import Outcome, Receipt
from hil_tests.readings import reading, reading_id

pytestmark = pytest.mark.usefixtures("lone_callers_are_saved")

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
TALK = uuid4()
SAVED = 300
SENT = 100


def file_of(directory: Path) -> Path:
    return directory / "live" / "outbox.sqlite"


def wal_of(directory: Path) -> Path:
    return directory / "live" / "outbox.sqlite-wal"


def fill(directory: Path) -> None:
    """SAVED readings, the first SENT of them received, raw bytes beside them, closed cleanly."""

    async def main() -> None:
        outbox = await Outbox.open(directory, gateway="store-1")
        for number in range(SAVED):
            await outbox.put([reading(number)])
            await outbox.journal(TALK, NOON, "2a18", number.to_bytes(2, "big") * 20)
        batch = await outbox.next_batch(SENT)
        assert batch is not None
        await outbox.settle(Receipt(batch=batch.id, outcome=Outcome.ACCEPTED))
        await outbox.set_mark("ble.glucose", "GLU-1", "42")
        await outbox.close()

    asyncio.run(main())


def leave_log(directory: Path, numbers: range) -> None:
    """As if the power had gone with these readings acknowledged and still in the log: a copy of the open files."""

    async def main() -> None:
        outbox = await Outbox.open(directory, gateway="store-1")
        for number in numbers:
            await outbox.put([reading(number)])
        copies = {file: file.read_bytes() for file in (file_of(directory), wal_of(directory))}
        await outbox.close()
        for file, content in copies.items():
            file.write_bytes(content)

    asyncio.run(main())


def reopen(directory: Path) -> tuple[set[UUID], int, int, set[UUID]]:
    """(readings still to send, damage counted, journal entries, all readings held), after saving one more."""

    async def main() -> tuple[set[UUID], int, int, set[UUID]]:
        outbox = await Outbox.open(directory, gateway="store-1")
        await outbox.put([reading(99_999)])
        damaged = outbox.stats().damaged
        raw = len(await outbox.journal_of(TALK))
        held = {one.reading.id for one in await outbox.recent(10_000)}
        sent: set[UUID] = set()
        while (batch := await outbox.next_batch(200)) is not None:
            sent.update(one.id for one in batch.readings)
            await outbox.settle(Receipt(batch=batch.id, outcome=Outcome.ACCEPTED))
        await outbox.close()
        connection = schema.connect(file_of(directory))
        assert schema.is_sound(connection)
        connection.close()
        return sent - {reading_id(99_999)}, damaged, raw, held - {reading_id(99_999)}

    return asyncio.run(main())


ALL = {reading_id(number) for number in range(SAVED)}
UNSENT = {reading_id(number) for number in range(SENT, SAVED)}


def garbage_header(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(random.Random(1).randbytes(100))


def garbage_first_page(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(random.Random(2).randbytes(4096))


def zeroed_first_sectors(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(bytes(2 * 4096))


@pytest.mark.parametrize("harm", [garbage_header, garbage_first_page, zeroed_first_sectors])
def test_a_file_that_is_no_database_any_more_gives_back_every_reading(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    fill(tmp_path)
    harm(file_of(tmp_path))
    sent, damaged, _, held = reopen(tmp_path)
    # What had been sent is sent again: the ids are the same, the cloud knows them.
    assert sent == ALL
    assert held == ALL
    assert damaged == 1
    assert (tmp_path / "damaged-001" / "outbox.sqlite").exists()


def test_a_truncated_file_gives_back_what_is_left_of_it(tmp_path: Path) -> None:
    fill(tmp_path)
    size = file_of(tmp_path).stat().st_size
    with file_of(tmp_path).open("r+b") as opened:
        opened.truncate(size // 2)
    sent, damaged, _, held = reopen(tmp_path)
    assert damaged == 1
    assert len(held) > SAVED // 4
    assert held - sent <= ALL - UNSENT


def test_an_emptied_file_gives_back_what_is_in_its_log(tmp_path: Path) -> None:
    fill(tmp_path)
    leave_log(tmp_path, range(1000, 1050))
    file_of(tmp_path).write_bytes(b"")
    sent, damaged, _, _ = reopen(tmp_path)
    assert sent >= {reading_id(number) for number in range(1000, 1050)}
    assert damaged == 1


@pytest.mark.parametrize("seed", range(6))
def test_random_pages_of_garbage_cost_only_the_readings_on_them(tmp_path: Path, seed: int) -> None:
    fill(tmp_path)
    chance = random.Random(seed)
    file = file_of(tmp_path)
    pages = file.stat().st_size // schema.PAGE_BYTES
    content = bytearray(file.read_bytes())
    on_page = {
        number: content.find(str(reading_id(number)).encode()) // schema.PAGE_BYTES for number in range(SAVED)
    }
    spoiled = set(chance.sample(range(1, pages), 4))
    for page in spoiled:
        content[page * schema.PAGE_BYTES : (page + 1) * schema.PAGE_BYTES] = chance.randbytes(schema.PAGE_BYTES)
    file.write_bytes(content)
    sent, damaged, _, held = reopen(tmp_path)
    assert damaged == 1
    assert held == {reading_id(number) for number, page in on_page.items() if page not in spoiled}
    assert sent >= held & UNSENT


def test_a_lost_index_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path)
    connection = sqlite3.connect(file_of(tmp_path))
    connection.execute("PRAGMA writable_schema = ON")
    # The table's unique index now points at the journal's pages.
    connection.execute(
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'journal') "
        "WHERE name = 'sqlite_autoindex_reading_1'"
    )
    connection.commit()
    connection.close()
    sent, damaged, raw, held = reopen(tmp_path)
    assert (held, damaged, raw) == (ALL, 1, SAVED)
    assert sent == UNSENT


@pytest.mark.parametrize("where", ["header", "start", "middle"])
def test_garbage_in_the_log_costs_at_most_the_readings_under_it(tmp_path: Path, where: str) -> None:
    fill(tmp_path)
    leave_log(tmp_path, range(1000, 1100))
    content = bytearray(wal_of(tmp_path).read_bytes())
    written = len(content.rstrip(b"\0"))  # the rest is room for more
    at = {"header": 0, "start": 4200, "middle": written // 2}[where]
    content[at : at + 300] = random.Random(3).randbytes(300)
    wal_of(tmp_path).write_bytes(content)
    sent, damaged, raw, _ = reopen(tmp_path)
    # A page is logged again with every reading added to it, so even the one under the garbage is found.
    assert sent >= UNSENT | {reading_id(number) for number in range(1000, 1100)}
    assert damaged == 1
    assert raw == SAVED


def test_a_commit_cut_short_by_a_power_failure_is_not_called_damage(tmp_path: Path) -> None:
    fill(tmp_path)
    leave_log(tmp_path, range(1000, 1020))
    with wal_of(tmp_path).open("r+b") as opened:
        opened.truncate(len(wal_of(tmp_path).read_bytes().rstrip(b"\0")) - 6000)
    _, damaged, _, _ = reopen(tmp_path)
    assert damaged == 0


def test_a_log_that_has_only_room_in_it_is_not_called_damage(tmp_path: Path) -> None:
    fill(tmp_path)
    wal_of(tmp_path).write_bytes(bytes(schema.LOG_BYTES))
    sent, damaged, raw, _ = reopen(tmp_path)
    assert (sent, damaged, raw) == (UNSENT, 0, SAVED)


def test_a_digit_changed_by_the_card_is_set_aside_and_not_sent(tmp_path: Path) -> None:
    fill(tmp_path)
    content = file_of(tmp_path).read_bytes()
    at = content.find(str(reading_id(200)).encode())
    value = content.find(b'"glucose_mmol_l":"', at) + len(b'"glucose_mmol_l":"')
    file_of(tmp_path).write_bytes(content[:value] + b"8" + content[value + 1 :])
    sent, damaged, _, held = reopen(tmp_path)
    assert damaged == 0  # no page is malformed, so only sending it finds out
    assert sent == held & UNSENT == UNSENT - {reading_id(200)}

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert outbox.stats().damaged == 1
        assert outbox.stats().unsent == 0
        await outbox.close()

    asyncio.run(main())


def test_a_batch_range_stretched_by_the_card_does_not_hide_unsent_readings(tmp_path: Path) -> None:
    fill(tmp_path)
    connection = schema.connect(file_of(tmp_path))
    connection.execute("UPDATE batch SET last_seq = last_seq + 128")
    connection.close()
    sent, damaged, _, _ = reopen(tmp_path)
    assert sent >= UNSENT
    assert damaged == 1


def test_damage_found_while_running_interrupts_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        # More than SQLite keeps in memory, so that it has to read what was spoiled.
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        for first in range(10_000, 18_000, 200):
            await outbox.put([reading(number) for number in range(first, first + 200)])
        await outbox.close()
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        size = file_of(tmp_path).stat().st_size
        with file_of(tmp_path).open("r+b") as opened:
            opened.seek(schema.PAGE_BYTES)
            opened.write(b"\xa5" * (size - schema.PAGE_BYTES))
        for number in range(100, 160):
            assert await outbox.put([reading(number)]) == 1
            assert (await outbox.recent(1))[0].reading == reading(number)
        batch = await outbox.next_batch(200)
        assert batch is not None
        assert {reading_id(number) for number in range(100, 160)} <= {one.id for one in batch.readings}
        assert outbox.stats().damaged == 1
        await outbox.close()

    asyncio.run(main())
    assert "outbox.damaged_while_open" in caplog.text


def test_a_salvage_that_was_interrupted_is_taken_up_at_the_next_start(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "live").rename(tmp_path / "damaged-001")
    sent, damaged, raw, _ = reopen(tmp_path)
    assert (sent, damaged, raw) == (UNSENT, 1, SAVED)
    assert (tmp_path / "damaged-001" / "salvage.json").exists()
    # And only once.
    assert reopen(tmp_path)[0] == set()
