"""What is said of a reading once it is stored: whose it is, when a glucose was taken. Appended, never edited.

Every function takes the caller's open transaction and never commits. Each change leaves the readers (`assess`,
`project`) work, so that rules judge again and charts move. Who may say it is `cloud.crm.access`'s.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, exists, insert, select, update

from cloud import live
from cloud.crm.devices import registry as meters
from cloud.crm.members import directory
from cloud.ledger.store import enqueue
from cloud.ledger.tables import attributions, meal_corrections, readings
from cloud.ledger.words import ADVICE, How, Reader, Refusal
from gateway.wire.messages import Purpose, Quality
from gateway.wire.vocabulary import Kind, Meal


class Refused(ValueError):
    """A reading was not changed, and nothing else was either; `reason` says why and `str()` in words."""

    def __init__(self, reason: Refusal, reading_id: UUID | None = None) -> None:
        super().__init__(ADVICE[reason])
        self.reason = reason
        self.reading_id = reading_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """One decision about whose a reading is: `member_id` None is nobody, `by_staff` None is the system."""

    member_id: UUID | None
    how: str
    why: str
    by_staff: UUID | None
    at: datetime


_AnyRow: TypeAlias = Row[*tuple[Any, ...]]


def claim(
    connection: Connection,
    chain_id: str,
    reading_ids: Collection[UUID],
    member_id: UUID,
    by_staff: UUID,
    at: datetime,
) -> None:
    """Gives unclaimed readings to a member of the same chain, all or none; raises Refused.

    Claiming for the same member twice (a double click) changes nothing the second time.
    """
    if not directory.homes(connection, chain_id, {member_id}):
        raise Refused(Refusal.UNKNOWN_MEMBER)
    rows = _lock(connection, chain_id, reading_ids)
    for row in rows:
        if row.purpose != Purpose.PATIENT:
            raise Refused(Refusal.NOT_A_PATIENT_READING, row.id)
        if row.quality == Quality.REJECTED:
            raise Refused(Refusal.REJECTED, row.id)
        if row.member_id not in (None, member_id):
            raise Refused(Refusal.ALREADY_CLAIMED, row.id)
    changed = [row for row in rows if row.member_id is None]
    for row in changed:
        attribute(connection, chain_id, row.id, member_id, how=How.CLAIM, why="staff", by_staff=by_staff, at=at)
    _tell(connection, chain_id, changed, {member_id}, what="claim")


def undo(connection: Connection, chain_id: str, reading_id: UUID, by_staff: UUID, at: datetime) -> None:
    """Takes a reading from its owner; it waits unclaimed again. Raises Refused."""
    (row,) = _lock(connection, chain_id, [reading_id])
    if row.member_id is None:
        raise Refused(Refusal.NOT_CLAIMED, reading_id)
    attribute(connection, chain_id, reading_id, None, how=How.UNDO, why="staff", by_staff=by_staff, at=at)
    _tell(connection, chain_id, [row], {row.member_id}, what="claim")


def answer_whose(
    connection: Connection, chain_id: str, reading_id: UUID, code: str, at: datetime, *, theirs: bool
) -> bool:
    """The same, said at the dock of whoever has this card `code`; returns whether it changed anything.

    `assess` calls it, and judges anew itself. Nothing changes where staff have decided in the CRM, where the card
    is nobody's or several members', or where the meter is somebody else's own.
    """
    (row,) = _lock(connection, chain_id, [reading_id])
    if row.purpose != Purpose.PATIENT or row.quality == Quality.REJECTED:
        return False
    visitors = directory.by_code(connection, chain_id, {code}).get(code, ())
    decided = history(connection, chain_id, reading_id)
    if len(visitors) != 1 or any(one.by_staff is not None for one in decided):
        return False
    (visitor,) = visitors
    if theirs and row.member_id is None and _owner_of_meter(connection, chain_id, row) in (None, visitor):
        owner, how = visitor, How.DOCK
    elif not theirs and row.member_id == visitor and decided and decided[-1].how in (How.VISIT, How.DOCK):
        owner, how = None, How.UNDO
    else:
        return False
    attribute(connection, chain_id, reading_id, owner, how=how, why="dock", by_staff=None, at=at)
    _tell(connection, chain_id, [row], {visitor}, what="claim", readers=(Reader.PROJECT,))
    return True


def _owner_of_meter(connection: Connection, chain_id: str, row: _AnyRow) -> UUID | None:
    known = meters.known(connection, chain_id, {row.device_key}).get(row.device_key)
    return None if known is None else known.owner_member_id


def correct_meal(
    connection: Connection, chain_id: str, reading_id: UUID, meal: Meal, by_staff: UUID, at: datetime
) -> None:
    """Says when a glucose was taken; the body keeps the meter's word. Raises Refused; a repeat is nothing new."""
    (row,) = _lock(connection, chain_id, [reading_id])
    if row.kind != Kind.GLUCOSE:
        raise Refused(Refusal.HAS_NO_MEAL, reading_id)
    if row.purpose != Purpose.PATIENT:
        raise Refused(Refusal.NOT_A_PATIENT_READING, reading_id)
    if row.meal != meal:
        _state_meal(connection, chain_id, row, meal, by_staff=by_staff, at=at)
        _tell(connection, chain_id, [row], {row.member_id}, what="reading")


