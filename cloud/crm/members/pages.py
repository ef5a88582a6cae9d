"""Finding a member, the member page, and one revealed phone number."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, Response

from cloud.crm import audit
from cloud.crm.access import Action, present, require
from cloud.crm.members import chart, service
from cloud.crm.readings import ReadingView, person_of, view
from cloud.crm.stores import service as stores_service
from cloud.crm.tasks import service as tasks_service
from cloud.crm.tasks import views as task_views
from cloud.crm.web import Desk, Words
from cloud.i18n import N_

router = APIRouter(include_in_schema=False)

SPANS_DAYS = {90: N_("90 days"), 365: N_("1 year"), 1825: N_("5 years")}
TASKS_AT_ONCE = 4
"""Every open task is shown, and closed ones up to so many in all; the earlier ones are one touch away."""
SEXES = {"male": N_("male"), "female": N_("female"), "other": N_("other"), "unknown": N_("not stated")}
PAGES = {
    "member": N_("Member page"),
    "task": N_("Task"),
    "tasks": N_("Worklist"),
    "search": N_("Search"),
    "claim": N_("Claiming a reading"),
    "unclaimed": N_("Unclaimed readings"),
    "meal": N_("Stating a meal"),
    "phone": N_("Phone number"),
    "readings": N_("Readings (program)"),
}


@router.get("/members")
def search_page(desk: Desk) -> HTMLResponse:
    """The empty search box. What is searched for is never in an address: addresses end up in logs."""
    require(desk.reader, Action.CARE)
    return desk.page("members/search.html", nav="members", asked="", found=None, total=_total(desk), stores={})


@router.get("/members/search")
def search_again(desk: Desk) -> Response:
    """The search's address, opened without its form."""
    require(desk.reader, Action.CARE)
    return desk.back("/members", "/members")


@router.post("/members/search")
def search(desk: Desk, asked: Annotated[Words, Form()] = "") -> HTMLResponse:
    """Members matching a name, a card code or a phone's tail."""
    found = service.search(desk.connection, desk.reader, asked, desk.now, page="search")
    stores = stores_service.store_names(desk.connection, desk.reader.chain_id, {p.store_id for p in found.people})
    return desk.page(
        "members/search.html", nav="members", asked=asked, found=found, total=_total(desk), stores=stores
    )


@router.get("/members/{member_id}")
def member_page(
    desk: Desk,
    member_id: UUID,
    span: Annotated[int, Query(ge=1, le=3650)] = 365,
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
) -> HTMLResponse:
    """Everything about one member that their store needs: latest values, trends, readings, tasks, who looked."""
    row = service.row_of(desk.connection, desk.reader, member_id)
    if desk.passive:
        audit.saw_listed(desk.connection, desk.reader, [member_id], "member", desk.now)
    else:
        audit.saw(desk.connection, desk.reader, member_id, "member")
    today = service.shown_date(desk.now)
    person = person_of(row, today)
    ledger = service.readings_of_member(desk.connection, desk.reader, member_id)
    readings = [view(reading, person, desk.t) for reading in ledger]
    tasks = task_views.views(
        desk.connection,
        desk.reader,
        tasks_service.of_member(desk.connection, desk.reader, member_id),
        desk.t,
        desk.now,
        rules=desk.rules,
        page="member",
    )
    at_once = max(TASKS_AT_ONCE, sum(task.open for task in tasks))
    pages = max(1, -(-len(readings) // service.PAGE_SIZE))
    page = min(page, pages)
    shown = readings[(page - 1) * service.PAGE_SIZE : page * service.PAGE_SIZE]
    store_ids = {row.store_id} | {reading.store_id for reading in shown}
    member = present(desk.reader, row, today)
    return desk.page(
        "members/member.html",
        nav="members",
        member=member,
        conditions=task_views.condition_labels(member.conditions, desk.t),
        sexes=SEXES,
        latest=_latest(readings),
        charts=chart.charts(ledger, person, desk.t, span_days=span, now=desk.now),
        span=span,
        spans=SPANS_DAYS,
        readings=shown,
        page=page,
        pages_of_readings=pages,
        total=len(readings),
        tasks=tasks[:at_once],
        earlier=tasks[at_once:],
        viewers=service.viewers(desk.connection, desk.reader, member_id)
        if desk.reader.may(Action.SEE_VIEWERS)
        else None,
        view_pages=PAGES,
        stores=stores_service.store_names(desk.connection, desk.reader.chain_id, store_ids),
    )


@router.post("/members/{member_id}/phone")
def reveal_phone(desk: Desk, member_id: UUID) -> HTMLResponse:
    """One whole phone number, for a call; recorded."""
    phone = service.reveal_phone(desk.connection, desk.reader, member_id)
    return desk.page("members/phone.html", phone=phone)


@router.post("/readings/{reading_id}/meal")
def state_meal(
    desk: Desk, reading_id: UUID, meal: Annotated[Words, Form()] = "", back: Annotated[Words, Form()] = ""
) -> Response:
    """Says whether a glucose was fasting, where the meter did not."""
    service.state_meal(desk.connection, desk.reader, reading_id, meal, desk.now)
    return desk.back(back, "/unclaimed")


def _latest(readings: list[ReadingView]) -> list[ReadingView]:
    """The newest usable reading of each kind; fasting and other glucose are two kinds of news."""
    newest: dict[tuple[str, str], ReadingView] = {}
    for reading in readings:
        if reading.quality != "rejected":
            newest.setdefault((reading.kind, reading.meal if reading.kind == "glucose" else ""), reading)
    return sorted(newest.values(), key=lambda reading: reading.taken_at, reverse=True)[:8]


def _total(desk: Any) -> int:
    return service.count(desk.connection, desk.reader)
