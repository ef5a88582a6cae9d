"""The outbox file: its tables, its pragmas, and how an older file is brought up to date.

What the rows mean is `outbox`'s; what happens to a file that cannot be read is `salvage`'s.

Rows are only ever appended. A reading's state is not in its row: batches are ranges of `seq`, sealed and settled
in order, so a receipt for 200 readings changes one row and not 200 (a memory card wears by what is rewritten).
Order and retention go by `seq`, never by a time: a Pi has no clock before NTP.
"""

import os
import sqlite3
import zlib
from contextlib import closing, suppress
from pathlib import Path

FILE_NAME = "outbox.sqlite"
APPLICATION_ID = 0x4B44_4F42
"""'KDOB' in the file's header: an outbox and nothing else."""

PAGE_BYTES = 4096
POWERSAFE_OVERWRITE = 0
"""Do not believe that a torn write leaves its neighbours alone. Memory cards rewrite whole sectors; told so,
SQLite pads each commit to a sector and never again touches one that holds something acknowledged
(sqlite.org/psow.html). tests/gateway/buffer/test_power_cut.py shows what it would lose otherwise."""
LOG_BYTES = 4 * 1024 * 1024
"""As SQLite's own 1000 pages; the writer checkpoints when the log is about that long, and its file stays so."""
WAL_BACKSTOP_PAGES = 8000
"""The writer checkpoints between commits; SQLite itself only steps in if that was impossible for 32 MB."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE reading (
        seq INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        saved_us INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE batch (
        last_seq INTEGER PRIMARY KEY,
        first_seq INTEGER NOT NULL,
        id BLOB NOT NULL,
        sealed_us INTEGER NOT NULL,
        outcome TEXT,
        reason TEXT NOT NULL DEFAULT '',
        settled_us INTEGER
    );
    CREATE TABLE journal (
        seq INTEGER PRIMARY KEY,
        conversation BLOB NOT NULL,
        at_us INTEGER NOT NULL,
        channel TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE TABLE mark (
        driver TEXT NOT NULL,
        device TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (driver, device)
    ) WITHOUT ROWID;
    CREATE TABLE reached (
        at_us INTEGER PRIMARY KEY,
        settled_seq INTEGER NOT NULL,
        journal_seq INTEGER NOT NULL
    );
    CREATE TABLE spoiled (
        seq INTEGER PRIMARY KEY,
        id BLOB NOT NULL,
        saved_us INTEGER NOT NULL,
        body BLOB NOT NULL,
        reason TEXT NOT NULL
    );
    """,
    # An answer about a reading is a row like a reading's: one order, one way out, one way to be kept.
    "ALTER TABLE reading ADD COLUMN is_answer INTEGER NOT NULL DEFAULT 0;",
)
"""Forward only: entry n brings a file of `user_version` n to n + 1; software that knows only n refuses it rather
than guess. Every statement names its columns, so one that older software may ignore does it no harm."""

VERSION = len(MIGRATIONS)


class OutboxTooNew(RuntimeError):
    """The outbox was written by a newer gateway. Nothing was touched; start that newer version again."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"this outbox has format {found}, this software knows up to {VERSION}. Every reading in it is safe "
            f"and nothing was changed. Start the newer gateway software again; it will read and send them."
        )


def connect(file: Path) -> sqlite3.Connection:
    """A connection for the one writer: WAL, every commit on the disk before it returns."""
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?psow={POWERSAFE_OVERWRITE}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=5.0,
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_BACKSTOP_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(file: Path) -> sqlite3.Connection:
    """A connection that cannot write, for looking at an outbox that may be in use or damaged."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0)


def lengthen_log(wal: Path) -> None:
    """Gives the log at once the length it grows to between two checkpoints, in zeros: no frames to SQLite.

    A commit that overwrites what the file has costs a sync of its own bytes. One that makes the file longer costs
    a commit of the file system's journal as well: half as long again, and more wear of the card.
    """
    with suppress(OSError), wal.open("r+b") as opened:  # without it everything works, only slower
        missing = LOG_BYTES - opened.seek(0, os.SEEK_END)
        if missing > 0:
            opened.write(bytes(missing))
            opened.flush()
            os.fdatasync(opened.fileno())


def close_leaving_log(connection: sqlite3.Connection, file: Path) -> None:
    """Closes a damaged file as it is: SQLite's last writer would fold in what it understands of the log and delete
    the rest, which is all that is left of some readings."""
    with closing(connect_to_read(file)) as onlooker:
        with suppress(sqlite3.Error):
            onlooker.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        with suppress(sqlite3.Error):
            connection.close()


def refuse_newer(connection: sqlite3.Connection) -> None:
    """Raises OutboxTooNew if this software does not know the file's format."""
    if version(connection) > VERSION:
        raise OutboxTooNew(version(connection))


def migrate(connection: sqlite3.Connection) -> None:
    """Brings an older file to VERSION, each step in its own transaction."""
    for number in range(version(connection), VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]} "
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number + 1}; COMMIT;"
        )


def version(connection: sqlite3.Connection) -> int:
    """The file's format."""
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def is_sound(connection: sqlite3.Connection) -> bool:
    """Whether every page, index entry and constraint holds; raises sqlite3.DatabaseError where unreadable."""
    answers = connection.execute("PRAGMA integrity_check(1)").fetchall()
    return answers == [("ok",)]


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that the file itself is not what it should be, and not that the disk is full or busy."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code: int = getattr(error, "sqlite_errorcode", 0)
    # An extended code keeps its class in the low byte.
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code in UNREADABLE


UNREADABLE = (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)
"""A sector that cannot be read back is damage; a failed write or sync is not."""


def seal(payload: bytes) -> bytes:
    """`payload` with its checksum behind it: SQLite does not checksum pages, and a card can turn 7.2 into 3.2."""
    return payload + zlib.crc32(payload).to_bytes(4, "big")


def unseal(body: bytes) -> bytes | None:
    """The payload, or None if it is not what was written."""
    payload = body[:-4]
    return payload if zlib.crc32(payload).to_bytes(4, "big") == body[-4:] else None


def sync_directory(directory: Path) -> None:
    """Makes names created, renamed or removed in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
