"""The tasks of the year behind the demo: raised by the real rules day by day, worked through the real worklist.

Nothing here knows a threshold or writes a task's row: `assess` raises, the worklist's service claims and resolves,
both told the time it was then. Which of the outcomes a call had is chance.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from random import Random
from uuid import UUID

from sqlalchemy import Connection, Engine, func, select, update

from cloud.crm.access import Reader, Role
from cloud.crm.tasks import service
from cloud.crm.tasks.tables import task_events, tasks
from cloud.demo.history import LOCAL, Past
from cloud.demo.people import STAFF, UNITS, Employee
from cloud.ingest.assess import assess
from cloud.ledger.tables import readings
from gateway.clinical import Severity, library

OUTCOMES = ("agreed_to_visit", "seen_by_doctor", "medication_in_order", "remeasured_normal", "wrong_number")
OUTCOME_WEIGHTS = (38, 22, 20, 15, 5)
DONE_AFTER_DAYS = ((35, 1.0), (14, 0.6), (4, 0.25), (-1, 0.05))
"""How many tasks are done by the time they are that old."""


def raise_and_work(engine: Engine, past: Sequence[Past], now: datetime, chance: Random) -> int:
    """Raises and works the tasks of `past` (oldest first), a day at a time; returns how many there were."""
    rules = library()
    count = 0
    ordered = sorted(past, key=_day_and_chain)
    for (_day, chain_id), group in groupby(ordered, key=_day_and_chain):
        of_the_day = list(group)
        evening = min(now, of_the_day[-1].reading.time.received + timedelta(minutes=1))
        with engine.begin() as connection:
            ids = [one.reading.id for one in of_the_day]
            raised = assess(connection, chain_id, ids, now=evening, rules=rules, production=False)
            if raised:
                _date_back(connection, chain_id, raised)
            for task_id in raised:
                _work(connection, chain_id, task_id, now, chance)
            count += len(raised)
    return count


def _day_and_chain(one: Past) -> tuple[datetime, str]:
    day = one.reading.time.at.astimezone(LOCAL).replace(hour=0, minute=0, second=0, microsecond=0)
    return day, one.store.chain_id


def _date_back(connection: Connection, chain_id: str, task_ids: Sequence[UUID]) -> None:
    """A day is assessed at once; each of its tasks was raised when its reading arrived."""
    connection.execute(
        update(tasks)
        .where(
            tasks.c.chain_id == chain_id,
            tasks.c.id.in_(task_ids),
            readings.c.chain_id == chain_id,
            readings.c.id == tasks.c.reading_id,
        )
        .values(
            raised_at=readings.c.stored_at,
            due_at=tasks.c.due_at - (tasks.c.raised_at - readings.c.stored_at),
        )
    )
    connection.execute(
        update(task_events)
        .where(
            task_events.c.chain_id == chain_id,
            task_events.c.task_id.in_(task_ids),
            tasks.c.chain_id == chain_id,
            tasks.c.id == task_events.c.task_id,
        )
        .values(at=func.least(task_events.c.at, tasks.c.raised_at))
    )


def _work(connection: Connection, chain_id: str, task_id: UUID, now: datetime, chance: Random) -> None:
    """What the store made of the task until `now`: most are done, a few drag on, the newest still wait."""
    task = connection.execute(select(tasks).where(tasks.c.chain_id == chain_id, tasks.c.id == task_id)).one()
    age = now - task.raised_at
    done = chance.random() < next(share for days, share in DONE_AFTER_DAYS if age > timedelta(days=days))
    if task.severity >= Severity.EMERGENCY:
        done = age > timedelta(hours=6)
    person = _responsible(chain_id, task.store_id, task.severity)
    # An emergency is acted on within minutes, a call is made the same or the next day.
    wait_h = chance.uniform(0.02, 0.1) if task.severity >= Severity.EMERGENCY else chance.uniform(0.4, 20)
    moment = task.raised_at + timedelta(hours=wait_h)
    if person is None or moment >= now:
        return
    if chance.random() < 0.2 and task.severity < Severity.EMERGENCY:
        service.claim(connection, person, task_id, moment)
        service.resolve(connection, person, task_id, chance.choice(("no_answer", "call_later")), "", moment)
        moment += timedelta(hours=chance.uniform(5, 30))
        if moment >= now:
            return
    elif done or chance.random() < 0.25:
        service.claim(connection, person, task_id, moment)
    if done:
        outcome = chance.choices(OUTCOMES, OUTCOME_WEIGHTS)[0]
        moment = min(now, moment + timedelta(minutes=chance.uniform(3, 15)))
        service.resolve(connection, person, task_id, outcome, "", moment)


def _responsible(chain_id: str, store_id: str, severity: int) -> Reader | None:
    roles = ("clerk", "store_manager", "specialist") if severity >= Severity.EMERGENCY else ("specialist",)
    people = [one for role in roles for one in STAFF if one.unit == store_id and one.role == role]
    return _reader(people[0], chain_id) if people else None


def _reader(person: Employee, chain_id: str) -> Reader:
    unit = next(unit for unit in UNITS if unit.chain_id == chain_id and unit.id == person.unit)
    return Reader(
        chain_id=chain_id,
        staff_id=person.id,
        name=person.name,
        role=Role(person.role),
        org_unit_id=unit.id,
        scope=unit.path,
        language="zh",
    )
