"""Carries batches from the outbox to the cloud and lets go of them when its receipt comes, for ever.

What is sent is decided by `gateway.buffer.outbox`; what a status says, by `gateway.health`; what is asked about a
member without a card, by `gateway.lookup`.

A broker's PUBACK is not custody: it only says that the broker has the batch, in memory perhaps. A batch is settled
by the cloud's receipt alone, and is published again, the very same, until that comes. One batch is in flight at a
time: with 200 readings in it a backlog of a week is gone in seconds, order is kept, a slow cloud is not buried.

Acquisition shares nothing with this task but the outbox. aiomqtt connects (name look-up, TCP, TLS) on a thread of
the event loop's default executor, where nothing that reads a meter may ever run; tests/gateway/test_apart.py holds
both to that.
"""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from math import ceil
from typing import Any
from uuid import UUID

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.buffer.outbox import Outbox, SealedBatch
from gateway.config import MqttSettings
from gateway.logged import failing
from gateway.lookup import LookUps
from gateway.wire import codec, topics
from gateway.wire.messages import MAX_BATCH_READINGS, Status

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
"""A store should be back within half a minute of its line (telegraf#18466: ten minutes were too many)."""
STEADY_AFTER_S = 60.0
"""Only a link that stayed up this long resets the back-off; else a broker that kicks us is stormed."""
ANSWER_TIMEOUT_S = 15.0
"""Longest wait for CONNACK, SUBACK or PUBACK on a line that may be a 4G stick."""
FIRST_RECEIPT_WAIT_S = 15.0
LONGEST_RECEIPT_WAIT_S = 300.0
"""While the ingest is down the broker queues every repetition; 300 s keeps a week of them under 2100 per store.
The ingest finds the first one when it comes back, so nobody waits for the next."""
STATUS_EVERY_S = 30.0
STATUS_LOOK_EVERY_S = 1.0
"""How soon a change of a transport's or the clock's state is told."""
FAREWELL_TIMEOUT_S = 2.0
"""A gateway that is shut down says so, but does not hold up the shutdown."""


class LinkState(StrEnum):
    """What the dock screen and the doctor say about the way to the cloud."""

    CONNECTING = "connecting"
    UP = "up"
    REFUSED = "refused"  # the broker answers and says no: a login, a certificate or an access rule is wrong
    DOWN = "down"


