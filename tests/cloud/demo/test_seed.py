"""The demo's chain, in a real database."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from cloud.demo import seed
from cloud.demo.people import PASSWORD, STAFF, STORES, card_code
from gateway.wire.codec import decode_reading

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> seed.World:
    return seed.imagine(NOW)


def test_two_people_talking_about_the_demo_see_the_same_members(world: seed.World) -> None:
    again = seed.imagine(NOW + timedelta(days=30))
    assert [one.code for one in again.members] == [one.code for one in world.members]
    assert [one.name for one in again.members] == [one.name for one in world.members]


def test_nobody_real_could_be_called(world: seed.World) -> None:
    phones = [one.phone for one in world.members if one.phone]
    assert all(phone.startswith("1540000") and len(phone) == 11 for phone in phones)
    assert len(phones) > len(set(phones)), "couples share a phone, so that a phone is seen not to be an identity"


def test_every_card_has_its_own_code_with_a_check_digit(world: seed.World) -> None:
    codes = [one.code for one in world.members]
    assert len(codes) == len(set(codes))
    assert card_code(STORES[0], 0) == "01010016"


def test_every_reading_lies_in_the_year_before_now(world: seed.World) -> None:
    times = [one.reading.time.at for one in world.past]
    assert times == sorted(times)
    assert NOW - timedelta(days=367) < times[0]
    assert times[-1] < NOW
    assert all(one.reading.time.received < NOW for one in world.past)


def test_the_members_who_do_badly_measure_worse_than_those_who_do_well(world: seed.World) -> None:
    def mean(course: str) -> float:
        values = [
            float(one.reading.values["systolic_mmhg"])
            for one in world.past
            if one.member
            and one.member.course == course
            and "htn" in one.member.conditions
            and "systolic_mmhg" in one.reading.values
        ]
        return sum(values) / len(values)

    assert mean("uncontrolled") > mean("controlled") + 10


def test_a_seeded_chain_is_what_intake_would_have_left(database: str) -> None:
    rows = seed.seed(database, NOW)
    with psycopg.connect(database) as connection:

        def ask(question: str) -> list[tuple]:
            return connection.execute(question).fetchall()

        assert rows["members"] == ask("SELECT count(*) FROM members")[0][0] >= 400
        assert rows["readings"] == ask("SELECT count(*) FROM readings")[0][0] > 8000
        assert {role for (role,) in ask("SELECT DISTINCT role FROM staff WHERE chain_id = 'kang'")} == {
            one.role for one in STAFF
        }
        assert ask("SELECT count(*) FROM staff WHERE chain_id = 'kang'") == [(12,)]
        for (body,) in ask("SELECT body::text FROM readings ORDER BY id LIMIT 500"):
            decode_reading(body.encode())
        # The owner is always the newest attribution's, or the ingest's own decision where there is none.
        assert ask(
            "SELECT count(*) FROM readings r LEFT JOIN LATERAL (SELECT member_id FROM attributions a"
            " WHERE a.chain_id = r.chain_id AND a.reading_id = r.id ORDER BY seq DESC LIMIT 1) a ON true"
            " WHERE r.member_id IS DISTINCT FROM a.member_id AND (a.member_id IS NOT NULL OR first_how IS NULL)"
        ) == [(0,)]
        assert ask("SELECT count(*) FROM readings WHERE purpose = 'control' AND member_id IS NOT NULL") == [(0,)]
        assert ask("SELECT count(*) > 3 FROM readings WHERE member_id IS NULL AND purpose = 'patient'") == [
            (True,)
        ]
        # Tasks come from the real rules, and their history is whole.
        assert rows["tasks"] == ask("SELECT count(*) FROM tasks")[0][0] > 50
        assert ask("SELECT count(*) > 5 FROM tasks WHERE status IN ('ready', 'in-progress')") == [(True,)]
        assert ask("SELECT count(*) FROM tasks t WHERE status = 'completed' AND outcome IS NULL") == [(0,)]
        assert ask(
            "SELECT count(*) FROM tasks t JOIN task_events e ON e.task_id = t.id WHERE e.at < t.raised_at"
        ) == [(0,)]
    assert seed.seeded(database)
    assert PASSWORD not in str(rows)
