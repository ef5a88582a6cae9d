"""Batches as ranges of the outbox: where the sent part ends, what a batch is called, what is in it.

Everything here runs inside the writer's transaction. When to seal and settle is `outbox`'s business.
"""

import sqlite3
from uuid import UUID, uuid5

BATCHES = UUID("6f0f1f5e-6b0c-5d0a-9d5b-0a3f6f6b8a11")
"""Namespace of batch ids."""


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
