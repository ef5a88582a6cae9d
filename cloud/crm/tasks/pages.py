"""The worklist and one task, as pages. Buttons are plain forms; htmx swaps the answer in where it can."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cloud.crm import errors
from cloud.crm.access import Action, require
from cloud.crm.members import service as members_service
from cloud.crm.members.chart import Chart, charts
from cloud.crm.readings import person_of
from cloud.crm.staff.service import names_of
from cloud.crm.stores import service as stores_service
from cloud.crm.tasks import service, views
from cloud.crm.tasks.outcomes import OUTCOMES, offered
from cloud.crm.tasks.raising import OPEN
from cloud.crm.tasks.service import Shown, Tab, Wanted
from cloud.crm.web import Desk, DeskOf, Note, Words
from cloud.i18n import N_, SHOWN_ZONE
from gateway import clinical

router = APIRouter(include_in_schema=False)

PAGE_MAX = 10_000
TREND_DAYS = 180
TAB_LABELS = {
    Tab.TODAY: N_("Today"),
    Tab.OVERDUE: N_("Overdue"),
    Tab.POOL: N_("To be claimed"),
    Tab.MINE: N_("Mine"),
    Tab.ALL: N_("All"),
}
EMPTY = {
    Tab.TODAY: N_("Nothing is due today. New tasks appear here by themselves."),
    Tab.OVERDUE: N_("Nothing is overdue."),
    Tab.POOL: N_("The pool is empty: every open task has somebody."),
    Tab.MINE: N_("You have no open task. Claim one from the pool."),
    Tab.ALL: N_("No task matches these filters."),
}
SNOOZES = {
    "1h": N_("for 1 hour"),
    "tomorrow": N_("until tomorrow 09:00"),
    "3d": N_("for 3 days"),
    "7d": N_("for 7 days"),
}
EVENTS = {
    "raised": N_("raised"),
    "claimed": N_("claimed"),
    "released": N_("put back into the pool"),
    "snoozed": N_("put off"),
    "woken": N_("came back"),
    "resolved": N_("closed"),
    "withdrawn": N_("withdrawn"),
}


@router.get("/")
def home(desk: Desk) -> Response:
    """The page somebody's day starts with."""
    return RedirectResponse("/tasks" if desk.reader.may(Action.CARE) else "/gateways", status_code=303)


@router.get("/tasks")
def worklist(
    desk: Desk,
    tab: Tab = Tab.TODAY,
    severity: Annotated[int | None, Query(ge=1, le=4)] = None,
    store: Annotated[str | None, Query(max_length=64)] = None,
    shown: Shown = Shown.OPEN,
    page: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1,
) -> HTMLResponse:
    """One tab of the worklist; every filter is in the address."""
    require(desk.reader, Action.CARE)
    wanted = Wanted(tab=tab, severity=severity, store=store or None, shown=shown, page=page)
    found = service.worklist(desk.connection, desk.reader, wanted, desk.now)
    return desk.page(
        "tasks/list.html",
        nav="tasks",
        found=found,
        tasks=views.views(
            desk.connection, desk.reader, found.rows, desk.t, desk.now, rules=desk.rules, page="tasks"
        ),
        counts=service.tab_counts(desk.connection, desk.reader, desk.now),
        tabs=TAB_LABELS,
        empty=EMPTY[tab],
        wanted=wanted,
        chosen={
            "tab": tab.value,
            "severity": severity,
            "store": store,
            "shown": shown.value if shown != "open" else "",
        },
        stores=stores_service.in_scope(desk.connection, desk.reader),
        severities=sorted(clinical.words().severities.items(), reverse=True),
    )


