"""Whose reading it is decides whose task it is: unclaimed, claimed, taken back, corrected."""

from datetime import timedelta

from sqlalchemy import update

from cloud.ledger.tables import readings
from gateway.wire.vocabulary import Meal, OffScale
from tests.cloud.ingest.pharmacy import COUNTER, NOW, Pharmacy, hours


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
