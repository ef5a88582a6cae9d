"""A counter with readings and answers on it, for the tests of what is asked there."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from gateway.clinical import library
from gateway.counter import (
    Counter,
    Meal,
    Symptoms,
    at_counter,
)
from gateway.judging import rules_here
from gateway.wire.messages import (
    Answer,
    Asked,
    Reading,
    Visit,
)
from gateway.wire.vocabulary import Kind, OffScale
from tests.gateway.readings import NOON, reading

RULES = rules_here(library(), production=False)
WANG = Visit(id=UUID(int=1), code="M001", slot="one", opened=NOON)
LI = Visit(id=UUID(int=2), code="M002", slot="two", opened=NOON)
MINUTE = timedelta(minutes=1)


def pressure(systolic: int, diastolic: int, *, after: timedelta = MINUTE, **more) -> Reading:
    values = {"systolic_mmhg": Decimal(systolic), "diastolic_mmhg": Decimal(diastolic)}
    given_ = {"values": values | {"pulse_per_min": Decimal(72)}, "visit": WANG} | more
    return reading(Kind.BLOOD_PRESSURE, NOON + after, **given_)


def sugar(value: str, *, after: timedelta = MINUTE, **more) -> Reading:
    if value in ("HI", "LO"):
        shown = {"off_scale": {"glucose_mmol_l": OffScale(value)}, "values": {}}
    else:
        shown = {"values": {"glucose_mmol_l": Decimal(value)}}
    return reading(Kind.GLUCOSE, NOON + after, **({"visit": WANG} | shown | more))


def look(
    *readings: Reading,
    answers: Iterable[Answer] = (),
    after: timedelta = 2 * MINUTE,
    visit: Visit | None = WANG,
    profile: str | None = None,
) -> Counter:
    return at_counter("one", visit, readings, answers, NOON + after, rules=RULES, profile=profile)


def said(about: Reading, what: Asked, *values: str) -> Answer:
    return Answer(id=UUID(int=99), reading=about.id, what=what, values=values, at=NOON, slot="one")


def codes(question: object) -> set[str]:
    assert isinstance(question, Meal | Symptoms)
    return {choice.code for choice in question.choices}
