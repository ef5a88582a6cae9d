"""The uplink against a real broker, with a small cloud that answers as the test says."""

import asyncio
import contextlib
import logging
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from cloud.demo.servers import Broker, free_port
from gateway import uplink
from gateway.buffer.outbox import Outbox
from gateway.config import MqttSettings
from gateway.uplink import LinkState
from gateway.wire import codec, topics
from gateway.wire.messages import Outcome, Receipt, Status
from hil_tests.readings import reading, reading_id

PATIENCE_S = 20.0


class Cloud:
    """Subscribes to every batch and answers with what `answer` returns; keeps all it saw."""

    def __init__(self, port: int) -> None:
        self.answer: Callable[[UUID], Receipt | None] = lambda batch: Receipt(
            batch=batch, outcome=Outcome.ACCEPTED
        )
        self.batches: list[tuple[UUID, bytes]] = []
        self.statuses: queue.Queue[Status] = queue.Queue()
        self._arrived = threading.Condition()
        subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda client, *_: client.subscribe([(topics.BATCHES, 1), (topics.STATUSES, 1)])
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(PATIENCE_S)

    def _on_message(self, client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        named = topics.read_batch(message.topic)
        if named is None:
            self.statuses.put(codec.decode_status(message.payload))
            return
        gateway, batch = named
        receipt = self.answer(batch)
        if receipt is not None:
            client.publish(topics.receipt(gateway, batch), codec.encode(receipt), qos=1)
        with self._arrived:
            self.batches.append((batch, message.payload))
            self._arrived.notify_all()

    async def saw(self, count: int) -> None:
        """Returns when `count` batches have arrived, repetitions included."""

        def wait() -> bool:
            with self._arrived:
                return self._arrived.wait_for(lambda: len(self.batches) >= count, PATIENCE_S)

        assert await asyncio.to_thread(wait), f"only {len(self.batches)} batches"

    @property
    def ledger(self) -> list[UUID]:
        """Every reading, once, in the order it first came."""
        ids = [one.id for _, payload in self.batches for one in codec.decode_batch(payload)[1]]
        return list(dict.fromkeys(ids))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def cloud(broker: Broker) -> Iterator[Cloud]:
    made = Cloud(broker.port)
    yield made
    made.close()


class Store:
    """An outbox with its uplink running."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.received: list[UUID] = []
        self.links: list[LinkState] = []
        self.status = Status(gateway=outbox.gateway, online=True)
        self.changed = asyncio.Condition()
        self.faults = 0

    def on_received(self, ids: Sequence[UUID]) -> None:
        if self.faults:
            self.faults -= 1
            raise KeyError("a screen that is not there")
        self.received += ids
        self._notify()

    def on_link(self, state: LinkState) -> None:
        self.links.append(state)
        self._notify()

    def _notify(self) -> None:
        async def wake() -> None:
            async with self.changed:
                self.changed.notify_all()

        self.waking = asyncio.ensure_future(wake())

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(true)


@contextlib.asynccontextmanager
async def store(
    directory: Path, settings: MqttSettings, *, gateway: str = "", receipt_wait_s: float = PATIENCE_S
) -> AsyncIterator[Store]:
    outbox = await Outbox.open(directory, gateway=gateway or f"store-{uuid4().hex[:8]}")
    made = Store(outbox)
    task = asyncio.create_task(
        uplink.run(
            outbox,
            settings,
            status=lambda: made.status,
            received=made.on_received,
            link=made.on_link,
            chance=lambda: 0.05,
            receipt_wait_s=receipt_wait_s,
        )
    )
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.close()


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


@contextlib.contextmanager
def strict_broker(directory: Path, lines: str) -> Iterator[int]:
    """A Mosquitto with rules of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = directory / "strict.conf"
    config.write_text(lines.format(port=port, directory=directory))
    program = Broker(directory).command()[0]
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                break
            threading.Event().wait(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


FORBIDS_BATCHES = """\
user root
listener {port} 127.0.0.1
allow_anonymous true
acl_file {directory}/acl
"""


def test_a_broker_that_forbids_the_topic_is_reported_and_the_reading_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read kangdock/1/#\ntopic write kangdock/1/+/status\n")
    with strict_broker(tmp_path, FORBIDS_BATCHES) as port:

        async def main() -> None:
            async with store(tmp_path / "outbox", MqttSettings(port=port)) as shop:
                await shop.outbox.put([reading(1)])
                await shop.until(lambda: LinkState.REFUSED in shop.links)
                assert shop.outbox.stats().unsent == 1

        asyncio.run(main())
    assert "uplink.refused publish: Not authorized" in caplog.text


NEEDS_PASSWORD = """\
user root
listener {port} 127.0.0.1
allow_anonymous false
"""


def test_a_wrong_login_is_reported_and_the_reading_kept(tmp_path: Path) -> None:
    with strict_broker(tmp_path, NEEDS_PASSWORD) as port:

        async def main() -> None:
            async with store(tmp_path / "outbox", MqttSettings(port=port, username="a", password="b")) as shop:
                await shop.outbox.put([reading(1)])
                await shop.until(lambda: LinkState.REFUSED in shop.links)
                assert shop.outbox.stats().unsent == 1

        asyncio.run(main())


TLS = """\
user root
listener {port} 127.0.0.1
cafile {directory}/ca.pem
certfile {directory}/server.pem
keyfile {directory}/server.key
require_certificate true
use_identity_as_username true
"""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_a_gateway_proves_who_it_is_by_its_certificate(tmp_path: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "store-tls"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", f"{name}.pem", "-days", "2", "-extfile", "names"),
        )

    with strict_broker(tmp_path, TLS) as port:
        proven = MqttSettings(
            port=port,
            tls_ca=tmp_path / "ca.pem",
            tls_cert=tmp_path / "store-tls.pem",
            tls_key=tmp_path / "store-tls.key",
        )
        unproven = MqttSettings(port=port, tls_ca=tmp_path / "ca.pem")

        async def main() -> None:
            async with store(tmp_path / "one", proven) as shop:
                await shop.until(lambda: LinkState.UP in shop.links)
            async with store(tmp_path / "two", unproven) as shop:
                await shop.until(lambda: LinkState.DOWN in shop.links)
                assert LinkState.UP not in shop.links

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
