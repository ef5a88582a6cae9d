"""Two customers at two slots never mix, and a visit does not outlive its customer."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.visits import IDLE_CLOSES_AFTER, BadCode, Visits, normalise_code, tail

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def counter(**slots: tuple[str, ...]) -> Visits:
    return Visits(slots or {"one": (), "two": ()})


def test_a_visit_holds_from_its_scan_until_it_is_closed():
    visits = counter()
    visits.open("one", "M001", at(0), id=UUID(int=1))
    assert visits.at("one", at(-1)) is None
    assert visits.at("one", at(5)).code == "M001"
    visits.close("one", at(10))
    assert visits.at("one", at(5)).code == "M001"
    assert visits.at("one", at(10)) is None
    assert visits.close("one", at(11)) is None


def test_a_new_scan_closes_the_customer_before():
    visits = counter()
    visits.open("one", "M001", at(0), id=UUID(int=1))
    visits.open("one", "M002", at(60), id=UUID(int=2))
    assert visits.at("one", at(59)).closed == at(60)
    assert visits.at("one", at(60)).code == "M002"


def test_an_idle_visit_ends_after_ten_minutes_and_a_used_one_lives_on():
    visits = counter()
    visits.open("one", "M001", at(0), id=UUID(int=1))
    visits.used("one", at(500))
    assert visits.at("one", at(900)) is not None
    assert visits.expire(at(900)) == []
    assert visits.at("one", at(500) + IDLE_CLOSES_AFTER) is None
    (ended,) = visits.expire(at(5000))
    assert ended.closed == at(500) + IDLE_CLOSES_AFTER


def test_a_reading_after_the_idle_end_does_not_bring_a_visit_back():
    visits = counter()
    visits.open("one", "M001", at(0), id=UUID(int=1))
    visits.used("one", START + IDLE_CLOSES_AFTER)
    assert visits.at("one", START + IDLE_CLOSES_AFTER) is None


def test_a_clock_set_back_never_ends_a_visit_before_it_began():
    visits = counter()
    visits.open("one", "M001", at(0), id=UUID(int=1))
    assert visits.close("one", at(-3600)).closed == at(0)


def test_a_meter_belongs_to_the_slot_that_names_it():
    visits = counter(one=("AA:01",), two=("aa:02",))
    assert visits.slot_of("aa:01") == "one"
    assert visits.slot_of("AA:02") == "two"
    assert visits.slot_of("AA:03") is None
    assert visits.at(visits.slot_of("AA:03"), at(0)) is None


def test_at_a_single_slot_every_meter_lies_there():
    assert counter(only=()).slot_of("AA:03") == "only"


def test_an_unknown_slot_cannot_be_opened():
    with pytest.raises(KeyError):
        counter().open("three", "M001", at(0), id=UUID(int=1))


steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "used", "expire"]),
        st.sampled_from(["one", "two"]),
        st.integers(0, 900),  # seconds until this step
    ),
    max_size=40,
)


@given(steps, st.integers(-10, 5000))
def test_two_slots_and_two_customers_never_mix(steps: list[tuple[str, str, int]], asked: int):
    """Whatever happens in whatever order: a visit is seen only at its own slot, inside its own time."""
    visits, alone = counter(), {"one": counter(one=()), "two": counter(two=())}
    now, opened = 0, {}
    for number, (what, slot, pause) in enumerate(steps):
        now += pause
        for group in (visits, *(alone.values() if what == "expire" else [alone[slot]])):
            match what:
                case "open":
                    group.open(slot, f"M{number:03}", at(now), id=UUID(int=number))
                case "close":
                    group.close(slot, at(now))
                case "used":
                    group.used(slot, at(now))
                case "expire":
                    group.expire(at(now))
        if what == "open":
            opened[f"M{number:03}"] = (slot, at(now))
        # Asked at once, as a reading does, and about any other moment.
        for moment in (at(now), at(asked)):
            for name in ("one", "two"):
                visit = visits.at(name, moment)
                assert visit == alone[name].at(name, moment)
                if visit is not None:
                    assert opened[visit.code] == (name, visit.opened)
                    assert visit.opened <= moment
                    assert visit.closed is None or moment < visit.closed
                    later = [when for of, when in opened.values() if of == name and when > visit.opened]
                    assert all(moment < when for when in later)


@pytest.mark.parametrize(
    ("typed", "code"),
    [(" m0001 ", "M0001"), ("Ｍ０００１", "M0001"), ("6901 2345 6789", "690123456789"), ("kd-12", "KD-12")],
)
def test_a_scanned_code_is_read_as_the_cloud_writes_it(typed: str, code: str):
    assert normalise_code(typed) == code


@pytest.mark.parametrize("typed", ["", "  ", "1", "会员", "-12", "A" * 33, "M1;DROP", "https://example.com/x"])
def test_what_is_no_code_is_refused_without_repeating_it(typed: str):
    with pytest.raises(BadCode) as refused:
        normalise_code(typed)
    assert not typed.strip() or typed not in str(refused.value) or len(typed) < 3


@given(st.text(max_size=300))
def test_any_text_is_a_code_or_refused(typed: str):
    try:
        code = normalise_code(typed)
    except BadCode:
        return
    assert normalise_code(code) == code
    assert code.endswith(tail(code))
    assert len(tail(code)) <= len(code) / 2 or len(code) == 3
