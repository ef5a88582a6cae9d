"""Nothing is raised twice: not by a second look, not by a second worker, not by the same finding again."""

import threading
from uuid import UUID

from sqlalchemy import text

from cloud.ingest.assess import assess
from gateway.clinical import library
from gateway.wire.vocabulary import Meal
from tests.cloud.ingest.pharmacy import CHAIN, NOW, Pharmacy, hours, minutes


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
