"""How many readings a second are judged: facts from reading, person and a month of history, then every rule."""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.clinical import Measurement, Person, facts, judge, library
from gateway.wire.vocabulary import Kind, Meal

NOW = datetime(2026, 5, 4, tzinfo=UTC)
ROUNDS = 5
ROUND_S = 0.3
PERSON = Person(age=67, sex="female", conditions=frozenset({"htn", "dm"}), medications=frozenset({"insulin"}))


def figures() -> Iterator[dict[str, Any]]:
    """`clinical.judge_per_s`: blood pressures and glucoses of one member in turn, each with a month of history."""
    rules = library()
    history = [_glucose(hour, 40 + hour % 90) for hour in range(12, 24 * 30, 12)]
    readings = [_glucose(0, tenths) for tenths in range(20, 220, 4)] + [
        _pressure(systolic) for systolic in range(90, 240, 3)
    ]
    rate = statistics.median(_rate(rules, readings, history) for _ in range(ROUNDS))
    yield {
        "figure": "clinical.judge_per_s",
        "value": round(rate),
        "unit": "readings/s",
        "baseline": None,
        "ratio": None,
    }


def _rate(rules: tuple[Any, ...], readings: list[Measurement], history: list[Measurement]) -> float:
    done = 0
    started = time.perf_counter()
    while time.perf_counter() - started < ROUND_S:
        for reading in readings:
            judge((rule for rule in rules if rule.speaks_of(reading.kind)), facts(reading, PERSON, history))
        done += len(readings)
    return done / (time.perf_counter() - started)


def _glucose(hours_ago: int, tenths: int) -> Measurement:
    return Measurement(
        kind=Kind.GLUCOSE,
        taken_at=NOW - timedelta(hours=hours_ago),
        values={"glucose_mmol_l": Decimal(tenths) / 10},
        meal=Meal.FASTING,
    )


def _pressure(systolic: int) -> Measurement:
    return Measurement(
        kind=Kind.BLOOD_PRESSURE,
        taken_at=NOW,
        values={"systolic_mmhg": Decimal(systolic), "diastolic_mmhg": Decimal(systolic // 2)},
    )
