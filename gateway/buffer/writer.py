"""The outbox's one connection and its thread: what is waiting becomes one commit, and nobody waits for more.

It knows nothing about readings; what a job does is `outbox`'s, what to do with a damaged file `salvage`'s.

A caller that is alone is committed at once: on the thread, or where it stands as long as the disk takes less for a
commit than two threads take to wake each other. While a commit waits for the disk, others queue up and become the
next one, so eight meters at a dock cost about two synced commits, not eight.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
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
QUICK_S = 0.001
"""A commit that an event loop can do by itself: it does longer things between two looks at the radio."""
QUICK_IN_A_ROW = 50
"""So many quick commits are a quick disk. One slow commit, and it has to be shown again."""
SMALL_BYTES = 4096
"""A reading or a notification's bytes; a whole memory of readings is a millisecond's work without any disk."""
LET_OTHERS_IN_EVERY_S = 0.002
"""Whoever saves without end would keep the event loop; a turn of it takes a tenth of what a commit takes."""
CROWDED_FOR_S = 1.0
"""Where two callers met, more will: together, on the thread, they are quicker than one after the other."""

Outcome: TypeAlias = tuple[Any, BaseException | None]


class Overloaded(RuntimeError):
    """More than MAX_WAITING_JOBS calls are waiting for the disk."""


class Closed(RuntimeError):
    """The outbox was closed."""


@dataclass(slots=True, kw_only=True)
class _Job(Generic[T]):
    run: Callable[[sqlite3.Connection], T]  # inside the transaction; may be run again after a rollback
    committed: Callable[[T], None] | None  # after the commit, before anybody else has the connection
    size: int
    future: asyncio.Future[T] = field(repr=False)


class Writer:
    """Runs jobs in transactions, one group at a time, for the callers of one event loop.

    `recover` is called on the thread when SQLite reports a damaged file; it returns a connection to a sound one.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, recover: Callable[[sqlite3.Connection], sqlite3.Connection]
    ) -> None:
        self._connection = connection
        self._recover = recover
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._since_checkpoint = 0
        self._turn = threading.Lock()  # whose the connection is: the thread's, or that of a caller who is alone
        self._inside = 0  # callers in `do`
        self._crowded_until_s = 0.0
        self._let_in_s = 0.0  # when a caller who was alone last let others have a turn
        self._quick_in_a_row = 0
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
        loop = asyncio.get_running_loop()
        job: _Job[T] = _Job(run=run, committed=committed, size=size, future=loop.create_future())
        if self._inside:
            self._crowded_until_s = loop.time() + CROWDED_FOR_S
        self._inside += 1
        try:
            if loop.time() >= self._crowded_until_s and self._committed_here(job):
                await self._let_others_in(loop)
            else:
                self._jobs.put(job)
            return await job.future
        finally:
            self._inside -= 1

    async def _let_others_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Still inside, so that who comes in meanwhile sees that there are two."""
        if (now_s := loop.time()) - self._let_in_s >= LET_OTHERS_IN_EVERY_S:
            self._let_in_s = now_s
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Finishes what is queued, folds the log into the file and ends the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _committed_here(self, job: _Job[Any]) -> bool:
        """Whether `job` is done: one small write, where the disk is quick and nobody has the connection."""
        if self._quick_in_a_row < QUICK_IN_A_ROW or not 0 < job.size <= SMALL_BYTES:
            return False
        if self._since_checkpoint >= CHECKPOINT_EVERY_BYTES or not self._turn.acquire(blocking=False):
            return False
        try:
            outcomes = self._commit([job])
        finally:
            self._turn.release()
        if any(is_damage(error) for _, error in outcomes):
            return False  # the thread meets it too, and has the time to recover
        _resolve([(job.future, outcomes[0])])
        return True

    def _work(self) -> None:
        ended = False
        while not ended:
            group, ended = self._take()
            if group:
                with self._turn:
                    outcomes = self._commit_or_recover(group)
                _answer(zip(group, outcomes, strict=True))
                with self._turn:
                    self._checkpoint_when_due()
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
        began_s = time.monotonic()
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
        if written := sum(job.size for job in group):
            self._since_checkpoint += written + FRAMES_PER_COMMIT * PAGE_BYTES
            quick = time.monotonic() - began_s < QUICK_S
            self._quick_in_a_row = self._quick_in_a_row + 1 if quick else 0
        return [(result, None) for result in results]

    def _checkpoint_when_due(self) -> None:
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
