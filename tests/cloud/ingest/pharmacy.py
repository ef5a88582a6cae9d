"""A pharmacy of two stores over the ledger: members, readings that arrive, and what the rules made of them.

The assess tests' world; `chains` is the one of those that hand in batches.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, insert, select, update

from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.crm.tasks.tables import task_events, tasks
from cloud.ingest.assess import assess
from cloud.ledger import changes, store
from cloud.ledger.store import NewReading
from cloud.ledger.tables import readings
from gateway.clinical import Rule, library
from gateway.wire import codec
from gateway.wire.messages import Device, Purpose, Quality, Reading, TakenAt, TimeQuality
from gateway.wire.vocabulary import Kind, Meal, OffScale

NOW = datetime(2026, 5, 4, 2, 0, tzinfo=UTC)
CHAIN, COUNTER, HOME = "kang", "n01", "n02"
STAFF = uuid4()


class Pharmacy:
    """A chain with two stores, and the things that happen in it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.numbers = itertools.count()
        with engine.begin() as connection:
            for unit in ("kang", COUNTER, HOME):
                kind = "chain" if unit == CHAIN else "store"
                row = {"chain_id": CHAIN, "id": unit, "kind": kind, "path": f"/{unit}/", "name": unit}
                connection.execute(insert(org_units).values(row))

    def member(self, **columns: Any) -> UUID:
        member_id = uuid4()
        with self.engine.begin() as connection:
            connection.execute(
                insert(members).values(
                    {"chain_id": CHAIN, "id": member_id, "code": str(member_id), "name": "某", "store_id": HOME}
                    | columns
                )
            )
        return member_id

    def reads(
        self,
        member: UUID | None,
        *,
        bp: tuple[int, int] | None = None,
        glucose: str | OffScale | None = None,
        at: datetime = NOW,
        meal: Meal = Meal.UNKNOWN,
        time: TimeQuality = TimeQuality.DEVICE,
        purpose: Purpose = Purpose.PATIENT,
        quality: Quality = Quality.PLAUSIBLE,
        conversation: UUID | None = None,
        stored_at: datetime = NOW,
    ) -> UUID:
        """A reading arrives in the ledger, at the counter, belonging to `member`."""
        values: dict[str, Decimal] = {}
        off_scale: dict[str, OffScale] = {}
        if bp:
            values = {"systolic_mmhg": Decimal(bp[0]), "diastolic_mmhg": Decimal(bp[1])}
        elif isinstance(glucose, OffScale):
            off_scale = {"glucose_mmol_l": glucose}
        else:
            values = {"glucose_mmol_l": Decimal(glucose or "5.5")}
        reading = Reading(
            id=uuid4(),
            kind=Kind.BLOOD_PRESSURE if bp else Kind.GLUCOSE,
            device=Device(key="SN1"),
            record_key=str(next(self.numbers)),
            time=TakenAt(at=at, quality=time, received=NOW),
            conversation=conversation or uuid4(),
            driver="test",
            values=values,
            off_scale=off_scale,
            meal=meal,
            purpose=purpose,
            quality=quality,
        )
        row = NewReading(
            store_id=COUNTER, gateway_id="g1", reading=reading, body=codec.encode(reading), member_id=member
        )
        with self.engine.begin() as connection:
            store.insert_once(connection, CHAIN, [row])
            connection.execute(update(readings).where(readings.c.id == reading.id).values(stored_at=stored_at))
        return reading.id

    def assess(
        self,
        *reading_ids: UUID,
        now: datetime = NOW,
        rules: tuple[Rule, ...] | None = None,
        production: bool = False,
    ) -> list[UUID]:
        with self.engine.begin() as connection:
            return assess(connection, CHAIN, reading_ids, now=now, rules=rules or library(), production=production)

    def do(self, what: Callable[[Connection], object]) -> None:
        with self.engine.begin() as connection:
            what(connection)

    def claim(self, reading: UUID, member: UUID) -> None:
        self.do(lambda connection: changes.claim(connection, CHAIN, [reading], member, STAFF, NOW))

    def undo(self, reading: UUID) -> None:
        self.do(lambda connection: changes.undo(connection, CHAIN, reading, STAFF, NOW))

    def complete(self, task: UUID) -> None:
        self.do(lambda c: c.execute(update(tasks).where(tasks.c.id == task).values(status="completed")))

    def tasks(self, **wanted: Any) -> list[Any]:
        query = select(tasks).order_by(tasks.c.raised_at, tasks.c.severity.desc())
        for name, value in wanted.items():
            query = query.where(tasks.c[name] == value)
        with self.engine.connect() as connection:
            return list(connection.execute(query))

    def rules_on_list(self) -> list[str]:
        return [task.rule_id for task in self.tasks() if task.status in ("ready", "in-progress")]

    def steps(self, task: UUID) -> list[tuple[str, str | None]]:
        with self.engine.connect() as connection:
            rows = connection.execute(
                select(task_events).where(task_events.c.task_id == task).order_by(task_events.c.seq)
            )
            return [(row.what, row.detail.get("reason")) for row in rows]


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    return timedelta(hours=n)
