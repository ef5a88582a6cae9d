"""From the broker to the ledger: takes messages, commits them in groups, then acknowledges and receipts them.

What a message means is `intake`'s. paho's thread only puts messages into a bounded inbox; the reader decodes the
next group while the writers commit the last ones; answers leave in the order of arrival. While PostgreSQL is away
nothing is acknowledged, the inbox fills, and reading from the broker stops; the broker and the gateways keep what
we have not taken.
"""

import gc
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, Full, Queue
from typing import Any, TypeVar

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cloud import db
from cloud.config import Mqtt
from cloud.health import IngestMetrics
from cloud.ingest.intake import Delivery, Message, keep, read, unstorable
from gateway.wire import codec, topics
from gateway.wire.messages import Receipt

log = logging.getLogger(__name__)
T = TypeVar("T")

SHARED_BATCHES = f"$share/ingest/{topics.BATCHES}"
"""Shared, so that more ingest processes divide the batches. Statuses are not: a shared subscription never gets
retained messages (MQTT 5, 4.8.2), and after a restart the retained statuses are all we know of the fleet."""

RECEIVE_MAXIMUM = 500
"""Unacknowledged messages the broker may have out to us. More is no faster (measured), only more memory."""
SESSION_EXPIRY_S = 7 * 24 * 3600
"""The broker keeps our place for a week of outage; after that the gateways' own outboxes send again."""
KEEPALIVE_S = 60
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 30
"""A restarted broker is found within a second; a dead one is not hammered by every ingest."""

