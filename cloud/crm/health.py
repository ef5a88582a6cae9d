"""`/healthz` and `/metrics` of the web process: whether it works and how much there is."""

import logging
import time
from collections.abc import Callable, Iterator
from threading import Lock

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from cloud import db
from cloud.crm.tasks.tables import tasks
from cloud.ledger import store
from cloud.live import Hub

log = logging.getLogger(__name__)
router = APIRouter()

TIMEOUT_MS = 5_000
"""A health check that waits longer than the one who asks is no answer."""


COUNT_AGAIN_S = 10.0
"""Counting is a walk through the ledger (about a second at ten million readings), and probes come every few
seconds from several sides: they share one count, and Prometheus, which asks every 15 s, never gets one twice."""


class Health(BaseModel):
    """How the cloud is. `status` is ok or failing; a number is null where the database did not give it."""

    status: str
    database: bool
    live: bool
    readings: int | None = None
    tasks: int | None = None
    dead_letters: int | None = None
    backlog: int | None = None
    backlog_age_s: int | None = None


@router.get("/healthz", responses={503: {"model": Health, "description": "Failing"}}, tags=["health"])
def healthz(request: Request) -> JSONResponse:
    """Whether the process and its database work."""
    health = request.app.state.vitals.read()
    return JSONResponse(health.model_dump(), 200 if health.status == "ok" else 503)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Prometheus text."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


class Vitals:
    """Reads a Health: whether the database answers now, and the counts at most COUNT_AGAIN_S old."""

    def __init__(self, engine: Engine, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._hub, self._clock = engine, hub, clock
        self._counting = Lock()
        self._counts: dict[str, int] = {}
        self._counted_at = -COUNT_AGAIN_S

    @property
    def listening(self) -> int:
        """How many pages are open."""
        return self._hub.listening

    def read(self) -> Health:
        """How the cloud is now."""
        live = self._hub.connected.is_set()
        try:
            with db.begin(self._engine) as connection:
                backlog = _backlog(connection)
        except SQLAlchemyError:
            return Health(status="failing", database=False, live=live)
        return Health(status="ok", database=True, live=live, **backlog, **self._fresh_counts())

    def _fresh_counts(self) -> dict[str, int]:
        with self._counting:  # who comes meanwhile gets this count, instead of a second one
            if self._clock() - self._counted_at >= COUNT_AGAIN_S:
                try:
                    with db.begin(self._engine) as connection:
                        self._counts = _counts(connection)
                except SQLAlchemyError:
                    # A ledger too large to count in time is no database that fails; the last number stays.
                    log.warning("health.uncounted")
                self._counted_at = self._clock()
            return self._counts


def _backlog(connection: Connection) -> dict[str, int]:
    connection.execute(text(f"SET LOCAL statement_timeout = {TIMEOUT_MS}"))
    row = connection.execute(
        text("SELECT count(*), extract(epoch FROM now() - min(created_at))::int FROM work")
    ).one()
    return {"backlog": row[0], "backlog_age_s": row[1] or 0}


def _counts(connection: Connection) -> dict[str, int]:
    connection.execute(text(f"SET LOCAL statement_timeout = {TIMEOUT_MS}"))
    counted = store.counts(connection)
    return {**counted, "tasks": connection.execute(select(func.count()).select_from(tasks)).scalar_one()}


class Gauges:
    """What Prometheus is told at each scrape, the same as /healthz."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's Collector."""
        health = self._vitals.read()
        yield GaugeMetricFamily("kangdock_up", "Database answers", value=float(health.database))
        yield GaugeMetricFamily("kangdock_pages_listening", "Open pages", value=self._vitals.listening)
        for name in ("readings", "tasks", "dead_letters", "backlog", "backlog_age_s"):
            value = getattr(health, name)
            if value is not None:
                yield GaugeMetricFamily(f"kangdock_{name}", f"See /healthz: {name}", value=value)


def registry(vitals: Vitals) -> tuple[CollectorRegistry, Histogram]:
    """A registry of this app's own, and the histogram of its request times by route."""
    made = CollectorRegistry()
    made.register(Gauges(vitals))
    seconds = Histogram("kangdock_request_seconds", "Time to answer", ("method", "route", "status"), registry=made)
    return made, seconds
