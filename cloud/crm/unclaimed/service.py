"""Unclaimed readings of the reader's stores: claim several at once for a member in scope, and undo.

The ledger changes the owner and tells the rules and the time series; this decides whether the reader may ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, select
from sqlalchemy.dialects.postgresql import distinct_on

from cloud.crm import audit, errors
from cloud.crm.access import Action, Reader, readings_of, require, store_ids
from cloud.crm.members import service as members_service
from cloud.i18n import N_
from cloud.ledger import changes, store
from cloud.ledger.changes import Refused
from cloud.ledger.store import LedgerReading
from cloud.ledger.tables import attributions, readings
from cloud.ledger.words import Refusal

LIST_LIMIT = 100
"""A screen of those that were measured last; more wait behind them, and the list says so."""
UNDO_WITHIN = timedelta(days=2)
"""Claims listed for undoing; an older mistake is undone from the member's page."""
MAX_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The newest readings that are nobody's; `more` when older ones wait behind them."""

    readings: list[LedgerReading]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A reading somebody claimed lately."""

    reading: LedgerReading
    by_staff: UUID | None
    at: datetime


def waiting(connection: Connection, reader: Reader) -> Waiting:
    """Readings of the reader's stores that are nobody's, newest first."""
    require(reader, Action.CARE)
    found = store.unclaimed(connection, reader.chain_id, store_ids(connection, reader), LIST_LIMIT + 1)
    return Waiting(readings=found[:LIST_LIMIT], more=len(found) > LIST_LIMIT)


def lately_claimed(connection: Connection, reader: Reader, now: datetime) -> list[Claimed]:
    """Readings in scope that staff claimed in the last days and that still have that owner."""
    newest = (
        readings_of(reader)
        .join(
            attributions,
            and_(attributions.c.chain_id == readings.c.chain_id, attributions.c.reading_id == readings.c.id),
        )
        .where(
            readings.c.member_id.is_not(None),
            attributions.c.by_staff.is_not(None),  # the index of what people decided, small beside the table
            attributions.c.at > now - UNDO_WITHIN,
        )
        .with_only_columns(
            readings.c.id, attributions.c.seq, attributions.c.how, attributions.c.by_staff, attributions.c.at
        )
        .ext(distinct_on(readings.c.id))
        .order_by(readings.c.id, attributions.c.seq.desc())
        .subquery()
    )
    rows = connection.execute(
        select(newest).where(newest.c.how == "claim").order_by(newest.c.at.desc()).limit(20)
    ).all()
    found = {row.id: row for row in store.by_ids(connection, reader.chain_id, [row.id for row in rows])}
    return [Claimed(reading=found[row.id], by_staff=row.by_staff, at=row.at) for row in rows]


def claim(
    connection: Connection, reader: Reader, reading_ids: Sequence[UUID], member_id: UUID, now: datetime
) -> None:
    """Gives readings to a member, all or none. Both sides must be in the reader's scope."""
    _some_chosen(reading_ids)
    members_service.row_of(connection, reader, member_id)
    _must_see(connection, reader, set(reading_ids))
    audit.saw(connection, reader, member_id, "claim")
    try:
        changes.claim(connection, reader.chain_id, set(reading_ids), member_id, reader.staff_id, now)
    except Refused as refused:
        raise errors.refused(refused) from None


def undo(connection: Connection, reader: Reader, reading_id: UUID, now: datetime) -> None:
    """Takes a reading from its owner; it waits unclaimed again, and tasks raised from it are withdrawn."""
    row = _must_see(connection, reader, {reading_id})[0]
    if row.member_id is not None:
        audit.saw(connection, reader, row.member_id, "claim")
    try:
        changes.undo(connection, reader.chain_id, reading_id, reader.staff_id, now)
    except Refused as refused:
        raise errors.refused(refused) from None


def chosen(connection: Connection, reader: Reader, reading_ids: Sequence[UUID]) -> list[LedgerReading]:
    """The readings somebody is about to claim; raises not_found, or a conflict when one has an owner by now."""
    _some_chosen(reading_ids)
    found = list(_must_see(connection, reader, set(reading_ids)))
    for row in found:
        if row.member_id is not None:
            raise errors.refused(Refused(Refusal.ALREADY_CLAIMED, row.id))
    return found


def _some_chosen(reading_ids: Sequence[UUID]) -> None:
    if not 0 < len(set(reading_ids)) <= MAX_AT_ONCE:
        raise errors.unusable(
            N_("No reading was chosen, or too many at once."),
            N_("Choose one to fifty readings of the same person."),
        )


def _must_see(connection: Connection, reader: Reader, reading_ids: set[UUID]) -> Sequence[LedgerReading]:
    seen = connection.execute(
        readings_of(reader).where(readings.c.id.in_(reading_ids)).with_only_columns(readings.c.id)
    ).scalars()
    if set(seen) != reading_ids:
        raise errors.not_found()
    return store.by_ids(connection, reader.chain_id, reading_ids)