class Rejected(Exception):
    """The broker answered no; `reason` is the MQTT 5 reason. Nothing is lost, and somebody has to act."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


async def run(
    outbox: Outbox,
    settings: MqttSettings,
    *,
    status: Callable[[], Status],
    received: Callable[[Sequence[UUID]], None],
    link: Callable[[LinkState], None] = lambda state: None,
    look_ups: LookUps | None = None,
    chance: Callable[[], float] = random.random,
    receipt_wait_s: float = FIRST_RECEIPT_WAIT_S,
) -> None:
    """Runs until cancelled. `received` is told the readings the cloud now has, `link` every change of the line."""
    attempt = 0
    look_ups = look_ups or LookUps(outbox.gateway)
    while True:
        link(LinkState.CONNECTING)
        session = _Session(outbox, settings, status, received, link, look_ups, receipt_wait_s)
        try:
            # A task of its own: Python 3.11's TaskGroup leaves its parent marked as cancelled when a child fails,
            # and `_is_cancelled` below must know whether we are.
            await asyncio.create_task(session.hold())
        except* Rejected as refusals:
            for refusal in _flat(refusals):
                log.error("uplink.refused %s", refusal)
            link(LinkState.REFUSED)
        except* (aiomqtt.MqttError, OSError, TimeoutError) as losses:
            for loss in _flat(losses):
                log.warning("uplink.down error=%s", loss)
            link(LinkState.DOWN)
        except* Exception as faults:
            # A fault of ours must not end the uplink for good (thingsboard-gateway#2086: nothing supervised the
            # thread, and the store was never heard of again).
            for fault in _flat(faults):
                log.error("uplink.crashed %s", failing(fault))
            link(LinkState.DOWN)
        if _is_cancelled():
            raise asyncio.CancelledError  # a farewell that failed must not undo a shutdown
        attempt = 0 if session.lasted_s() >= STEADY_AFTER_S else attempt + 1
        await asyncio.sleep(backoff_s(attempt, chance()))


def backoff_s(attempt: int, chance: float) -> float:
    """How long to wait before connection attempt number `attempt` (0 after a steady link); `chance` is in [0, 1).

    Full jitter: a thousand stores that lost the same broker come back spread over the whole interval.
    """
    return chance * min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(attempt, 10))


class _Session:
    """One connection, from CONNECT to whatever ends it."""

    def __init__(
        self,
        outbox: Outbox,
        settings: MqttSettings,
        status: Callable[[], Status],
        received: Callable[[Sequence[UUID]], None],
        link: Callable[[LinkState], None],
        look_ups: LookUps,
        receipt_wait_s: float,
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._status = status
        self._received = received
        self._link = link
        self._look_ups = look_ups
        self._receipt_wait_s = receipt_wait_s
        self._up_since: float | None = None
        self._awaited: UUID | None = None
        self._settled = asyncio.Event()

    def lasted_s(self) -> float:
        """How long the link was up, 0 if it never was."""
        return 0.0 if self._up_since is None else time.monotonic() - self._up_since

    async def hold(self) -> None:
        """Connects and works until the link breaks; raises Rejected, MqttError, OSError or a group of them."""
        gateway = self._outbox.gateway
        offline = codec.encode(Status(gateway=gateway, online=False))
        context = await asyncio.to_thread(tls_context, self._settings)
        client = Client(
            self._settings.host,
            self._settings.port,
            identifier=f"kangdock-{gateway}",
            protocol=aiomqtt.ProtocolVersion.V5,
            # A kept session would only bring receipts of batches that are published again anyway.
            clean_start=True,
            username=self._settings.username or None,
            password=self._settings.password or None,
            keepalive=self._settings.keepalive_s,
            timeout=ANSWER_TIMEOUT_S,
            tls_context=context,
            will=aiomqtt.Will(topics.status(gateway), offline, qos=1, retain=True),
        )
        try:
            async with client:
                granted = await client.subscribe(topics.receipts(gateway), qos=1)
                if _refused(granted):
                    raise Rejected("subscribe", str(granted[0]))
                # Readings have their way without it: a broker that does not know this topic yet stops nothing.
                can_ask = not _refused(await client.subscribe(topics.all_told(gateway), qos=1))
                self._up_since = time.monotonic()
                self._link(LinkState.UP)
                self._look_ups.link(up=can_ask)
                log.info("uplink.up")
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._listen(client))
                        tasks.create_task(self._tell(client))
                        tasks.create_task(self._send(client))
                        tasks.create_task(self._ask(client))
                except asyncio.CancelledError:
                    with suppress(Exception):
                        await client.publish_or_raise(
                            topics.status(gateway), offline, retain=True, within_s=FAREWELL_TIMEOUT_S
                        )
                    raise
        except MqttConnectError as error:
            raise Rejected("connect", str(error)) from None
        finally:
            self._look_ups.link(up=False)

    async def _send(self, client: "Client") -> None:
        while True:
            await self._outbox.unsent()
            batch = await self._outbox.next_batch(MAX_BATCH_READINGS)
            if batch is not None:
                await self._deliver(client, batch)

    async def _deliver(self, client: "Client", batch: SealedBatch) -> None:
        self._settled.clear()
        self._awaited = batch.id
        wait_s = self._receipt_wait_s
        while not self._settled.is_set():
            await client.publish_or_raise(topics.batch(self._outbox.gateway, batch.id), batch.payload)
            try:
                async with asyncio.timeout(wait_s):
                    await self._settled.wait()
            except TimeoutError:
                wait_s = min(2 * wait_s, LONGEST_RECEIPT_WAIT_S)
                log.warning("uplink.no_receipt batch=%s next_wait_s=%.0f", batch.id, wait_s)
        self._awaited = None

    async def _ask(self, client: "Client") -> None:
        while True:
            ask = await self._look_ups.next()
            expires = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            expires.MessageExpiryInterval = ceil(self._look_ups.within_s)
            try:
                await client.publish_or_raise(
                    topics.ask(self._outbox.gateway, ask.id), codec.encode(ask), properties=expires
                )
            except Rejected as refusal:
                log.error("uplink.refused %s", refusal)

    async def _listen(self, client: "Client") -> None:
        async for message in client.messages:
            topic, payload = str(message.topic), message.payload
            if not isinstance(payload, bytes):
                continue
            if (batch := topics.read_receipt(topic)) is not None:
                await self._take_receipt(batch, payload)
            elif (ask := topics.read_told(topic)) is not None:
                self._take_told(ask, payload)

    async def _take_receipt(self, named: UUID, payload: bytes) -> None:
        try:
            receipt = codec.decode_receipt(payload)
        except codec.Undecodable as error:
            log.error("uplink.receipt_undecodable batch=%s error=%s", named, error.error)
            return
        if not named == receipt.batch == self._awaited:
            log.info("uplink.receipt_unknown batch=%s", named)
            return
        ids = await self._outbox.settle(receipt)
        if receipt.set_aside:
            log.error("uplink.set_aside batch=%s count=%d reason=%s", named, receipt.set_aside, receipt.reason)
        if ids:
            self._received(ids)
        self._settled.set()

    def _take_told(self, named: UUID, payload: bytes) -> None:
        try:
            told = codec.decode_told(payload)
        except codec.Undecodable as error:
            log.error("uplink.told_undecodable ask=%s error=%s", named, error.error)
            return
        if named == told.ask:
            self._look_ups.heard(told)

    async def _tell(self, client: "Client") -> None:
        told: tuple[object, ...] = ()
        told_at = 0.0
        while True:
            status = self._status()
            now = time.monotonic()
            if _matters(status) != told or now - told_at >= STATUS_EVERY_S:
                await client.publish_or_raise(
                    topics.status(self._outbox.gateway), codec.encode(status), retain=True
                )
                told, told_at = _matters(status), now
            await asyncio.sleep(STATUS_LOOK_EVERY_S)


class Client(aiomqtt.Client):
    """aiomqtt and two things it passes over: PUBACK's reason code, where MQTT 5 refuses a forbidden topic, and a
    line that is closed instead of a CONNACK, which is how a rejected certificate looks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._one_publish = asyncio.Lock()
        self._refusal: str | None = None

    async def publish_or_raise(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        within_s: float = ANSWER_TIMEOUT_S,
        properties: Properties | None = None,
    ) -> None:
        """Publishes at QoS 1 and returns after the broker's yes; raises Rejected, or MqttError when none came."""
        async with self._one_publish:  # so that the reason belongs to this message
            self._refusal = None
            await self.publish(topic, payload, qos=1, retain=retain, properties=properties, timeout=within_s)
            if self._refusal is not None:
                raise Rejected("publish", self._refusal)

    def _on_publish(
        self, client: Paho, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if reason_code.is_failure:
            self._refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(
        self,
        client: Paho,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if self._connected.done():
            super()._on_disconnect(client, userdata, flags, reason_code, properties)
        else:
            self._connected.set_exception(aiomqtt.MqttError(f"closed before it was accepted: {reason_code}"))


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Reads the certificates, anew at each connection so that a renewed one is used; None without a `tls_ca`."""
    if settings.tls_ca is None:
        return None
    context = ssl.create_default_context(cafile=settings.tls_ca)
    if settings.tls_cert is not None:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


def _refused(granted: object) -> bool:
    codes = granted if isinstance(granted, list | tuple) else ()
    return any(isinstance(code, ReasonCode) and code.is_failure for code in codes)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _matters(status: Status) -> tuple[object, ...]:
    """What is told at once when it changes; the rest may wait for the next regular status."""
    return status.online, status.clock_trusted, status.software, tuple(sorted(status.transports.items()))


def _flat(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_flat(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves
