"""The one thread that owns the outbox's connection: what is waiting becomes one commit, and nobody waits for more.

It knows nothing about readings; what a job does is `outbox`'s, what to do with a damaged file `salvage`'s.

A caller that is alone is committed at once. While a commit waits for the disk, others queue up and become the next
one, so eight meters at a dock cost about two synced commits, not eight.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from gateway.buffer.schema import LOG_BYTES, PAGE_BYTES, is_damage
from gateway.logged import failing

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_GROUP_JOBS = 512
"""One commit takes at most this many jobs, so that the first of a storm does not wait for the last."""
MAX_WAITING_JOBS = 4096
"""More callers than this are not meters but a fault somewhere; they are refused rather than kept in memory."""
CHECKPOINT_EVERY_BYTES = LOG_BYTES
"""Done after callers were answered, and not inside somebody's commit."""
FRAMES_PER_COMMIT = 4
"""A small commit changes a table page and an index page, padded to a sector; only that estimate uses it."""

Outcome: TypeAlias = tuple[Any, BaseException | None]


class Overloaded(RuntimeError):
    """More than MAX_WAITING_JOBS calls are waiting for the disk."""


class Closed(RuntimeError):
    """The outbox was closed."""


@dataclass(slots=True, kw_only=True)
class _Job(Generic[T]):
    run: Callable[[sqlite3.Connection], T]  # inside the transaction; may be run again after a rollback
    committed: Callable[[T], None] | None  # on this thread, after the commit
    size: int
    future: asyncio.Future[T] = field(repr=False)


class Writer:
    """Runs jobs in transactions on a thread of its own.

    `recover` is called on that thread when SQLite reports a damaged file; it returns a connection to a sound one.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, recover: Callable[[sqlite3.Connection], sqlite3.Connection]
    ) -> None:
        self._connection = connection
        self._recover = recover
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._since_checkpoint = 0
        self._thread = threading.Thread(target=self._work, name="outbox-writer", daemon=True)
        self._thread.start()

    async def do(
        self,
        run: Callable[[sqlite3.Connection], T],
        *,
        committed: Callable[[T], None] | None = None,
        size: int = 0,
    ) -> T:
        """What `run` returns, once its transaction is on the disk; `size` is about how many bytes it writes."""
        if self._closed:
            raise Closed("the outbox is closed")
        if self._jobs.qsize() >= MAX_WAITING_JOBS:
            raise Overloaded(f"{MAX_WAITING_JOBS} calls are waiting for the disk")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(run=run, committed=committed, size=size, future=future))
        return await future

    async def close(self) -> None:
        """Finishes what is queued, folds the log into the file and ends the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        ended = False
        while not ended:
            group, ended = self._take()
            if group:
                outcomes = self._commit_or_recover(group)
                _answer(zip(group, outcomes, strict=True))
                self._checkpoint_when_due(sum(job.size for job in group))
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _take(self) -> tuple[list[_Job[Any]], bool]:
        group: list[_Job[Any]] = []
        job = self._jobs.get()
        while True:
            if job is None:
                return group, True
            group.append(job)
            if len(group) >= MAX_GROUP_JOBS:
                return group, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group, False

    def _commit_or_recover(self, group: list[_Job[Any]]) -> list[Outcome]:
        outcomes = self._commit(group)
        if not any(is_damage(error) for _, error in outcomes):
            return outcomes
        log.error("outbox.damaged_while_open")
        try:
            self._connection = self._recover(self._connection)
        except Exception as error:
            log.error("outbox.recovery_failed %s", failing(error))
            return [(None, error)] * len(group)
        # What had been committed is in the salvaged file, and every job may be run twice.
        return self._commit(group)

    def _commit(self, group: list[_Job[Any]]) -> list[Outcome]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [job.run(self._connection) for job in group]
            self._connection.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            if len(group) == 1 or is_damage(error):
                return [(None, error)] * len(group)
            # One caller's refusal is not another's: each again, on its own.
            return [self._commit([job])[0] for job in group]
        for job, result in zip(group, results, strict=True):
            if job.committed is not None:
                job.committed(result)
        return [(result, None) for result in results]

    def _checkpoint_when_due(self, written: int) -> None:
        if written:
            self._since_checkpoint += written + FRAMES_PER_COMMIT * PAGE_BYTES
        if self._since_checkpoint >= CHECKPOINT_EVERY_BYTES:
            self._since_checkpoint = 0
            with contextlib.suppress(sqlite3.Error):  # a commit meets the same fault, and has somebody to tell
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _answer(answered: Iterable[tuple[_Job[Any], Outcome]]) -> None:
    """Wakes each event loop once for its whole group."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for job, outcome in answered:
        by_loop.setdefault(job.future.get_loop(), []).append((job.future, outcome))
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended; the work is on the disk all the same
            loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, (result, error) in futures:
        if future.done():  # its caller was cancelled
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
