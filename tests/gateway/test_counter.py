"""What staff are asked at the counter: one thing at a time, of the right customer, and never too late."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.answering import BadAnswer, answer
from gateway.clinical import Severity, SignOff, library
from gateway.counter import (
    Average,
    Counter,
    Meal,
    MeasureAgain,
    Rest,
    Symptoms,
    Third,
    at_counter,
)
from gateway.judging import rules_here
from gateway.repeats import rest
from gateway.whose import NOBODYS_FOR
from gateway.wire.messages import (
    Answer,
    Asked,
    Purpose,
    Quality,
    Reading,
    TakenAt,
    TimeQuality,
    Visit,
)
from gateway.wire.vocabulary import Meal as MealWord
from gateway.wire.vocabulary import OffScale
from tests.gateway.at_counter import LI, MINUTE, RULES, WANG, codes, look, pressure, said, sugar
from tests.gateway.readings import NOON

# --- glucose ---------------------------------------------------------------------------------------------------


def test_a_glucose_of_unknown_meal_is_asked_about_in_one_touch():
    measured = sugar("5.8")
    asked = look(measured).asked
    assert isinstance(asked, Meal)
    assert asked.reading_id == measured.id
    assert [choice.code for choice in asked.choices] == ["fasting", "post_meal_2h", "random"]
    told = look(measured, answers=[said(measured, Asked.MEAL, "fasting")])
    assert told.asked is None
    assert told.readings[0].meal is MealWord.FASTING
    assert told.readings[0].verdicts["glucose_mmol_l"].code == "N"


def test_the_verdict_follows_the_meal_staff_stated():
    measured = sugar("7.0")
    fasting = look(measured, answers=[said(measured, Asked.MEAL, "fasting")])
    after = look(
        measured, answers=[said(measured, Asked.MEAL, "fasting"), said(measured, Asked.MEAL, "post_meal_2h")]
    )
    assert fasting.readings[0].verdicts["glucose_mmol_l"].code == "H"
    assert after.readings[0].verdicts["glucose_mmol_l"].code == "N"


def test_a_meter_that_knows_the_meal_is_believed():
    assert look(sugar("6.2", meal=MealWord.FASTING)).asked is None


def test_nobodys_glucose_is_not_asked_about_when_the_next_customer_stands_there():
    strangers = sugar("5.8", after=-3 * MINUTE, visit=None)
    assert look(strangers, after=MINUTE).asked is None
    assert codes(look(strangers, after=MINUTE, visit=None).asked)


def test_nobodys_glucose_is_asked_about_for_a_minute_beside_whom_only_a_phone_tail_is_known_of():
    """It may be theirs, who came to the counter late; nobody can be asked whose it is, for nobody has a card."""
    by_tail = msgspec.structs.replace(WANG, code="TAIL-1042")
    strangers = sugar("5.8", after=-MINUTE / 2, visit=None)
    assert codes(look(strangers, after=timedelta(seconds=20), visit=by_tail).asked)
    assert look(strangers, after=timedelta(seconds=40), visit=by_tail).asked is None


@pytest.mark.parametrize("more", [{"purpose": Purpose.CONTROL}, {"quality": Quality.REJECTED}])
def test_a_control_solution_and_an_impossible_value_are_asked_nothing(more):
    assert look(sugar("2.1", **more)) == Counter(slot="one", visit=WANG)


def test_a_low_glucose_shows_its_card_at_once_and_asks_only_what_would_change_it():
    low = sugar("2.4")
    shown = look(low)
    assert shown.first_aid.card.id == "P-HYPO-AWAKE"
    assert shown.first_aid.rule.id == "GL-002"
    assert codes(shown.asked) == {"conscious_change", "seizure", "cannot_swallow"}
    awake = look(low, answers=[said(low, Asked.SYMPTOMS)])
    assert awake.first_aid.card.id == "P-HYPO-AWAKE"
    assert awake.asked is None  # whoever is eating sugar is not asked about breakfast
    asleep = look(low, answers=[said(low, Asked.SYMPTOMS, "cannot_swallow")])
    assert asleep.first_aid.card.id == "P-HYPO-UNCONSCIOUS"
    assert asleep.readings[0].symptoms == {"cannot_swallow"}


def test_a_better_value_takes_the_card_of_the_same_visitor_away():
    low, later = sugar("2.4"), sugar("5.1", after=16 * MINUTE)
    assert look(low, later, after=17 * MINUTE).first_aid is None


def test_a_card_that_staff_have_put_away_stays_small_and_questions_go_on():
    low = sugar("LO")
    answers = [said(low, Asked.SYMPTOMS), said(low, Asked.FIRST_AID, "GL-002")]
    shown = look(low, answers=answers)
    assert shown.first_aid.put_away
    assert isinstance(shown.asked, Meal)
    # Another card is another matter.
    worse = look(low, answers=[*answers, said(low, Asked.SYMPTOMS, "seizure")])
    assert not worse.first_aid.put_away


# --- blood pressure --------------------------------------------------------------------------------------------


def test_a_normal_pressure_is_asked_nothing():
    assert look(pressure(139, 89)).asked is None


def test_a_first_high_pressure_rests_five_minutes_and_is_measured_again():
    first = pressure(150, 85)
    waits = look(first, after=3 * MINUTE).asked
    assert waits == Rest(reading_id=first.id, until=NOON + MINUTE + rest())
    assert rest() == 5 * MINUTE
    assert look(first, after=6 * MINUTE).asked == MeasureAgain(reading_id=first.id)


def test_two_that_agree_are_averaged():
    first, second = pressure(150, 94), pressure(141, 87, after=7 * MINUTE)
    shown = look(first, second, after=8 * MINUTE)
    assert shown.asked is None
    assert shown.average == Average(
        systolic_mmhg=Decimal(146),  # 145.5, half up
        diastolic_mmhg=Decimal(91),
        pulse_per_min=Decimal(72),
        verdicts=shown.average.verdicts,
        of=2,
    )
    assert shown.average.verdicts["systolic_mmhg"].code == "H"


@pytest.mark.parametrize(("systolic", "diastolic", "third"), [(140, 90, False), (139, 90, True), (150, 79, True)])
def test_two_that_differ_by_more_than_ten_need_a_third(systolic, diastolic, third):
    first, second = pressure(150, 90), pressure(systolic, diastolic, after=7 * MINUTE)
    shown = look(first, second, after=8 * MINUTE)
    assert (shown.asked == Third(reading_id=second.id)) is third
    assert (shown.average is None) is third


@pytest.mark.parametrize(
    ("profile", "systolic", "of"), [(None, 150, 3), ("chl2024", 150, 3), ("primary2025", 145, 2)]
)
def test_of_three_the_chains_guideline_says_how_many_are_averaged(profile, systolic, of):
    three = [pressure(160, 90), pressure(144, 88, after=7 * MINUTE), pressure(146, 86, after=8 * MINUTE)]
    average = look(*three, after=9 * MINUTE, profile=profile).average
    assert (average.systolic_mmhg, average.of) == (systolic, of)


def test_what_is_measured_before_the_rest_is_over_is_no_repeat():
    first, early = pressure(150, 92), pressure(149, 91, after=2 * MINUTE)
    assert isinstance(look(first, early, after=3 * MINUTE).asked, Rest)
    late = pressure(144, 88, after=7 * MINUTE)
    assert look(first, early, late, after=8 * MINUTE).average.systolic_mmhg == 147


def test_a_reading_beyond_the_cuff_is_in_no_average():
    first = pressure(0, 0, values={"diastolic_mmhg": Decimal(100)}, off_scale={"systolic_mmhg": OffScale.HI})
    second = pressure(160, 90, after=7 * MINUTE)
    put_away = said(first, Asked.FIRST_AID, "BP-002")
    assert look(first, second, answers=[put_away], after=8 * MINUTE).asked == Third(reading_id=second.id)
    third = pressure(156, 88, after=9 * MINUTE)
    assert look(first, second, third, after=10 * MINUTE).average.of == 2


def test_whoever_waits_for_an_ambulance_is_not_sent_to_rest():
    first = pressure(225, 118)
    told = [said(first, Asked.SYMPTOMS), said(first, Asked.FIRST_AID, "BP-002")]
    counter = look(first, answers=told)
    assert counter.first_aid.put_away
    assert counter.asked is None  # the card says when to measure again, and on which arm
    assert look(first, answers=told, after=10 * MINUTE).asked is None
    # Neither is whoever has just had sugar; once that is over the pressure is asked about again.
    low, high = sugar("2.4"), pressure(150, 92, after=2 * MINUTE)
    seen = [said(low, Asked.SYMPTOMS), said(low, Asked.FIRST_AID, "GL-002"), said(low, Asked.MEAL, "random")]
    assert look(low, high, answers=seen, after=3 * MINUTE).asked is None
    better = sugar("5.8", after=17 * MINUTE, meal=MealWord.RANDOM)
    after = look(low, high, better, answers=seen, after=18 * MINUTE)
    assert after.asked == MeasureAgain(reading_id=high.id)


def test_danger_signs_with_a_high_pressure_are_an_emergency():
    first = pressure(186, 100)
    shown = look(first)
    assert {"syncope", "severe_headache", "facial_droop"} <= codes(shown.asked)
    assert "cold_sweat" not in codes(shown.asked)
    assert shown.first_aid is None
    assert shown.readings[0].findings[0].rule.id == "BP-004"
    assert look(first, answers=[said(first, Asked.SYMPTOMS, "syncope")]).first_aid.rule.id == "BP-001"
    calm = look(first, answers=[said(first, Asked.SYMPTOMS)])
    assert calm.first_aid is None
    assert isinstance(calm.asked, Rest)


def test_still_high_after_the_rest_is_another_finding_than_the_first_time():
    first, second = pressure(186, 100), pressure(184, 98, after=7 * MINUTE)
    assert look(first, second, after=8 * MINUTE).readings[1].findings[0].rule.id == "BP-003"


def test_a_pressure_that_calls_an_ambulance_anyway_needs_no_questions():
    shown = look(pressure(226, 120))
    assert shown.first_aid.card.id == "P-BP-CRISIS"
    assert shown.asked is None


def test_a_clock_set_back_makes_nobody_rest_for_hours():
    asked = look(pressure(150, 90, after=180 * MINUTE), after=2 * MINUTE).asked
    assert asked.until <= NOON + 2 * MINUTE + rest()


# --- whose -----------------------------------------------------------------------------------------------------


def test_a_reading_without_a_visit_still_shows_its_card_and_is_asked_about_alone():
    low = sugar("2.2", visit=None)
    shown = look(low, visit=None)
    assert shown.first_aid.rule.id == "GL-002"
    assert codes(shown.asked) == {"conscious_change", "seizure", "cannot_swallow"}
    high = pressure(160, 100, visit=None)
    assert look(high, visit=None, after=8 * MINUTE).asked is None  # nobody can say who measures next


def test_scanning_a_card_after_measuring_does_not_hide_the_emergency():
    low = sugar("2.2", after=-MINUTE, visit=None)
    assert look(low).first_aid is not None
    early = sugar("2.2", after=-MINUTE)  # the visit was opened between measuring and docking
    assert look(early).first_aid is not None


def test_a_strangers_good_value_takes_nobodys_card_away():
    low, good = sugar("2.2", visit=None), sugar("5.2", visit=None, after=2 * MINUTE)
    assert look(low, good, visit=None, after=3 * MINUTE).first_aid.reading_id == low.id
    seen = [said(low, Asked.FIRST_AID, "GL-002")]
    assert look(low, good, visit=None, answers=seen, after=3 * MINUTE).first_aid is None
    assert look(low, visit=None, after=MINUTE + NOBODYS_FOR).first_aid is None


def test_an_old_memory_raises_no_card():
    assert look(sugar("2.2", after=timedelta(days=-3))) == Counter(slot="one", visit=WANG)


def test_of_a_memory_without_a_clock_only_the_newest_can_alarm():
    def undated(value: str, hours_ago: int) -> Reading:
        at = NOON - timedelta(hours=hours_ago)
        time = TakenAt(at=at, quality=TimeQuality.UNTRUSTED, received=NOON + MINUTE)
        return sugar(value, time=time, conversation=UUID(int=5))

    assert look(undated("5.5", 1), undated("2.1", 30)).first_aid is None
    assert look(undated("5.5", 30), undated("2.1", 1)).first_aid is not None


def test_in_production_an_unsigned_rule_shows_its_card_and_says_so_and_asks_nothing_less():
    here = rules_here(library(), production=True)
    assert {rule.severity for rule in here} == {Severity.EMERGENCY}
    low = sugar("2.4")
    shown = at_counter("one", WANG, [low], [], NOON + 2 * MINUTE, rules=here)
    assert not shown.first_aid.signed
    urgent = next(rule for rule in library() if rule.id == "BP-004")
    by_a_doctor = SignOff(name="-", role="-", date=NOON.date(), digest=urgent.digest)
    assert rules_here([urgent], production=True) == ()
    assert rules_here([replace(urgent, sign_off=by_a_doctor)], production=True) != ()


# --- answers ---------------------------------------------------------------------------------------------------


def test_an_answer_carries_its_visit_and_who_asked():
    measured = sugar("6.2", visit=Visit(id=UUID(int=1), code="M001", slot="one", opened=NOON, staff="小林"))
    kept = answer(look(measured), measured.id, Asked.MEAL, ["fasting"], id=UUID(int=7), at=NOON)
    assert kept == Answer(
        id=UUID(int=7),
        reading=measured.id,
        what=Asked.MEAL,
        values=("fasting",),
        at=NOON,
        slot="one",
        staff="小林",
        visit=WANG.id,
    )


@pytest.mark.parametrize(
    ("what", "values"),
    [
        (Asked.MEAL, []),
        (Asked.MEAL, ["brunch"]),
        (Asked.MEAL, ["fasting", "random"]),
        (Asked.SYMPTOMS, ["boredom"]),
        (Asked.FIRST_AID, []),
        (Asked.FIRST_AID, ["BP-002"]),
    ],
)
def test_what_was_not_asked_is_no_answer(what, values):
    measured = sugar("6.2")
    with pytest.raises(BadAnswer):
        answer(look(measured), measured.id, what, values, id=UUID(int=7), at=NOON)


def test_a_reading_that_is_gone_cannot_be_answered():
    gone = sugar("6.2", visit=LI)
    with pytest.raises(BadAnswer):
        answer(look(gone), gone.id, Asked.MEAL, ["fasting"], id=UUID(int=7), at=NOON)


# --- two counters, several slots, two customers at once --------------------------------------------------------

_pressures = st.tuples(st.integers(60, 250), st.integers(40, 150)).filter(lambda p: p[0] > p[1] + 10)
_sugars = st.one_of(st.decimals("0.6", "33", places=1).map(str), st.sampled_from(["HI", "LO"]))
_events = st.lists(
    st.tuples(
        st.sampled_from(["scan", "close", "pressure", "sugar", "answer", "look"]),
        st.sampled_from(["one", "two", "three"]),
        st.integers(0, 9),
        st.integers(0, 240),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_events, st.data())
def test_no_question_and_no_answer_ever_reaches_another_customer(events, data):
    """Interleaved at random: each slot's picture is what it would be if the other slots did not exist."""
    now: datetime = NOON
    visits: dict[str, Visit | None] = dict.fromkeys(("one", "two", "three"))
    readings: list[tuple[str, Reading]] = []
    answers: list[tuple[str, Answer]] = []
    for number, (what, slot, customer, seconds) in enumerate(events, start=1):
        now += timedelta(seconds=seconds)
        match what:
            case "scan":
                visits[slot] = Visit(id=UUID(int=number), code=f"M00{customer}", slot=slot, opened=now)
            case "close":
                visits[slot] = None
            case "pressure":
                made = pressure(*data.draw(_pressures), after=now - NOON, visit=visits[slot])
                readings.append((slot, made))
            case "sugar":
                readings.append((slot, sugar(data.draw(_sugars), after=now - NOON, visit=visits[slot])))
            case "answer":
                shown = _picture(slot, visits, readings, answers, now)
                if isinstance(shown.asked, Meal | Symptoms):
                    kind = Asked.MEAL if isinstance(shown.asked, Meal) else Asked.SYMPTOMS
                    values = [shown.asked.choices[0].code]
                    given_ = answer(shown, shown.asked.reading_id, kind, values, id=UUID(int=number), at=now)
                    answers.append((slot, given_))
        for each, visit in visits.items():
            shown = _picture(each, visits, readings, answers, now)
            mine = {r.id: r for s, r in readings if s == each}
            for judged in shown.readings:
                assert judged.reading.id in mine
                assert judged.reading.visit is None or (visit and judged.reading.visit.id == visit.id)
            for part in (shown.asked, shown.first_aid):
                if part is not None:
                    assert part.reading_id in {judged.reading.id for judged in shown.readings}
            if isinstance(shown.asked, Rest | MeasureAgain | Third) or shown.average:
                assert visit is not None
            alone = at_counter(
                each,
                visit,
                [r for s, r in readings if s == each and (r.visit is None or r.visit == visit)],
                [a for s, a in answers if s == each],
                now,
                rules=RULES,
            )
            assert shown == alone
    for slot, given_ in answers:
        (about,) = [r for s, r in readings if s == slot and r.id == given_.reading]
        assert given_.visit == (about.visit.id if about.visit else None)


def _picture(slot, visits, readings, answers, now) -> Counter:
    own = [r for s, r in readings if s == slot]
    return at_counter(slot, visits[slot], own, [a for _, a in answers], now, rules=RULES)
