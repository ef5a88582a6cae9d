"""From a real broker to a real PostgreSQL, with either of them, or the ingest itself, dying on the way."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine

from cloud import db
from cloud.config import Mqtt
from cloud.demo.servers import Broker, Postgres, free_port
from cloud.health import IngestMetrics
from cloud.ingest import consumer as consuming
from cloud.ingest.consumer import Consumer
from cloud.ingest.intake import Delivery, Message
from cloud.ledger import dead_letters, store
from gateway.wire import topics
from gateway.wire.messages import Outcome, Receipt
from tests.cloud import chains
from tests.cloud.chains import CHAIN, CODES, GATEWAY, WANG, batch, reading, visit
from tests.cloud.ingest.conftest import PATIENCE_S, Uplink

Settings = Callable[[], Mqtt]


@contextmanager
def consuming_from(engine: Engine, settings: Settings) -> Iterator[Consumer]:
    made = Consumer(engine, settings(), IngestMetrics())
    made.start()
    assert made.subscribed.wait(PATIENCE_S)
    yield made
    made.stop()
    assert not made.failed.is_set(), made.failure


def batches(count: int, size: int = 10) -> list[Delivery]:
    return [batch([reading(b * size + n) for n in range(size)]) for b in range(count)]


def counted(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return store.counts(connection)


def test_a_batch_from_the_broker_is_committed_and_receipted(
    ledger: Engine, mqtt_settings: Settings, uplink: Uplink
) -> None:
    with consuming_from(ledger, mqtt_settings):
        sent = batch([reading(1, visit=visit(CODES[WANG]))])
        uplink.send(sent)
        uplink.settle()
    with ledger.connect() as connection:
        assert store.by_ids(connection, CHAIN, [reading(1).id])[0].member_id == WANG


def test_a_batch_sent_twice_is_stored_once_and_receipted_twice(
    ledger: Engine, mqtt_settings: Settings, uplink: Uplink
) -> None:
    with consuming_from(ledger, mqtt_settings):
        (sent,) = batches(1)
        uplink.send(sent)
        uplink.settle()
        uplink.receipts.clear()
        uplink.send(sent)
        uplink.settle()
    (receipt,) = uplink.receipts.values()
    assert (receipt.stored, receipt.known) == (0, 10)
    assert counted(ledger)["readings"] == 10


def test_rubbish_is_receipted_listed_and_holds_nobody_up(
    ledger: Engine, mqtt_settings: Settings, uplink: Uplink
) -> None:
    with consuming_from(ledger, mqtt_settings):
        rubbish = Delivery(topic=topics.batch(GATEWAY, uuid4()), payload=b"\xff\x00")
        uplink.send(rubbish, *batches(2))
        uplink.settle()
    assert sorted(r.outcome for r in uplink.receipts.values()) == [
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
        Outcome.SET_ASIDE,
    ]
    assert counted(ledger) == {"readings": 20, "dead_letters": 1}


def test_a_message_that_cannot_be_stored_is_set_aside_alone(
    ledger: Engine, mqtt_settings: Settings, uplink: Uplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, *others = batches(5)
    keep = consuming.keep

    def choke(connection: Any, messages: Sequence[Message], now: Any) -> list[Receipt | None]:
        if any(m.delivery.topic == poison.topic and m.readings for m in messages):
            connection.exec_driver_sql("SELECT 1 / 0")
        return keep(connection, messages, now)

    monkeypatch.setattr(consuming, "keep", choke)
    with consuming_from(ledger, mqtt_settings):
        uplink.send(others[0], poison, *others[1:])
        uplink.settle()
    assert counted(ledger) == {"readings": 40, "dead_letters": 1}
    with ledger.connect() as connection:
        (letter,) = dead_letters.waiting(connection, limit=2)
    assert (letter.topic, letter.error, letter.payload) == (poison.topic, "unstorable", poison.payload)


def test_what_was_sent_while_no_ingest_ran_is_taken_by_the_next(
    ledger: Engine, mqtt_settings: Settings, uplink: Uplink
) -> None:
    with consuming_from(ledger, mqtt_settings):
        pass
    uplink.send(*batches(20))
    with consuming_from(ledger, mqtt_settings):
        uplink.settle()
    assert counted(ledger)["readings"] == 200


def test_reading_from_the_broker_stops_when_the_inbox_is_full(
    ledger: Engine, mqtt_settings: Settings, uplink: Uplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "INBOX_BYTES", 10_000)
    with consuming_from(ledger, mqtt_settings):
        uplink.send(*batches(40))
        uplink.settle()
    assert counted(ledger)["readings"] == 400


def test_postgresql_killed_under_load_loses_and_repeats_nothing(
    tmp_path: Path, mqtt_settings: Settings, uplink: Uplink
) -> None:
    with Postgres(tmp_path) as postgres:
        engine = db.engine(postgres.url)
        db.migrate(engine)
        chains.found(engine)
        sent = batches(60)
        with consuming_from(engine, mqtt_settings) as consumer:
            uplink.send(*sent[:20])
            assert uplink.wait(5)
            postgres.kill()
            uplink.send(*sent[20:])
            assert not consumer.failed.is_set()
            postgres.start()
            uplink.settle()
        assert counted(engine)["readings"] == 600
        engine.dispose()


@contextmanager
def ingest_process(database: str, broker: Broker, client_id: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "DATABASE_URL": database,
        "KANGDOCK_MODE": "demo",
        "MQTT_PORT": str(broker.port),
        "MQTT_CLIENT_ID": client_id,
        "INGEST_HEALTH_PORT": str(free_port()),
    }
    process = subprocess.Popen([sys.executable, "-m", "cloud", "ingest"], env=environment, stderr=subprocess.PIPE)
    process.health = f"http://127.0.0.1:{environment['INGEST_HEALTH_PORT']}"
    started = threading.Event()
    said: list[bytes] = []

    def listen() -> None:
        for line in process.stderr or ():
            said.append(line)
            if b"ingest.connected" in line:
                started.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert started.wait(PATIENCE_S), b"".join(said).decode()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        listener.join()


def test_the_ingest_killed_under_load_loses_and_repeats_nothing(
    ledger: Engine, database: str, broker: Broker, mqtt_settings: Settings, uplink: Uplink
) -> None:
    sent = batches(120)
    client_id = mqtt_settings().client_id
    with ingest_process(database, broker, client_id) as process:
        uplink.send(*sent[:60])
        assert uplink.wait(3)
        process.kill()
    uplink.send(*sent[60:])
    with ingest_process(database, broker, client_id) as process:
        uplink.settle()
        assert counted(ledger) == {"readings": 1200, "dead_letters": 0}
        health = httpx.get(f"{process.health}/healthz")
        assert (health.status_code, health.json()["readings"]) == (200, 1200)
        assert 'kangdock_ingest_readings_total{outcome="stored"}' in httpx.get(f"{process.health}/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
