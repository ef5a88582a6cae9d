"""What the outbox forgets: received readings and raw bytes, a week after a trusted clock first saw them.

Whether a clock is to be trusted is `gateway.health`'s judgement, handed in. Unsent readings are never touched.

Ages are not read off the rows. A Pi without a battery clock stamps rows 1970, or last Tuesday, until NTP answers,
and a rule that compares those stamps with today's date deletes what was saved minutes ago (thingsboard-gateway
3.8.5's SQLite store does). Instead a trusted clock now and then notes how far the rows had reached; a week later,
everything up to that note is a week old whatever its stamp says.
"""

import sqlite3
from typing import NamedTuple

from gateway.buffer.ranges import sent_up_to

KEEP_US = 7 * 24 * 3600 * 1_000_000
"""Local history: long enough to settle a question about last weekend at the counter."""
NOTE_EVERY_US = 3600 * 1_000_000
"""Precision of the above; 168 notes in a week."""
EVERYTHING = 2**62
BATCHES_PER_STEP = 5
ROWS_PER_STEP = 1000
"""One transaction deletes at most this much, so that a meter never waits for a clean-up."""


class Freed(NamedTuple):
    """What one step deleted: rows of any kind, and how many bytes of the journal."""

    rows: int
    journal_bytes: int


NOTHING = Freed(0, 0)


def note_reached(connection: sqlite3.Connection, now_us: int) -> None:
    """Notes, at most hourly, how far the rows have reached at a trusted `now_us`."""
    # The clock was ahead and has been corrected: what it noted then is not true.
    connection.execute("DELETE FROM reached WHERE at_us > ?", (now_us,))
    connection.execute(
        "INSERT INTO reached (at_us, settled_seq, journal_seq) "
        "SELECT ?, ?, ifnull((SELECT max(seq) FROM journal), 0) "
        "WHERE NOT EXISTS (SELECT 1 FROM reached WHERE at_us > ?)",
        (now_us, sent_up_to(connection), now_us - NOTE_EVERY_US),
    )


def expire(connection: sqlite3.Connection, now_us: int) -> Freed:
    """Deletes one step of what has aged; NOTHING when done."""
    due = connection.execute(
        "SELECT max(at_us), max(settled_seq), max(journal_seq) FROM reached WHERE at_us <= ?", (now_us - KEEP_US,)
    ).fetchone()
    if due[0] is None:
        return NOTHING
    noted_at, settled_seq, journal_seq = due
    history = _drop_history(connection, settled_seq)
    journal = _drop_journal(connection, journal_seq, ROWS_PER_STEP)
    if not history and not journal.rows:
        connection.execute("DELETE FROM reached WHERE at_us < ?", (noted_at,))
    return Freed(history + journal.rows, journal.journal_bytes)


def give_way(connection: sqlite3.Connection) -> Freed:
    """Deletes one step of history, else of raw bytes, oldest first whatever the age; NOTHING if none is left."""
    # Received readings first: the cloud has them. Nobody else has the raw bytes.
    history = _drop_history(connection, sent_up_to(connection))
    return Freed(history, 0) if history else _drop_journal(connection, EVERYTHING, ROWS_PER_STEP)


def trim_journal(connection: sqlite3.Connection, excess_bytes: int) -> int:
    """Deletes the oldest raw bytes, at least `excess_bytes` or a step of them; returns how many."""
    freed, last = 0, 0
    for seq, size in connection.execute(
        "SELECT seq, length(data) FROM journal ORDER BY seq LIMIT ?", (ROWS_PER_STEP,)
    ):
        if freed >= excess_bytes:
            break
        freed, last = freed + size, seq
    connection.execute("DELETE FROM journal WHERE seq <= ?", (last,))
    return freed


def _drop_history(connection: sqlite3.Connection, up_to_seq: int) -> int:
    """Whole batches only, so that a batch row either finds all its readings or none; see `ranges.newest_fits`."""
    oldest = connection.execute("SELECT ifnull(min(seq), 0) FROM reading").fetchone()[0]
    ranges = connection.execute(
        "SELECT first_seq, last_seq FROM batch WHERE last_seq BETWEEN ? AND ? AND outcome IS NOT NULL "
        "ORDER BY last_seq LIMIT ?",
        (oldest, up_to_seq, BATCHES_PER_STEP),
    ).fetchall()
    if not ranges:
        return 0
    last_seq = ranges[-1][1]
    deleted = connection.execute("DELETE FROM reading WHERE seq <= ?", (last_seq,)).rowcount
    # The newest batch row stays: it says where the sent part ends.
    connection.execute(
        "DELETE FROM batch WHERE last_seq <= ? "
        "AND last_seq < (SELECT max(last_seq) FROM batch WHERE outcome IS NOT NULL)",
        (last_seq,),
    )
    return deleted


def _drop_journal(connection: sqlite3.Connection, up_to_seq: int, limit: int) -> Freed:
    rows, size, last_seq = connection.execute(
        "SELECT count(*), ifnull(sum(length(data)), 0), max(seq) FROM "
        "(SELECT seq, data FROM journal WHERE seq <= ? ORDER BY seq LIMIT ?)",
        (up_to_seq, limit),
    ).fetchone()
    connection.execute("DELETE FROM journal WHERE seq <= ?", (last_seq,))
    return Freed(rows, size)
