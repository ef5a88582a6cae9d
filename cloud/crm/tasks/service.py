"""The worklist: what is due for whom, and the four things that can be done with a task.

Raising and withdrawing tasks is `cloud.crm.tasks.raising`'s. Every step appends a `task_events` row in the same
transaction, and the row lock taken by an UPDATE decides between two people who press at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, false, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from cloud import live
from cloud.crm import errors
from cloud.crm.access import Action, Reader, tasks_of, tasks_seen_by
from cloud.crm.tasks.outcomes import OUTCOMES, Effect, Outcome
from cloud.crm.tasks.raising import OPEN
from cloud.crm.tasks.tables import task_events, tasks
from cloud.i18n import N_, today
from gateway.clinical import Severity

PAGE_SIZE = 50
MIN_SNOOZE = timedelta(minutes=5)
MAX_SNOOZE = timedelta(days=90)
"""A quarter: whoever is put off for longer is not being cared for."""
MAX_ALSO = 20
"""More open tasks of one member than anybody has; a longer list is no form of ours."""


class Tab(StrEnum):
    """The worklist's tabs."""

    TODAY = "today"
    OVERDUE = "overdue"
    POOL = "pool"
    MINE = "mine"
    ALL = "all"


class Shown(StrEnum):
    """Open tasks, or those that ended."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody filtered by; it is all in the page's address."""

    tab: Tab = Tab.TODAY
    severity: int | None = None
    store: str | None = None
    shown: Shown = Shown.OPEN
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of task rows and how many there are in all."""

    rows: list[Any]
    total: int
    page: int

    @property
    def pages(self) -> int:
        """How many pages there are; never fewer than one."""
        return _pages(self.total)


def _pages(total: int) -> int:
    return max(1, -(-total // PAGE_SIZE))


_OPEN = tasks.c.status.in_(OPEN)


def worklist(connection: Connection, reader: Reader, wanted: Wanted, now: datetime) -> Page:
    """The tasks of one tab, the worst and the most overdue first; a page beyond the last is the last."""
    chosen = tasks_of(reader).where(_tab(reader, wanted, now))
    if wanted.severity is not None:
        chosen = chosen.where(tasks.c.severity == wanted.severity)
    if wanted.store:
        chosen = chosen.where(tasks.c.store_id == wanted.store)
    total = connection.execute(select(func.count()).select_from(chosen.subquery())).scalar_one()
    page = min(wanted.page, _pages(total))
    order = (
        (tasks.c.closed_at.desc(), tasks.c.id)
        if _closed(wanted)
        else (tasks.c.severity.desc(), tasks.c.due_at, tasks.c.id)
    )
    rows = connection.execute(chosen.order_by(*order).limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)).all()
    return Page(rows=list(rows), total=total, page=page)


def tab_counts(connection: Connection, reader: Reader, now: datetime) -> dict[Tab, int]:
    """How many tasks wait under each tab."""
    scoped = (
        tasks_of(reader)
        .where(_OPEN)
        .with_only_columns(*(func.count().filter(_tab(reader, Wanted(tab=tab), now)).label(tab) for tab in Tab))
    )
    row = connection.execute(scoped).one()
    return {tab: getattr(row, tab) for tab in Tab}


def of_member(connection: Connection, reader: Reader, member_id: UUID) -> list[Any]:
    """A member's tasks, open ones first, then the newest."""
    query = tasks_seen_by(reader).where(tasks.c.member_id == member_id)
    return list(connection.execute(query.order_by(_OPEN.desc(), tasks.c.raised_at.desc()).limit(PAGE_SIZE)))


def get(connection: Connection, reader: Reader, task_id: UUID) -> Any:
    """One task in scope; raises not_found."""
    row = connection.execute(tasks_seen_by(reader).where(tasks.c.id == task_id)).one_or_none()
    if row is None:
        raise errors.not_found()
    return row


