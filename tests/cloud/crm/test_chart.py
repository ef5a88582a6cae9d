"""Trend charts: what is joined, what is not, and whose target is drawn."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine

from cloud.crm.members import chart
from cloud.i18n import Translator
from cloud.ledger import store
from gateway.clinical import Person
from gateway.wire.vocabulary import Kind, Meal
from tests.cloud.crm.conftest import id_of, keep, reading

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
OLD = Person(age=82, conditions=frozenset({"htn"}))
YOUNG = Person(age=50, conditions=frozenset({"htn"}))


def drawn(engine: Engine, person: Person, *readings, span_days: int = 1825) -> list[chart.Chart]:
    """The charts of a member with just these readings."""
    with engine.begin() as connection:
        keep(connection, "kang", "n01", "刘建国", *readings)
        ledger = store.of_member(connection, "kang", id_of("刘建国"), limit=100)
    return chart.charts(ledger, person, Translator("zh"), span_days=span_days, now=NOW)


def glucose(name: str, days_ago: int, value: str, meal: Meal):
    """One glucose reading."""
    return reading(name, Kind.GLUCOSE, NOW - timedelta(days=days_ago), {"glucose_mmol_l": value}, meal=meal)


def pressure(name: str, days_ago: int, systolic: str = "150"):
    """One blood pressure."""
    at = NOW - timedelta(days=days_ago)
    return reading(name, Kind.BLOOD_PRESSURE, at, {"systolic_mmhg": systolic, "diastolic_mmhg": "85"})


def test_fasting_and_after_meal_are_two_series_with_two_symbols(engine):
    (made,) = drawn(
        engine,
        YOUNG,
        glucose("f1", 3, "6.1", Meal.FASTING),
        glucose("p1", 2, "9.4", Meal.POST_MEAL_2H),
        glucose("f2", 1, "6.4", Meal.FASTING),
    )
    fasting, after = made.option["series"]
    assert [point["value"][1] for point in fasting["data"]] == [Decimal("6.1"), Decimal("6.4")]
    assert [point["value"][1] for point in after["data"]] == [Decimal("9.4")]
    assert fasting["symbol"] != after["symbol"]
    assert after["lineStyle"]["width"] == 0  # after-meal values of different meals are not joined at all


def test_a_gap_of_more_than_ninety_days_is_not_joined(engine):
    (made,) = drawn(engine, YOUNG, pressure("b1", 200), pressure("b2", 110), pressure("b3", 19))
    values = [point["value"][1] for point in made.option["series"][0]["data"]]
    assert values == [Decimal(150), Decimal(150), None, Decimal(150)]  # 90 days are joined, 91 are not


def test_the_band_is_this_persons_target(engine):
    readings = [pressure("b1", 2)]
    limits = {}
    for person in (YOUNG, OLD):
        (made,) = drawn(engine, person, *readings)
        limits[person.age] = made.option["series"][0]["markArea"]["data"][0][1]["yAxis"]
    assert limits[82] > limits[50]


def test_a_critical_value_is_larger_and_has_its_word(engine):
    (made,) = drawn(engine, YOUNG, pressure("b1", 2, "186"))
    (point,) = made.option["series"][0]["data"]
    assert point["symbolSize"] == chart.CRITICAL_SIZE
    assert "危急 ↑↑" in point["text"]


def test_what_lies_outside_the_span_is_left_out(engine):
    assert drawn(engine, YOUNG, pressure("b1", 120), span_days=90) == []
