"""A store's outbox: readings are on the disk when `put` returns, and stay until the cloud's receipt is settled.
What somebody answered about one is kept and sent in the same way, behind it.

Carrying batches is `gateway.uplink`'s, deciding what is a reading `gateway.vouch`'s. Behind this door: `writer`
(one connection, group commit), `schema` (the file), `ranges` (batches), `held` (what it hands out), `opening` and
`salvage` (damage), `limits` and `retention` (the disk).
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from gateway.buffer import opening, ranges, retention
from gateway.buffer.held import Held, HeldState, OutboxStats, SealedBatch, held
from gateway.buffer.limits import Limits, OutboxFull, Room, free_mb
from gateway.buffer.opening import OutboxInUse
from gateway.buffer.schema import FILE_NAME, OutboxTooNew, close_leaving_log, seal, unseal
from gateway.buffer.tally import Tally, count
from gateway.buffer.times import microseconds, moment
from gateway.buffer.writer import Overloaded, Writer
from gateway.wire import codec
from gateway.wire.messages import MAX_BATCH_READINGS, Answer, Outcome, Reading, Receipt

__all__ = [
    "Held",
    "HeldState",
    "Limits",
    "Outbox",
    "OutboxFull",
    "OutboxInUse",
    "OutboxStats",
    "OutboxTooNew",
    "SealedBatch",
]

log = logging.getLogger(__name__)
T = TypeVar("T")


class Outbox:
    """See the module. Made by `open`; every method may be called from many tasks at once."""

    def __init__(
        self, directory: Path, *, gateway: str, clock: Callable[[], datetime], limits: Limits, lock: int
    ) -> None:
        self.gateway = gateway
        self._directory = directory
        self._clock = clock
        self._limits = limits
        self._lock = lock
        self._room = Room(directory, limits)
        self._tally = Tally()
        self._saved = asyncio.Event()
        self._writer = Writer(self._start(), recover=self._recover)

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        gateway: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        limits: Limits | None = None,
    ) -> "Outbox":
        """The outbox in `directory`, made, repaired or brought up to date as needed.

        Raises OutboxInUse, OutboxTooNew, or sqlite3.Error and OSError where the disk itself fails.
        """

        def start() -> "Outbox":
            lock = opening.lock(directory)
            try:
                return cls(directory, gateway=gateway, clock=clock, limits=limits or Limits(), lock=lock)
            except BaseException:
                os.close(lock)
                raise

        return await asyncio.to_thread(start)

    async def put(self, readings: Sequence[Reading]) -> int:
        """Saves `readings` in order, all or none, and returns how many were new, once they are on the disk.

        A reading whose id is here already is not saved twice. Raises OutboxFull, and codec.Undecodable for what
        the cloud would refuse: better an error here, where the raw bytes are journalled, than a dead letter there.
        """
        return await self._keep([(one.id.bytes, seal(codec.encode_reading(one)), False) for one in readings])

    async def put_answer(self, answer: Answer) -> int:
        """Saves `answer` as `put` saves a reading: on the disk on return, sent after what was saved before it."""
        return await self._keep([(answer.id.bytes, seal(codec.encode_answer(answer)), True)])

    async def _keep(self, rows: Sequence[tuple[bytes, bytes, bool]]) -> int:
        saved_us = microseconds(self._clock())
        size = sum(len(body) for _, body, _ in rows)

        def run(connection: sqlite3.Connection) -> tuple[int, int]:
            trimmed = self._room.take(connection, size)
            first = self._tally.next_seq
            self._tally.next_seq += len(rows)
            added = connection.executemany(
                "INSERT INTO reading (seq, saved_us, id, body, is_answer) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                [(seq, saved_us, *row) for seq, row in enumerate(rows, first)],
            )
            return added.rowcount, trimmed

        def committed(outcome: tuple[int, int]) -> None:
            new, trimmed = outcome
            if new and not self._tally.unsent:
                self._tally.oldest_unsent_us = saved_us
            self._tally.unsent += new
            self._tally.journal_bytes -= trimmed

        new, _ = await self._do(run, committed=committed, size=size) if rows else (0, 0)
        if new:
            self._saved.set()
        return new

    async def journal(self, conversation: UUID, at: datetime, channel: str, data: bytes) -> None:
        """Keeps raw bytes of a meter, before anybody decodes them. On the disk on return; raises OutboxFull."""
        body = seal(data)

        def run(connection: sqlite3.Connection) -> int:
            trimmed = self._room.take(connection, len(body))
            excess = self._tally.journal_bytes - trimmed + len(body) - self._limits.journal_max_bytes
            trimmed += retention.trim_journal(connection, excess) if excess > 0 else 0
            connection.execute(
                "INSERT INTO journal (seq, conversation, at_us, channel, data) VALUES (?, ?, ?, ?, ?)",
                (self._tally.next_journal_seq, conversation.bytes, microseconds(at), channel, body),
            )
            self._tally.next_journal_seq += 1
            return len(body) - trimmed

        def committed(grown: int) -> None:
            self._tally.journal_bytes += grown

        await self._do(run, committed=committed, size=len(body))

    async def journal_of(self, conversation: UUID) -> list[tuple[datetime, str, bytes]]:
        """The raw bytes of one conversation as (at, channel, data), in the order they arrived."""

        def run(connection: sqlite3.Connection) -> list[tuple[int, str, bytes]]:
            return connection.execute(
                "SELECT at_us, channel, data FROM journal WHERE conversation = ? ORDER BY seq",
                (conversation.bytes,),
            ).fetchall()

        entries = [(moment(at_us), channel, unseal(data)) for at_us, channel, data in await self._do(run)]
        whole = [(at, channel, data) for at, channel, data in entries if data is not None]
        if len(whole) < len(entries):
            log.error("outbox.journal_spoiled entries=%d", len(entries) - len(whole))
        return whole

    async def unended(self, began: str, ended: str, limit: int) -> list[UUID]:
        """Conversations whose journal has a row of channel `began` and none of channel `ended`, oldest first."""

        def run(connection: sqlite3.Connection) -> list[tuple[bytes]]:
            return connection.execute(
                "SELECT conversation FROM journal WHERE channel = ? AND conversation NOT IN"
                " (SELECT conversation FROM journal WHERE channel = ?) ORDER BY seq LIMIT ?",
                (began, ended, limit),
            ).fetchall()

        return [UUID(bytes=conversation) for (conversation,) in await self._do(run)]

    async def unsent(self) -> None:
        """Returns when there is a reading to send; at once if there is one now."""
        while not self._tally.unsent:
            self._saved.clear()
            await self._saved.wait()

    async def next_batch(self, limit: int = MAX_BATCH_READINGS) -> SealedBatch | None:
        """The oldest unsent readings as a batch, None if all were sent. The same batch until it is settled."""
        sealed_us = microseconds(self._clock())

        def run(connection: sqlite3.Connection) -> tuple[SealedBatch | None, int]:
            spoiled = 0
            while True:
                first_seq, last_seq, sent_us, rows = ranges.to_send(connection, limit, sealed_us)
                if not rows:
                    return None, spoiled
                bad = [seq for seq, body, _ in rows if unseal(body) is None]
                if not bad:
                    break
                # The disk changed what it was given. Its raw bytes are in the journal; a person must look.
                spoiled += ranges.move_spoiled(connection, bad)
                connection.execute("DELETE FROM batch WHERE last_seq = ? AND outcome IS NULL", (last_seq,))
            sealed = ranges.batch_id(connection, self.gateway, first_seq, last_seq)
            connection.execute(
                "INSERT OR IGNORE INTO batch (last_seq, first_seq, id, sealed_us) VALUES (?, ?, ?, ?)",
                (last_seq, first_seq, sealed.bytes, sent_us),
            )
            sent = moment(sent_us)
            payload = codec.join_batch(
                id=sealed,
                gateway=self.gateway,
                sent=sent,
                readings=[body[:-4] for _, body, is_answer in rows if not is_answer],
                answers=[body[:-4] for _, body, is_answer in rows if is_answer],
            )
            return SealedBatch(id=sealed, sent=sent, payload=payload), spoiled

        def committed(outcome: tuple[SealedBatch | None, int]) -> None:
            batch, spoiled = outcome
            if spoiled:
                log.error("outbox.spoiled rows=%d", spoiled)
                self._tally.damaged += spoiled
            self._tally.unsent = 0 if batch is None else self._tally.unsent - spoiled

        batch, _ = await self._do(run, committed=committed)
        return batch

    async def settle(self, receipt: Receipt) -> list[UUID]:
        """Lets go of the batch `receipt` is for, and returns the readings that are now in the cloud's ledger.

        A receipt for any other batch than the open one changes nothing and returns no ids.
        """
        settled_us = microseconds(self._clock())

        def run(connection: sqlite3.Connection) -> tuple[list[UUID], int, int | None]:
            row = connection.execute(
                "SELECT first_seq, last_seq FROM batch WHERE outcome IS NULL AND id = ?", (receipt.batch.bytes,)
            ).fetchone()
            if row is None:
                return [], 0, None
            connection.execute(
                "UPDATE batch SET outcome = ?, reason = ?, settled_us = ? WHERE last_seq = ?",
                (receipt.outcome.value, receipt.reason, settled_us, row[1]),
            )
            rows = connection.execute(
                "SELECT id, is_answer FROM reading WHERE seq BETWEEN ? AND ? ORDER BY seq", row
            ).fetchall()
            ids = [UUID(bytes=key) for key, is_answer in rows if not is_answer]
            return ids, len(rows), ranges.oldest_unsent_us(connection, row[1])

        def committed(outcome: tuple[list[UUID], int, int | None]) -> None:
            if outcome[1]:
                self._tally.unsent -= outcome[1]
                self._tally.oldest_unsent_us = outcome[2]

        ids, _, _ = await self._do(run, committed=committed)
        return ids if receipt.outcome is Outcome.ACCEPTED else []

    async def recent(self, limit: int) -> list[Held]:
        """The last `limit` readings of this store, newest first, with how far each has come."""

        def run(connection: sqlite3.Connection) -> list[Held]:
            rows = connection.execute(
                "SELECT reading.body, reading.saved_us, batch.outcome FROM reading LEFT JOIN batch "
                "ON batch.last_seq = (SELECT min(last_seq) FROM batch WHERE last_seq >= reading.seq) "
                "WHERE NOT reading.is_answer ORDER BY reading.seq DESC LIMIT ?",
                (limit,),
            ).fetchall()
            return [one for row in rows if (one := held(*row)) is not None]

        return await self._do(run)

    async def recent_answers(self, limit: int) -> list[Answer]:
        """The last `limit` answers given in this store, newest first."""

        def run(connection: sqlite3.Connection) -> list[tuple[bytes]]:
            return connection.execute(
                "SELECT body FROM reading WHERE is_answer ORDER BY seq DESC LIMIT ?", (limit,)
            ).fetchall()

        answers = []
        for (body,) in await self._do(run):
            with suppress(codec.Undecodable):  # saved by newer software: sent as it is, but not for this one
                answers.append(codec.decode_answer(unseal(body) or b""))
        return answers

    async def mark(self, driver: str, device_key: str) -> str | None:
        """What `driver` last remembered of this meter."""

        def run(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT value FROM mark WHERE driver = ? AND device = ?", (driver, device_key)
            ).fetchone()
            return None if row is None else str(row[0])

        return await self._do(run)

    async def set_mark(self, driver: str, device_key: str, value: str) -> None:
        """Remembers `value` for this meter; on the disk on return."""

        def run(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO mark (driver, device, value) VALUES (?, ?, ?) "
                "ON CONFLICT (driver, device) DO UPDATE SET value = excluded.value",
                (driver, device_key, value),
            )

        await self._do(run, size=len(value))

    def stats(self) -> OutboxStats:
        """The present figures; costs nothing."""
        tally = self._tally
        oldest_us = tally.oldest_unsent_us if tally.unsent else None
        return OutboxStats(
            unsent=tally.unsent,
            oldest_unsent_at=None if oldest_us is None else moment(oldest_us),
            disk_free_mb=free_mb(self._directory),
            journal_bytes=tally.journal_bytes,
            damaged=tally.damaged,
        )

    async def housekeep(self, now: datetime, *, clock_trusted: bool) -> int:
        """Forgets received readings and raw bytes older than a week; returns how many rows.

        Does nothing unless the clock is trusted, and never touches an unsent reading. Call it about hourly.
        """
        if not clock_trusted:
            return 0
        now_us = microseconds(now)
        await self._do(lambda connection: retention.note_reached(connection, now_us))

        def committed(freed: retention.Freed) -> None:
            self._tally.journal_bytes -= freed.journal_bytes

        deleted = 0
        while step := (
            await self._do(lambda connection: retention.expire(connection, now_us), committed=committed)
        ).rows:
            deleted += step
        return deleted

    async def close(self) -> None:
        """Finishes what was asked for and leaves one tidy file."""
        await self._writer.close()
        os.close(self._lock)

    async def _do(
        self,
        run: Callable[[sqlite3.Connection], T],
        *,
        committed: Callable[[T], None] | None = None,
        size: int = 0,
    ) -> T:
        try:
            return await self._writer.do(run, committed=committed, size=size)
        except Overloaded as error:
            raise OutboxFull(str(error)) from None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise OutboxFull("the disk is full") from None
            raise

    def _start(self) -> sqlite3.Connection:
        connection = opening.open_or_salvage(
            self._directory, gateway=self.gateway, now_us=lambda: microseconds(self._clock())
        )
        self._tally = count(connection, damaged_files=len(opening.damaged_folders(self._directory)))
        return connection

    def _recover(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        close_leaving_log(connection, self._directory / opening.LIVE / FILE_NAME)
        opening.set_aside(self._directory, "found_while_open")
        return self._start()
