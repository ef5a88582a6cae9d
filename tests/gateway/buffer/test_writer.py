"""Where a commit is made: on the thread, or, for a lone caller on a quick disk, where the caller stands."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.buffer import writer
from gateway.buffer.schema import FILE_NAME, connect
from gateway.buffer.writer import Writer

SMALL = 100
HERE = threading.get_ident()


def where(connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO made VALUES (1)")
    return threading.get_ident()


def written(directory: Path, trace: Callable[[str], None] | None = None) -> Writer:
    connection = connect(directory / FILE_NAME)
    connection.execute("CREATE TABLE made (one INTEGER)")
    connection.set_trace_callback(trace)

    def recover(damaged: sqlite3.Connection) -> sqlite3.Connection:
        raise AssertionError("nothing is damaged")

    return Writer(connection, recover=recover)


@pytest.fixture(autouse=True)
def the_disk_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this one is, and after three commits. Others have a turn after each."""
    monkeypatch.setattr(writer, "QUICK_S", 3600.0)
    monkeypatch.setattr(writer, "QUICK_IN_A_ROW", 3)
    monkeypatch.setattr(writer, "LET_OTHERS_IN_EVERY_S", 0.0)


async def shown_to_be_quick(made: Writer) -> None:
    for _ in range(writer.QUICK_IN_A_ROW):
        assert await made.do(where, size=SMALL) != HERE


def test_a_lone_caller_waits_for_no_thread_once_the_disk_has_shown_to_be_quick(tmp_path: Path) -> None:
    async def main() -> None:
        made = written(tmp_path)
        await shown_to_be_quick(made)
        assert await made.do(where, size=SMALL) == HERE
        await made.close()

    asyncio.run(main())


def test_one_slow_commit_and_the_event_loop_waits_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        made = written(tmp_path)
        await shown_to_be_quick(made)
        monkeypatch.setattr(writer, "QUICK_S", 0.0)
        assert await made.do(where, size=SMALL) == HERE  # nobody could know
        monkeypatch.setattr(writer, "QUICK_S", 3600.0)
        await shown_to_be_quick(made)
        assert await made.do(where, size=SMALL) == HERE
        await made.close()

    asyncio.run(main())


@pytest.mark.parametrize("size", [0, writer.SMALL_BYTES + 1])
def test_looking_things_up_and_whole_memories_are_the_threads_work(tmp_path: Path, size: int) -> None:
    async def main() -> None:
        made = written(tmp_path)
        await shown_to_be_quick(made)
        assert await made.do(where, size=size) != HERE
        await made.close()

    asyncio.run(main())


@pytest.mark.parametrize("crowded_for_s", [3600.0, 0.05])
def test_callers_who_meet_go_to_the_thread_until_one_is_alone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crowded_for_s: float
) -> None:
    monkeypatch.setattr(writer, "CROWDED_FOR_S", crowded_for_s)

    async def main() -> None:
        made = written(tmp_path)
        await shown_to_be_quick(made)

        async def caller() -> list[bool]:
            return [await made.do(where, size=SMALL) == HERE for _ in range(20)]

        here = await asyncio.gather(*(caller() for _ in range(8)))
        if crowded_for_s > 1:
            assert sum(map(sum, here)) == 1  # the first could not know
        else:
            await asyncio.sleep(crowded_for_s)
            assert await made.do(where, size=SMALL) == HERE
        await made.close()

    asyncio.run(main())


@pytest.mark.parametrize("every_s", [0.0, writer.LET_OTHERS_IN_EVERY_S])
def test_whoever_saves_without_end_does_not_keep_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    monkeypatch.setattr(writer, "LET_OTHERS_IN_EVERY_S", every_s)

    async def main() -> None:
        made = written(tmp_path)
        await shown_to_be_quick(made)
        had_a_turn = asyncio.Event()
        asyncio.get_running_loop().call_soon(had_a_turn.set)
        saved = 0
        while not had_a_turn.is_set() and saved < 10_000:
            saved += 1
            assert await made.do(where, size=SMALL) == HERE
        assert had_a_turn.is_set()
        assert every_s or saved == 1
        await made.close()

    asyncio.run(main())


def test_the_log_is_folded_in_by_the_thread_also_when_nobody_else_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_EVERY_BYTES", 64 * 1024)
    folded_by = []

    def trace(statement: str) -> None:
        if "wal_checkpoint" in statement:
            folded_by.append(threading.get_ident())

    async def main() -> None:
        made = written(tmp_path, trace)
        await shown_to_be_quick(made)
        for _ in range(100):
            await made.do(where, size=SMALL)
        await made.close()

    asyncio.run(main())
    assert len(folded_by) >= 2
    assert HERE not in folded_by


def test_an_error_of_a_lone_callers_own_is_its_own(tmp_path: Path) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO made VALUES (1)")
        raise ValueError("refused")

    async def main() -> None:
        made = written(tmp_path)
        await shown_to_be_quick(made)
        with pytest.raises(ValueError, match="refused"):
            await made.do(fails, size=SMALL)
        assert await made.do(where, size=SMALL) == HERE
        await made.close()

    asyncio.run(main())
    rows = sqlite3.connect(tmp_path / FILE_NAME).execute("SELECT count(*) FROM made").fetchone()
    assert rows == (4,)
