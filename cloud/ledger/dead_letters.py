"""What could not be read: kept whole with its reason, listed for people, and handed in again when that may help.

Why something is set aside is decided by `cloud.ingest.intake`; how a person sees the list is the command line's.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from cloud.ledger.tables import dead_letters

_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
MAX_DETAIL = 300
"""A detail names a field and a type; anything longer would be content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message that is set aside. `error` is its class, `detail` never holds a value (see `without_values`).

    `repeats`: every further one like it is the same letter, whatever its bytes (a status sent every half minute).
    """

    topic: str
    payload: bytes
    error: str
    detail: str = ""
    gateway_id: str | None = None
    batch_id: UUID | None = None
    repeats: bool = False

    @property
    def digest(self) -> bytes:
        """What makes a resend the same letter."""
        content = self.error.encode() if self.repeats else self.payload
        return hashlib.sha256(self.topic.encode() + b"\0" + content).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A letter as it is kept."""

    id: int
    topic: str
    gateway_id: str | None
    batch_id: UUID | None
    error: str
    detail: str
    payload: bytes
    received_at: datetime
    replayed_at: datetime | None


_KEPT = tuple(dead_letters.c[name] for name in Kept.__dataclass_fields__)


def without_values(detail: str) -> str:
    """`detail` with everything in quotation marks taken out: decoders quote what they were given."""
    return _QUOTED.sub("'...'", detail)[:MAX_DETAIL]


def put(connection: Connection, letters: Sequence[Letter]) -> None:
    """Keeps letters; the same one again waits again, also after it was once replayed."""
    # One INSERT cannot touch a row twice, and one order for all writers cannot deadlock.
    unique = sorted({letter.digest: letter for letter in letters}.items())
    if not unique:
        return
    statement = insert(dead_letters).values(
        [
            {
                "topic": letter.topic.replace("\0", "�"),
                "gateway_id": letter.gateway_id,
                "batch_id": letter.batch_id,
                "error": letter.error,
                "detail": without_values(letter.detail).replace("\0", "�"),
                "payload": letter.payload,
                "digest": digest,
            }
            for digest, letter in unique
        ]
    )
    connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_={"replayed_at": None}))


def waiting(connection: Connection, *, limit: int, after_id: int = 0) -> list[Kept]:
    """Letters nobody has dealt with, oldest first, from after `after_id`."""
    rows = connection.execute(
        select(*_KEPT)
        .where(dead_letters.c.replayed_at.is_(None), dead_letters.c.id > after_id)
        .order_by(dead_letters.c.id)
        .limit(limit)
    ).mappings()
    return [Kept(**row) for row in rows]


def find(connection: Connection, letter_id: int) -> Kept | None:
    """One letter, waiting or not."""
    row = connection.execute(select(*_KEPT).where(dead_letters.c.id == letter_id)).mappings().first()
    return Kept(**row) if row is not None else None


def mark_replayed(connection: Connection, letter_id: int, at: datetime) -> None:
    """Says that a letter is dealt with; `put` takes that back if it comes again."""
    connection.execute(update(dead_letters).where(dead_letters.c.id == letter_id).values(replayed_at=at))
