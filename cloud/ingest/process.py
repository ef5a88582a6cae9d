"""The ingest as one process: consumer, the two readers and their health; ends cleanly or says why it cannot go on.

`python -m cloud ingest` runs it. To handle more, run more of them, each with its own MQTT_CLIENT_ID.
"""

import logging
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from types import FrameType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cloud import db
from cloud.config import Config
from cloud.health import HealthServer, IngestMetrics
from cloud.ingest import project, worker
from cloud.ingest.assess import assess
from cloud.ingest.consumer import Consumer
from cloud.ingest.worker import ReadLedger, Worker
from cloud.ledger import store
from cloud.ledger.words import Reader
from cloud.series import Writer
from gateway.clinical import Rule, library

log = logging.getLogger(__name__)

WATCH_S = 0.5
"""How soon a dead thread ends the process, so that its supervisor starts a new one."""


def run(config: Config) -> int:
    """Runs until SIGTERM or SIGINT (returns 0) or until a part of it has failed for good (returns 1)."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, stop)
    rules = library(config.rules)
    engine, metrics = db.engine(config.database_url), IngestMetrics()
    with ExitStack() as parts:
        parts.callback(engine.dispose)
        writer = parts.enter_context(Writer(config.influx)) if config.influx else None
        consumer = Consumer(engine, config.mqtt, metrics)
        workers = [
            Worker(engine, Reader.ASSESS, assessor(rules, production=config.production), metrics),
            Worker(engine, Reader.PROJECT, project.reader(writer), metrics),
        ]
        server = HealthServer(
            config.health_host, config.health_port, metrics, lambda: health(engine, consumer, workers, metrics)
        )
        server.start()
        parts.callback(server.stop)
        for each in workers:
            each.start()
            parts.callback(each.stop)
        consumer.start()
        parts.callback(consumer.stop)  # first of all to be stopped
        log.info("ingest.started rules=%d influx=%s port=%d", len(rules), bool(writer), server.port)
        while not stopping.wait(WATCH_S):
            if consumer.failed.is_set() or any(each.failed.is_set() for each in workers):
                log.critical("ingest.giving_up why=%s", consumer.failure or "a reader died")
                return 1
    log.info("ingest.stopped")
    return 0


def assessor(rules: Sequence[Rule], *, production: bool) -> ReadLedger:
    """The `assess` reader over these rules."""

    def read(connection: Connection, chain_id: str, reading_ids: Sequence[UUID], now: datetime) -> None:
        assess(connection, chain_id, reading_ids, now=now, rules=rules, production=production)

    return read


def health(
    engine: Engine, consumer: Consumer, workers: Sequence[Worker], metrics: IngestMetrics
) -> dict[str, Any]:
    """What /healthz says: `status` is "ok" while batches can come in, be stored and be read."""
    state: dict[str, Any] = {
        "broker": "ok" if consumer.subscribed.is_set() else "absent",
        "waiting_for": {each.name: each.waiting_for for each in workers if each.waiting_for},
    }
    try:
        with engine.connect() as connection:
            state |= {"database": "ok", **store.counts(connection), "work": worker.measure(connection, metrics)}
    except SQLAlchemyError as error:
        state["database"] = type(error).__name__
    well = state["broker"] == state["database"] == "ok" and not consumer.failed.is_set()
    return {"status": "ok" if well else "degraded", **state}
