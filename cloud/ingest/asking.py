"""Answers what docks ask: who the end of a phone number may be. Apart from the intake, which it must never delay.

What is answered is `cloud.crm.members.lookup`'s. A question that cannot be answered at once is dropped: nobody
waits longer than three seconds, and the dock then keeps the tail as evidence.
"""

import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from queue import Empty, Full, Queue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy import Engine

from cloud import db
from cloud.config import Mqtt
from cloud.crm.fleet import registry as fleet
from cloud.crm.members.lookup import look_up
from gateway.wire import codec, topics
from gateway.wire.codec import Undecodable
from gateway.wire.messages import Ask, Told

log = logging.getLogger(__name__)

SHARED_ASKS = f"$share/ingest/{topics.ASKS}"
WAITING_AT_MOST = 64
"""More than a database answers in the three seconds a customer waits."""
EXPIRES_S = 5
"""An answer that a broker could not deliver by then is of no use, and names people."""
KEEPALIVE_S = 60
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 30
STOP_CHECK_S = 0.5
STOP_TIMEOUT_S = 20.0


class Asking:
    """One ingest's subscription to questions. Nothing here ends the process: without it docks use cards."""

    def __init__(
        self,
        engine: Engine,
        settings: Mqtt,
        *,
        clock: Callable[[], datetime] = db.now,
        chance: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._engine, self._settings, self._clock, self._chance = engine, settings, clock, chance
        self._waiting: Queue[Ask] = Queue(maxsize=WAITING_AT_MOST)
        self._stopping = threading.Event()
        self.subscribed = threading.Event()
        self._client = _client(settings)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self.subscribed.clear()
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._thread = threading.Thread(target=self._work, name="asking", daemon=True)

    def start(self) -> None:
        """Connects, now or as soon as there is a broker."""
        self._thread.start()
        self._client.connect_async(
            self._settings.host, self._settings.port, keepalive=KEEPALIVE_S, clean_start=True
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Finishes the question under way."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("asking.refused reason=%s", reason)
        else:
            client.subscribe(SHARED_ASKS, qos=1)

    def _on_subscribe(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("asking.refused reason=%s", ",".join(map(str, reasons)))
        else:
            self.subscribed.set()

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        ask = read(message.topic, bytes(message.payload))
        if ask is None:
            log.warning("asking.undecodable")
            return
        with suppress(Full):
            self._waiting.put_nowait(ask)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                ask = self._waiting.get(timeout=STOP_CHECK_S)
            except Empty:
                continue
            try:
                told = answer(self._engine, ask, self._clock(), chance=self._chance)
            except Exception as error:  # the database is away, or a mistake of ours: the dock does without
                log.warning("asking.failed error=%s", type(error).__name__)
                continue
            if told is not None:
                log.info("asking.told gateway=%s found=%s shown=%d", ask.gateway, told.found, len(told.candidates))
                self._publish(ask, told)

    def _publish(self, ask: Ask, told: Told) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.MessageExpiryInterval = EXPIRES_S
        topic = topics.told(ask.gateway, ask.id)
        self._client.publish(topic, codec.encode(told), qos=1, properties=properties)


def read(topic: str, payload: bytes) -> Ask | None:
    """The question in a message, if it is one and is its gateway's own."""
    named = topics.read_ask(topic)
    try:
        ask = codec.decode_ask(payload)
    except Undecodable:
        return None
    return ask if named == (ask.gateway, ask.id) else None


def answer(engine: Engine, ask: Ask, now: datetime, *, chance: Callable[[int], bytes]) -> Told | None:
    """Answers in a transaction of its own; None for a gateway nobody registered, and for a question answered."""
    with db.begin(engine) as connection:
        place = fleet.places(connection, {ask.gateway}).get(ask.gateway)
        return None if place is None else look_up(connection, place, ask, now, chance=chance)


def _client(settings: Mqtt) -> mqtt.Client:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{settings.client_id}-asking", protocol=mqtt.MQTTv5
    )
    client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
    if settings.username:
        client.username_pw_set(settings.username, settings.password)
    if settings.tls:
        client.tls_set(ca_certs=settings.tls_ca or None)
    return client
