"""Readings per second from the broker to the committed ledger, beside the loop most people write.

Ours: one ingest process's consumer, batches of 100 readings, manual acknowledgement after the commit, attribution
by visit, meters, work for the readers, and receipts. Theirs: a paho subscriber with automatic acknowledgement, one
reading per message, json.loads, and an executemany of 500 rows into a copy of the ledger's table; nothing of the
rest. Both drain the same readings, queued in the same Mosquitto, into the same PostgreSQL; rounds alternate. The
clock runs from the connection to the last commit.
"""

import gc
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, insert, text

from cloud import db
from cloud.config import Mqtt
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.demo.servers import Broker, Postgres
from cloud.health import IngestMetrics
from cloud.ingest.consumer import Consumer
from gateway.wire import codec, topics
from gateway.wire.messages import Batch, Device, Reading, Receipt, Shown, TakenAt, TimeQuality, Visit
from gateway.wire.vocabulary import Kind

ROUNDS = 9
"""The loop beside ours varies by a third from round to round."""
READINGS = 60_000
BATCH = 100
GATEWAYS = 20
MEMBERS = 400
BASELINE_ROWS = 500
ROUND_TIMEOUT_S = 120.0
THEIR_TABLE = "CREATE TABLE theirs (LIKE readings INCLUDING ALL)"
THEIR_INSERT = (
    "INSERT INTO theirs (chain_id, id, store_id, gateway_id, device_key, kind, purpose, quality, meal, taken_at, "
    "time_quality, received_at, visit_code, body) VALUES ('kang', %s, 'n01', 'gw-1', %s, %s, 'patient', "
    "'plausible', 'unknown', %s, %s, %s, %s, %s)"
)
NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)


def figures() -> Iterator[dict[str, Any]]:
    """`ingest.readings_per_s`: the median of our rounds, of theirs, and the ratio of the two."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with Postgres(base / "postgres") as postgres, Broker(base / "broker") as broker:
            engine = db.engine(postgres.url)
            db.migrate(engine)
            _found(engine)
            with psycopg.connect(postgres.url) as connection:
                connection.execute(THEIR_TABLE)
            ours, theirs = [], []
            for _ in range(ROUNDS):
                theirs.append(_their_round(broker, postgres.url))
                ours.append(_our_round(broker, engine))
            engine.dispose()
    value, baseline = statistics.median(ours), statistics.median(theirs)
    yield {
        "figure": "ingest.readings_per_s",
        "value": round(value),
        "unit": "readings/s",
        "baseline": round(baseline),
        "ratio": round(value / baseline, 2),
    }


def _found(engine: Engine) -> None:
    with db.begin(engine) as c:
        c.execute(
            insert(org_units),
            [{"chain_id": "kang", "id": "n01", "kind": "store", "path": "/kang/n01/", "name": "-"}],
        )
        c.execute(
            insert(gateways), [{"id": f"gw-{n}", "chain_id": "kang", "store_id": "n01"} for n in range(GATEWAYS)]
        )
        c.execute(
            insert(members),
            [
                {"chain_id": "kang", "id": uuid4(), "code": f"M{n:06}", "name": "-", "store_id": "n01"}
                for n in range(MEMBERS)
            ],
        )


def _readings() -> list[Reading]:
    made = []
    for number in range(READINGS):
        at = NOW - timedelta(seconds=number)
        made.append(
            Reading(
                id=uuid4(),
                kind=Kind.GLUCOSE,
                device=Device(key=f"SN-{number % 200}", maker="Sinocare", model="GA-3"),
                record_key=str(number),
                time=TakenAt(
                    at=at,
                    quality=TimeQuality.DEVICE,
                    received=at + timedelta(seconds=5),
                    device=at.replace(tzinfo=None).isoformat(),
                    offset_s=1.2,
                ),
                conversation=uuid4(),
                driver="ble.glucose",
                values={"glucose_mmol_l": Decimal("6.1")},
                shown=(Shown(quantity="glucose_mmol_l", value="6.1", unit="mmol/L"),),
                visit=Visit(
                    id=uuid4(), code=f"M{number % MEMBERS:06}", slot="1", opened=at - timedelta(minutes=1)
                ),
            )
        )
    return made


class _Tally(IngestMetrics):
    """Says when every reading of a round is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = 0
        self.done = threading.Event()

    def count(self, receipt: Receipt) -> None:
        super().count(receipt)
        self.stored += receipt.stored
        if self.stored == READINGS:
            self.done.set()


