"""The way in and out of the ledger: readings are inserted once, and what staff say of them later is appended.

Every function takes the caller's open transaction and never commits. Who a reading belongs to is decided by
`cloud.ingest.attribution` or by staff; what it means is `cloud.ingest.assess`'s.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import psycopg
from sqlalchemy import Connection, Row, Select, Uuid, cast, func, insert, literal, select, text, tuple_, update
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY

from cloud import live
from cloud.crm.members import directory
from cloud.ledger.tables import attributions, dead_letters, meal_corrections, readings
from cloud.ledger.words import ADVICE, How, Reader, Refusal
from gateway.wire import codec
from gateway.wire.messages import Purpose, Quality, Reading
from gateway.wire.vocabulary import Kind, Meal

WORK_CHANNEL = "kangdock_work"
"""PostgreSQL channel on which `enqueue` wakes the readers; the payload is the reader's name."""


class NewReading(msgspec.Struct, frozen=True, kw_only=True):
    """A reading on its way in. `body` is its JSON exactly as it came; `how` is None where nothing was decided.

    A Struct like the wire's: the ingest makes one per reading, and a frozen dataclass takes ten times as long.
    """

    store_id: str
    gateway_id: str
    reading: Reading
    body: bytes
    member_id: UUID | None = None
    how: How | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReading:
    """A row of the ledger. `meal` and `member_id` are today's; `reading` is what the gateway sent."""

    chain_id: str
    id: UUID
    store_id: str
    gateway_id: str
    device_key: str
    kind: str
    purpose: str
    quality: str
    meal: str
    taken_at: datetime
    time_quality: str
    received_at: datetime
    stored_at: datetime
    member_id: UUID | None
    visit_code: str | None
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """One decision about whose a reading is: `member_id` None is nobody, `by_staff` None is the system."""

    member_id: UUID | None
    how: str
    why: str
    by_staff: UUID | None
    at: datetime


class Refused(ValueError):
    """A reading was not changed, and nothing else was either; `reason` says why and `str()` in words."""

    def __init__(self, reason: Refusal, reading_id: UUID | None = None) -> None:
        super().__init__(ADVICE[reason])
        self.reason = reason
        self.reading_id = reading_id


_AnyRow: TypeAlias = Row[*tuple[Any, ...]]
_COLUMNS = tuple(column for column in readings.columns if column.name != "body")
_BODY = readings.c.body.cast(SqlText).label("body_text")

_READING = (
    "chain_id, id, store_id, gateway_id, device_key, kind, purpose, quality, meal, taken_at, time_quality, "
    "received_at, member_id, visit_code, body"
)
_NUMBER = attrgetter("int")
_ATTRIBUTION = "chain_id, reading_id, member_id, how, why"


def insert_once(connection: Connection, chain_id: str, rows: Iterable[NewReading]) -> set[UUID]:
    """Stores `rows` that are not there yet, with how their owner was decided; returns the ids that are new.

    COPY straight into the ledger, several times faster than arrays through unnest (measured), after asking which
    ids are known. COPY knows no ON CONFLICT: should another ingest store one of them in between, its unique key
    refuses the copy, and asking again shows who was first.
    """
    coming = {row.reading.id: row for row in rows}
    while coming:
        known = _known(connection, chain_id, coming)
        # In id order, so that two ingests with the same rows wait for each other instead of deadlocking.
        new = [coming[reading_id] for reading_id in sorted(coming.keys() - known, key=_NUMBER)]
        try:
            with connection.begin_nested():
                _copy(connection, chain_id, new)
            return {row.reading.id for row in new}
        except psycopg.errors.UniqueViolation:
            # The other transaction has committed, else we would still be waiting for it: now its rows are known.
            continue
    return set()


def _known(connection: Connection, chain_id: str, ids: Collection[UUID]) -> set[UUID]:
    cursor = _psycopg(connection).execute(
        "SELECT id FROM readings WHERE chain_id = %s AND id = ANY(%s::uuid[])", (chain_id, _array(ids))
    )
    return {row[0] for row in cursor}


