"""Batches as ranges of the outbox: where the sent part ends, what a batch is called, what is in it.

Everything here runs inside the writer's transaction. When to seal and settle is `outbox`'s business.
"""

import sqlite3
from collections.abc import Sequence
from uuid import UUID, uuid5

from gateway.wire.messages import MAX_BATCH_BYTES, MAX_BATCH_READINGS

BATCHES = UUID("6f0f1f5e-6b0c-5d0a-9d5b-0a3f6f6b8a11")
"""Namespace of batch ids."""
ENVELOPE_BYTES = 512
"""A batch's own fields; what it carries may use the rest of MAX_BATCH_BYTES."""


def batch_id(connection: sqlite3.Connection, gateway: str, first_seq: int, last_seq: int) -> UUID:
    """The id of the batch of these rows. It comes from the readings in it, so the same content is the same batch,
    and a range that was damaged no longer fits its id."""
    ids = connection.execute(
        "SELECT id FROM reading WHERE seq BETWEEN ? AND ? ORDER BY seq", (first_seq, last_seq)
    )
    return uuid5(BATCHES, gateway + b"".join(row[0] for row in ids).hex())


def sent_up_to(connection: sqlite3.Connection) -> int:
    """The last row the cloud has receipted; batches are settled in order, so all before it are too."""
    row = connection.execute("SELECT ifnull(max(last_seq), 0) FROM batch WHERE outcome IS NOT NULL").fetchone()
    return int(row[0])


def newest_fits(connection: sqlite3.Connection, gateway: str) -> bool:
    """Whether the newest batch's range still holds the readings it was made of, or none.

    History is deleted by whole batches. A range that a flipped bit made longer would hide unsent ones for ever.
    """
    newest = connection.execute(
        "SELECT first_seq, last_seq, id FROM batch ORDER BY last_seq DESC LIMIT 1"
    ).fetchone()
    if newest is None:
        return True
    first_seq, last_seq, sealed_as = newest
    empty = batch_id(connection, gateway, 0, -1)
    found = batch_id(connection, gateway, first_seq, last_seq)
    return found == empty or found.bytes == sealed_as


def to_send(
    connection: sqlite3.Connection, limit: int, now_us: int
) -> tuple[int, int, int, list[tuple[int, bytes, bool]]]:
    """(first seq, last seq, sealed, rows) of the open batch, else of one to seal; no rows if all is sent.

    A row is its seq, its body, and whether it is an answer.
    """
    opened = connection.execute(
        "SELECT first_seq, last_seq, sealed_us FROM batch WHERE outcome IS NULL ORDER BY last_seq LIMIT 1"
    ).fetchone()
    if opened is not None:
        rows = connection.execute(
            "SELECT seq, body, is_answer FROM reading WHERE seq BETWEEN ? AND ? ORDER BY seq", opened[:2]
        ).fetchall()
        return *opened, rows
    rows, size = [], ENVELOPE_BYTES
    for seq, body, is_answer in connection.execute(
        "SELECT seq, body, is_answer FROM reading WHERE seq > ? ORDER BY seq LIMIT ?",
        (sent_up_to(connection), min(limit, MAX_BATCH_READINGS)),
    ):
        size += len(body)
        if rows and size > MAX_BATCH_BYTES:
            break
        rows.append((seq, body, is_answer))
    return (rows[0][0], rows[-1][0], now_us, rows) if rows else (0, 0, now_us, [])


def oldest_unsent_us(connection: sqlite3.Connection, sent: int) -> int | None:
    """When the oldest unsent reading was saved, `sent` being the last row the cloud has."""
    row = connection.execute("SELECT saved_us FROM reading WHERE seq > ? ORDER BY seq LIMIT 1", (sent,)).fetchone()
    return None if row is None else int(row[0])


def move_spoiled(connection: sqlite3.Connection, seqs: Sequence[int]) -> int:
    """Puts rows that fail their checksum where a person can look at them; returns how many."""
    for seq in seqs:
        connection.execute(
            "INSERT OR REPLACE INTO spoiled (seq, id, saved_us, body, reason) "
            "SELECT seq, id, saved_us, body, 'checksum' FROM reading WHERE seq = ?",
            (seq,),
        )
        connection.execute("DELETE FROM reading WHERE seq = ?", (seq,))
    return len(seqs)
