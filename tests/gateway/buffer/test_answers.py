"""What somebody answered at the dock is kept and sent like a reading, and after the reading it is about."""

import asyncio
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from gateway.buffer import schema
from gateway.buffer.outbox import Outbox
from gateway.wire import codec
from gateway.wire.messages import Answer, Asked, Outcome, Receipt
from hil_tests.readings import reading, reading_id

pytestmark = pytest.mark.usefixtures("lone_callers_are_saved")

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def answer(number: int, about: int, *values: str, what: Asked = Asked.MEAL) -> Answer:
    return Answer(
        id=UUID(int=number),
        reading=reading_id(about),
        what=what,
        values=values or ("fasting",),
        at=NOON,
        slot="one",
    )


def accepted(batch: UUID) -> Receipt:
    return Receipt(batch=batch, outcome=Outcome.ACCEPTED)


def test_an_answer_goes_out_after_its_reading_and_is_let_go_by_the_same_receipt(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.put([reading(1)])
        assert await outbox.put_answer(answer(7, about=1)) == 1
        await outbox.put([reading(2)])
        assert outbox.stats().unsent == 3
        batch = await outbox.next_batch()
        assert batch is not None
        assert batch.readings == (reading(1), reading(2))
        assert batch.answers == (answer(7, about=1),)
        # The board is told which readings arrived; an answer is none.
        assert await outbox.settle(accepted(batch.id)) == [reading_id(1), reading_id(2)]
        assert outbox.stats().unsent == 0
        assert await outbox.next_batch() is None
        await outbox.close()

    asyncio.run(main())


def test_an_answer_never_travels_before_the_batch_that_holds_its_reading(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.put([reading(1)])
        first = await outbox.next_batch()
        await outbox.put_answer(answer(7, about=1))
        again = await outbox.next_batch()
        assert first is not None
        assert again == first  # the same batch until it is settled
        await outbox.settle(accepted(first.id))
        alone = await outbox.next_batch()
        assert alone is not None
        assert (alone.readings, alone.answers) == ((), (answer(7, about=1),))
        await outbox.close()

    asyncio.run(main())


def test_an_answer_said_to_be_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.put([reading(1)])
        await outbox.put_answer(answer(7, about=1))
        assert await outbox.put_answer(answer(7, about=1)) == 0  # a double click
        await outbox.close()
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert outbox.stats().unsent == 2
        assert await outbox.recent_answers(10) == [answer(7, about=1)]
        assert [held.reading.id for held in await outbox.recent(10)] == [reading_id(1)]
        await outbox.close()

    asyncio.run(main())


def test_what_the_cloud_would_refuse_is_refused_at_the_dock(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        with pytest.raises(codec.Undecodable):
            await outbox.put_answer(answer(7, 1, "brunch"))
        await outbox.close()

    asyncio.run(main())


def test_an_outbox_from_before_there_were_answers_is_brought_up_to_date(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir(parents=True)
    old = schema.connect(live / schema.FILE_NAME)
    old.executescript(
        f"BEGIN; {schema.MIGRATIONS[0]} PRAGMA application_id = {schema.APPLICATION_ID};"
        "PRAGMA user_version = 1; COMMIT;"
    )
    old.execute(
        "INSERT INTO reading (seq, id, saved_us, body) VALUES (1, ?, 0, ?)",
        (reading_id(1).bytes, schema.seal(codec.encode_reading(reading(1)))),
    )
    old.close()

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.put_answer(answer(7, about=1))
        batch = await outbox.next_batch()
        assert batch is not None
        assert (batch.readings, batch.answers) == ((reading(1),), (answer(7, about=1),))
        await outbox.close()

    asyncio.run(main())
    assert not [*tmp_path.glob("damaged-*")]


@pytest.mark.parametrize("harm", ["header", "table"])
def test_a_damaged_card_gives_answers_back_as_answers(tmp_path: Path, harm: str) -> None:
    async def fill() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        for number in range(50):
            await outbox.put([reading(number)])
            await outbox.put_answer(answer(1000 + number, about=number))
        await outbox.close()

    asyncio.run(fill())
    file = tmp_path / "live" / schema.FILE_NAME
    with file.open("r+b") as opened:
        if harm == "header":
            opened.write(bytes(4096))  # nothing but the raw bytes is left
        else:
            opened.seek(file.stat().st_size // 2)
            opened.write(bytes(4096))

    async def look() -> tuple[set[UUID], set[UUID]]:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        readings: set[UUID] = set()
        answers: set[UUID] = set()
        while (batch := await outbox.next_batch()) is not None:
            readings |= {one.id for one in batch.readings}
            answers |= {one.id for one in batch.answers}
            await outbox.settle(accepted(batch.id))
        await outbox.close()
        return readings, answers

    readings, answers = asyncio.run(look())
    if harm == "header":
        assert readings == {reading_id(number) for number in range(50)}
        assert answers == {UUID(int=1000 + number) for number in range(50)}
    else:
        assert len(readings) > 25
        assert len(answers) > 25
        assert answers <= {UUID(int=1000 + number) for number in range(50)}


def test_an_older_gateway_leaves_an_outbox_with_answers_alone(tmp_path: Path) -> None:
    """Its readings would be sent, and the answers with them as what they are not."""

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.close()

    asyncio.run(main())
    with sqlite3.connect(tmp_path / "live" / schema.FILE_NAME) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


_KILLED = """
import asyncio, sys
from pathlib import Path
from gateway.buffer.outbox import Outbox
from tests.gateway.buffer.test_answers import answer
from hil_tests.readings import reading

async def main():
    outbox = await Outbox.open(Path(sys.argv[1]), gateway="store-1")
    number = outbox.stats().unsent
    while True:
        await outbox.put([reading(number)])
        await outbox.put_answer(answer(number + 1, about=number))
        print(number, flush=True)
        number += 2

asyncio.run(main())
"""


def test_a_gateway_killed_right_after_saying_saved_has_the_answer(tmp_path: Path) -> None:
    said = -2
    for _ in range(3):
        gateway = subprocess.Popen(
            [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert gateway.stdout is not None
        for _ in range(20):
            said = int(gateway.stdout.readline())
        gateway.kill()
        rest = gateway.stdout.read().split()
        said = int(rest[-1]) if rest else said
        gateway.wait()

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        kept = {one.id for one in await outbox.recent_answers(10_000)}
        held = [one.reading.id for one in await outbox.recent(10_000)]
        assert len(kept) >= 60
        assert len(held) >= len(kept)
        assert UUID(int=said + 1) in kept
        await outbox.close()

    asyncio.run(main())
