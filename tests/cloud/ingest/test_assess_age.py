"""How old a reading is when it is judged, also where no clock can be believed."""

from datetime import UTC, datetime
from uuid import uuid4

from gateway.wire.messages import TimeQuality
from tests.cloud.ingest.pharmacy import NOW, Pharmacy, hours, minutes


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
