"""Members: finding one, everything a member page shows, and one phone number at a time.

Rows come from `cloud.crm.access` and leave as its `Person`; the page, the API and the search have no other way.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, or_, select

from cloud.crm import audit, errors
from cloud.crm.access import Action, Person, Reader, members_of, present, readings_of, require
from cloud.crm.members.tables import member_views, members
from cloud.crm.readings import MEALS_ASKED
from cloud.crm.staff.service import names_of
from cloud.i18n import N_, SHOWN_ZONE
from cloud.ledger import changes, store
from cloud.ledger.changes import Refused
from cloud.ledger.store import LedgerReading
from cloud.ledger.tables import readings
from gateway.wire.vocabulary import Meal

MAX_MATCHES = 20
"""More than a screen of namesakes is not a search result: the next character is asked for."""
MIN_QUERY = 2
CHART_LIMIT = 2_000
"""Five years of a reading a day; a longer history shows its newest part."""
PAGE_SIZE = 50
VIEWERS_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found; `more` when the list was cut."""

    people: list[Person]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who looked, on which page, when."""

    name: str
    page: str
    at: datetime


def search(connection: Connection, reader: Reader, asked: str, now: datetime, *, page: str) -> Found:
    """Members in scope whose card code is `asked`, whose name contains it or whose phone ends in it.

    Several people may share a phone: all are listed and nobody is chosen. Every match shown is recorded.
    """
    if len(asked) < MIN_QUERY:
        raise errors.unusable(
            N_("That is too little to search for."),
            N_("Enter at least two characters of the name, the card code, or the last four digits of the phone."),
        )
    rows = connection.execute(
        members_of(reader)
        .where(or_(members.c.code == asked, _named(reader, asked), _phone_tail(asked)))
        .order_by((members.c.code == asked).desc(), members.c.name, members.c.id)
        .limit(MAX_MATCHES + 1)
    ).all()
    shown = rows[:MAX_MATCHES]
    audit.saw_listed(connection, reader, [row.id for row in shown], page, now)
    return Found(people=[present(reader, row, shown_date(now)) for row in shown], more=len(rows) > MAX_MATCHES)


def _named(reader: Reader, asked: str) -> ColumnElement[bool]:
    # A reader who is not shown names must not find them out by searching either.
    if not reader.may(Action.SEE_NAMES):
        return members.c.code == asked
    return members.c.name.icontains(asked, autoescape=True)


def _phone_tail(asked: str) -> ColumnElement[bool]:
    if not (asked.isdecimal() and asked.isascii() and 4 <= len(asked) <= 11):
        return members.c.code == asked
    return members.c.phone.endswith(asked, autoescape=True)


def row_of(connection: Connection, reader: Reader, member_id: UUID) -> Any:
    """The row itself, for services; raises not_found outside the scope."""
    row = connection.execute(members_of(reader).where(members.c.id == member_id)).one_or_none()
    if row is None:
        raise errors.not_found()
    return row


def rows_of(connection: Connection, reader: Reader, member_ids: set[UUID]) -> dict[UUID, Any]:
    """Rows of those of `member_ids` that are in scope."""
    if not member_ids:
        return {}
    return {row.id: row for row in connection.execute(members_of(reader).where(members.c.id.in_(member_ids)))}


def readings_of_member(
    connection: Connection, reader: Reader, member_id: UUID, *, limit: int = CHART_LIMIT
) -> list[LedgerReading]:
    """A member's readings, newest first; raises not_found outside the scope."""
    row_of(connection, reader, member_id)
    return store.of_member(connection, reader.chain_id, member_id, limit=limit)


def viewers(connection: Connection, reader: Reader, member_id: UUID) -> list[Viewer]:
    """Who looked at a member lately, newest first; for managers."""
    require(reader, Action.SEE_VIEWERS)
    row_of(connection, reader, member_id)
    rows = connection.execute(
        select(member_views)
        .where(member_views.c.chain_id == reader.chain_id, member_views.c.member_id == member_id)
        .order_by(member_views.c.seq.desc())
        .limit(VIEWERS_SHOWN)
    ).all()
    names = names_of(connection, reader.chain_id, {row.staff_id for row in rows})
    return [Viewer(name=names.get(row.staff_id, "?"), page=row.page, at=row.at) for row in rows]


def reveal_phone(connection: Connection, reader: Reader, member_id: UUID) -> str:
    """The whole number of one member, for a call. Recorded as its own kind of view."""
    row = row_of(connection, reader, member_id)  # first: outside the scope nothing is there to be refused
    require(reader, Action.REVEAL_PHONE)
    audit.saw(connection, reader, member_id, "phone")
    phone: str = row.phone or ""
    return phone


def state_meal(connection: Connection, reader: Reader, reading_id: UUID, meal: str, now: datetime) -> None:
    """Says when a glucose in scope was taken; it is judged and charted again. Raises not_found or why not."""
    row = connection.execute(readings_of(reader).where(readings.c.id == reading_id)).one_or_none()
    if row is None:
        raise errors.not_found()
    if meal not in MEALS_ASKED:
        raise errors.unusable(N_("Choose when it was taken."), N_("Pick one of the offered answers."))
    if row.member_id is not None:
        audit.saw(connection, reader, row.member_id, "meal")
    try:
        changes.correct_meal(connection, reader.chain_id, reading_id, Meal(meal), reader.staff_id, now)
    except Refused as refused:
        raise errors.refused(refused) from None


def count(connection: Connection, reader: Reader) -> int:
    """How many members are in scope."""
    total: int = connection.execute(select(func.count()).select_from(members_of(reader).subquery())).scalar_one()
    return total


def shown_date(now: datetime) -> date:
    """Today as stores count it, for ages."""
    return now.astimezone(SHOWN_ZONE).date()
