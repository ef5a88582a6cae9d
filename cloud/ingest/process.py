"""The ingest as one process: consumer, readers, what docks ask, and their health; ends cleanly or says why.

`python -m cloud ingest` runs it. To handle more, run more of them, each with its own MQTT_CLIENT_ID.
"""

import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from types import FrameType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cloud import db
from cloud.config import Config, ConfigError
from cloud.health import HealthServer, IngestMetrics
from cloud.ingest import project, worker
from cloud.ingest.asking import Asking
from cloud.ingest.assess import assess
from cloud.ingest.consumer import Consumer
from cloud.ingest.worker import ReadLedger, Worker
from cloud.ledger import answers, store
from cloud.ledger.words import Reader
from cloud.series import Writer
from gateway.clinical import Rule, library, signed

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
    known = rules_known(rules, production=config.production)
    engine, metrics = db.engine(config.database_url), IngestMetrics()
    with ExitStack() as parts:
        parts.callback(engine.dispose)
        writer = parts.enter_context(Writer(config.influx)) if config.influx else None
        consumer = Consumer(engine, config.mqtt, metrics)
        workers = [
            Worker(engine, Reader.ASSESS, assessor(rules, production=config.production), metrics),
            Worker(engine, Reader.PROJECT, project.reader(writer), metrics),
        ]
        asking = Asking(engine, config.mqtt)
        server = _health_server(
            config, metrics, lambda: health(engine, consumer, workers, metrics, known, asking=asking)
        )
        server.start()
        parts.callback(server.stop)
        for each in workers:
            each.start()
            parts.callback(each.stop)
        asking.start()
        parts.callback(asking.stop)
        consumer.start()
        parts.callback(consumer.stop)  # first of all to be stopped
        log.info("ingest.started influx=%s port=%d", bool(writer), server.port)
        counted = " ".join(f"{state}={number}" for state, number in known.items())
        log.log(logging.INFO if known["usable"] else logging.ERROR, "ingest.rules %s", counted)
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


def rules_known(rules: Sequence[Rule], *, production: bool) -> dict[str, int]:
    """How many rules are `loaded`, how many of them are `signed`, and may raise a task here (`usable`)."""
    signed_ones = sum(map(signed, rules))
    return {"loaded": len(rules), "signed": signed_ones, "usable": signed_ones if production else len(rules)}


def _health_server(config: Config, metrics: IngestMetrics, asked: Callable[[], Mapping[str, Any]]) -> HealthServer:
    try:
        return HealthServer(config.health_host, config.health_port, metrics, asked)
    except OSError as error:
        where = f"{config.health_host} port {config.health_port}"
        raise ConfigError(
            f"INGEST_HEALTH_HOST and INGEST_HEALTH_PORT: cannot listen at {where}: {error.strerror}"
        ) from error


NO_RULE = "no clinical rule may raise a task: none is signed. `python -m cloud rules sign` tells how"


def health(
    engine: Engine,
    consumer: Consumer,
    workers: Sequence[Worker],
    metrics: IngestMetrics,
    rules: Mapping[str, int],
    *,
    asking: Asking | None = None,
) -> dict[str, Any]:
    """What /healthz says: `status` is "ok" while batches can come in, be stored, be read and be judged; else
    `advice` says what a person has to do where only a person can. Docks do without `lookups`."""
    for rule_state, number in rules.items():
        metrics.rules.labels(rule_state).set(number)
    state: dict[str, Any] = {
        "broker": "ok" if consumer.subscribed.is_set() else "absent",
        "lookups": "ok" if asking is not None and asking.subscribed.is_set() else "absent",
        "rules": dict(rules),
        "advice": [] if rules["usable"] else [NO_RULE],
        "waiting_for": {each.name: each.waiting_for for each in workers if each.waiting_for},
    }
    try:
        with engine.connect() as connection:
            state |= {"database": "ok", **store.counts(connection), "work": worker.measure(connection, metrics)}
            state["answers_waiting"] = answers.waiting(connection)
    except SQLAlchemyError as error:
        state["database"] = type(error).__name__
    well = state["broker"] == state["database"] == "ok" and not consumer.failed.is_set() and not state["advice"]
    return {"status": "ok" if well else "degraded", **state}
