"""What people at a dock said about readings: kept once as it came, and applied when the reading is there.

Every function takes the caller's open transaction and never commits. Intake only keeps; `assess` applies before it
judges. So an answer that came before its reading waits for it, whichever of the two transactions is the later.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from cloud.ledger import changes
from cloud.ledger.tables import answers
from gateway.wire.messages import VISITOR, Answer, Asked
from gateway.wire.vocabulary import Meal


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnswer:
    """An answer on its way in; `body` is its JSON exactly as it came."""

    store_id: str
    gateway_id: str
    answer: Answer
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer as it is kept."""

    id: UUID
    reading_id: UUID
    what: str
    values: tuple[str, ...]
    at: datetime
    waits: bool  # for its reading


def insert_once(connection: Connection, chain_id: str, new: Sequence[NewAnswer]) -> list[int]:
    """Keeps answers that are not there yet, in the order they were given; returns the places of the new ones."""
    fresh: list[int] = []
    for place, one in enumerate(new):
        added = connection.execute(
            _INSERT,
            {
                "chain_id": chain_id,
                "id": one.answer.id,
                "store_id": one.store_id,
                "gateway_id": one.gateway_id,
                "reading_id": one.answer.reading,
                "what": one.answer.what.value,
                "body": one.body.decode(),
            },
        )
        if added.rowcount:
            fresh.append(place)
    return fresh


def about(connection: Connection, chain_id: str, reading_ids: Collection[UUID]) -> list[Said]:
    """Everything said about those of these readings that are in the ledger, in the order it came."""
    if not reading_ids:
        return []
    rows = connection.execute(_ABOUT, {"chain_id": chain_id, "ids": list(reading_ids)})
    return [
        Said(
            id=row.id,
            reading_id=row.reading_id,
            what=row.what,
            values=tuple(row.said or ()),
            at=datetime.fromisoformat(row.at),
            waits=row.applied_at is None,
        )
        for row in rows
    ]


def apply(connection: Connection, chain_id: str, said: Iterable[Said], now: datetime) -> bool:
    """Does what waiting answers ask for, once; returns whether a reading changed. The readings are under lock.

    A meal is corrected and a reading claimed as staff do it in the CRM, unless they have done so: whoever asked
    again knew more. Symptoms change no reading; rules take them from here.
    """
    waiting = [one for one in said if one.waits]
    changed = [_apply(connection, chain_id, one) for one in waiting]
    if waiting:
        connection.execute(
            update(answers)
            .where(answers.c.chain_id == chain_id, answers.c.id.in_([one.id for one in waiting]))
            .values(applied_at=now.astimezone(UTC))
        )
    return any(changed)


def _apply(connection: Connection, chain_id: str, one: Said) -> bool:
    match one.what, one.values:
        case Asked.MEAL, (meal,):
            return changes.answer_meal(connection, chain_id, one.reading_id, Meal(meal), one.id, one.at)
        case Asked.WHOSE, (word, code):
            theirs = word == VISITOR
            return changes.answer_whose(connection, chain_id, one.reading_id, code, one.at, theirs=theirs)
    return False


def waiting(connection: Connection) -> int:
    """Answers whose reading has not come. After a day somebody should ask why: readings go first."""
    return int(connection.execute(_WAITING).scalar_one())


def symptoms(said: Iterable[Said]) -> dict[UUID, frozenset[str]]:
    """The last word on each reading's symptoms; a reading nobody was asked about is not there."""
    return {one.reading_id: frozenset(one.values) for one in said if one.what == Asked.SYMPTOMS}


_ABOUT = text("""
    SELECT a.id, a.reading_id, a.what, a.body->'values' AS said, a.body->>'at' AS at, a.applied_at
    FROM answers a JOIN readings r ON r.chain_id = a.chain_id AND r.id = a.reading_id AND r.store_id = a.store_id
    WHERE a.chain_id = :chain_id AND a.reading_id = ANY(:ids)
    ORDER BY a.seq
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))
"""Only about what was measured in the same store: a dock knows no other readings."""

_WAITING = select(func.count()).select_from(answers).where(answers.c.applied_at.is_(None))
_INSERT = text("""
    INSERT INTO answers (chain_id, id, store_id, gateway_id, reading_id, what, body)
    VALUES (:chain_id, :id, :store_id, :gateway_id, :reading_id, :what, CAST(:body AS json))
    ON CONFLICT (chain_id, id) DO NOTHING
""")