def _copy(connection: Connection, chain_id: str, rows: Sequence[NewReading]) -> None:
    decided = (row for row in rows if row.how is not None)
    cursor = _psycopg(connection).cursor()
    with cursor.copy(f"COPY readings ({_READING}) FROM STDIN") as copy:
        copy.write("".join([_reading_line(chain_id, row) for row in rows]))
    with cursor.copy(f"COPY attributions ({_ATTRIBUTION}) FROM STDIN") as copy:
        copy.write("".join([_attribution_line(chain_id, row) for row in decided]))


# COPY lines and array literals are written here, ids in hex: psycopg's row writer and list adapter, which ask
# each value for its type, and a UUID's own `str`, were a third of all the ingest's work (measured).


def _reading_line(chain_id: str, row: NewReading) -> str:
    reading, time, visit = row.reading, row.reading.time, row.reading.visit
    return "\t".join(
        (
            _escaped(chain_id),
            reading.id.hex,
            _escaped(row.store_id),
            _escaped(row.gateway_id),
            _escaped(reading.device.key),
            reading.kind,
            reading.purpose,
            reading.quality,
            reading.meal,
            time.at.isoformat(),
            time.quality,
            time.received.isoformat(),
            _NULL if row.member_id is None else row.member_id.hex,
            _NULL if visit is None else _escaped(visit.code),
            _escaped(row.body.decode()) + "\n",
        )
    )


def _attribution_line(chain_id: str, row: NewReading) -> str:
    member_id = _NULL if row.member_id is None else row.member_id.hex
    return f"{_escaped(chain_id)}\t{row.reading.id.hex}\t{member_id}\t{row.how}\t{row.why}\n"


_NULL = "\\N"
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def _escaped(value: str) -> str:
    for special, escape in _ESCAPES:
        if special in value:
            value = value.replace(special, escape)
    return value


def _array(ids: Iterable[UUID]) -> str:
    return "{" + ",".join([id.hex for id in ids]) + "}"


