"""The uplink against a real broker, with a small cloud that answers as the test says."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.demo.servers import Broker
from gateway import uplink
from gateway.buffer.outbox import Outbox
from gateway.config import MqttSettings
from gateway.uplink import LinkState
from gateway.wire import codec, topics
from gateway.wire.messages import Outcome, Receipt, Status
from hil_tests.readings import reading, reading_id
from tests.gateway.shop import PATIENCE_S, Cloud, store


@pytest.fixture
def cloud(broker: Broker) -> Iterator[Cloud]:
    made = Cloud(broker.port)
    yield made
    made.close()


def test_readings_reach_the_cloud_and_are_settled_by_its_receipt(
    tmp_path: Path, broker: Broker, cloud: Cloud
) -> None:
    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port)) as shop:
            for number in range(3):
                await shop.outbox.put([reading(number)])
            await shop.until(lambda: len(shop.received) == 3)
            assert shop.received == cloud.ledger == [reading_id(number) for number in range(3)]
            assert shop.outbox.stats().unsent == 0
            assert [held.state for held in await shop.outbox.recent(3)] == ["received"] * 3

    asyncio.run(main())


def test_a_week_of_backlog_drains_in_order_by_full_batches(tmp_path: Path, broker: Broker, cloud: Cloud) -> None:
    async def main() -> None:
        outbox = await Outbox.open(tmp_path, gateway="store-backlog")
        await outbox.put([reading(number) for number in range(1500)])
        await outbox.close()
        async with store(tmp_path, MqttSettings(port=broker.port), gateway="store-backlog") as shop:
            await shop.until(lambda: len(shop.received) == 1500)
        assert cloud.ledger == [reading_id(number) for number in range(1500)]
        assert len(cloud.batches) == 8

    asyncio.run(main())


def test_a_lost_receipt_only_makes_the_same_batch_come_again(tmp_path: Path, broker: Broker, cloud: Cloud) -> None:
    answered = iter([None, None])

    def answer(batch: UUID) -> Receipt | None:
        return next(answered, Receipt(batch=batch, outcome=Outcome.ACCEPTED))

    cloud.answer = answer

    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port), receipt_wait_s=0.05) as shop:
            await shop.outbox.put([reading(1), reading(2)])
            await shop.until(lambda: len(shop.received) == 2)
            await cloud.saw(3)
        first = cloud.batches[0]
        assert all(batch == first for batch in cloud.batches)

    asyncio.run(main())


def test_the_brokers_acknowledgement_alone_settles_nothing(tmp_path: Path, broker: Broker, cloud: Cloud) -> None:
    cloud.answer = lambda batch: None

    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port), gateway="store-puback") as shop:
            await shop.outbox.put([reading(1)])
            await cloud.saw(1)
            assert shop.outbox.stats().unsent == 1
        assert not shop.received
        cloud.answer = lambda batch: Receipt(batch=batch, outcome=Outcome.ACCEPTED)
        async with store(tmp_path, MqttSettings(port=broker.port), gateway="store-puback") as shop:
            await shop.until(lambda: shop.received == [reading_id(1)])
        assert cloud.batches[0] == cloud.batches[1]

    asyncio.run(main())


def test_a_batch_the_cloud_set_aside_is_let_go_and_kept_in_local_history(
    tmp_path: Path, broker: Broker, cloud: Cloud
) -> None:
    cloud.answer = lambda batch: Receipt(batch=batch, outcome=Outcome.SET_ASIDE, set_aside=1, reason="malformed")

    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port)) as shop:
            await shop.outbox.put([reading(1)])
            await cloud.saw(1)
            cloud.answer = lambda batch: Receipt(batch=batch, outcome=Outcome.ACCEPTED)
            await shop.outbox.put([reading(2)])
            await shop.until(lambda: bool(shop.received))
            assert shop.received == [reading_id(2)]
            states = [(held.reading.id, held.state) for held in await shop.outbox.recent(2)]
            assert states == [(reading_id(2), "received"), (reading_id(1), "set_aside")]

    asyncio.run(main())


def test_a_receipt_nobody_waits_for_and_one_nobody_can_read_are_ignored(
    tmp_path: Path, broker: Broker, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.uplink")
    stray = uuid4()

    def answer(batch: UUID) -> Receipt | None:
        if len(cloud.batches) == 0:
            other = Receipt(batch=stray, outcome=Outcome.ACCEPTED)
            cloud.client.publish(topics.receipt("store-stray", stray), codec.encode(other), qos=1)
            cloud.client.publish(topics.receipt("store-stray", batch), b"\xff not json", qos=1)
            return Receipt(batch=stray, outcome=Outcome.ACCEPTED)  # on this batch's topic, for another
        return Receipt(batch=batch, outcome=Outcome.ACCEPTED)

    cloud.answer = answer

    async def main() -> None:
        settings = MqttSettings(port=broker.port)
        async with store(tmp_path, settings, gateway="store-stray", receipt_wait_s=0.5) as shop:
            await shop.outbox.put([reading(1)])
            await shop.until(lambda: shop.received == [reading_id(1)])
        assert len(cloud.batches) == 2

    asyncio.run(main())
    assert f"uplink.receipt_unknown batch={stray}" in caplog.text
    assert "uplink.receipt_undecodable" in caplog.text


def test_a_broker_that_dies_and_comes_back_costs_nothing(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker:
        cloud = Cloud(broker.port)

        async def main() -> None:
            async with store(tmp_path / "outbox", MqttSettings(port=broker.port), receipt_wait_s=0.5) as shop:
                await shop.outbox.put([reading(0)])
                await shop.until(lambda: len(shop.received) == 1)
                for life in range(1, 3):
                    await asyncio.to_thread(broker.kill)
                    await shop.outbox.put([reading(number) for number in range(life * 10, life * 10 + 5)])
                    await shop.until(lambda: shop.links[-1] is not LinkState.UP)
                    await asyncio.to_thread(broker.start)
                    await shop.until(lambda: len(shop.received) == 1 + 5 * life)  # noqa: B023
                assert shop.outbox.stats().unsent == 0
                assert cloud.ledger == shop.received

        asyncio.run(main())
        cloud.close()


def test_the_status_is_retained_and_follows_changes_and_the_end(
    tmp_path: Path, broker: Broker, cloud: Cloud
) -> None:
    async def next_status(gateway: str) -> Status:
        while True:
            status = await asyncio.to_thread(cloud.statuses.get, True, PATIENCE_S)
            if status.gateway == gateway:
                return status

    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port), gateway="store-status") as shop:
            assert (await next_status("store-status")).online
            shop.status = Status(gateway="store-status", online=True, transports={"ble": "silent"})
            assert (await next_status("store-status")).transports == {"ble": "silent"}
            late = Cloud(broker.port)
            status = await asyncio.to_thread(late.statuses.get, True, PATIENCE_S)
            while status.gateway != "store-status":
                status = await asyncio.to_thread(late.statuses.get, True, PATIENCE_S)
            assert status.transports == {"ble": "silent"}
            late.close()
        assert not (await next_status("store-status")).online

    asyncio.run(main())


def test_a_name_server_that_does_not_answer_holds_up_no_meter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up hangs until the event loop, which must still turn, lets it go."""
    asked, let_go = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        asked.set()
        assert let_go.wait(PATIENCE_S), "the event loop stood still"
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def main() -> None:
        async with store(tmp_path, MqttSettings(host="broker.example")) as shop:
            assert await asyncio.to_thread(asked.wait, PATIENCE_S)
            assert await shop.outbox.put([reading(1)]) == 1
            assert LinkState.DOWN not in shop.links
            let_go.set()
            await shop.until(lambda: LinkState.DOWN in shop.links)

    asyncio.run(main())


def test_a_fault_in_our_own_code_does_not_end_the_uplink(
    tmp_path: Path, broker: Broker, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with store(tmp_path, MqttSettings(port=broker.port)) as shop:
            shop.faults = 1
            await shop.outbox.put([reading(1)])
            await shop.until(lambda: LinkState.DOWN in shop.links)
            await shop.outbox.put([reading(2)])
            await shop.until(lambda: shop.received == [reading_id(2)])
            assert shop.outbox.stats().unsent == 0

    asyncio.run(main())
    assert "uplink.crashed" in caplog.text


@given(attempt=st.integers(0, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_the_back_off_is_spread_over_the_whole_interval_and_capped(attempt: int, chance: float) -> None:
    waits = [uplink.backoff_s(attempt, share) for share in (0.0, chance, 0.999)]
    assert 0.0 == waits[0] <= waits[1] < uplink.LONGEST_BACKOFF_S
    assert waits[2] >= 0.9 * min(uplink.LONGEST_BACKOFF_S, 2.0 ** min(attempt, 10))
