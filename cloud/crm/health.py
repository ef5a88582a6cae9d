"""`/healthz` and `/metrics` of the web process: whether it works and how much there is."""

from collections.abc import Iterator
from typing import Any

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

router = APIRouter()

TIMEOUT_MS = 5_000
"""A health check that waits longer than the one who asks is no answer."""


class Health(BaseModel):
    """How the cloud is. `status` is ok or failing; the numbers are null while the database does not answer."""

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
    health = _health(request.app.state.engine, request.app.state.hub)
    return JSONResponse(health.model_dump(), 200 if health.status == "ok" else 503)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Prometheus text."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


def _health(engine: Engine, hub: Hub) -> Health:
    live = hub.connected.is_set()
    try:
        with db.begin(engine) as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = {TIMEOUT_MS}"))
            return Health(status="ok", database=True, live=live, **_counts(connection))
    except SQLAlchemyError:
        return Health(status="failing", database=False, live=live)


def _counts(connection: Connection) -> dict[str, Any]:
    counted = store.counts(connection)
    backlog = connection.execute(
        text("SELECT count(*), extract(epoch FROM now() - min(created_at))::int FROM work")
    ).one()
    return {
        "readings": counted["readings"],
        "dead_letters": counted["dead_letters"],
        "tasks": connection.execute(select(func.count()).select_from(tasks)).scalar_one(),
        "backlog": backlog[0],
        "backlog_age_s": backlog[1] or 0,
    }


class Gauges:
    """What Prometheus is told at each scrape, read from the same counts as /healthz."""

    def __init__(self, engine: Engine, hub: Hub) -> None:
        self._engine, self._hub = engine, hub

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's Collector."""
        health = _health(self._engine, self._hub)
        yield GaugeMetricFamily("kangdock_up", "Database answers", value=float(health.database))
        yield GaugeMetricFamily("kangdock_pages_listening", "Open pages", value=self._hub.listening)
        for name in ("readings", "tasks", "dead_letters", "backlog", "backlog_age_s"):
            value = getattr(health, name)
            if value is not None:
                yield GaugeMetricFamily(f"kangdock_{name}", f"See /healthz: {name}", value=value)


def registry(engine: Engine, hub: Hub) -> tuple[CollectorRegistry, Histogram]:
    """A registry of this app's own, and the histogram of its request times by route."""
    made = CollectorRegistry()
    made.register(Gauges(engine, hub))
    seconds = Histogram("kangdock_request_seconds", "Time to answer", ("method", "route", "status"), registry=made)
    return made, seconds
