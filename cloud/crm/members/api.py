"""Members and their readings for programs."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from cloud.crm import audit
from cloud.crm.access import Person, present
from cloud.crm.members import service
from cloud.crm.readings import ReadingView, person_of, view
from cloud.crm.web import PROBLEMS, Desk, Words

router = APIRouter(prefix="/api/v1/members", tags=["members"], responses=PROBLEMS)


class Search(BaseModel):
    """A name or part of one, a card code, or the last digits of a phone number."""

    asked: Words


class Matches(BaseModel):
    """Who matches; several people may share a phone. `more` when the list was cut."""

    members: list[Person]
    more: bool


class ReadingList(BaseModel):
    """A member's readings, newest first."""

    readings: list[ReadingView]
    as_of: datetime


@router.post("/search")
def search_members(desk: Desk, search: Search) -> Matches:
    """Members in scope. A POST, because what is asked is personal and addresses end up in logs."""
    found = service.search(desk.connection, desk.reader, search.asked, desk.now, page="search")
    return Matches(members=found.people, more=found.more)


@router.get("/{member_id}")
def get_member(desk: Desk, member_id: UUID) -> Person:
    """One member in scope, masked for the reader's role."""
    row = service.row_of(desk.connection, desk.reader, member_id)
    audit.saw(desk.connection, desk.reader, member_id, "member")
    return present(desk.reader, row, service.shown_date(desk.now))


@router.get("/{member_id}/readings")
def list_readings(
    desk: Desk, member_id: UUID, limit: Annotated[int, Query(ge=1, le=service.CHART_LIMIT)] = 100
) -> ReadingList:
    """A member's newest readings, each judged for this member."""
    row = service.row_of(desk.connection, desk.reader, member_id)
    audit.saw(desk.connection, desk.reader, member_id, "readings")
    person = person_of(row, service.shown_date(desk.now))
    ledger = service.readings_of_member(desk.connection, desk.reader, member_id, limit=limit)
    return ReadingList(readings=[view(reading, person, desk.t) for reading in ledger], as_of=desk.now)