@router.get("/tasks/{task_id}")
def one_task(desk: Desk, task_id: UUID) -> HTMLResponse:
    """Why this task exists, what to say and do first, and what can come of it."""
    row = service.get(desk.connection, desk.reader, task_id)
    task = views.one(desk.connection, desk.reader, row, desk.t, desk.now, rules=desk.rules)
    events = service.history(desk.connection, desk.reader, task_id)
    others = _other_open_tasks(desk, row) if task.member else []
    return desk.page(
        "tasks/detail.html",
        nav="tasks",
        task=task,
        rule=desk.rules.get(row.rule_id),
        other_rules=[views.title_of(rule_id, desk.rules, desk.t) for rule_id in row.other_rules],
        words=clinical.words(),
        outcomes=offered(row.severity),
        snoozes=SNOOZES,
        others=others,
        trend=_trend(desk, row, task),
        events=events,
        event_words=EVENTS,
        outcome_label=views.outcome_label,
        reason_label=views.reason_label,
        names=names_of(desk.connection, desk.reader.chain_id, {e.by_staff for e in events if e.by_staff}),
        conditions=views.condition_labels(task.member.conditions, desk.t) if task.member else [],
        symptoms=views.symptoms_stated(desk.connection, desk.reader, task.reading, desk.t),
        EMERGENCY=clinical.Severity.EMERGENCY,
    )


@router.post("/tasks/{task_id}/claim")
def claim(desk: Desk, task_id: UUID, back: Annotated[Words, Form()] = "") -> Response:
    """Takes a task."""
    service.claim(desk.connection, desk.reader, task_id, desk.now)
    return desk.back(back, f"/tasks/{task_id}")


@router.post("/tasks/{task_id}/release")
def release(desk: Desk, task_id: UUID, back: Annotated[Words, Form()] = "") -> Response:
    """Puts a task back into the pool."""
    service.release(desk.connection, desk.reader, task_id, desk.now)
    return desk.back(back, f"/tasks/{task_id}", said=N_("The task is back in the pool."))


@router.post("/tasks/{task_id}/snooze")
def snooze(
    desk: Desk, task_id: UUID, until: Annotated[Words, Form()] = "", back: Annotated[Words, Form()] = ""
) -> Response:
    """Puts a task off by one of the offered spans."""
    service.snooze(desk.connection, desk.reader, task_id, _until(until, desk.now), desk.now)
    return desk.back(back, f"/tasks/{task_id}", said=N_("The task is put off and comes back by itself."))


@router.post("/tasks/{task_id}/resolve")
def resolve(
    desk: Desk,
    task_id: UUID,
    also: Annotated[list[UUID], Form(default_factory=list, max_length=service.MAX_ALSO)],
    outcome: Annotated[Words, Form()] = "",
    note: Annotated[Note, Form()] = "",
    back: Annotated[Words, Form()] = "",
) -> Response:
    """Reports what came of a task, and of the member's other tasks that were settled with it."""
    service.resolve(desk.connection, desk.reader, task_id, outcome, note, desk.now, also=also)
    return desk.back(back, f"/tasks/{task_id}", said=OUTCOMES[outcome].consequence)


def _other_open_tasks(desk: DeskOf, row: Any) -> list[views.TaskView]:
    """What else is open for the task's member: one call may settle several."""
    rows = [
        other
        for other in service.of_member(desk.connection, desk.reader, row.member_id)
        if other.status in OPEN and other.id != row.id
    ]
    return views.views(desk.connection, desk.reader, rows, desk.t, desk.now, rules=desk.rules, page="task")


def _trend(desk: DeskOf, row: Any, task: views.TaskView) -> Chart | None:
    """The half-year before, in what the task is about: whoever calls should know whether this is new."""
    if task.member is None or task.reading is None:
        return None
    member = members_service.row_of(desk.connection, desk.reader, row.member_id)
    ledger = [
        reading
        for reading in members_service.readings_of_member(desk.connection, desk.reader, row.member_id)
        if reading.kind == task.reading.kind
    ]
    person = person_of(member, members_service.shown_date(desk.now))
    return next(iter(charts(ledger, person, desk.t, span_days=TREND_DAYS, now=desk.now)), None)


def _until(choice: str, now: datetime) -> datetime:
    match choice:
        case "1h":
            return now + timedelta(hours=1)
        case "tomorrow":
            local = now.astimezone(SHOWN_ZONE) + timedelta(days=1)
            return local.replace(hour=9, minute=0, second=0, microsecond=0)
        case "3d" | "7d":
            return now + timedelta(days=int(choice[0]))
        case _:
            raise errors.unusable(N_("Choose for how long."), N_("Pick one of the offered times."))