INBOX_BYTES = 64 * 1024 * 1024
"""Where reading stops. Mosquitto 2.0.11 exceeds Receive Maximum, so a count alone would not bound memory."""
GROUP_MESSAGES = 200
GROUP_BYTES = 2 * 1024 * 1024
"""One transaction takes at most so much: about 3000 readings and 100 ms, so a live reading never waits longer."""
LINGER_S = 0.004
"""How long a group waits for company: well under what a person notices, and it saves a commit per message."""
RETRY_MIN_S, RETRY_MAX_S = 0.2, 10.0
"""PostgreSQL is back within seconds of a restart; while it is away, ten seconds between attempts cost nobody."""
COLLECT_GARBAGE_AFTER = (1_000_000, 50, 100)
"""A group of readings is a hundred thousand objects without a cycle, and several groups are under way; reference
counting frees them. With Python's own thresholds the collector walks them again and again, for half of our
processor time (measured)."""
WRITERS = 2
"""While one transaction waits for PostgreSQL or its disk, the other prepares its lines. On two cores a third only
makes threads wait for each other (measured, readings a second: 26,000 with one, 38,000 with two, 33,000 with
three)."""
STOP_CHECK_S = 0.5
"""How often an idle thread looks whether it should end."""
STOP_TIMEOUT_S = 20.0
"""A group under way is finished first; its statements cannot take longer than the statement timeout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """A message, and the connection it came over: packet ids mean nothing on the next one."""

    delivery: Delivery
    mid: int
    connection: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """The same, read."""

    message: Message
    arrived: _Arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """What one transaction takes, numbered in the order it came."""

    number: int
    messages: Sequence[_Decoded]


class _Stopped(Exception):
    """We were asked to stop while waiting for PostgreSQL."""


class Consumer:
    """One ingest's subscription. `start`, then watch `failed`: a consumer that cannot hear must not look alive."""

    def __init__(
        self, engine: Engine, settings: Mqtt, metrics: IngestMetrics, *, clock: Callable[[], datetime] = db.now
    ) -> None:
        self._engine, self._metrics, self._clock = engine, metrics, clock
        self._settings = settings
        self._inbox = _Inbox()
        self._stopping = threading.Event()
        self._connection = 0  # counts up on every connect and every disconnect; even: there is none
        self._acknowledging = threading.Lock()
        self.subscribed = threading.Event()  # the broker is there and sends us batches
        self.failed = threading.Event()
        self.failure = ""
        self.database = "unknown"  # ok | down
        self._client = _client(settings, self._fail)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._decoded: Queue[_Group] = Queue(maxsize=1)  # one group ahead is all that overlapping can use
        self._next_number = 0  # of the group the reader makes next
        self._next_answer = 0  # of the group that may be acknowledged next
        self._committed: dict[int, tuple[_Group, Sequence[Receipt | None]]] = {}  # and not answered yet
        self._answering = threading.Lock()
        self._threads = [
            threading.Thread(target=self._supervise, args=(loop,), name=loop.__name__.strip("_"), daemon=True)
            for loop in (self._read, *[self._write] * WRITERS)
        ]

    def start(self) -> None:
        """Connects, now or as soon as there is a broker, and begins to take custody."""
        gc.set_threshold(*COLLECT_GARBAGE_AFTER)
        for thread in self._threads:
            thread.start()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect_async(
            self._settings.host,
            self._settings.port,
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Finishes the transaction under way and answers it; the rest stays with the broker."""
        self._stopping.set()
        self._inbox.close()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        self._client.disconnect()
        self._client.loop_stop()

    # --- paho's thread: note what happened and return --------------------------------------------------------

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("ingest.refused reason=%s", reason)
            return
        with self._acknowledging:
            self._connection += 1
        log.info("ingest.connected session_present=%s", flags.session_present)
        client.subscribe([(SHARED_BATCHES, SubscribeOptions(qos=1)), (topics.STATUSES, SubscribeOptions(qos=1))])

    def _on_disconnect(
        self, _client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        with self._acknowledging:
            self._connection += self._connection % 2
        self.subscribed.clear()
        log.info("ingest.disconnected reason=%s", reason)

    def _on_subscribe(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail(f"the broker refused the subscription: {', '.join(map(str, reasons))}")
        else:
            self.subscribed.set()

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._metrics.messages.inc()
        self._inbox.put(
            _Arrived(
                delivery=Delivery(
                    topic=message.topic,
                    payload=bytes(message.payload),
                    retained=message.retain,
                    arrived=self._clock(),
                ),
                mid=message.mid,
                connection=self._connection,
            )
        )

    def _on_publish(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            # The gateway sends the batch again, so nothing is lost; but a broker's ACL is wrong somewhere.
            log.error("ingest.receipt_refused reason=%s", reason)
            self._metrics.receipts_refused.inc()

    def _fail(self, why: str) -> None:
        self.failure = why
        log.critical("ingest.failed why=%s", why)
        self.failed.set()

    # --- the reader's and the writers' threads ---------------------------------------------------------------

    def _supervise(self, loop: Callable[[], None]) -> None:
        try:
            while not self._stopping.is_set():
                loop()
        except _Stopped:
            pass
        except Exception as error:
            log.exception("ingest.thread_died")
            self._fail(f"{threading.current_thread().name} died: {type(error).__name__}")

    def _read(self) -> None:
        messages = [_Decoded(message=_understand(a.delivery), arrived=a) for a in self._inbox.take()]
        group = _Group(number=self._next_number, messages=messages)
        while messages and not self._stopping.is_set():
            with suppress(Full):
                self._decoded.put(group, timeout=STOP_CHECK_S)
                self._next_number += 1
                return

    def _write(self) -> None:
        with suppress(Empty):
            group = self._decoded.get(timeout=STOP_CHECK_S)
            self._metrics.inbox_bytes.set(self._inbox.size_bytes)
            self._answer(group, self._take([decoded.message for decoded in group.messages]))

    def _take(self, messages: Sequence[Message]) -> list[Receipt | None]:
        """Commits messages: together, else one by one, and sets aside what cannot be stored at all."""
        try:
            return self._commit(lambda connection: keep(connection, messages, self._clock()))
        except _Stopped:
            raise
        except Exception as error:
            log.warning("ingest.group_failed messages=%d error=%s", len(messages), type(error).__name__)
            if len(messages) > 1:
                return [receipt for message in messages for receipt in self._take([message])]
            aside = unstorable(messages[0].delivery, error)
            return self._commit(lambda connection: keep(connection, [aside], self._clock()))

    def _commit(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction until PostgreSQL was there for it; raises whatever is not its absence."""
        delay_s = RETRY_MIN_S
        while True:
            try:
                with self._metrics.transaction_s.time(), db.begin(self._engine) as connection:
                    result = work(connection)
                self.database = "ok"
                return result
            except Exception as error:
                if not is_unavailable(error):
                    raise
                self.database = "down"
                log.warning("ingest.database_unavailable error=%s retry_s=%.1f", type(error).__name__, delay_s)
            if self._stopping.wait(delay_s):
                raise _Stopped
            delay_s = min(delay_s * 2, RETRY_MAX_S)

    def _answer(self, group: _Group, receipts: Sequence[Receipt | None]) -> None:
        # Acknowledgements leave in the order the messages came (MQTT 5, 4.6), whichever commit was first. Whoever
        # commits the oldest answers for those that were waiting for it; nobody waits. What waits is bounded by
        # RECEIVE_MAXIMUM, for the broker sends no more until it is answered.
        with self._answering:
            self._committed[group.number] = (group, receipts)
            while self._next_answer in self._committed:
                self._acknowledge(*self._committed.pop(self._next_answer))
                self._next_answer += 1

    def _acknowledge(self, group: _Group, receipts: Sequence[Receipt | None]) -> None:
        with self._acknowledging:  # nobody connects or disconnects in between
            current = self._connection
            for decoded in group.messages:
                if decoded.arrived.connection == current:
                    self._client.ack(decoded.arrived.mid, qos=1)
                else:
                    # The broker delivers it again; then it is known. This id may name another message by now.
                    self._metrics.stale_acknowledgements.inc()
        for decoded, receipt in zip(group.messages, receipts, strict=True):
            if receipt is None:
                continue
            self._metrics.count(receipt)
            if decoded.arrived.connection == current and decoded.message.gateway:
                topic = topics.receipt(decoded.message.gateway, receipt.batch)
                self._client.publish(topic, codec.encode(receipt), qos=1)


def _understand(delivery: Delivery) -> Message:
    try:
        return read(delivery)
    except Exception as error:  # a mistake of ours, and no reason to hold up everybody else's readings
        log.exception("ingest.reading_failed")
        return unstorable(delivery, error)


def is_unavailable(error: BaseException) -> bool:
    """Whether PostgreSQL was away, busy or not ready, so that the same transaction may succeed later.

    Everything else is about the data: trying again would fail again, and block what comes after.
    """
    if isinstance(error, PoolTimeout | PendingRollbackError):
        return True
    original = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(original, psycopg.Error):
        return False
    if original.sqlstate is None:
        return isinstance(original, psycopg.OperationalError | psycopg.InterfaceError)
    # 22 data exception, 23 integrity violation, 54 program limit: the message. The rest is the server's state:
    # connection, rollback, resources, intervention, or a schema that is not migrated yet.
    return original.sqlstate[:2] not in ("22", "23", "54")


class _Inbox:
    """Messages between the two threads, bounded by bytes: `put` waits, and so paho stops reading."""

    def __init__(self) -> None:
        self._messages: deque[_Arrived] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.size_bytes = 0

    def put(self, arrived: _Arrived) -> None:
        with self._changed:
            # One message may exceed the bound on its own, so it is let in when there is nothing else.
            self._changed.wait_for(lambda: self._closed or self.size_bytes < INBOX_BYTES)
            if not self._closed:  # what comes after `close` is never acknowledged, so the broker keeps it
                self._messages.append(arrived)
                self.size_bytes += len(arrived.delivery.payload)
                self._changed.notify_all()

    def take(self) -> list[_Arrived]:
        """The next group, in order; waits for one, returns [] when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._messages)
            deadline = time.monotonic() + LINGER_S
            while not self._closed and not self._is_full() and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(left_s)
            group: list[_Arrived] = []
            group_bytes = 0
            while (
                self._messages and not self._closed and len(group) < GROUP_MESSAGES and group_bytes < GROUP_BYTES
            ):
                group.append(self._messages.popleft())
                group_bytes += len(group[-1].delivery.payload)
            self.size_bytes -= group_bytes
            self._changed.notify_all()
            return group

    def _is_full(self) -> bool:
        return len(self._messages) >= GROUP_MESSAGES or self.size_bytes >= GROUP_BYTES

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Client(mqtt.Client):
    """paho, except that its thread cannot die unnoticed: an exception in a callback is reported, not swallowed."""

    on_death: Callable[[str], None]

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:
            log.exception("ingest.network_thread_died")
            self.on_death(f"the network thread died: {type(error).__name__}")
            return MQTTErrorCode.MQTT_ERR_UNKNOWN


def _client(settings: Mqtt, on_death: Callable[[str], None]) -> _Client:
    client = _Client(
        CallbackAPIVersion.VERSION2, client_id=settings.client_id, protocol=mqtt.MQTTv5, manual_ack=True
    )
    client.on_death = on_death
    client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
    client.max_inflight_messages_set(RECEIVE_MAXIMUM)  # receipts on their way out
    if settings.username:
        client.username_pw_set(settings.username, settings.password)
    if settings.tls:
        client.tls_set(ca_certs=settings.tls_ca or None)
    return client
