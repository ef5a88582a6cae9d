"""Opens the outbox file, or moves a damaged one aside and goes on with what could be salvaged.

    <directory>/lock             held while a gateway runs
    <directory>/live/            the outbox file and its log
    <directory>/damaged-001/     a damaged one as it was found, kept until a person removes it, and salvage.json

How rows are salvaged is `salvage`'s; what they mean is `outbox`'s.
"""

import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from gateway.buffer import ranges, schema
from gateway.buffer.salvage import add_carved, carve, frames, lost_behind, salvage

log = logging.getLogger(__name__)

LIVE = "live"
REPORT = "salvage.json"


class OutboxInUse(RuntimeError):
    """Another gateway process has this outbox."""


class _Damaged(Exception):
    """The live file cannot be trusted; `why` is the class."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def lock(directory: Path) -> int:
    """Takes the outbox for this process until the descriptor is closed; raises OutboxInUse."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise OutboxInUse(f"another gateway is running on {directory}; stop it first") from None
    return descriptor


def open_or_salvage(directory: Path, *, gateway: str, now_us: Callable[[], int]) -> sqlite3.Connection:
    """A connection to a sound, migrated outbox; raises OutboxTooNew, and sqlite3.Error if the disk fails."""
    try:
        connection = _open(directory / LIVE, gateway, now_us())
    except _Damaged as damage:
        set_aside(directory, damage.why)
        connection = _open(directory / LIVE, gateway, now_us())
    for folder in damaged_folders(directory):
        # Also one that an earlier start moved aside and was cut off before it had salvaged.
        if not (folder / REPORT).exists():
            result = asdict(salvage(folder, connection, gateway=gateway, now_us=now_us()))
            _write_durably(folder / REPORT, json.dumps(result).encode())
            log.error(
                "outbox.salvaged folder=%s rows=%d carved=%d journal=%d",
                *(folder.name, result["rows"], result["carved"], result["journal"]),
            )
    return connection


def set_aside(directory: Path, why: str) -> Path:
    """Moves the live folder out of the way in one rename, so that no crash can part a file from its log."""
    number = 1 + max((int(folder.name[-3:]) for folder in damaged_folders(directory)), default=0)
    # Numbered, not dated: a Pi that has just lost power may believe it is 1970.
    folder = directory / f"damaged-{number:03d}"
    (directory / LIVE).rename(folder)
    schema.sync_directory(directory)
    log.error("outbox.set_aside folder=%s why=%s", folder.name, why)
    return folder


def damaged_folders(directory: Path) -> list[Path]:
    """The folders of damaged outboxes, oldest first."""
    return sorted(directory.glob("damaged-[0-9][0-9][0-9]"))


def _open(live: Path, gateway: str, now_us: int) -> sqlite3.Connection:
    if not live.exists():
        live.mkdir()
        schema.sync_directory(live.parent)
    file, wal = live / schema.FILE_NAME, live / f"{schema.FILE_NAME}-wal"
    file_bytes = file.stat().st_size if file.exists() else 0
    logged = frames(wal)
    if logged is None:
        raise _Damaged("log_header")
    if file_bytes == 0 and logged:
        raise _Damaged("file_without_content")  # SQLite would take the log for a leftover and delete it
    # SQLite stops at the first bad frame and forgets the rest; what was measured is worth a look before that.
    in_log = list(carve(wal))
    try:
        connection = schema.connect(file)
    except sqlite3.DatabaseError as error:
        raise _damage_or(error) from None
    try:
        schema.refuse_newer(connection)
        if file_bytes and not schema.is_sound(connection):
            raise _Damaged("integrity_check")
        schema.migrate(connection)
        _busy, understood, _moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if lost_behind(logged, max(understood, 0)):
            raise _Damaged("log_broken")
        if not ranges.newest_fits(connection, gateway):
            raise _Damaged("batch_range")
        connection.execute("BEGIN IMMEDIATE")
        found = add_carved(in_log, connection, now_us=now_us)
        connection.execute("COMMIT")
        if found:
            log.warning("outbox.found_in_log rows=%d", found)
    except sqlite3.DatabaseError as error:
        schema.close_leaving_log(connection, file)
        raise _damage_or(error) from None
    except BaseException:
        schema.close_leaving_log(connection, file)
        raise
    schema.sync_directory(live)
    schema.lengthen_log(wal)
    return connection


def _damage_or(error: sqlite3.DatabaseError) -> Exception:
    return _Damaged("unreadable") if schema.is_damage(error) else error


def _write_durably(file: Path, data: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    schema.sync_directory(file.parent)
