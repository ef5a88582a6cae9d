"""One value beside one person's target, at and around every boundary."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.clinical import Person, interpret, targets
from gateway.wire.vocabulary import QUANTITIES, Kind, Meal, OffScale

HTN, DM = Person(conditions=frozenset({"htn"}), age=60), Person(conditions=frozenset({"dm"}), age=60)
OLD = Person(conditions=frozenset({"htn", "dm"}), age=80)
BOTH = Person(conditions=frozenset({"htn", "dm"}), age=60)
F, P2 = Meal.FASTING, Meal.POST_MEAL_2H


def code(
    quantity: str, value: Any, person: Person | None, meal: Meal = Meal.UNKNOWN, profile: str | None = None
) -> Any:
    given = value if isinstance(value, OffScale) else Decimal(value)
    return interpret(QUANTITIES[quantity].kind, quantity, given, meal, person, profile).code


@pytest.mark.parametrize(
    ("quantity", "person", "meal", "steps"),
    [
        ("systolic_mmhg", None, Meal.UNKNOWN, "89 L 90 N 139 N 140 H 179 H 180 HH 181 HH"),
        ("diastolic_mmhg", None, Meal.UNKNOWN, "59 L 60 N 89 N 90 H 109 H 110 HH 111 HH"),
        ("systolic_mmhg", HTN, Meal.UNKNOWN, "139 N 139.4 N 139.5 H 140 H"),
        ("systolic_mmhg", BOTH, Meal.UNKNOWN, "129 N 130 H 180 HH"),
        ("diastolic_mmhg", BOTH, Meal.UNKNOWN, "79 N 80 H"),
        ("systolic_mmhg", OLD, Meal.UNKNOWN, "149 N 150 H 180 HH"),
        ("systolic_mmhg", Person(pregnant_or_lactating=True), Meal.UNKNOWN, "139 N 140 H 159 H 160 HH"),
        ("diastolic_mmhg", Person(pregnant_or_lactating=True), Meal.UNKNOWN, "109 H 110 HH"),
        ("pulse_per_min", None, Meal.UNKNOWN, "45 LL 46 L 59 L 60 N 100 N 101 H 149 H 150 HH"),
        ("glucose_mmol_l", DM, F, "2.9 LL 3.0 L 3.9 L 4.3 L 4.4 N 6.9 N 6.94 N 6.95 H 7.0 H 16.6 H 16.7 HH"),
        ("glucose_mmol_l", DM, P2, "3.9 L 3.94 L 3.95 N 4.0 N 9.9 N 10.0 H 11.1 H 16.7 HH"),
        ("glucose_mmol_l", None, F, "3.8 L 3.9 N 6.0 N 6.1 H 7.0 H"),
        ("glucose_mmol_l", None, P2, "7.7 N 7.8 H"),
        ("glucose_mmol_l", None, Meal.RANDOM, "2.9 LL 3.0 L 3.8 L 3.9 N 11.0 N 11.1 H 16.7 HH"),
        ("urate_umol_l", None, Meal.UNKNOWN, "100 N 420 N 421 H 719 H 720 HH"),
        ("urate_umol_l", Person(conditions=frozenset({"gout"})), Meal.UNKNOWN, "179 L 180 N 359 N 360 H"),
        ("urate_umol_l", Person(conditions=frozenset({"gout", "gout_tophi"})), Meal.UNKNOWN, "299 N 300 H"),
        ("ldl_mmol_l", None, Meal.UNKNOWN, "3.39 N 3.40 H"),
        ("ldl_mmol_l", DM, Meal.UNKNOWN, "2.59 N 2.60 H"),
        ("ldl_mmol_l", Person(conditions=frozenset({"dm"}), age=39), Meal.UNKNOWN, "3.39 N 3.40 H"),
        ("ldl_mmol_l", Person(conditions=frozenset({"chd"})), Meal.UNKNOWN, "1.79 N 1.80 H"),
        ("hdl_mmol_l", None, Meal.UNKNOWN, "0.99 L 1.00 N 3.00 N"),
        ("triglyceride_mmol_l", None, Meal.UNKNOWN, "1.69 N 1.70 H 5.59 H 5.60 HH"),
        ("spo2_percent", None, Meal.UNKNOWN, "89 LL 90 L 94 L 95 N"),
        ("body_temperature_cel", None, Meal.UNKNOWN, "34.9 LL 35.0 L 36.0 N 37.2 N 37.3 H 39.0 HH"),
    ],
)
def test_each_side_of_every_boundary(quantity: str, person: Person | None, meal: Meal, steps: str) -> None:
    words = steps.split()
    for value, expected in zip(words[::2], words[1::2], strict=True):
        assert (value, code(quantity, value, person, meal)) == (value, expected)


@pytest.mark.parametrize(
    ("profile", "person", "steps"),
    [
        ("nbphs2017", Person(conditions=frozenset({"htn"}), age=64), "139 N 140 H"),
        ("nbphs2017", Person(conditions=frozenset({"htn"}), age=65), "149 N 150 H"),
        ("nbphs2017", Person(conditions=frozenset({"htn", "ckd"}), age=65), "139 N 140 H"),
        ("primary2025", Person(conditions=frozenset({"htn"}), age=79), "129 N 130 H"),
        ("primary2025", Person(conditions=frozenset({"htn"}), age=80), "149 N 150 H"),
        ("primary2025", None, "139 N 140 H"),
    ],
)
def test_a_chain_may_follow_another_guideline(profile: str, person: Person | None, steps: str) -> None:
    words = steps.split()
    for value, expected in zip(words[::2], words[1::2], strict=True):
        assert (value, code("systolic_mmhg", value, person, profile=profile)) == (value, expected)


def test_an_unknown_guideline_is_named() -> None:
    with pytest.raises(KeyError, match="hearsay"):
        targets(None, Kind.BLOOD_PRESSURE, profile="hearsay")


def test_hi_and_lo_are_read_without_a_number() -> None:
    assert code("glucose_mmol_l", OffScale.HI, None) == "HH"
    assert code("glucose_mmol_l", OffScale.LO, None) == "LL"
    assert code("ldl_mmol_l", OffScale.HI, None) == "H"
    assert code("ldl_mmol_l", OffScale.LO, None) == "N"
    assert code("hdl_mmol_l", OffScale.LO, None) == "L"


def test_words_and_arrows_stand_beside_the_colour() -> None:
    verdict = interpret(Kind.BLOOD_PRESSURE, "systolic_mmhg", Decimal(185), Meal.UNKNOWN, None)
    assert (verdict.code, verdict.word_zh, verdict.word_en, verdict.arrow) == (
        "HH",
        "危急",
        "Critically high",
        "↑↑",
    )
    assert interpret(Kind.GLUCOSE, "glucose_mmol_l", Decimal("5.5"), Meal.FASTING).word_zh == "达标"


def test_a_glucose_of_an_unknown_meal_is_never_on_target() -> None:
    for value, expected in (
        ("2.9", "LL"),
        ("3.8", "L"),
        ("3.9", None),
        ("7.2", None),
        ("11.0", None),
        ("11.1", "H"),
    ):
        assert (value, code("glucose_mmol_l", value, None)) == (value, expected)
    assert code("glucose_mmol_l", OffScale.HI, None) == "HH"


def test_what_has_no_target_gets_no_verdict() -> None:
    assert code("weight_kg", "80", None) is None
    assert code("mean_arterial_mmhg", "100", None) is None


def test_a_chart_gets_the_persons_own_band_and_its_source() -> None:
    band = targets(DM, Kind.GLUCOSE, F)["glucose_mmol_l"]
    assert band.low is not None
    assert band.high is not None
    assert (band.low.op, band.low.value, band.high.op, band.high.value) == (
        ">=",
        Decimal("4.4"),
        "<",
        Decimal("7.0"),
    )
    assert "糖尿病" in band.source
    assert targets(BOTH, Kind.BLOOD_PRESSURE)["systolic_mmhg"].profile == "chl2024"