def _psycopg(connection: Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - cloud.db makes no other kind
    return raw


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


def _lock(connection: Connection, chain_id: str, reading_ids: Collection[UUID]) -> Sequence[_AnyRow]:
    # In id order, so that two people claiming overlapping readings wait for each other instead of deadlocking.
    r = readings.c
    columns = (r.id, r.store_id, r.kind, r.purpose, r.quality, r.meal, r.member_id)
    rows = connection.execute(
        select(*columns).where(r.chain_id == chain_id, r.id.in_(reading_ids)).order_by(r.id).with_for_update()
    ).all()
    missing = set(reading_ids) - {row.id for row in rows}
    if missing:
        raise Refused(Refusal.UNKNOWN_READING, min(missing))
    return rows


def correct_meal(
    connection: Connection, chain_id: str, reading_id: UUID, meal: Meal, by_staff: UUID, at: datetime
) -> None:
    """Says when a glucose was taken; the body keeps the meter's word. Raises Refused; a repeat is nothing new."""
    (row,) = _lock(connection, chain_id, [reading_id])
    if row.kind != Kind.GLUCOSE:
        raise Refused(Refusal.HAS_NO_MEAL, reading_id)
    if row.purpose != Purpose.PATIENT:
        raise Refused(Refusal.NOT_A_PATIENT_READING, reading_id)
    if row.meal == meal:
        return
    connection.execute(
        insert(meal_corrections).values(
            chain_id=chain_id,
            reading_id=reading_id,
            was=row.meal,
            meal=meal.value,
            by_staff=by_staff,
            at=at.astimezone(UTC),
        )
    )
    connection.execute(
        update(readings)
        .where(readings.c.chain_id == chain_id, readings.c.id == reading_id)
        .values(meal=meal.value)
    )
    _tell(connection, chain_id, [row], {row.member_id}, what="reading")


def _tell(
    connection: Connection, chain_id: str, changed: Sequence[_AnyRow], owners: set[UUID | None], *, what: str
) -> None:
    """Leaves the readers work, and refreshes the pages of where it was measured and of where its owners belong."""
    if changed:
        ids = [row.id for row in changed]
        enqueue(connection, (Reader.ASSESS, Reader.PROJECT), chain_id, ids)
        homes = directory.homes(connection, chain_id, {owner for owner in owners if owner is not None})
        stores = {row.store_id for row in changed} | set(homes.values())
        live.announce(connection, chain_id=chain_id, store_ids=stores, what=what)


def enqueue(
    connection: Connection, readers: str | Sequence[str], chain_id: str, reading_ids: Collection[UUID]
) -> None:
    """Leaves work about these readings for one reader or several, and wakes them when the transaction commits."""
    if not reading_ids:
        return
    names = [readers] if isinstance(readers, str) else list(readers)
    # The array goes as text: thousands of ids take psycopg longer to wrap than PostgreSQL to insert (measured).
    ids = _array(reading_ids)
    connection.execute(_ENQUEUE, [{"reader": str(name), "chain_id": chain_id, "ids": ids} for name in names])
    for name in names:
        connection.execute(select(func.pg_notify(WORK_CHANNEL, str(name))))


_ENQUEUE = text(
    "INSERT INTO work (reader, chain_id, reading_ids) VALUES (:reader, :chain_id, CAST(:ids AS uuid[]))"
)


def unclaimed(
    connection: Connection, chain_id: str, store_ids: Collection[str], limit: int
) -> list[LedgerReading]:
    """Patients' readings of these stores that are nobody's yet, newest first; rejected ones cannot be claimed."""
    return _fetch(
        connection,
        _select(chain_id)
        .where(
            readings.c.store_id.in_(store_ids),
            readings.c.member_id.is_(None),
            readings.c.purpose == text("'patient'"),  # written out, so that the partial index is used
            readings.c.quality != Quality.REJECTED.value,
        )
        .order_by(readings.c.taken_at.desc(), readings.c.id)
        .limit(limit),
    )


def of_member(
    connection: Connection,
    chain_id: str,
    member_id: UUID,
    *,
    kinds: Iterable[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int,
) -> list[LedgerReading]:
    """A member's readings taken in [since, until), newest first."""
    query = _select(chain_id).where(readings.c.member_id == member_id)
    if kinds is not None:
        query = query.where(readings.c.kind.in_([str(kind) for kind in kinds]))
    if since is not None:
        query = query.where(readings.c.taken_at >= since)
    if until is not None:
        query = query.where(readings.c.taken_at < until)
    return _fetch(connection, query.order_by(readings.c.taken_at.desc(), readings.c.id).limit(limit))


def by_ids(connection: Connection, chain_id: str, reading_ids: Collection[UUID]) -> list[LedgerReading]:
    """These readings, oldest first; ids that are not in this chain's ledger are left out."""
    # One array parameter whatever the number of ids: one plan, and no limit of 65 535 parameters.
    query = _select(chain_id).where(readings.c.id == func.any(cast(list(reading_ids), ARRAY(Uuid))))
    return _fetch(connection, query.order_by(readings.c.taken_at, readings.c.id))


def after(connection: Connection, chain_id: str, reading_id: UUID, *, limit: int) -> list[LedgerReading]:
    """The readings of all chains that follow this one in the order of the key: to walk the whole ledger."""
    key = tuple_(readings.c.chain_id, readings.c.id)
    query = select(*_COLUMNS, _BODY).where(key > tuple_(literal(chain_id), literal(reading_id)))
    return _fetch(connection, query.order_by(readings.c.chain_id, readings.c.id).limit(limit))


def history(connection: Connection, chain_id: str, reading_id: UUID) -> list[Attribution]:
    """Every decision about a reading's owner, oldest first."""
    a = attributions.c
    rows = connection.execute(
        select(a.member_id, a.how, a.why, a.by_staff, a.at)
        .where(a.chain_id == chain_id, a.reading_id == reading_id)
        .order_by(a.seq)
    ).mappings()
    return [Attribution(**row) for row in rows]


def counts(connection: Connection) -> dict[str, int]:
    """Rows in the ledger (`readings`) and letters nobody has dealt with yet (`dead_letters`)."""
    stored = connection.execute(select(func.count()).select_from(readings)).scalar_one()
    waiting = connection.execute(
        select(func.count()).select_from(dead_letters).where(dead_letters.c.replayed_at.is_(None))
    ).scalar_one()
    return {"readings": stored, "dead_letters": waiting}


def _select(chain_id: str) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS, _BODY).where(readings.c.chain_id == chain_id)


def _fetch(connection: Connection, query: Select[*tuple[Any, ...]]) -> list[LedgerReading]:
    found = []
    for row in connection.execute(query).mappings():
        columns = dict(row)
        found.append(LedgerReading(reading=codec.decode_reading(columns.pop("body_text").encode()), **columns))
    return found
