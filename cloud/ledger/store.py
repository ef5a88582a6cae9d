"""The way in and out of the ledger: readings are inserted once and read back.

Every function takes the caller's open transaction and never commits. Who a new reading belongs to is decided by
`cloud.ingest.attribution`; what is said of it later is `changes`', what it means `cloud.ingest.assess`'s.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from sqlalchemy import Connection, Select, Uuid, cast, func, literal, select, text, tuple_
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY

from cloud.ledger.tables import dead_letters, readings
from cloud.ledger.words import How
from gateway.wire import codec
from gateway.wire.messages import Quality, Reading

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


_COLUMNS = tuple(readings.c[name] for name in LedgerReading.__slots__ if name != "reading")
_BODY = readings.c.body.cast(SqlText).label("body_text")

_READING = (
    "chain_id, id, store_id, gateway_id, device_key, kind, purpose, quality, meal, taken_at, time_quality, "
    "received_at, member_id, first_how, first_why, visit_code, body"
)


def insert_once(connection: Connection, chain_id: str, rows: Sequence[NewReading]) -> dict[str, int]:
    """Stores `rows` that are not there yet, with how their owner was decided; returns the ids of the new ones, in
    hex, and their places.

    Of two rows with one id the first is meant. COPY straight into the ledger, several times faster than arrays
    through unnest (measured). COPY knows no ON CONFLICT: the unique key refuses all of it where one is known
    already, and only then is it worth asking which. Batches seldom come twice.
    """
    # Ids in hex from here on: a UUID's own `str`, hash and order are Python's, and slow (measured).
    keys = [row.reading.id.hex for row in rows]
    coming = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
    while coming:
        # In id order, so that two ingests with the same rows wait for each other instead of deadlocking.
        new = sorted(coming)
        try:
            with connection.begin_nested():
                _copy(connection, chain_id, [(key, rows[coming[key]]) for key in new])
            return coming
        except psycopg.errors.UniqueViolation:
            # Whoever stored it has committed, else we would still be waiting.
            for key in _known(connection, chain_id, new):
                del coming[key]
    return {}


def _known(connection: Connection, chain_id: str, ids: Sequence[str]) -> list[str]:
    cursor = _psycopg(connection).execute(
        "SELECT id FROM readings WHERE chain_id = %s AND id = ANY(%s::uuid[])", (chain_id, _array(ids))
    )
    return [row[0].hex for row in cursor]


def _copy(connection: Connection, chain_id: str, rows: Iterable[tuple[str, NewReading]]) -> None:
    with _psycopg(connection).cursor().copy(f"COPY readings ({_READING}) FROM STDIN") as copy:
        copy.write("".join([_line(chain_id, key, row) for key, row in rows]))


# COPY lines and array literals are written here: psycopg's row writer and list adapter, which ask each value for
# its type, were a third of all the ingest's work (measured).


def _line(chain_id: str, key: str, row: NewReading) -> str:
    reading, time, visit = row.reading, row.reading.time, row.reading.visit
    fields = (
        chain_id,
        key,
        row.store_id,
        row.gateway_id,
        reading.device.key,
        reading.kind,
        reading.purpose,
        reading.quality,
        reading.meal,
        time.at.isoformat(),
        time.quality,
        time.received.isoformat(),
        None if row.member_id is None else row.member_id.hex,
        row.how,
        row.why,
        None if visit is None else visit.code,
        row.body.decode(),
    )
    if None not in fields:
        line = "\t".join(fields)  # type: ignore[arg-type]  # just looked
        if "\\" not in line and line.count("\t") == _TABS and "\n" not in line and "\r" not in line:
            return line + "\n"
    return "\t".join([_NULL if field is None else _escaped(field) for field in fields]) + "\n"


_NULL = "\\N"
_TABS = _READING.count(",")
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def _escaped(value: str) -> str:
    for special, escape in _ESCAPES:
        value = value.replace(special, escape)
    return value


def _array(ids: Iterable[str]) -> str:
    return "{" + ",".join(ids) + "}"


def _psycopg(connection: Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - cloud.db makes no other kind
    return raw


def enqueue(
    connection: Connection, readers: str | Sequence[str], chain_id: str, reading_ids: Collection[UUID | str]
) -> None:
    """Leaves work about these readings for one reader or several, and wakes them when the transaction commits.
    An id may be given in hex."""
    if not reading_ids:
        return
    names = [readers] if isinstance(readers, str) else list(readers)
    # The array goes as text: thousands of ids take psycopg longer to wrap than PostgreSQL to insert (measured).
    ids = _array([each if isinstance(each, str) else each.hex for each in reading_ids])
    connection.execute(_ENQUEUE, {"readers": [str(name) for name in names], "chain_id": chain_id, "ids": ids})
    for name in names:
        connection.execute(select(func.pg_notify(WORK_CHANNEL, str(name))))


_ENQUEUE = text(
    "INSERT INTO work (reader, chain_id, reading_ids) "
    "SELECT reader, :chain_id, CAST(:ids AS uuid[]) FROM unnest(CAST(:readers AS text[])) AS reader"
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
