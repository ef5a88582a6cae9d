"""Unclaimed readings: choose them, find the person, confirm who it is, and take it back if it was wrong."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from cloud.crm import audit
from cloud.crm.access import Action, present, require
from cloud.crm.members import service as members_service
from cloud.crm.readings import person_of, view
from cloud.crm.staff.service import names_of
from cloud.crm.stores import service as stores_service
from cloud.crm.unclaimed import service
from cloud.crm.web import Desk, Words
from cloud.i18n import N_

router = APIRouter(include_in_schema=False)

Chosen = Annotated[list[UUID], Form(default_factory=list, max_length=service.MAX_AT_ONCE)]
"""None at all is possible in a form, and answered in the service's words."""


@router.get("/unclaimed")
def waiting(desk: Desk) -> HTMLResponse:
    """Readings of my stores that are nobody's yet, and those claimed lately."""
    require(desk.reader, Action.CARE)
    found = service.waiting(desk.connection, desk.reader)
    claimed = service.lately_claimed(desk.connection, desk.reader, desk.now)
    today = members_service.shown_date(desk.now)
    owners = members_service.rows_of(
        desk.connection, desk.reader, {c.reading.member_id for c in claimed if c.reading.member_id}
    )
    audit.saw_listed(desk.connection, desk.reader, owners, "unclaimed", desk.now)
    nobody = person_of(None, today)
    return desk.page(
        "unclaimed/list.html",
        nav="unclaimed",
        waiting=[view(reading, nobody, desk.t) for reading in found.readings],
        more=found.more,
        claimed=[
            (
                c,
                view(c.reading, person_of(owners[c.reading.member_id], today), desk.t),
                present(desk.reader, owners[c.reading.member_id], today),
            )
            for c in claimed
            if c.reading.member_id in owners
        ],
        names=names_of(desk.connection, desk.reader.chain_id, {c.by_staff for c in claimed if c.by_staff}),
        stores=stores_service.store_names(
            desk.connection, desk.reader.chain_id, {reading.store_id for reading in found.readings}
        ),
    )


@router.get("/unclaimed/find")
def find_again(desk: Desk) -> Response:
    """The search's address, opened without its form: the choice begins again."""
    require(desk.reader, Action.CARE)
    return desk.back("/unclaimed", "/unclaimed")


@router.post("/unclaimed/find")
def find(desk: Desk, reading: Chosen, asked: Annotated[Words, Form()] = "") -> HTMLResponse:
    """Whose could the chosen readings be? Lists every match: choosing is a person's decision."""
    chosen = service.chosen(desk.connection, desk.reader, reading)
    found = members_service.search(desk.connection, desk.reader, asked, desk.now, page="search") if asked else None
    nobody = person_of(None, members_service.shown_date(desk.now))
    people = found.people if found else []
    return desk.page(
        "unclaimed/find.html",
        nav="unclaimed",
        chosen=[view(one, nobody, desk.t) for one in chosen],
        asked=asked,
        found=found,
        stores=stores_service.store_names(
            desk.connection, desk.reader.chain_id, {p.store_id for p in people} | {one.store_id for one in chosen}
        ),
    )


@router.post("/unclaimed/claim")
def claim(desk: Desk, reading: Chosen, member: Annotated[UUID, Form()]) -> Response:
    """Gives the chosen readings to the confirmed person."""
    service.claim(desk.connection, desk.reader, reading, member, desk.now)
    return desk.back("/unclaimed", "/unclaimed", said=N_("The readings have their owner and are judged for them."))


@router.post("/unclaimed/{reading_id}/undo")
def undo(desk: Desk, reading_id: UUID, back: Annotated[Words, Form()] = "") -> Response:
    """Takes a reading back from its owner."""
    service.undo(desk.connection, desk.reader, reading_id, desk.now)
    said = N_("The reading waits unclaimed again, and tasks raised from it are withdrawn.")
    return desk.back(back, "/unclaimed", said=said)