def history(connection: Connection, reader: Reader, task_id: UUID) -> list[Any]:
    """Every step of a task in scope, oldest first."""
    get(connection, reader, task_id)
    return list(
        connection.execute(
            select(task_events)
            .where(task_events.c.chain_id == reader.chain_id, task_events.c.task_id == task_id)
            .order_by(task_events.c.seq)
        )
    )


def reasons(connection: Connection, reader: Reader, task_ids: set[UUID]) -> dict[UUID, str]:
    """Why the system ended those of these tasks in scope that it ended."""
    if not task_ids:
        return {}
    reason = task_events.c.detail["reason"].astext
    rows = connection.execute(
        tasks_seen_by(reader)
        .join(task_events, and_(task_events.c.chain_id == tasks.c.chain_id, task_events.c.task_id == tasks.c.id))
        .where(tasks.c.id.in_(task_ids), reason.is_not(None))
        .with_only_columns(tasks.c.id, reason.label("reason"))
    )
    return {row.id: row.reason for row in rows}


def last_contacts(connection: Connection, reader: Reader, member_ids: set[UUID]) -> dict[UUID, Any]:
    """For each member the newest event that reports how somebody reached them (at, outcome)."""
    if not member_ids:
        return {}
    outcome = task_events.c.detail["outcome"].astext
    rows = connection.execute(
        tasks_seen_by(reader)
        .join(task_events, and_(task_events.c.chain_id == tasks.c.chain_id, task_events.c.task_id == tasks.c.id))
        .where(tasks.c.member_id.in_(member_ids), outcome.is_not(None))
        .with_only_columns(tasks.c.member_id, task_events.c.at, outcome.label("outcome"))
        .ext(distinct_on(tasks.c.member_id))
        .order_by(tasks.c.member_id, task_events.c.seq.desc())
    )
    return {row.member_id: row for row in rows}


# --- what can be done with a task ----------------------------------------------------------------------------


def claim(connection: Connection, reader: Reader, task_id: UUID, now: datetime) -> None:
    """Takes a task from the pool. Of two people at once one is told that the other was faster."""
    task = get(connection, reader, task_id)
    taken = connection.execute(
        update(tasks)
        .where(_key(task), _OPEN, tasks.c.owner_staff_id.is_(None))
        .values(owner_staff_id=reader.staff_id, status="in-progress")
    )
    if not taken.rowcount:
        raise errors.conflict(N_("This task is not in the pool any more: somebody else has it, or it is closed."))
    _step(connection, reader, task, "claimed", now, {})


def release(connection: Connection, reader: Reader, task_id: UUID, now: datetime) -> None:
    """Puts a task back into the pool: one's own, or for a manager anybody's (somebody may be off sick)."""
    task = get(connection, reader, task_id)
    mine = _is_mine(reader) if not reader.may(Action.RELEASE_OTHERS) else tasks.c.owner_staff_id.is_not(None)
    released = connection.execute(
        update(tasks).where(_key(task), _OPEN, mine).values(owner_staff_id=None, status="ready")
    )
    if not released.rowcount:
        raise errors.conflict(N_("This task is not yours to put back, or it is closed."))
    _step(connection, reader, task, "released", now, {})


def snooze(connection: Connection, reader: Reader, task_id: UUID, until: datetime, now: datetime) -> None:
    """Takes a task off the lists until then; it comes back by itself. An emergency cannot be put off."""
    task = get(connection, reader, task_id)
    if task.severity >= Severity.EMERGENCY:
        raise errors.unusable(
            N_("An emergency cannot be put off."),
            N_("Act on it now, or put it back into the pool so that somebody else can."),
        )
    if not MIN_SNOOZE <= until - now <= MAX_SNOOZE:
        raise errors.unusable(
            N_("A task can be put off for five minutes to ninety days."), N_("Choose another time.")
        )
    snoozed = connection.execute(
        update(tasks).where(_key(task), _OPEN, _mine_or_pool(reader)).values(snooze_until=until)
    )
    if not snoozed.rowcount:
        raise errors.conflict(N_("Somebody else has this task, or it is closed."))
    _step(connection, reader, task, "snoozed", now, {"until": until.isoformat()})


