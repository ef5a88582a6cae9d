"""Trend charts: what is joined, what is not, and whose target is drawn."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine

from cloud.crm.members import chart
from cloud.i18n import Translator
from cloud.ledger import store
from gateway.clinical import Person
from gateway.wire.vocabulary import Kind, Meal, OffScale
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


def beyond(name: str, days_ago: int, which: OffScale, meal: Meal = Meal.FASTING):
    """A glucose without a number."""
    at = NOW - timedelta(days=days_ago)
    return reading(name, Kind.GLUCOSE, at, {}, meal=meal, off_scale={"glucose_mmol_l": which})


def test_hi_and_lo_stand_at_the_edges_and_at_no_number(engine):
    (made,) = drawn(
        engine,
        YOUNG,
        glucose("f1", 3, "6.1", Meal.FASTING),
        beyond("hi", 2, OffScale.HI),
        beyond("lo", 1, OffScale.LO),
    )
    numbers, edges = made.option["series"]
    assert [point["value"][1] for point in numbers["data"]] == [Decimal("6.1")]
    high, low = edges["data"]
    axis = made.option["yAxis"][edges["yAxisIndex"]]
    assert (axis["min"], axis["max"], axis["show"]) == (0, 1, False)  # not the axis of the values
    assert high["value"][1] > Decimal("0.9")
    assert low["value"][1] < Decimal("0.1")
    assert (edges["symbol"], high["symbolRotate"], low["symbolRotate"]) == ("triangle", 0, 180)
    assert "空腹 HI  危急 ↑↑" in high["text"]
    assert "空腹 LO  危急 ↓↓" in low["text"]
    for word in ("HI", "LO", "2026-11-19"):
        assert word in made.beyond
        assert word in made.option["aria"]["label"]["description"]
    assert made.points == len(numbers["data"]) + len(edges["data"]) == 3


def test_a_chart_of_nothing_but_hi_shows_no_scale(engine):
    (made,) = drawn(engine, YOUNG, beyond("hi", 2, OffScale.HI))
    assert made.option["yAxis"][0]["show"] is False
    assert [len(series["data"]) for series in made.option["series"]] == [1]


def test_temperature_and_oxygen_are_drawn_too(engine):
    at = NOW - timedelta(days=1)
    made = drawn(
        engine,
        YOUNG,
        reading("warm", Kind.BODY_TEMPERATURE, at, {"body_temperature_cel": "38.4"}),
        reading("air", Kind.OXYGEN_SATURATION, at, {"spo2_percent": "96", "pulse_per_min": "80"}),
    )
    assert {chart.kind: chart.option["series"][0]["data"][0]["value"][1] for chart in made} == {
        "body_temperature": Decimal("38.4"),
        "oxygen_saturation": Decimal(96),
    }


def test_the_target_is_always_on_the_chart(engine):
    at = NOW - timedelta(days=1)
    made = drawn(
        engine,
        YOUNG,
        pressure("b1", 2, "112"),
        glucose("f1", 3, "5.1", Meal.FASTING),
        reading("low_urate", Kind.URIC_ACID, at, {"urate_umol_l": "219"}),
        reading("air", Kind.OXYGEN_SATURATION, at, {"spo2_percent": "98", "pulse_per_min": "80"}),
        reading("low_lipids", Kind.LIPID_PANEL, at, {"ldl_mmol_l": "1.12", "triglyceride_mmol_l": "0.80"}),
    )
    targets = {}
    for one in made:
        axis, lines = one.option["yAxis"][0], [series["markLine"]["data"] for series in one.option["series"]]
        targets[one.kind] = [line["label"]["formatter"] for of_series in lines for line in of_series]
        seen = [
            line["yAxis"] for of_series in lines for line in of_series if "危急" not in line["label"]["formatter"]
        ]
        seen += [point["value"][1] for series in one.option["series"] for point in series["data"]]
        assert all(axis["min"] <= value <= axis["max"] for value in seen), one.kind
        assert (axis["max"] - axis["min"]) / axis["interval"] <= chart.AXIS_STEPS + 2
    assert targets["uric_acid"][0] == "目标 ≤420"
    assert targets["oxygen_saturation"][0] == "目标 ≥95"  # a target that has no upper side
    assert targets["lipid_panel"] == ["LDL <3.40"]
    assert "餐后 <7.8" in targets["glucose"]


def test_a_value_axis_is_no_finer_than_the_meter(engine):
    at = NOW - timedelta(days=1)
    (made,) = drawn(engine, YOUNG, reading("air", Kind.OXYGEN_SATURATION, at, {"spo2_percent": "96"}))
    assert made.option["yAxis"][0]["interval"] == 1


def test_every_kind_people_follow_has_a_chart():
    assert set(Kind) - set(chart.CHARTED) == {Kind.KETONE}  # taken when ill, not followed over time
