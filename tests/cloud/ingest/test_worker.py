"""The queue of the ledger's readers: done once, tried again, parked in sight, never in anybody's way."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, select

from cloud import db
from cloud.health import IngestMetrics
from cloud.ingest import worker
from cloud.ingest.worker import MAX_TRIES, RETRY_MAX, TryLater, Worker, run_one
from cloud.ledger import store
from cloud.ledger.tables import work
from tests.cloud.chains import CHAIN

ONE, TWO = UUID(int=1), UUID(int=2)


def enqueue(engine: Engine, *ids: UUID) -> None:
    for each in ids:
        with db.begin(engine) as connection:
            store.enqueue(connection, "assess", CHAIN, [each])


class Recorder:
    def __init__(self, *, fails_on: UUID | None = None, error: type[Exception] = ValueError) -> None:
        self.seen: list[UUID] = []
        self._fails_on, self._error = fails_on, error

    def __call__(self, _connection: Connection, _chain: str, ids: Sequence[UUID], _now: datetime) -> None:
        if self._fails_on in ids:
            raise self._error
        self.seen += ids


def test_work_is_done_once_in_order_and_by_its_own_reader(engine: Engine) -> None:
    enqueue(engine, ONE, TWO)
    read, metrics = Recorder(), IngestMetrics()
    assert not run_one(engine, "project", read, db.now(), metrics)
    while run_one(engine, "assess", read, db.now(), metrics):
        pass
    assert read.seen == [ONE, TWO]


def test_an_item_that_fails_lets_the_others_pass_and_is_parked_in_sight(engine: Engine) -> None:
    enqueue(engine, ONE, TWO)
    read, metrics = Recorder(fails_on=ONE), IngestMetrics()
    now = db.now()
    while run_one(engine, "assess", read, now, metrics):
        pass
    assert read.seen == [TWO]
    for tries in range(1, MAX_TRIES):
        now += RETRY_MAX
        assert run_one(engine, "assess", read, now, metrics), tries
    assert not run_one(engine, "assess", read, now + timedelta(days=1), metrics)
    with engine.connect() as connection:
        parked = connection.execute(select(work)).one()
        assert (parked.tries, parked.last_error, parked.parked_at) == (MAX_TRIES, "ValueError", now)
        assert worker.measure(connection, metrics)["assess"]["parked"] == 1
    with db.begin(engine) as connection:
        assert worker.release(connection) == 1
    mended = Recorder()
    assert run_one(engine, "assess", mended, db.now(), metrics)
    assert mended.seen == [ONE]


def test_what_is_only_away_counts_as_no_try(engine: Engine) -> None:
    enqueue(engine, ONE)
    with pytest.raises(TryLater):
        run_one(engine, "assess", Recorder(fails_on=ONE, error=TryLater), db.now(), IngestMetrics())
    with engine.connect() as connection:
        assert connection.execute(select(work.c.tries)).scalar_one() == 0


def test_a_sleeping_worker_is_woken_by_new_work(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_S", 60.0)  # only the notification can wake it in time
    done = threading.Semaphore(0)

    def read(_connection: Connection, _chain: str, _ids: Sequence[UUID], _now: datetime) -> None:
        done.release()

    made = Worker(engine, "assess", read, IngestMetrics())
    made.start()
    try:
        for each in (ONE, TWO):
            enqueue(engine, each)
            assert done.acquire(timeout=20)
    finally:
        made.stop(timeout_s=0)
        enqueue(engine, ONE)  # wakes it to its end
        made.stop()
