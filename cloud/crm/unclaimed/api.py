"""Unclaimed readings for programs."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cloud.crm.members import service as members_service
from cloud.crm.readings import ReadingView, person_of, view
from cloud.crm.unclaimed import service
from cloud.crm.web import PROBLEMS, Desk

router = APIRouter(prefix="/api/v1/unclaimed", tags=["unclaimed"], responses=PROBLEMS)


class Waiting(BaseModel):
    """Readings nobody owns, newest first. `more` when older ones wait behind them."""

    readings: list[ReadingView]
    more: bool


class Claim(BaseModel):
    """Which readings, and whose they are."""

    reading_ids: list[UUID] = Field(min_length=1, max_length=service.MAX_AT_ONCE)
    member_id: UUID


class Done(BaseModel):
    """How many readings changed their owner."""

    changed: int


@router.get("")
def list_unclaimed(desk: Desk) -> Waiting:
    """Unclaimed readings of the stores in scope."""
    nobody = person_of(None, members_service.shown_date(desk.now))
    found = service.waiting(desk.connection, desk.reader)
    return Waiting(readings=[view(reading, nobody, desk.t) for reading in found.readings], more=found.more)


@router.post("/claim")
def claim_readings(desk: Desk, claim: Claim) -> Done:
    """Gives readings to a member, all or none."""
    service.claim(desk.connection, desk.reader, claim.reading_ids, claim.member_id, desk.now)
    return Done(changed=len(set(claim.reading_ids)))


@router.post("/{reading_id}/undo")
def undo_claim(desk: Desk, reading_id: UUID) -> Done:
    """Takes a reading back; it waits unclaimed again."""
    service.undo(desk.connection, desk.reader, reading_id, desk.now)
    return Done(changed=1)
