"""Whose a reading on the counter is: what the clocks prove, what staff say, and what they are asked."""

from datetime import timedelta
from uuid import UUID

import pytest

from gateway.answering import BadAnswer, answer
from gateway.counter import (
    Meal,
    MeasureAgain,
    Symptoms,
    Whose,
)
from gateway.wire.messages import (
    SOMEBODY_ELSE,
    VISITOR,
    Answer,
    Asked,
    Reading,
    TakenAt,
    TimeQuality,
    Visit,
)
from gateway.wire.vocabulary import Meal as MealWord
from tests.gateway.at_counter import MINUTE, WANG, look, pressure, said, sugar
from tests.gateway.readings import NOON


def doubtful(value: str = "5.8", **more) -> Reading:
    """By a meter whose clock shows whole minutes: it may have been taken before the card was scanned."""
    whole_minute = TakenAt(
        at=NOON + timedelta(seconds=40),
        quality=TimeQuality.DEVICE,
        received=NOON + timedelta(seconds=45),
        early_s=60.0,
    )
    return sugar(value, **({"time": whole_minute} | more))


def untimed(**more) -> Reading:
    at = NOON + MINUTE
    return sugar("5.8", time=TakenAt(at=at, quality=TimeQuality.UNTRUSTED, received=at, early_s=0.0), **more)


@pytest.mark.parametrize(
    "measured",
    [doubtful(), untimed(), sugar("5.8", after=-MINUTE, visit=None)],
    ids=["whole minutes", "no clock", "measured before the card was scanned"],
)
def test_where_the_clocks_leave_it_open_staff_are_asked_before_anything_else(measured: Reading):
    asking = look(measured, after=2 * MINUTE)
    assert asking.asked == Whose(reading_id=measured.id)
    assert not asking.readings[0].visitors

    theirs = look(measured, answers=[whose(measured, VISITOR, WANG)])
    assert theirs.readings[0].visitors
    assert isinstance(theirs.asked, Meal)

    not_theirs = look(measured, answers=[whose(measured, SOMEBODY_ELSE, WANG)])
    assert not not_theirs.readings[0].visitors
    assert not_theirs.asked is None


def whose(about: Reading, word: str, visit: Visit, *, after: timedelta = 2 * MINUTE) -> Answer:
    counter = look(about, visit=visit, after=after)
    return answer(counter, about.id, Asked.WHOSE, [word], id=UUID(int=98), at=NOON)


def test_an_answer_says_which_card_is_meant():
    said_so = whose(doubtful(), VISITOR, WANG)
    assert (said_so.values, said_so.visit) == ((VISITOR, "M001"), WANG.id)


def test_one_customers_no_asks_the_next_and_one_customers_yes_does_not():
    measured = sugar("5.8", after=MINUTE, visit=None)
    next_one = Visit(id=UUID(int=3), code="M003", slot="one", opened=NOON + 2 * MINUTE)
    no, yes = whose(measured, SOMEBODY_ELSE, WANG), whose(measured, VISITOR, WANG)
    assert look(measured, visit=next_one, answers=[no]).asked == Whose(reading_id=measured.id)
    after_yes = look(measured, visit=next_one, answers=[yes])
    assert (after_yes.asked, after_yes.readings) == (None, ())


def test_what_was_given_to_one_customer_asks_and_alarms_no_other():
    """Its danger signs would be asked of whoever stands there now, and kept as the other one's."""
    low = doubtful("2.4", visit=None)
    yes = whose(low, VISITOR, WANG)
    assert isinstance(look(low, answers=[yes]).asked, Symptoms)
    next_one = Visit(id=UUID(int=3), code="M003", slot="one", opened=NOON + 2 * MINUTE)
    for visit in (next_one, None):
        later = look(low, visit=visit, answers=[yes], after=3 * MINUTE)
        assert (later.asked, later.complaints, later.first_aid, later.readings) == (None, None, None, ())


def test_a_card_scanned_again_after_the_rest_keeps_what_was_given_and_this_afternoon_nothing():
    measured = pressure(150, 95, visit=None)
    yes = whose(measured, VISITOR, WANG)
    again, afternoon = (
        Visit(id=UUID(int=number), code=WANG.code, slot="one", opened=NOON + timedelta(minutes=minutes))
        for number, minutes in ((3, 7), (4, 180))
    )
    rested = look(measured, visit=again, answers=[yes], after=8 * MINUTE)
    assert rested.asked == MeasureAgain(reading_id=measured.id)
    later = look(measured, visit=afternoon, answers=[yes], after=181 * MINUTE)
    assert (later.asked, later.readings) == (None, ())


def test_what_the_clocks_prove_is_not_asked_but_can_be_taken_back():
    measured = sugar("5.8", meal=MealWord.FASTING)
    assert (look(measured).asked, look(measured).readings[0].visitors) == (None, True)
    companions = look(measured, answers=[whose(measured, SOMEBODY_ELSE, WANG)])
    assert (companions.asked, companions.readings[0].visitors) == (None, False)


def test_of_a_phone_tail_nobody_is_asked_whose_it_is():
    by_tail = Visit(id=UUID(int=4), code="TAIL-1234", slot="one", opened=NOON)
    measured = untimed(visit=by_tail)
    assert not isinstance(look(measured, visit=by_tail).asked, Whose)
    with pytest.raises(BadAnswer):
        whose(measured, VISITOR, by_tail)


def test_a_pressure_staff_gave_to_the_visitor_counts_in_the_mean():
    first, second = pressure(150, 95), pressure(146, 93, after=7 * MINUTE, visit=None)
    apart = look(first, second, after=8 * MINUTE)
    assert apart.average is None
    together = look(first, second, after=8 * MINUTE, answers=[whose(second, VISITOR, WANG, after=8 * MINUTE)])
    assert together.average is not None


def test_an_emergency_is_asked_about_before_whose_it_is():
    low = doubtful("2.4")
    counter = look(low)
    assert isinstance(counter.asked, Symptoms)
    told = look(low, answers=[said(low, Asked.SYMPTOMS), said(low, Asked.FIRST_AID, counter.first_aid.rule.id)])
    assert told.asked == Whose(reading_id=low.id)
