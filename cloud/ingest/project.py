"""Ledger to time series: writes the points of readings that are new or have changed, and rebuilds them all.

What a point looks like is `cloud.series`'; without an InfluxDB, work for this reader is simply taken off the
queue, because `rebuild` can write everything later.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from cloud.ingest.worker import ReadLedger, TryLater
from cloud.ledger import store
from cloud.series import SeriesUnavailable, Writer

REBUILD_ROWS = 5_000
"""Readings read, held and written at a time."""
_LOCK = text("SELECT pg_advisory_xact_lock(816)")
"""One projector at a time: a point is read and written under the lock, so that the last to write a reading's point
is one that saw its newest owner. Without it an older owner read before could be written after."""


def reader(writer: Writer | None) -> ReadLedger:
    """The reader for `worker.Worker`: writes with `writer`, or does nothing without one."""

    def project(connection: Connection, chain_id: str, reading_ids: Sequence[UUID], _now: datetime) -> None:
        if writer is None:
            return
        connection.execute(_LOCK)
        try:
            writer.write(store.by_ids(connection, chain_id, reading_ids))
        except SeriesUnavailable as error:
            raise TryLater from error

    return project


def rebuild(engine: Engine, writer: Writer, *, told: Callable[[int], None] = lambda _written: None) -> int:
    """Writes every reading of the ledger, `told` the number so far; returns how many points.

    Raises SeriesUnavailable or SeriesRefused; it can be started again, since writing a point twice is one point,
    and intake may go on meanwhile.
    """
    written, after = 0, ("", UUID(int=0))
    while True:
        with engine.begin() as connection:
            connection.execute(_LOCK)
            rows = store.after(connection, *after, limit=REBUILD_ROWS)
            if not rows:
                return written
            written += writer.write(rows)
        after = (rows[-1].chain_id, rows[-1].id)
        told(written)