def resolve(
    connection: Connection,
    reader: Reader,
    task_id: UUID,
    code: str,
    note: str,
    now: datetime,
    *,
    also: Sequence[UUID] = (),
) -> None:
    """Reports what came of a task, and of others of the same member that one call has settled: all or none.

    The outcome's consequence is carried out at once.
    """
    outcome = OUTCOMES.get(code)
    if outcome is None:
        raise errors.unusable(N_("Choose one of the results."), N_("The result says what happens next."))
    task = get(connection, reader, task_id)
    others = [get(connection, reader, other) for other in sorted(set(also) - {task_id})]
    if any(task.member_id is None or other.member_id != task.member_id for other in others):
        raise errors.unusable(
            N_("One of these tasks is about somebody else."),
            N_("Report it on a page of its own."),
        )
    for each in sorted((task, *others), key=lambda row: row.id):  # one order for everybody: no deadlock
        _settle(connection, reader, each, outcome, note, now)


def _settle(connection: Connection, reader: Reader, task: Any, outcome: Outcome, note: str, now: datetime) -> None:
    detail = {"outcome": outcome.code} | ({"note": note} if note else {})
    changes: dict[str, Any]
    match outcome.effect:
        case Effect.CLOSE:
            what = "resolved"
            changes = {
                "status": "completed",
                "outcome": outcome.code,
                "closed_at": now,
                "owner_staff_id": reader.staff_id,
                "snooze_until": None,
            }
        case Effect.HAND_OVER:
            what = "released"
            due = now + (outcome.after or timedelta())
            changes = {
                "status": "ready",
                "owner_staff_id": None,
                "performer_role": "pharmacist",
                "due_at": min(task.due_at, due) if task.due_at > now else due,
                "snooze_until": None,
            }
        case Effect.LATER:
            what = "snoozed"
            until = None if task.severity >= Severity.EMERGENCY else now + (outcome.after or timedelta())
            changes = {"status": "in-progress", "owner_staff_id": reader.staff_id, "snooze_until": until}
            detail |= {"until": until.isoformat()} if until else {}
    done = connection.execute(update(tasks).where(_key(task), _OPEN, _mine_or_pool(reader)).values(**changes))
    if not done.rowcount:
        raise errors.conflict(N_("Somebody else has this task, or it is closed."))
    _step(connection, reader, task, what, now, detail)


def _step(
    connection: Connection, reader: Reader, task: Any, what: str, now: datetime, detail: dict[str, Any]
) -> None:
    connection.execute(
        insert(task_events).values(
            chain_id=task.chain_id, task_id=task.id, at=now, by_staff=reader.staff_id, what=what, detail=detail
        )
    )
    live.announce(connection, chain_id=task.chain_id, store_ids=[task.store_id], what="task")


def _key(task: Any) -> ColumnElement[bool]:
    return and_(tasks.c.chain_id == task.chain_id, tasks.c.id == task.id)


def _is_mine(reader: Reader) -> ColumnElement[bool]:
    return tasks.c.owner_staff_id == reader.staff_id


def _mine_or_pool(reader: Reader) -> ColumnElement[bool]:
    return or_(tasks.c.owner_staff_id.is_(None), _is_mine(reader))


def _closed(wanted: Wanted) -> bool:
    return wanted.tab is Tab.ALL and wanted.shown is Shown.CLOSED


def _tab(reader: Reader, wanted: Wanted, now: datetime) -> ColumnElement[bool]:
    awake = and_(_OPEN, or_(tasks.c.snooze_until.is_(None), tasks.c.snooze_until <= now))
    match wanted.tab:
        case Tab.TODAY:
            _start, end = today(now)
            return and_(awake, tasks.c.due_at < end)
        case Tab.OVERDUE:
            return and_(awake, tasks.c.due_at < now)
        case Tab.POOL:
            return and_(awake, tasks.c.owner_staff_id.is_(None))
        case Tab.MINE:
            return and_(_OPEN, _is_mine(reader))
        case Tab.ALL:
            return ~_OPEN if _closed(wanted) else _OPEN
    return false()
