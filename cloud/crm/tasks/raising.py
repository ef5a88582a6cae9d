"""Tasks that the system opens and closes by itself: raised by a finding, withdrawn, answered by a new reading.

What deserves a task is `cloud.ingest.assess`'s to decide; what people do with one is `service`'s. All happens in
the caller's transaction, appends a `task_events` row and tells the open pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, Uuid, any_, bindparam, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from cloud import live
from cloud.crm.tasks.tables import task_events, tasks
from gateway.clinical import Finding

_NAMESPACE = UUID("6f0d5a1c-94d3-5b0e-9a57-2f1d0c8e7b46")
OPEN = ("ready", "in-progress")


class Reason(StrEnum):
    """Why the system closed a task."""

    OWNER_CHANGED = "owner_changed"  # the reading turned out to be somebody else's
    NO_LONGER_TRUE = "no_longer_true"  # what is known of the reading changed, and the rule does not hold any more
    SUPERSEDED = "superseded"  # the same reading now has a graver task
    MEASURED_AGAIN = "measured_again"  # what the task asked for has been done


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to be raised. `dedupe_key` names the occasion: the same key is raised once, whoever tries again."""

    store_id: str
    member_id: UUID | None
    reading_id: UUID
    finding: Finding
    other_rules: tuple[str, ...]
    dedupe_key: str


def raise_tasks(connection: Connection, chain_id: str, new: Sequence[NewTask], at: datetime) -> list[UUID]:
    """Raises the tasks that are not there yet, due when their rule says; returns the ids of those."""
    if not new:
        return []
    wanted = {task_id(chain_id, task): task for task in new}
    raised: list[UUID] = list(
        connection.execute(
            insert(tasks).on_conflict_do_nothing().returning(tasks.c.id),
            [_row(chain_id, new_id, task, at) for new_id, task in wanted.items()],
        ).scalars()
    )
    _tell(
        connection,
        chain_id,
        {new_id: ("raised", _raised_detail(wanted[new_id])) for new_id in raised},
        {wanted[new_id].store_id for new_id in raised},
        at,
    )
    return raised


def task_id(chain_id: str, task: NewTask) -> UUID:
    """The id that `task` has or will have."""
    return uuid5(_NAMESPACE, f"{chain_id}/{task.dedupe_key}")


def withdraw(connection: Connection, chain_id: str, reasons: Mapping[UUID, Reason], at: datetime) -> None:
    """Cancels those of these tasks that are open."""
    closed = _close(connection, chain_id, list(reasons), at, status="cancelled", outcome=None)
    events = {old_id: ("withdrawn", {"reason": reasons[old_id].value}) for old_id in closed}
    _tell(connection, chain_id, events, set(closed.values()), at)


def answer(
    connection: Connection,
    chain_id: str,
    by_reading: Mapping[UUID, UUID],
    at: datetime,
    *,
    outcome: str | None,
) -> None:
    """Completes those of these tasks that are open, each answered by a reading, with this outcome."""
    closed = _close(connection, chain_id, list(by_reading), at, status="completed", outcome=outcome)
    said = {"outcome": outcome} if outcome else {}
    events = {
        old_id: (
            "resolved",
            {"reason": Reason.MEASURED_AGAIN.value, "reading": str(by_reading[old_id])} | said,
        )
        for old_id in closed
    }
    _tell(connection, chain_id, events, set(closed.values()), at)


def _row(chain_id: str, new_id: UUID, task: NewTask, at: datetime) -> dict[str, Any]:
    rule = task.finding.rule
    return {
        "chain_id": chain_id,
        "id": new_id,
        "store_id": task.store_id,
        "member_id": task.member_id,
        "reading_id": task.reading_id,
        "rule_id": rule.id,
        "rule_version": str(rule.version),
        "other_rules": list(task.other_rules),
        "severity": int(rule.severity),
        "action": rule.action,
        "performer_role": rule.performer_role,
        "raised_at": at,
        "due_at": at + timedelta(minutes=rule.deadline_min),
        "dedupe_key": task.dedupe_key,
    }


def _raised_detail(task: NewTask) -> dict[str, Any]:
    because = {
        name: sorted(fact) if isinstance(fact, frozenset) else fact if isinstance(fact, bool) else str(fact)
        for name, fact in task.finding.because.items()
    }
    return {"rule": task.finding.rule.id, "because": because}


def _close(
    connection: Connection,
    chain_id: str,
    task_ids: Sequence[UUID],
    at: datetime,
    *,
    status: str,
    outcome: str | None,
) -> dict[UUID, str]:
    if not task_ids:
        return {}
    # In id order and locked first, as staff may be closing some of them at this moment.
    mine = (tasks.c.chain_id == chain_id, tasks.c.id == any_(bindparam("ids", list(task_ids), ARRAY(Uuid))))
    locked = connection.execute(
        select(tasks.c.id, tasks.c.store_id)
        .where(*mine, tasks.c.status.in_(OPEN))
        .order_by(tasks.c.id)
        .with_for_update(key_share=True)
    ).all()
    closed = {row.id: row.store_id for row in locked}
    if closed:
        connection.execute(
            update(tasks)
            .where(tasks.c.chain_id == chain_id, tasks.c.id.in_(closed))
            .values(status=status, outcome=outcome, closed_at=at, snooze_until=None)
        )
    return closed


def _tell(
    connection: Connection,
    chain_id: str,
    events: Mapping[UUID, tuple[str, dict[str, Any]]],
    store_ids: set[str],
    at: datetime,
) -> None:
    if not events:
        return
    connection.execute(
        insert(task_events),
        [
            {"chain_id": chain_id, "task_id": told_id, "at": at, "what": what, "detail": detail}
            for told_id, (what, detail) in events.items()
        ],
    )
    live.announce(connection, chain_id=chain_id, store_ids=store_ids, what="task")
