"""Runs a reader over the ledger: takes what `store.enqueue` left, one item and one transaction at a time.

What a reader does is `assess`'s and `project`'s. An item is deleted in the transaction that did it, so it is done
exactly once whatever dies; SKIP LOCKED lets any number of processes share the queue. An item that fails is tried
again later and lets the others pass; after MAX_TRIES it is parked, where health shows it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, Row, delete, func, select, text, update

from cloud import db
from cloud.health import IngestMetrics
from cloud.ingest.consumer import is_unavailable
from cloud.ledger.store import WORK_CHANNEL
from cloud.ledger.tables import work

log = logging.getLogger(__name__)

ReadLedger: TypeAlias = Callable[[Connection, str, Sequence[UUID], datetime], None]
"""(connection, chain_id, reading_ids, now): does its work in the given transaction; may be run again."""

MAX_TRIES = 8
RETRY_FIRST, RETRY_MAX = timedelta(seconds=1), timedelta(minutes=5)
"""Eight tries over about four minutes: longer than a deadlock or a restart, shorter than an emergency can wait."""
PAUSE_MIN_S, PAUSE_MAX_S = 0.5, 30.0
"""While PostgreSQL or InfluxDB is away nothing counts as a try; the whole reader waits."""
POLL_S = 2.0
"""A notification may be lost with its connection, and retries fall due without one."""


class TryLater(Exception):
    """Raised by a reader when what it needs is away: not the item's fault, so it does not count as a try."""


class Worker:
    """One reader's thread."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        read: ReadLedger,
        metrics: IngestMetrics,
        *,
        clock: Callable[[], datetime] = db.now,
    ) -> None:
        self.name = name
        self._engine, self._read, self._metrics, self._clock = engine, read, metrics, clock
        self._stopping = threading.Event()
        self.failed = threading.Event()
        self.waiting_for = ""  # the class of what is away
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, timeout_s: float = 20.0) -> None:
        """Finishes the item under way; the longest statement is shorter than the timeout."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = PAUSE_MIN_S
        while not self._stopping.is_set():
            try:
                self._until_interrupted()
                pause_s = PAUSE_MIN_S
            except Exception as error:
                if not (isinstance(error, TryLater) or is_unavailable(error)):
                    log.exception("worker.died reader=%s", self.name)
                    self.failed.set()
                    return
                self.waiting_for = type(error.__cause__ or error).__name__
                log.warning("worker.waiting reader=%s for=%s", self.name, self.waiting_for)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)

    def _until_interrupted(self) -> None:
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as bell:
            bell.execute(f"LISTEN {WORK_CHANNEL}")
            while not self._stopping.is_set():
                # Listening first, looking second: what is committed in between rings the bell.
                while not self._stopping.is_set() and run_one(
                    self._engine, self.name, self._read, self._clock(), self._metrics
                ):
                    self.waiting_for = ""
                for _notification in bell.notifies(timeout=POLL_S, stop_after=1):
                    pass


def run_one(engine: Engine, name: str, read: ReadLedger, now: datetime, metrics: IngestMetrics) -> bool:
    """Does the oldest item that is due, if there is one; returns whether there was. Raises TryLater."""
    item: Row[int, str, list[UUID], int] | None = None
    try:
        with db.begin(engine) as connection:
            item = _take(connection, name, now)
            if item is None:
                return False
            read(connection, item.chain_id, item.reading_ids, now)
            connection.execute(delete(work).where(work.c.id == item.id))
        metrics.work_done.labels(name).inc()
    except Exception as error:
        if item is None or isinstance(error, TryLater) or is_unavailable(error):
            raise
        metrics.work_failed.labels(name).inc()
        log.warning("worker.failed reader=%s item=%d error=%s", name, item.id, type(error).__name__)
        _put_back(engine, item.id, item.tries + 1, type(error).__name__, now)
    return True


def _take(connection: Connection, name: str, now: datetime) -> Row[int, str, list[UUID], int] | None:
    return connection.execute(
        select(work.c.id, work.c.chain_id, work.c.reading_ids, work.c.tries)
        .where(work.c.reader == name, work.c.parked_at.is_(None), work.c.due_at <= func.greatest(now, func.now()))
        .order_by(work.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()


def _put_back(engine: Engine, item_id: int, tries: int, error: str, now: datetime) -> None:
    wait = min(RETRY_FIRST * 2 ** (tries - 1), RETRY_MAX)
    with db.begin(engine) as connection:
        connection.execute(
            update(work)
            .where(work.c.id == item_id)
            .values(
                tries=tries, last_error=error, due_at=now + wait, parked_at=now if tries >= MAX_TRIES else None
            )
        )


def release(connection: Connection) -> int:
    """Gives parked items another chance, after the cause was mended; returns how many."""
    released = connection.execute(
        update(work).where(work.c.parked_at.is_not(None)).values(parked_at=None, tries=0, due_at=func.now())
    )
    connection.execute(select(func.pg_notify(WORK_CHANNEL, "all")))
    return released.rowcount


def measure(connection: Connection, metrics: IngestMetrics) -> dict[str, dict[str, float]]:
    """Per reader, `lag_s` of the oldest item and how many are `parked`; also into the metrics."""
    found: dict[str, dict[str, float]] = {}
    for row in connection.execute(_LAG):
        found[row.reader] = {"lag_s": round(float(row.lag_s or 0), 1), "parked": row.parked}
    for reader in ("assess", "project"):
        state = found.setdefault(reader, {"lag_s": 0.0, "parked": 0})
        metrics.work_lag_s.labels(reader).set(state["lag_s"])
        metrics.work_parked.labels(reader).set(state["parked"])
    return found


_LAG = text("""
    SELECT reader, EXTRACT(epoch FROM now() - min(created_at) FILTER (WHERE parked_at IS NULL)) AS lag_s,
        count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked
    FROM work GROUP BY reader
""")