def answer_meal(
    connection: Connection, chain_id: str, reading_id: UUID, meal: Meal, answer_id: UUID, at: datetime
) -> bool:
    """The same, said at the dock; returns whether it changed anything. `assess` calls it, and judges anew itself.

    Nothing changes where staff have said in the CRM when it was, or where the reading has no meal.
    """
    (row,) = _lock(connection, chain_id, [reading_id])
    if row.kind != Kind.GLUCOSE or row.purpose != Purpose.PATIENT or row.meal == meal:
        return False
    if connection.execute(_BY_STAFF, {"chain_id": chain_id, "reading_id": reading_id}).first() is not None:
        return False
    _state_meal(connection, chain_id, row, meal, by_answer=answer_id, at=at)
    _tell(connection, chain_id, [row], {row.member_id}, what="reading", readers=(Reader.PROJECT,))
    return True


_BY_STAFF = select(meal_corrections.c.seq).where(
    meal_corrections.c.chain_id == bindparam("chain_id"),
    meal_corrections.c.reading_id == bindparam("reading_id"),
    meal_corrections.c.by_staff.is_not(None),
)


def _state_meal(
    connection: Connection,
    chain_id: str,
    row: _AnyRow,
    meal: Meal,
    *,
    by_staff: UUID | None = None,
    by_answer: UUID | None = None,
    at: datetime,
) -> None:
    connection.execute(
        insert(meal_corrections).values(
            chain_id=chain_id,
            reading_id=row.id,
            was=row.meal,
            meal=meal.value,
            by_staff=by_staff,
            by_answer=by_answer,
            at=at.astimezone(UTC),
        )
    )
    connection.execute(
        update(readings).where(readings.c.chain_id == chain_id, readings.c.id == row.id).values(meal=meal.value)
    )


def attribute(
    connection: Connection,
    chain_id: str,
    reading_id: UUID,
    member_id: UUID | None,
    *,
    how: str,
    why: str,
    by_staff: UUID | None,
    at: datetime,
) -> None:
    """Gives a reading to `member_id` (None: to nobody) from `at` on, and tells every reader. Asks no questions."""
    connection.execute(_KEEP_FIRST, {"chain_id": chain_id, "reading_id": reading_id})
    connection.execute(
        insert(attributions).values(
            chain_id=chain_id,
            reading_id=reading_id,
            member_id=member_id,
            how=how,
            why=why,
            by_staff=by_staff,
            at=at.astimezone(UTC),
        )
    )
    connection.execute(
        update(readings)
        .where(readings.c.chain_id == chain_id, readings.c.id == reading_id)
        .values(member_id=member_id)
    )


def history(connection: Connection, chain_id: str, reading_id: UUID) -> list[Attribution]:
    """Every decision about a reading's owner, oldest first."""
    a = attributions.c
    rows = connection.execute(
        select(a.member_id, a.how, a.why, a.by_staff, a.at)
        .where(a.chain_id == chain_id, a.reading_id == reading_id)
        .order_by(a.seq)
    ).mappings()
    if decided := [Attribution(**row) for row in rows]:
        return decided
    first = connection.execute(_FIRST, {"chain_id": chain_id, "reading_id": reading_id}).mappings()
    return [Attribution(by_staff=None, **row) for row in first]


_FIRST = select(
    readings.c.member_id,
    readings.c.first_how.label("how"),
    readings.c.first_why.label("why"),
    readings.c.stored_at.label("at"),
).where(
    readings.c.chain_id == bindparam("chain_id"),
    readings.c.id == bindparam("reading_id"),
    readings.c.first_how.is_not(None),
)
"""The ingest's own decision, as long as nobody has changed it."""

_KEEP_FIRST = insert(attributions).from_select(
    ["chain_id", "reading_id", "member_id", "how", "why", "at"],
    select(
        readings.c.chain_id,
        readings.c.id,
        readings.c.member_id,
        readings.c.first_how,
        readings.c.first_why,
        readings.c.stored_at,
    ).where(
        readings.c.chain_id == bindparam("chain_id"),
        readings.c.id == bindparam("reading_id"),
        readings.c.first_how.is_not(None),
        ~exists().where(
            attributions.c.chain_id == bindparam("chain_id"), attributions.c.reading_id == bindparam("reading_id")
        ),
    ),
)
"""Before the first change it becomes the first row of the history."""


def _lock(connection: Connection, chain_id: str, reading_ids: Collection[UUID]) -> Sequence[_AnyRow]:
    # In id order, so that two people claiming overlapping readings wait for each other instead of deadlocking.
    r = readings.c
    columns = (r.id, r.store_id, r.device_key, r.kind, r.purpose, r.quality, r.meal, r.member_id)
    rows = connection.execute(
        select(*columns).where(r.chain_id == chain_id, r.id.in_(reading_ids)).order_by(r.id).with_for_update()
    ).all()
    missing = set(reading_ids) - {row.id for row in rows}
    if missing:
        raise Refused(Refusal.UNKNOWN_READING, min(missing))
    return rows


def _tell(
    connection: Connection,
    chain_id: str,
    changed: Sequence[_AnyRow],
    owners: set[UUID | None],
    *,
    what: str,
    readers: Sequence[Reader] = (Reader.ASSESS, Reader.PROJECT),
) -> None:
    """Leaves the readers work, and refreshes the pages of where it was measured and of where its owners belong."""
    if changed:
        ids = [row.id for row in changed]
        enqueue(connection, readers, chain_id, ids)
        homes = directory.homes(connection, chain_id, {owner for owner in owners if owner is not None})
        stores = {row.store_id for row in changed} | homes
        live.announce(connection, chain_id=chain_id, store_ids=stores, what=what)
