"""What can still be read of a damaged outbox, row by row, and what its raw bytes still hold.

When a file counts as damaged and where it is moved is `opening`'s decision. Nothing here writes to the damaged
file. Reading ids come from the physical event, so bringing back a reading that had long been sent is harmless:
salvage takes everything it can verify and asks nothing about its past.
"""

import mmap
import re
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from gateway.buffer.ranges import batch_id
from gateway.buffer.schema import FILE_NAME, PAGE_BYTES, connect_to_read, seal, unseal

_READING_STARTS = re.compile(rb'\{"id":"[0-9a-f]{8}-')
LONGEST_READING_BYTES = 4 * PAGE_BYTES
"""Bounds the search. A reading longer than a page is split over pages and found by its row or not at all."""
WAL_HEADER = struct.Struct(">8I")
WAL_FRAME_HEADER = struct.Struct(">6I")
WAL_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}  # sqlite.org/fileformat2.html 4.1: how the checksums were computed


class _Identified(msgspec.Struct):
    """Enough of a reading, or of an answer, which alone says `what` it answers."""

    id: UUID
    what: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What was brought over: readings by their rows, readings found in the raw bytes, journal entries."""

    rows: int
    carved: int
    journal: int


def salvage(damaged: Path, into: sqlite3.Connection, *, gateway: str, now_us: int) -> Salvaged:
    """Copies what is sound in folder `damaged` into an open, migrated outbox, in one transaction."""
    into.execute("BEGIN IMMEDIATE")
    try:
        rows, journal = _copy_rows(damaged / FILE_NAME, into, gateway)
        found = (body for name in (FILE_NAME, f"{FILE_NAME}-wal") for body in carve(damaged / name))
        carved = add_carved(found, into, now_us=now_us)
        into.execute("COMMIT")
    except BaseException:
        into.execute("ROLLBACK")
        raise
    return Salvaged(rows=rows, carved=carved, journal=journal)


def add_carved(bodies: Iterable[bytes], into: sqlite3.Connection, *, now_us: int) -> int:
    """Adds readings found by `carve` that the outbox does not have, at its end; returns how many."""
    added = 0
    for payload in bodies:
        try:
            found = msgspec.json.decode(payload, type=_Identified)
        except msgspec.MsgspecError:
            continue  # the checksum matched something that is no reading: not ours to send
        key = found.id.bytes
        added += into.execute(
            "INSERT INTO reading (seq, id, saved_us, body, is_answer) SELECT "
            "1 + max((SELECT ifnull(max(seq), 0) FROM reading), (SELECT ifnull(max(last_seq), 0) FROM batch)), "
            "?, ?, ?, ? "
            "WHERE NOT EXISTS (SELECT 1 FROM reading WHERE id = ?) "
            "AND NOT EXISTS (SELECT 1 FROM spoiled WHERE id = ?)",
            (key, now_us, seal(payload), found.what is not None, key, key),
        ).rowcount
    return added


def carve(file: Path) -> Iterator[bytes]:
    """Every reading that lies whole in the bytes of `file`, whatever became of its tables, by its checksum."""
    if not file.exists() or file.stat().st_size == 0:
        return
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        for match in _READING_STARTS.finditer(raw):
            piece = raw[match.start() : match.start() + LONGEST_READING_BYTES]
            end = piece.find(b"}")
            while end != -1:
                if zlib.crc32(piece[: end + 1]).to_bytes(4, "big") == piece[end + 1 : end + 5]:
                    yield piece[: end + 1]
                    break
                end = piece.find(b"}", end + 1)


def frames(wal: Path) -> list[tuple[int, bool]] | None:
    """(page, ends a transaction) of each frame of the log's present generation; None if its header is damaged."""
    if not wal.exists() or wal.stat().st_size <= WAL_HEADER.size:
        return []
    found = []
    with wal.open("rb") as opened:
        header = opened.read(WAL_HEADER.size)
        if not any(header) and not any(opened.read()):
            return []  # made long in advance (`schema.lengthen_log`), and nothing was ever committed
        magic, _format, page_bytes, _, salt1, salt2, *checksum = WAL_HEADER.unpack(header)
        if magic not in WAL_MAGIC or _wal_checksum(header[:24], WAL_MAGIC[magic]) != tuple(checksum):
            return None
        for at in range(WAL_HEADER.size, wal.stat().st_size, WAL_FRAME_HEADER.size + page_bytes):
            opened.seek(at)
            head = opened.read(WAL_FRAME_HEADER.size)
            if len(head) == WAL_FRAME_HEADER.size:
                page, size_after, frame_salt1, frame_salt2, _, _ = WAL_FRAME_HEADER.unpack(head)
                if (frame_salt1, frame_salt2) != (salt1, salt2):
                    # A hole in the log reads as a stale frame; what lies behind it still counts.
                    page, size_after = 0, 0
                found.append((page, size_after != 0))
    return found


