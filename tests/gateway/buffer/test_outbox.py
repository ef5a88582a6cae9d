"""Saving, sending in order, settling, and what survives a restart."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.buffer.outbox import Outbox, OutboxInUse, OutboxTooNew
from gateway.buffer.schema import LOG_BYTES, VERSION, connect, seal
from gateway.wire import codec
from gateway.wire.messages import MAX_BATCH_BYTES, Batch, Outcome, Reading, Receipt
from hil_tests.readings import reading, reading_id

pytestmark = pytest.mark.usefixtures("lone_callers_are_saved")

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def readings(*numbers: int) -> list[Reading]:
    return [reading(number) for number in numbers]


def accepted(batch: UUID) -> Receipt:
    return Receipt(batch=batch, outcome=Outcome.ACCEPTED)


async def ids_sent(outbox: Outbox, limit: int = 200) -> list[UUID]:
    """Everything unsent, batch by batch, each settled."""
    sent: list[UUID] = []
    while (batch := await outbox.next_batch(limit)) is not None:
        sent += [one.id for one in batch.readings]
        await outbox.settle(accepted(batch.id))
    return sent


def test_a_saved_reading_is_there_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert await outbox.put(readings(1, 2)) == 2
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert outbox.stats().unsent == 2
        assert [held.reading for held in await outbox.recent(10)] == readings(2, 1)
        await outbox.close()

    asyncio.run(main())


def test_reading_a_meters_memory_twice_keeps_each_reading_once(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert await outbox.put(readings(1, 2, 3)) == 3
        assert await outbox.put(readings(2, 3, 4)) == 1
        assert await ids_sent(outbox) == [reading_id(number) for number in (1, 2, 3, 4)]
        assert await outbox.put(readings(1)) == 0
        assert await outbox.next_batch(200) is None
        await outbox.close()

    asyncio.run(main())


def test_a_batch_stays_the_same_until_it_is_settled_whatever_arrives_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=lambda: NOON)
        await outbox.put(readings(*range(5)))
        first = await outbox.next_batch(3)
        assert first is not None
        await outbox.put(readings(*range(5, 9)))
        assert await outbox.next_batch(200) == first
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=lambda: NOON + timedelta(hours=1))
        assert await outbox.next_batch(200) == first
        assert first.readings == tuple(readings(0, 1, 2))
        assert await outbox.settle(accepted(first.id)) == [reading_id(number) for number in range(3)]
        second = await outbox.next_batch(200)
        assert second is not None
        assert second.readings == tuple(readings(*range(3, 9)))
        await outbox.close()

    asyncio.run(main())


def test_a_batch_is_what_the_wire_contract_says(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=lambda: NOON)
        await outbox.put(readings(1, 2))
        batch = await outbox.next_batch(200)
        assert batch is not None
        whole = Batch(id=batch.id, gateway="store-1", sent=NOON, readings=tuple(readings(1, 2)))
        assert batch.payload == codec.encode(whole)
        await outbox.close()

    asyncio.run(main())


def test_large_readings_make_smaller_batches_rather_than_ones_the_cloud_must_refuse(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        big = [msgspec.structs.replace(reading(number), flags=("x" * 5000,)) for number in range(120)]
        await outbox.put(big)
        sent = 0
        while (batch := await outbox.next_batch(200)) is not None:
            assert len(batch.payload) <= MAX_BATCH_BYTES
            sent += len(batch.readings)
            await outbox.settle(accepted(batch.id))
        assert sent == 120
        await outbox.close()

    asyncio.run(main())


def test_a_receipt_for_another_batch_settles_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.put(readings(1))
        batch = await outbox.next_batch(200)
        assert batch is not None
        assert await outbox.settle(accepted(uuid4())) == []
        assert await outbox.next_batch(200) == batch
        assert await outbox.settle(accepted(batch.id)) == [reading_id(1)]
        assert await outbox.settle(accepted(batch.id)) == []
        assert outbox.stats().unsent == 0
        await outbox.close()

    asyncio.run(main())


def test_the_dock_screen_sees_how_far_each_reading_has_come(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1", clock=lambda: NOON)
        for number, outcome in ((1, Outcome.ACCEPTED), (2, Outcome.SET_ASIDE), (3, None)):
            await outbox.put(readings(number))
            batch = await outbox.next_batch(200)
            assert batch is not None
            if outcome is not None:
                ids = await outbox.settle(Receipt(batch=batch.id, outcome=outcome, reason="malformed"))
                assert ids == ([reading_id(number)] if outcome is Outcome.ACCEPTED else [])
        states = [(held.reading.record_key, held.state.value) for held in await outbox.recent(10)]
        assert states == [("3", "saved"), ("2", "set_aside"), ("1", "received")]
        assert outbox.stats().unsent == 1
        assert outbox.stats().oldest_unsent_at == NOON
        await outbox.close()

    asyncio.run(main())


def test_raw_bytes_of_a_conversation_can_be_replayed(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        talk, other = uuid4(), uuid4()
        await outbox.journal(talk, NOON, "2a18", b"\x0b\x01")
        await outbox.journal(other, NOON, "2a35", b"\xff")
        await outbox.journal(talk, NOON + timedelta(seconds=1), "2a52", b"\x06\x00\x01\x01")
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert await outbox.journal_of(talk) == [
            (NOON, "2a18", b"\x0b\x01"),
            (NOON + timedelta(seconds=1), "2a52", b"\x06\x00\x01\x01"),
        ]
        await outbox.close()

    asyncio.run(main())


def test_a_driver_finds_what_it_remembered_of_a_meter(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert await outbox.mark("ble.glucose", "GLU-1") is None
        await outbox.set_mark("ble.glucose", "GLU-1", "41")
        await outbox.set_mark("ble.glucose", "GLU-1", "42")
        await outbox.set_mark("ble.glucose", "GLU-2", "7")
        await outbox.close()

        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert await outbox.mark("ble.glucose", "GLU-1") == "42"
        await outbox.close()

    asyncio.run(main())


def test_saving_overwrites_room_in_the_log_and_does_not_make_its_file_longer(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in ("new", "restarted"):
            outbox = await Outbox.open(tmp_path, gateway="store-1")
            for number in range(50):
                await outbox.put(readings(number))
            assert (tmp_path / "live" / "outbox.sqlite-wal").stat().st_size == LOG_BYTES
            await outbox.close()

    asyncio.run(main())


def test_many_meters_at_once_share_commits_and_lose_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")

        async def meter(number: int) -> None:
            for record in range(10):
                await outbox.put(readings(number * 10 + record))

        await asyncio.gather(*(meter(number) for number in range(40)))
        sent = await ids_sent(outbox)
        assert len(sent) == 400
        assert set(sent) == {reading_id(number) for number in range(400)}
        await outbox.close()

    asyncio.run(main())


def test_a_meter_that_gives_up_waiting_leaves_the_others_undisturbed(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        impatient = asyncio.create_task(outbox.put(readings(1)))
        await asyncio.sleep(0)
        impatient.cancel()
        await outbox.put(readings(2))
        # It was on its way to the disk; whether its caller waited does not matter.
        assert await ids_sent(outbox) == [reading_id(1), reading_id(2)]
        await outbox.close()

    asyncio.run(main())


def test_the_uplink_is_woken_by_a_new_reading(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        waiting = asyncio.create_task(outbox.unsent())
        await asyncio.sleep(0)
        assert not waiting.done()
        await outbox.put(readings(1))
        async with asyncio.timeout(5):
            await waiting
        await outbox.close()

    asyncio.run(main())


def test_a_second_gateway_on_the_same_outbox_is_turned_away(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        with pytest.raises(OutboxInUse):
            await Outbox.open(tmp_path, gateway="store-1")
        await outbox.close()
        await (await Outbox.open(tmp_path, gateway="store-1")).close()

    asyncio.run(main())


def test_an_outbox_of_newer_software_is_left_untouched(tmp_path: Path) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.put(readings(1))
        await outbox.close()
        file = tmp_path / "live" / "outbox.sqlite"
        newer = connect(file)
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
        newer.close()
        before = file.read_bytes()
        with pytest.raises(OutboxTooNew, match="nothing was changed"):
            await Outbox.open(tmp_path, gateway="store-1")
        assert file.read_bytes() == before

    asyncio.run(main())


def test_a_rolled_back_gateway_sends_what_its_successor_saved(tmp_path: Path) -> None:
    """A kind this version has never heard of goes out as it was saved; the cloud, which is newer, knows it."""

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        await outbox.put(readings(1))
        newer = codec.encode(reading(2)).replace(b'"kind":"glucose"', b'"kind":"lactate"')
        await outbox.close()
        connection = connect(tmp_path / "live" / "outbox.sqlite")
        connection.execute(
            "INSERT INTO reading (seq, id, saved_us, body) VALUES (2, ?, 0, ?)", (reading_id(2).bytes, seal(newer))
        )
        connection.close()
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        batch = await outbox.next_batch(200)
        assert batch is not None
        assert newer in batch.payload
        assert batch.readings == (reading(1),)
        assert len(await outbox.settle(accepted(batch.id))) == 2
        await outbox.close()

    asyncio.run(main())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.integers(0, 30), max_size=5)),
        st.tuples(st.just("take"), st.integers(1, 7)),
        st.tuples(st.just("settle"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_any_mix_of_saving_sending_settling_and_restarting_sends_each_reading_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[str, object]]
) -> None:
    async def main() -> None:
        directory = tmp_path_factory.mktemp("mix")
        outbox = await Outbox.open(directory, gateway="store-1")
        saved: list[UUID] = []
        sent: list[UUID] = []
        taken = None
        for what, argument in steps:
            match what, argument:
                case "put", list(numbers):
                    await outbox.put(readings(*numbers))
                    saved += [id for id in dict.fromkeys(map(reading_id, numbers)) if id not in saved]
                case "take", int(limit):
                    batch = await outbox.next_batch(limit)
                    assert taken is None or batch == taken
                    taken = batch
                case "settle", _ if taken is not None:
                    sent += await outbox.settle(accepted(taken.id))
                    taken = None
                case "restart", _:
                    await outbox.close()
                    outbox = await Outbox.open(directory, gateway="store-1")
            assert outbox.stats().unsent == len(saved) - len(sent)
        assert sent == saved[: len(sent)]
        assert sent + await ids_sent(outbox) == saved
        await outbox.close()

    asyncio.run(main())


KILLED = """
import asyncio, sys
from pathlib import Path
from gateway.buffer.outbox import Outbox
from hil_tests.readings import reading

async def main():
    outbox = await Outbox.open(Path(sys.argv[1]), gateway="store-1")
    first, meters = int(sys.argv[2]), int(sys.argv[3])
    async def meter(start):
        for number in range(start, start + 10_000, meters):
            await outbox.put([reading(number)])
            print(number, flush=True)
    await asyncio.gather(*(meter(first + lane) for lane in range(meters)))

asyncio.run(main())
"""


@pytest.mark.parametrize("meters", [1, 4])
def test_a_gateway_killed_again_and_again_keeps_every_reading_it_said_it_had(tmp_path: Path, meters: int) -> None:
    acknowledged: set[int] = set()
    for life, lines in enumerate((1, 7, 40, 3, 120)):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), str(life * 10_000), str(meters)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(lines):
            acknowledged.add(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        acknowledged.update(int(line) for line in process.stdout.read().split("\n")[:-1])
        process.stdout.close()
        process.wait()

    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-1")
        assert outbox.stats().damaged == 0
        sent = await ids_sent(outbox)
        assert len(sent) == len(set(sent))
        assert {reading_id(number) for number in acknowledged} <= set(sent)
        await outbox.close()

    asyncio.run(main())