def _our_round(broker: Broker, engine: Engine) -> float:
    settings = Mqtt(
        host="127.0.0.1", port=broker.port, client_id="bench", username="", password="", tls=False, tls_ca=""
    )
    # Once without messages, so that the broker has a session in which the batches queue up.
    first = Consumer(engine, settings, IngestMetrics())
    first.start()
    _until(first.subscribed.is_set)
    first.stop()
    readings = _readings()
    messages = []
    for start in range(0, READINGS, BATCH):
        gateway, batch_id = f"gw-{start // BATCH % GATEWAYS}", uuid4()
        part = Batch(id=batch_id, gateway=gateway, sent=NOW, readings=tuple(readings[start : start + BATCH]))
        messages.append((topics.batch(gateway, batch_id), codec.encode(part)))
    _publish(broker, messages)

    tally = _Tally()
    consumer = Consumer(engine, settings, tally)
    began = time.perf_counter()
    consumer.start()
    if not tally.done.wait(ROUND_TIMEOUT_S):
        raise TimeoutError(f"the ingest stored {tally.stored} of {READINGS} readings")
    took_s = time.perf_counter() - began
    consumer.stop()
    with engine.connect() as connection:
        nobodys = connection.execute(text("SELECT count(*) FROM readings WHERE member_id IS NULL")).scalar_one()
        assert nobodys == 0, "a reading was stored without its owner"
    return READINGS / took_s


def _their_round(broker: Broker, url: str) -> float:
    gc.set_threshold(700, 10, 10)  # as Python starts; our consumer sets its own
    session = _their_client(broker)
    _until(session.is_connected)
    session.subscribe("theirs/#", qos=1)
    time.sleep(0.2)  # the subscription reaches the broker; outside the clock
    session.disconnect()
    session.loop_stop()
    _publish(broker, [(f"theirs/{r.device.key}", codec.encode(r)) for r in _readings()])

    done = threading.Event()
    rows: list[tuple[Any, ...]] = []
    written = 0
    with psycopg.connect(url) as connection:

        def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
            nonlocal written
            r = json.loads(message.payload)
            body = message.payload.decode()
            at = r["time"]
            rows.append(
                (
                    r["id"],
                    r["device"]["key"],
                    r["kind"],
                    at["at"],
                    at["quality"],
                    at["received"],
                    r["visit"]["code"],
                    body,
                )
            )
            if len(rows) == BASELINE_ROWS:
                with connection.cursor() as cursor:
                    cursor.executemany(THEIR_INSERT, rows)
                connection.commit()
                written += len(rows)
                rows.clear()
                if written == READINGS:
                    done.set()

        began = time.perf_counter()
        client = _their_client(broker, on_message)
        if not done.wait(ROUND_TIMEOUT_S):
            raise TimeoutError(f"the baseline wrote {written} of {READINGS} readings")
        took_s = time.perf_counter() - began
        client.disconnect()
        client.loop_stop()
    return READINGS / took_s


def _their_client(broker: Broker, on_message: Any = None) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="theirs", clean_session=False)
    client.on_message = on_message
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    return client


def _publish(broker: Broker, messages: list[tuple[str, bytes]]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="publisher")
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for sent in [client.publish(topic, payload, qos=1) for topic, payload in messages]:
        sent.wait_for_publish(ROUND_TIMEOUT_S)
    client.disconnect()
    client.loop_stop()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ROUND_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the round did not finish")
        time.sleep(0.002)
