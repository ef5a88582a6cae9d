"""A store's outbox with its uplink, and a small cloud that answers as a test says."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from gateway import uplink
from gateway.buffer.outbox import Outbox
from gateway.config import MqttSettings
from gateway.lookup import LookUps
from gateway.uplink import LinkState
from gateway.wire import codec, topics
from gateway.wire.messages import Outcome, Receipt, Status

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


class Store:
    """An outbox with its uplink running."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.received: list[UUID] = []
        self.links: list[LinkState] = []
        self.status = Status(gateway=outbox.gateway, online=True)
        self.changed = asyncio.Condition()
        self.faults = 0
        self.look_ups = LookUps(outbox.gateway, within_s=PATIENCE_S)

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
            look_ups=made.look_ups,
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
