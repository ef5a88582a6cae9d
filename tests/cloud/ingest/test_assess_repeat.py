"""Measuring again: what closes the task that asked for it, and what comes of a second low."""

from datetime import timedelta

from tests.cloud.ingest.pharmacy import NOW, Pharmacy, minutes


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
