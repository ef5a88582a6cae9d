"""From the ledger to the worklist: which task a reading raises, for whom and where, and when it raises none."""

import json
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from cloud.ingest import rules_cli
from gateway.clinical import library
from gateway.wire.messages import Purpose, Quality
from gateway.wire.vocabulary import Meal, OffScale
from tests.cloud.ingest.pharmacy import CHAIN, COUNTER, HOME, NOW, Pharmacy, minutes


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


def test_a_large_batch_costs_no_more_statements_than_a_small_one(pharmacy: Pharmacy) -> None:
    people = [pharmacy.member(conditions=["dm"]) for _ in range(5)]
    rows = [pharmacy.reads(people[n % 5], bp=(150 + n, 95), at=NOW - minutes(3 * n)) for n in range(60)]
    statements: list[str] = []
    event.listen(pharmacy.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    pharmacy.assess(*rows[:5])
    pharmacy.assess(*rows[5:])
    # Two calls: at most six to read, three to raise and four for each way of closing tasks.
    assert len(statements) <= 2 * (6 + 3 + 3 * 4)
