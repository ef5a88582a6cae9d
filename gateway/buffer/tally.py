"""The figures of the outbox, kept by the writer so that nobody counts rows to draw a screen.

Who is shown them, and as what, is `outbox`'s.
"""

import sqlite3
from dataclasses import dataclass

from gateway.buffer import ranges


@dataclass(slots=True)
class Tally:
    """Changed only by whoever has the writer's connection, after a commit; read from anywhere."""

    next_seq: int = 1
    next_journal_seq: int = 1
    unsent: int = 0
    oldest_unsent_us: int | None = None
    journal_bytes: int = 0
    damaged: int = 0


def count(connection: sqlite3.Connection, *, damaged_files: int) -> Tally:
    """The tally of an outbox just opened."""

    def one(query: str, *values: int) -> int:
        return int(connection.execute(query, values).fetchone()[0] or 0)

    sent = ranges.sent_up_to(connection)
    return Tally(
        # Never a number that was used before: the order of the rows is the order they were saved in.
        next_seq=1
        + max(
            one("SELECT max(seq) FROM reading"),
            one("SELECT max(last_seq) FROM batch"),
            one("SELECT max(seq) FROM spoiled"),
        ),
        next_journal_seq=1 + max(one("SELECT max(seq) FROM journal"), one("SELECT max(journal_seq) FROM reached")),
        unsent=one("SELECT count(*) FROM reading WHERE seq > ?", sent),
        oldest_unsent_us=ranges.oldest_unsent_us(connection, sent),
        journal_bytes=one("SELECT sum(length(data)) FROM journal"),
        damaged=damaged_files + one("SELECT count(*) FROM spoiled"),
    )
