"""What can be concluded from a measurement, a person and what was measured before."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.clinical import Measurement, Person, facts
from gateway.wire.vocabulary import Kind, Meal, OffScale

NOW = datetime(2026, 5, 4, 2, 0, tzinfo=UTC)


def pressure(systolic: int, diastolic: int, minutes_ago: float = 0) -> Measurement:
    return Measurement(
        kind=Kind.BLOOD_PRESSURE,
        taken_at=NOW - timedelta(minutes=minutes_ago),
        values={"systolic_mmhg": Decimal(systolic), "diastolic_mmhg": Decimal(diastolic)},
    )


def glucose(value: Any, hours_ago: float = 0, meal: Meal = Meal.UNKNOWN) -> Measurement:
    return Measurement(
        kind=Kind.GLUCOSE,
        taken_at=NOW - timedelta(hours=hours_ago),
        values={"glucose_mmol_l": value if isinstance(value, OffScale) else Decimal(value)},
        meal=meal,
    )


@pytest.mark.parametrize(
    ("earlier", "confirmed"),
    [
        ([], False),
        ([pressure(185, 100, 4.9)], False),
        ([pressure(185, 100, 5)], True),
        ([pressure(150, 110, 60)], True),
        ([pressure(185, 100, 61)], False),
        ([pressure(179, 109, 10)], False),
        ([pressure(150, 90, 6), pressure(185, 100, 12)], True),
        ([pressure(185, 100, -10)], False),  # later ones do not count
        ([glucose("20.0", 0.2)], False),
    ],
)
def test_a_repeat_confirms_after_a_rest_and_within_the_visit(earlier: list[Measurement], confirmed: bool) -> None:
    assert facts(pressure(182, 95), Person(), earlier)["confirmed_repeat"] is confirmed


def test_a_calm_reading_confirms_nothing() -> None:
    assert facts(pressure(150, 95), Person(), [pressure(185, 100, 10)])["confirmed_repeat"] is False


@pytest.mark.parametrize(
    ("earlier", "in_14_days", "in_30_days"),
    [
        ([], 1, 1),
        ([glucose("3.5", 1.9)], 1, 1),  # one episode
        ([glucose("3.5", 2)], 2, 2),
        ([glucose("3.5", 4), glucose("3.4", 3), glucose("3.6", 1)], 2, 2),
        ([glucose("3.9", 24 * 14)], 2, 2),
        ([glucose("3.9", 24 * 14 + 0.1)], 1, 2),
        ([glucose("3.9", 24 * 30), glucose("3.9", 24 * 30 + 0.1)], 1, 2),
        ([glucose("4.0", 24)], 1, 1),
        ([glucose("3.94", 24)], 2, 2),  # rounded as shown
        ([glucose(OffScale.LO, 24)], 2, 2),
        ([glucose(OffScale.HI, 24)], 1, 1),
    ],
)
def test_lows_are_counted_as_episodes(earlier: list[Measurement], in_14_days: int, in_30_days: int) -> None:
    known = facts(glucose("3.2"), Person(), earlier)
    assert (known["count_hypo_14d"], known["count_hypo_30d"]) == (in_14_days, in_30_days)


def test_a_value_is_judged_as_it_is_shown() -> None:
    assert facts(glucose("3.886"), None)["glucose_mmol_l"] == Decimal("3.9")
    assert facts(glucose(OffScale.HI), None)["glucose_mmol_l"] is OffScale.HI


def test_an_unstated_meal_counts_as_random_and_nobody_is_nothing() -> None:
    known = facts(glucose("5.0"), None)
    assert known["meal"] == "random"
    assert {"conditions", "medications", "pregnant_or_lactating", "age_years", "sex"}.isdisjoint(known)
    assert facts(glucose("5.0"), Person())["conditions"] == frozenset()
