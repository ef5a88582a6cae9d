"""From the ledger to the worklist: what a person at the counter, at home or in the office sees happen."""

import itertools
import json
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text, update

from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.crm.tasks.tables import task_events, tasks
from cloud.ingest import rules_cli
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


@pytest.fixture
def pharmacy(engine: Engine) -> Pharmacy:
    return Pharmacy(engine)


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    return timedelta(hours=n)


# --- raising -------------------------------------------------------------------------------------------------


def test_a_dangerous_pressure_calls_the_nearest_staff_to_where_it_was_measured(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    reading = pharmacy.reads(member, bp=(225, 120))
    (raised,) = pharmacy.assess(reading)
    (task,) = pharmacy.tasks()
    assert (task.id, task.rule_id, task.severity, task.member_id) == (raised, "BP-002", 4, member)
    assert (task.reading_id, task.store_id, task.performer_role) == (reading, COUNTER, "nearest_staff")
    assert task.due_at == NOW + minutes(5)
    assert task.other_rules == ["BP-004"]
    assert pharmacy.steps(task.id) == [("raised", None)]


def test_a_specialist_finds_the_task_where_the_member_is_cared_for(pharmacy: Pharmacy) -> None:
    pharmacy.assess(pharmacy.reads(pharmacy.member(), bp=(165, 95)))
    (task,) = pharmacy.tasks()
    assert (task.rule_id, task.store_id, task.performer_role) == ("BP-010", HOME, "chronic_specialist")


def test_a_reading_on_target_makes_nobody_work(pharmacy: Pharmacy) -> None:
    member = pharmacy.member(conditions=["dm"])
    assert pharmacy.assess(pharmacy.reads(member, glucose="5.5"), pharmacy.reads(member, bp=(120, 80))) == []


def test_the_worst_finding_makes_the_task_and_the_others_stand_on_it(pharmacy: Pharmacy) -> None:
    member = pharmacy.member(conditions=["dm"])
    pharmacy.assess(pharmacy.reads(member, glucose=OffScale.HI, meal=Meal.POST_MEAL_2H))
    (task,) = pharmacy.tasks()
    assert (task.rule_id, task.other_rules) == ("GL-011", ["GL-014", "GL-013"])


def test_a_low_shown_as_LO_is_an_emergency(pharmacy: Pharmacy) -> None:
    pharmacy.assess(pharmacy.reads(pharmacy.member(conditions=["dm"]), glucose=OffScale.LO))
    assert pharmacy.rules_on_list() == ["GL-002"]


@pytest.mark.parametrize("how", [{"purpose": Purpose.CONTROL}, {"quality": Quality.REJECTED}])
def test_a_control_or_an_impossible_value_is_never_judged(pharmacy: Pharmacy, how: dict[str, Any]) -> None:
    assert pharmacy.assess(pharmacy.reads(None, glucose="1.0", **how)) == []


def test_a_value_marked_for_a_second_look_still_alarms(pharmacy: Pharmacy) -> None:
    assert len(pharmacy.assess(pharmacy.reads(None, bp=(255, 120), quality=Quality.FLAGGED))) == 1


def test_open_pages_of_the_store_are_told(pharmacy: Pharmacy, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as page:
        page.execute("LISTEN kangdock")
        pharmacy.assess(pharmacy.reads(None, bp=(225, 120)))
        told = [json.loads(n.payload) for n in page.notifies(timeout=10, stop_after=1)]
    assert told == [{"chain": CHAIN, "stores": [COUNTER], "what": "task"}]


def test_an_unsigned_rule_raises_nothing_in_production(pharmacy: Pharmacy) -> None:
    reading = pharmacy.reads(pharmacy.member(), bp=(225, 120))
    assert pharmacy.assess(reading, production=True) == []
    assert len(pharmacy.assess(reading)) == 1


def test_a_rule_signed_by_a_doctor_raises_in_production(pharmacy: Pharmacy, tmp_path: Path) -> None:
    rules = Path(shutil.copytree(rules_cli.PACKAGED, tmp_path / "rules"))
    rules_cli.sign(rules, "BP-004", name="Dr 陈", role="lead", on=NOW.date())
    pharmacy.assess(pharmacy.reads(pharmacy.member(), bp=(225, 120)), rules=library(rules), production=True)
    (task,) = pharmacy.tasks()
    assert (task.rule_id, task.other_rules) == ("BP-004", [])


# --- age -----------------------------------------------------------------------------------------------------


def test_an_old_memory_raises_no_alarm_today(pharmacy: Pharmacy) -> None:
    member = pharmacy.member(conditions=["dm"])
    old = pharmacy.reads(member, glucose="2.9", at=NOW - hours(12) - minutes(1))
    assert pharmacy.assess(old) == []
    fresh = pharmacy.reads(member, glucose="2.9", at=NOW - hours(12))
    assert len(pharmacy.assess(fresh)) == 1


def test_yesterdays_extreme_pressure_is_no_emergency_any_more_but_not_nothing(pharmacy: Pharmacy) -> None:
    pharmacy.assess(pharmacy.reads(pharmacy.member(), bp=(225, 120), at=NOW - hours(13)))
    assert pharmacy.rules_on_list() == ["BP-004"]


def test_without_any_clock_a_reading_is_as_old_as_its_arrival_and_only_the_newest_alarms(
    pharmacy: Pharmacy,
) -> None:
    dump = uuid4()
    memory = [
        pharmacy.reads(None, bp=(230, 120), at=datetime(2000, 1, day, tzinfo=UTC), time=TimeQuality.UNTRUSTED,
                       conversation=dump)
        for day in (1, 3, 2)
    ]  # fmt: skip
    pharmacy.assess(*memory)
    assert [task.reading_id for task in pharmacy.tasks()] == [memory[1]]
    late = pharmacy.reads(None, bp=(230, 120), time=TimeQuality.UNTRUSTED, stored_at=NOW - hours(13))
    assert pharmacy.assess(late) == []


# --- never twice ---------------------------------------------------------------------------------------------


def test_judging_the_same_readings_again_raises_nothing_twice(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    rows = [pharmacy.reads(member, bp=(225, 120)), pharmacy.reads(None, glucose="2.0")]
    assert len(pharmacy.assess(*rows)) == 2
    assert pharmacy.assess(*rows) == []
    for task in pharmacy.tasks():
        pharmacy.complete(task.id)
    assert pharmacy.assess(*rows) == []


def test_workers_at_the_same_time_raise_one_task_per_occasion(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    # Ten high readings in ten minutes are one BP-010 while nobody has looked at the first.
    same_member = [pharmacy.reads(member, bp=(165, 95), at=NOW - minutes(n)) for n in range(10)]
    strangers = [pharmacy.reads(None, glucose="2.0") for _ in range(10)]
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def work(rows: list[UUID]) -> None:
        start.wait()
        try:
            pharmacy.assess(*rows)
        except BaseException as error:
            failures.append(error)

    everything = same_member + strangers
    workers = [
        threading.Thread(target=work, args=(rows,))
        for rows in (everything, everything[::-1], same_member[:5], same_member[5:] + strangers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert len(pharmacy.tasks(rule_id="BP-010")) == 1
    assert len(pharmacy.tasks(rule_id="GL-002")) == 10


def test_a_second_worker_waits_until_the_first_has_decided_about_a_member(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    first, second = (pharmacy.reads(member, bp=(165, 95), at=NOW - minutes(n)) for n in (9, 1))
    other = threading.Thread(target=pharmacy.assess, args=(second,))
    with pharmacy.engine.begin() as connection:
        assess(connection, CHAIN, [first], now=NOW, rules=library(), production=False)
        other.start()
        with pharmacy.engine.connect() as observer:
            waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            while other.is_alive() and not observer.execute(waits).scalar_one():
                observer.rollback()
    other.join()
    assert [task.reading_id for task in pharmacy.tasks()] == [first]


def test_the_same_finding_keeps_quiet_unless_it_got_a_tenth_worse(pharmacy: Pharmacy) -> None:
    member = pharmacy.member(conditions=["dm"])
    pharmacy.assess(pharmacy.reads(member, glucose="17.0", meal=Meal.FASTING))
    later = NOW + hours(3)
    pharmacy.assess(pharmacy.reads(member, glucose="18.6", meal=Meal.FASTING, at=later), now=later)
    assert len(pharmacy.tasks()) == 1
    pharmacy.assess(pharmacy.reads(member, glucose="18.7", meal=Meal.FASTING, at=later), now=later)
    assert len(pharmacy.tasks()) == 2


def test_the_same_finding_speaks_again_when_its_quiet_time_is_over(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    (first,) = pharmacy.assess(pharmacy.reads(member, glucose="14.0"))
    pharmacy.complete(first)
    for later, count in ((hours(24), 1), (hours(24) + minutes(1), 2)):
        reading = pharmacy.reads(member, glucose="14.0", at=NOW + later)
        pharmacy.assess(reading, now=NOW + later)
        assert len(pharmacy.tasks()) == count


def test_an_emergency_never_keeps_quiet(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    pharmacy.assess(pharmacy.reads(member, glucose="2.9", at=NOW - minutes(15)))
    pharmacy.assess(pharmacy.reads(member, glucose="2.9"))
    assert pharmacy.rules_on_list() == ["GL-002", "GL-002"]


# --- measuring again -----------------------------------------------------------------------------------------


def test_a_calm_repeat_closes_the_task_that_asked_for_it(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    (asked,) = pharmacy.assess(pharmacy.reads(member, bp=(185, 100), at=NOW - minutes(6)))
    pharmacy.assess(pharmacy.reads(member, bp=(150, 88)))
    (task,) = pharmacy.tasks()
    assert (task.id, task.rule_id, task.status, task.outcome) == (
        asked,
        "BP-004",
        "completed",
        "remeasured_normal",
    )
    assert pharmacy.steps(asked) == [("raised", None), ("resolved", "measured_again")]


def test_a_high_repeat_turns_measure_again_into_see_a_doctor(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    first = pharmacy.reads(member, bp=(185, 100), at=NOW - minutes(6))
    pharmacy.assess(first)
    repeat = pharmacy.reads(member, bp=(182, 98))
    pharmacy.assess(repeat)
    assert pharmacy.rules_on_list() == ["BP-003"]
    pharmacy.assess(first, repeat)
    assert len(pharmacy.tasks()) == 2


def test_a_repeat_without_rest_does_not_count(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    pharmacy.assess(pharmacy.reads(member, bp=(185, 100), at=NOW - minutes(4)))
    pharmacy.assess(pharmacy.reads(member, bp=(184, 100)))
    assert pharmacy.rules_on_list() == ["BP-004"]


def test_both_readings_in_one_call_end_as_one_open_task(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    pharmacy.assess(
        pharmacy.reads(member, bp=(182, 98)), pharmacy.reads(member, bp=(185, 100), at=NOW - minutes(6))
    )
    assert pharmacy.rules_on_list() == ["BP-003"]


def test_the_second_low_in_two_weeks_sends_to_the_doctor(pharmacy: Pharmacy) -> None:
    member = pharmacy.member(conditions=["dm"])
    pharmacy.reads(member, glucose="3.8", at=NOW - timedelta(days=13))
    pharmacy.assess(pharmacy.reads(member, glucose="3.7"))
    (task,) = pharmacy.tasks()
    assert (task.rule_id, task.other_rules) == ("GL-003", ["GL-006"])


# --- whose reading it is -------------------------------------------------------------------------------------


def test_an_emergency_of_somebody_unknown_is_the_stores(pharmacy: Pharmacy) -> None:
    pharmacy.assess(pharmacy.reads(None, bp=(225, 120)), pharmacy.reads(None, bp=(165, 95)))
    (task,) = pharmacy.tasks()
    assert (task.rule_id, task.member_id, task.store_id) == ("BP-002", None, COUNTER)


def test_a_reading_claimed_later_still_alerts(pharmacy: Pharmacy) -> None:
    reading = pharmacy.reads(None, bp=(165, 95), at=NOW - hours(1))
    assert pharmacy.assess(reading) == []
    member = pharmacy.member()
    pharmacy.claim(reading, member)
    pharmacy.assess(reading)
    (task,) = pharmacy.tasks()
    assert (task.rule_id, task.member_id) == ("BP-010", member)


def test_a_claim_turns_the_stores_emergency_into_the_members(pharmacy: Pharmacy) -> None:
    reading = pharmacy.reads(None, glucose="2.5")
    (anonymous,) = pharmacy.assess(reading)
    member = pharmacy.member(conditions=["dm"])
    pharmacy.claim(reading, member)
    # Days later: nobody has dealt with it, so it is still an emergency.
    pharmacy.assess(reading, now=NOW + timedelta(days=2))
    stores, members_ = pharmacy.tasks()
    assert (stores.id, stores.status) == (anonymous, "cancelled")
    assert pharmacy.steps(anonymous)[-1] == ("withdrawn", "owner_changed")
    assert (members_.rule_id, members_.member_id, members_.status) == ("GL-002", member, "ready")


def test_an_emergency_already_dealt_with_does_not_return_with_the_claim(pharmacy: Pharmacy) -> None:
    reading = pharmacy.reads(None, glucose="2.5")
    (anonymous,) = pharmacy.assess(reading)
    pharmacy.complete(anonymous)
    pharmacy.claim(reading, pharmacy.member(conditions=["dm"]))
    assert pharmacy.assess(reading) == []


def test_a_reading_taken_back_takes_its_task_with_it(pharmacy: Pharmacy) -> None:
    wrong, right = pharmacy.member(), pharmacy.member()
    reading = pharmacy.reads(None, bp=(165, 95))
    pharmacy.claim(reading, wrong)
    (first,) = pharmacy.assess(reading)
    pharmacy.undo(reading)
    assert pharmacy.assess(reading) == []
    assert pharmacy.steps(first) == [("raised", None), ("withdrawn", "owner_changed")]
    pharmacy.claim(reading, right)
    pharmacy.assess(reading, now=NOW + timedelta(days=7))
    (task,) = pharmacy.tasks(status="ready")
    assert (task.member_id, task.rule_id) == (right, "BP-010")


def test_given_back_to_the_first_member_it_alerts_again(pharmacy: Pharmacy) -> None:
    member = pharmacy.member()
    reading = pharmacy.reads(None, bp=(165, 95))
    for _ in range(3):
        pharmacy.claim(reading, member)
        assert len(pharmacy.assess(reading)) == 1
        pharmacy.undo(reading)
        pharmacy.assess(reading)
    assert pharmacy.rules_on_list() == []


def test_a_corrected_meal_withdraws_what_no_longer_holds(pharmacy: Pharmacy) -> None:
    reading = pharmacy.reads(pharmacy.member(), glucose="17.0", meal=Meal.FASTING)
    pharmacy.assess(reading)
    pharmacy.do(lambda c: c.execute(update(readings).where(readings.c.id == reading).values(meal="bedtime")))
    pharmacy.assess(reading)
    assert [(t.rule_id, t.status) for t in sorted(pharmacy.tasks(), key=lambda t: t.rule_id)] == [
        ("GL-012", "cancelled"),
        ("GL-013", "ready"),
    ]


def test_a_lesser_finding_never_takes_an_emergency_off_the_list(pharmacy: Pharmacy) -> None:
    reading = pharmacy.reads(pharmacy.member(), glucose=OffScale.HI, meal=Meal.FASTING)
    pharmacy.assess(reading)
    pharmacy.do(lambda c: c.execute(update(readings).where(readings.c.id == reading).values(meal="bedtime")))
    assert pharmacy.assess(reading) == []
    assert pharmacy.rules_on_list() == ["GL-011"]


def test_a_large_batch_costs_no_more_statements_than_a_small_one(pharmacy: Pharmacy) -> None:
    people = [pharmacy.member(conditions=["dm"]) for _ in range(5)]
    rows = [pharmacy.reads(people[n % 5], bp=(150 + n, 95), at=NOW - minutes(3 * n)) for n in range(60)]
    statements: list[str] = []
    event.listen(pharmacy.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    pharmacy.assess(*rows[:5])
    pharmacy.assess(*rows[5:])
    # Two calls: at most six to read, three to raise and four for each way of closing tasks.
    assert len(statements) <= 2 * (6 + 3 + 3 * 4)
