"""What somebody feels, whatever was measured: who is asked, what staff may ask, and what is shown."""

from datetime import timedelta
from decimal import Decimal

import pytest

from gateway.wire.messages import Asked, Reading
from gateway.wire.vocabulary import Kind
from gateway.wire.vocabulary import Meal as MealWord
from tests.gateway.at_counter import MINUTE, WANG, codes, look, pressure, said, sugar
from tests.gateway.readings import NOON, reading


def urate(value: int, *, after: timedelta = MINUTE, **more) -> Reading:
    values = {"urate_umol_l": Decimal(value)}
    return reading(Kind.URIC_ACID, NOON + after, **({"visit": WANG, "values": values} | more))


def lipids(**more) -> Reading:
    values = {"total_cholesterol_mmol_l": Decimal("5.1")}
    return reading(Kind.LIPID_PANEL, NOON + MINUTE, **({"visit": WANG, "values": values} | more))


def test_a_uric_acid_is_asked_about_the_joint_and_lipids_about_the_statin():
    assert codes(look(urate(310)).asked) == {"joint_red_hot_painful"}
    measured = lipids()
    assert codes(look(measured).asked) == {"muscle_pain", "dark_urine", "jaundice"}
    # Who takes a statin is not known here: what was said goes to the cloud, and nothing is claimed.
    told = look(measured, answers=[said(measured, Asked.SYMPTOMS, "muscle_pain")])
    assert (told.asked, told.readings[0].findings) == (None, ())


def test_a_painful_joint_sends_to_the_doctor_whatever_the_value():
    attack = urate(310)
    told = look(attack, answers=[said(attack, Asked.SYMPTOMS, "joint_red_hot_painful")])
    assert [finding.rule.id for finding in told.readings[0].findings] == ["UA-007"]


@pytest.mark.parametrize(
    ("sign", "card"),
    [("facial_droop", "P-STROKE"), ("limb_weakness", "P-STROKE"), ("chest_pain_10min", "P-CHEST-PAIN")],
)
def test_staff_say_that_somebody_is_unwell_and_the_card_is_there(sign: str, card: str):
    normal = sugar("5.2", meal=MealWord.FASTING)
    quiet = look(normal)
    assert quiet.asked is None
    assert sign in codes(quiet.complaints)
    told = look(normal, answers=[said(normal, Asked.SYMPTOMS, sign)])
    assert told.first_aid.card.id == card
    assert sign not in codes(told.complaints)
    assert told.complaints.stated == (sign,)


def test_signs_of_a_stroke_with_a_high_pressure_show_the_strokes_card():
    high = pressure(190, 100)
    both = look(high, answers=[said(high, Asked.SYMPTOMS, "speech_trouble", "severe_headache")])
    assert both.first_aid.card.id == "P-STROKE"
    assert {finding.rule.id for finding in both.readings[0].findings} >= {"CB-001", "BP-001"}


def test_what_was_said_is_asked_about_the_newest_reading_and_not_twice_at_once():
    first, second = sugar("5.2", meal=MealWord.FASTING), pressure(124, 78, after=2 * MINUTE)
    assert look(first, second, after=3 * MINUTE).complaints.reading_id == second.id
    assert look(pressure(190, 100)).complaints is None  # its danger signs are being asked
    assert look().complaints is None
    loose = sugar("5.2", meal=MealWord.FASTING, visit=None)
    assert look(loose, visit=None).complaints.reading_id == loose.id
    assert look(loose).complaints is None  # whoever stands here now did not measure it, as far as anybody knows


def test_a_stroke_can_be_stated_while_everybody_is_asked_about_a_joint():
    attack = urate(310)
    waiting = look(attack)
    assert codes(waiting.asked) == {"joint_red_hot_painful"}
    assert {"facial_droop", "joint_red_hot_painful"} <= codes(waiting.complaints)


def test_what_was_stated_can_always_be_taken_back():
    normal = sugar("5.2", meal=MealWord.FASTING)
    every = codes(look(normal).complaints)
    told = look(normal, answers=[said(normal, Asked.SYMPTOMS, *every)])
    assert codes(told.complaints) == set()
    assert set(told.complaints.stated) == every
    assert look(normal, answers=[said(normal, Asked.SYMPTOMS)]).complaints.stated == ()
