"""Who is signed in, for programs: role, scope and the token their unsafe requests must carry."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from cloud.crm.access import Role
from cloud.crm.web import PROBLEMS, Desk

router = APIRouter(prefix="/api/v1/me", tags=["staff"], responses=PROBLEMS)


class Me(BaseModel):
    """The session's owner. `csrf` goes into the X-CSRF-Token header of every POST."""

    chain_id: str
    staff_id: UUID
    name: str
    role: Role
    org_unit_id: str
    language: str
    csrf: str


@router.get("")
def get_me(desk: Desk) -> Me:
    """Who the session belongs to."""
    reader = desk.reader
    return Me(
        chain_id=reader.chain_id,
        staff_id=reader.staff_id,
        name=reader.name,
        role=reader.role,
        org_unit_id=reader.org_unit_id,
        language=reader.language,
        csrf=desk.csrf,
    )
