"""How much of the disk the outbox may use, and that it refuses rather than drops when that is used up.

What gives way first is `retention`'s.
"""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from gateway.buffer import retention
from gateway.buffer.schema import PAGE_BYTES

RECHECK_AFTER_BYTES = 1024 * 1024
"""The disk is looked at again after this many bytes: seldom enough to cost nothing, well inside the reserve."""
ROW_OVERHEAD_BYTES = 128
"""Keys, index entry and record header of one row, rounded up."""


class OutboxFull(RuntimeError):
    """The outbox's share of the disk is used up by unsent readings, or the disk is full. Nothing was dropped: what
    was saved is safe, and this one was refused at its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the outbox may take. The smaller of `max_bytes` and `disk_share` of the whole disk counts."""

    max_bytes: int = 1024 * 1024 * 1024  # about a million readings: a store makes a few hundred a day
    disk_share: float = 0.25
    reserve_free_bytes: int = 256 * 1024 * 1024  # left free for logs and updates; a full root disk breaks a Pi
    journal_max_bytes: int = 128 * 1024 * 1024  # a week of the busiest counter is under 10 MB


class Room:
    """Counts what may still be written; used by whoever has the writer's connection."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self._directory = directory
        self._limits = limits
        self._allowed = 0

    def take(self, connection: sqlite3.Connection, size: int) -> int:
        """Sets `size` bytes aside for what is about to be written; raises OutboxFull.

        Returns how many bytes of the journal had to go for it.
        """
        size += ROW_OVERHEAD_BYTES
        gone = 0
        if self._allowed < size:
            while (free := self._free(connection)) < size:
                freed = retention.give_way(connection)
                if not freed.rows:
                    raise OutboxFull("the outbox's share of the disk holds nothing but unsent readings")
                gone += freed.journal_bytes
            self._allowed = min(free, size + RECHECK_AFTER_BYTES)
        self._allowed -= size
        return gone

    def _free(self, connection: sqlite3.Connection) -> int:
        disk = os.statvfs(self._directory)
        total, available = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        pages, unused = (_pragma(connection, name) * PAGE_BYTES for name in ("page_count", "freelist_count"))
        allowed = min(self._limits.max_bytes, int(total * self._limits.disk_share))
        # Unused pages inside the file are room that the disk has already given us.
        return min(allowed - (pages - unused), available - self._limits.reserve_free_bytes + unused)


def free_mb(directory: Path) -> int:
    """Free disk where the outbox is, in MB."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize // (1024 * 1024)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
