"""How long from a driver's `emit` to the task row, at 50 readings a second: disk, broker, ledger, rules.

Every process is real: the outbox and the uplink run here, Mosquitto, PostgreSQL and `python -m cloud ingest`
beside. One reading in five is an emergency of a member of its own, so no task is suppressed as a repetition.
"""

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import insert

from cloud import db
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.demo.servers import Broker, Postgres, free_port
from gateway import uplink
from gateway.buffer.outbox import Outbox
from gateway.config import MqttSettings
from gateway.conversation import Record, Sighting
from gateway.custody import Custody
from gateway.wire.messages import Status, Visit
from gateway.wire.vocabulary import Kind
from hil_tests.custody.children import Child

ROUNDS = 3
RATE_PER_S = 50
READINGS = 1000
ALARMS_EVERY = 5
GATEWAY, CHAIN, STORE = "gw-bench-1", "kang", "s1"
ALL_SEEN_WITHIN_S = 30.0


def figures() -> Iterator[dict[str, Any]]:
    """`meter_to_task_p50_ms` and `meter_to_task_p99_ms`: medians over rounds on servers of their own."""
    rounds = [sorted(_measure()) for _ in range(ROUNDS)]
    for name, values in (
        ("meter_to_task_p50_ms", map(statistics.median, rounds)),
        ("meter_to_task_p99_ms", (one[int(len(one) * 0.99)] for one in rounds)),
    ):
        value = round(statistics.median(values), 1)
        yield {"figure": name, "value": value, "unit": "ms", "baseline": None, "ratio": None}


def _measure() -> list[float]:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with Postgres(directory / "postgres") as postgres, Broker(directory / "broker") as broker:
            _found_a_chain(postgres)
            settings = {
                "DATABASE_URL": postgres.url,
                "MQTT_HOST": "127.0.0.1",
                "MQTT_PORT": str(broker.port),
                "INGEST_HEALTH_PORT": str(free_port()),
                "KANGDOCK_MODE": "demo",
            }
            with Child(directory / "ingest", "ingest", ["cloud", "ingest"], settings):
                return asyncio.run(_emit_and_watch(directory, postgres, broker))


def _found_a_chain(postgres: Postgres) -> None:
    engine = db.engine(postgres.url)
    db.migrate(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(org_units),
            [
                {"chain_id": CHAIN, "id": CHAIN, "kind": "chain", "path": f"/{CHAIN}/", "name": "Bench"},
                {"chain_id": CHAIN, "id": STORE, "kind": "store", "path": f"/{CHAIN}/{STORE}/", "name": "Store"},
            ],
        )
        connection.execute(insert(gateways).values(id=GATEWAY, chain_id=CHAIN, store_id=STORE))
        connection.execute(
            insert(members),
            [
                {"chain_id": CHAIN, "id": uuid4(), "code": f"M{number:05d}", "name": "M", "store_id": STORE}
                for number in range(READINGS + 1)
            ],
        )
    engine.dispose()


async def _emit_and_watch(directory: Path, postgres: Postgres, broker: Broker) -> list[float]:
    outbox = await Outbox.open(directory / "outbox", gateway=GATEWAY)
    carrying = asyncio.create_task(
        uplink.run(
            outbox,
            MqttSettings(port=broker.port),
            status=lambda: Status(gateway=GATEWAY, online=True),
            received=lambda ids: None,
        )
    )
    watch = _Watch(postgres)
    try:
        return await _latencies_ms(outbox, watch)
    finally:
        watch.stop()
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
        await outbox.close()


async def _latencies_ms(outbox: Outbox, watch: "_Watch") -> list[float]:
    emitted: dict[UUID, float] = {}
    # The first reading opens connections and plans everywhere; it is waited for and not counted.
    warm, _ = await _emit(outbox, READINGS, alarm=True)
    await asyncio.to_thread(watch.wait_for, {warm})
    start = time.perf_counter()
    for number in range(READINGS):
        await asyncio.sleep(max(0.0, start + number / RATE_PER_S - time.perf_counter()))
        alarm = number % ALARMS_EVERY == 0
        reading_id, at = await _emit(outbox, number, alarm=alarm)
        if alarm:
            emitted[reading_id] = at
    seen = await asyncio.to_thread(watch.wait_for, set(emitted))
    return [(seen[reading_id] - at) * 1000 for reading_id, at in emitted.items()]


async def _emit(outbox: Outbox, number: int, *, alarm: bool) -> tuple[UUID, float]:
    now = datetime.now(UTC)
    saved: list[UUID] = []
    visit = Visit(id=uuid4(), code=f"M{number:05d}", slot="1", opened=now)
    custody = Custody(
        outbox=outbox,
        driver="ble.glucose",
        sighting=Sighting(transport="ble", address="C4:5E:00:00:00:01"),
        conversation=uuid4(),
        clock=lambda: datetime.now(UTC),
        clock_trusted=lambda: True,
        visit_at=lambda moment: visit,
        local_utc_offset_min=480,
        saved=lambda reading: saved.append(reading.id),
        handed=lambda: number,
    )
    value = Decimal("2.4") if alarm else Decimal("5.6")
    at = time.perf_counter()
    await custody.save(Record(kind=Kind.GLUCOSE, key=str(number), values={"glucose_mmol_l": value}))
    return saved[0], at


class _Watch:
    """Looks at the tasks every two milliseconds, on a connection and a thread of its own."""

    def __init__(self, postgres: Postgres) -> None:
        self._seen: dict[UUID, float] = {}
        self._url = postgres.url
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        """Closes its connection."""
        self._enough.set()
        self._thread.join()

    def wait_for(self, wanted: set[UUID]) -> dict[UUID, float]:
        """When each was first seen; raises TimeoutError if one never was."""
        deadline = time.monotonic() + ALL_SEEN_WITHIN_S
        while not wanted <= self._seen.keys():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(wanted - self._seen.keys())} of {len(wanted)} tasks were never raised")
            time.sleep(0.05)
        return self._seen

    def _look(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._enough.wait(0.002):
                rows = connection.execute(
                    "SELECT reading_id FROM tasks WHERE raised_at > now() - interval '20 seconds'", prepare=True
                ).fetchall()
                at = time.perf_counter()
                for (reading_id,) in rows:
                    self._seen.setdefault(reading_id, at)
