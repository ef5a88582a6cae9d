"""Tasks for programs: the same services as the pages, as JSON."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from cloud.crm.tasks import service, views
from cloud.crm.tasks.service import Shown, Tab, Wanted
from cloud.crm.tasks.views import TaskView
from cloud.crm.web import PROBLEMS, Desk, Note, Words

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"], responses=PROBLEMS)


class TaskPage(BaseModel):
    """One page of tasks."""

    tasks: list[TaskView]
    total: int
    page: int
    pages: int


class Snooze(BaseModel):
    """Until when a task is put off."""

    until: AwareDatetime


class Resolution(BaseModel):
    """What came of a task: a result code, and a note if there is something to add.

    `also`: other open tasks of the same member that have the same result; all are closed, or none.
    """

    outcome: Words
    note: Note = ""
    also: list[UUID] = Field(default=[], max_length=service.MAX_ALSO)


@router.get("")
def list_tasks(
    desk: Desk,
    tab: Tab = Tab.TODAY,
    severity: Annotated[int | None, Query(ge=1, le=4)] = None,
    store: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")] = None,
    shown: Shown = Shown.OPEN,
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> TaskPage:
    """Tasks in scope, the worst and the most overdue first."""
    wanted = Wanted(tab=tab, severity=severity, store=store or None, shown=shown, page=page)
    found = service.worklist(desk.connection, desk.reader, wanted, desk.now)
    shown_tasks = views.views(
        desk.connection, desk.reader, found.rows, desk.t, desk.now, rules=desk.rules, page="tasks"
    )
    return TaskPage(tasks=shown_tasks, total=found.total, page=found.page, pages=found.pages)


@router.get("/{task_id}")
def get_task(desk: Desk, task_id: UUID) -> TaskView:
    """One task in scope."""
    return _one(desk, task_id)


@router.post("/{task_id}/claim")
def claim_task(desk: Desk, task_id: UUID) -> TaskView:
    """Takes a task from the pool; 409 when somebody else was faster."""
    service.claim(desk.connection, desk.reader, task_id, desk.now)
    return _one(desk, task_id)


@router.post("/{task_id}/release")
def release_task(desk: Desk, task_id: UUID) -> TaskView:
    """Puts a task back into the pool."""
    service.release(desk.connection, desk.reader, task_id, desk.now)
    return _one(desk, task_id)


@router.post("/{task_id}/snooze")
def snooze_task(desk: Desk, task_id: UUID, snooze: Snooze) -> TaskView:
    """Puts a task off; an emergency cannot be."""
    until: datetime = snooze.until
    service.snooze(desk.connection, desk.reader, task_id, until, desk.now)
    return _one(desk, task_id)


@router.post("/{task_id}/resolve")
def resolve_task(desk: Desk, task_id: UUID, resolution: Resolution) -> TaskView:
    """Reports a result; its consequence is carried out at once."""
    service.resolve(
        desk.connection,
        desk.reader,
        task_id,
        resolution.outcome,
        resolution.note,
        desk.now,
        also=resolution.also,
    )
    return _one(desk, task_id)


def _one(desk: Desk, task_id: UUID) -> TaskView:
    row = service.get(desk.connection, desk.reader, task_id)
    return views.one(desk.connection, desk.reader, row, desk.t, desk.now, rules=desk.rules)