def lost_behind(found: list[tuple[int, bool]], understood: int) -> bool:
    """Whether the log holds transactions that SQLite did not reach and must have synced: damage, not a cut commit.

    `found` is `frames`' answer, `understood` how many frames SQLite accepted. A power cut may leave any frames of
    the commit it interrupted, and may tear the frame that pads the one before (SQLite syncs within it; see
    `schema.connect`). Whatever comes after those two was begun after a sync of the frames that are missing.
    """
    ends, ended_by = 0, 0
    for page, is_end in found[understood:]:
        if ends == 2 and page not in (0, ended_by):
            return True
        if is_end and page != ended_by:  # padding repeats the last frame
            ends, ended_by = ends + 1, page
    return False


def _wal_checksum(data: bytes, order: str) -> tuple[int, int]:
    first = second = 0
    for one, two in struct.iter_unpack(f"{order}2I", data):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second


def _copy_rows(file: Path, into: sqlite3.Connection, gateway: str) -> tuple[int, int]:
    if not file.exists() or file.stat().st_size == 0:
        return 0, 0  # not even opened: SQLite deletes the log of an empty file, also when it may only read
    rows = journal = 0
    with closing(connect_to_read(file)) as damaged:
        for seq, reading_id, saved_us, body in _both_ways(damaged, "reading", "seq", "id, saved_us, body"):
            if isinstance(body, bytes) and (payload := unseal(body)) is not None:
                rows += into.execute(
                    "INSERT OR IGNORE INTO reading (seq, id, saved_us, body, is_answer) VALUES (?, ?, ?, ?, ?)",
                    (seq, reading_id, saved_us, body, _is_answer(payload)),
                ).rowcount
        for seq, conversation, at_us, channel, data in _both_ways(
            damaged, "journal", "seq", "conversation, at_us, channel, data"
        ):
            if isinstance(data, bytes) and unseal(data) is not None:
                journal += into.execute(
                    "INSERT OR IGNORE INTO journal (seq, conversation, at_us, channel, data) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (seq, conversation, at_us, channel, data),
                ).rowcount
        for driver, device, value in _until_damage(damaged, "SELECT driver, device, value FROM mark"):
            into.execute(
                "INSERT OR IGNORE INTO mark (driver, device, value) VALUES (?, ?, ?)", (driver, device, value)
            )
        for row in _both_ways(damaged, "spoiled", "seq", "id, saved_us, body, reason"):
            into.execute(
                "INSERT OR IGNORE INTO spoiled (seq, id, saved_us, body, reason) VALUES (?, ?, ?, ?, ?)", row
            )
        for last_seq, first_seq, *rest in _both_ways(
            damaged, "batch", "last_seq", "first_seq, id, sealed_us, outcome, reason, settled_us"
        ):
            # Believed only if its id is that of the readings it claims: a wrong range would hide unsent ones. What
            # is not believed is sent again.
            settled = rest[2] is not None
            if settled and rest[0] == batch_id(into, gateway, first_seq, last_seq).bytes:
                into.execute(
                    "INSERT OR IGNORE INTO batch (last_seq, first_seq, id, sealed_us, outcome, reason, "
                    "settled_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (last_seq, first_seq, *rest),
                )
    return rows, journal


def _is_answer(payload: bytes) -> bool:
    # Its own word, not the column's: the damaged file may be from before there was one.
    try:
        return msgspec.json.decode(payload, type=_Identified).what is not None
    except msgspec.MsgspecError:
        return False


def _both_ways(damaged: sqlite3.Connection, table: str, key: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `table` up to the first damaged page from the front, then from the back."""
    for order in ("ASC", "DESC"):
        yield from _until_damage(damaged, f"SELECT {key}, {columns} FROM {table} ORDER BY {key} {order}")  # noqa: S608


def _until_damage(damaged: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    try:
        yield from damaged.execute(query)
    except sqlite3.Error:
        return
