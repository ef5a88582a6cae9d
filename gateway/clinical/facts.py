"""From a measurement, a person and their earlier measurements to the facts that conditions name.

Pure: the derived facts (a confirmed repeat, the count of lows) are defined as data in operands.toml and evaluated
over the values given. Loading those values is the caller's; what follows from the facts is `rules`'.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from gateway.clinical.language import (
    ClinicalDataError,
    Condition,
    Fact,
    Facts,
    Operand,
    Shape,
    holds,
    parse,
    plain,
)
from gateway.wire.messages import Purpose, Quality, Reading
from gateway.wire.vocabulary import QUANTITIES, Kind, Meal, OffScale


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What is known of the one who was measured. Codes as in operands.toml; an empty set means none recorded."""

    age: int | None = None
    sex: str = "unknown"
    conditions: frozenset[str] = frozenset()
    medications: frozenset[str] = frozenset()
    pregnant_or_lactating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The part of a reading that can be judged: canonical values, HI and LO, when and around which meal, and the
    symptoms somebody asked about then; `symptoms` None: nobody asked."""

    kind: Kind
    taken_at: datetime
    values: Mapping[str, Decimal | OffScale]
    meal: Meal = Meal.UNKNOWN
    symptoms: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A derived flag: an earlier measurement, far enough apart and near enough, meets `condition` as well."""

    name: str
    kind: Kind
    condition: Condition
    apart: timedelta
    within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A derived number: episodes that meet `condition` in the time up to and including the measurement."""

    name: str
    kind: Kind
    condition: Condition
    apart: timedelta
    within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Everything a condition may name, and how the derived facts among it are made."""

    operands: Mapping[str, Operand]
    derived: tuple[Repeat | Count, ...]

    def lookback(self, kind: Kind) -> timedelta:
        """How far back a `kind` measurement's history is looked at."""
        return max((d.within for d in self.derived if d.kind is kind), default=timedelta(0))

    def definition(self, name: str) -> dict[str, Any]:
        """What else a comparison with `name` depends on, as plain data; a sign-off covers it too."""
        operand = self.operands[name]
        found: dict[str, Any] = {}
        if operand.hi_at_least is not None:
            found["hi_at_least"] = str(operand.hi_at_least)
        if operand.lo_at_most is not None:
            found["lo_at_most"] = str(operand.lo_at_most)
        for derived in self.derived:
            if derived.name == name:
                found["condition"] = plain(derived.condition)
                found["apart_s"] = int(derived.apart.total_seconds())
                found["within_s"] = int(derived.within.total_seconds())
        return found


def measurement(
    reading: Reading, *, meal: Meal | None = None, symptoms: frozenset[str] | None = None
) -> Measurement | None:
    """What of `reading` can be judged, with the meal and the symptoms staff asked for; None for controls and
    rejects."""
    if reading.purpose is not Purpose.PATIENT or reading.quality is Quality.REJECTED:
        return None
    return Measurement(
        kind=reading.kind,
        taken_at=reading.time.at,
        values={**reading.values, **reading.off_scale},
        meal=reading.meal if meal is None else meal,
        symptoms=symptoms,
    )


def facts(of: Measurement, person: Person | None, history: Iterable[Measurement] = ()) -> dict[str, Fact]:
    """The facts about `of`: its values rounded as shown, the person if known, and what its history adds.

    `history` may hold any measurements of the same person in any order; later ones and `of` itself are ignored.
    An unstated meal counts as random.
    """
    known = _own_facts(of)
    if person is not None:
        known |= person_facts(person)
    definitions = [d for d in vocabulary().derived if d.kind is of.kind]
    if definitions:
        earlier = sorted(
            (m for m in history if m.kind is of.kind and m.taken_at < of.taken_at), key=lambda m: m.taken_at
        )
        for definition in definitions:
            match definition:
                case Repeat():
                    known[definition.name] = _repeated(definition, of, known, earlier)
                case Count():
                    known[definition.name] = Decimal(_episodes(definition, of, earlier))
    return known


def person_facts(person: Person) -> dict[str, Fact]:
    """What is known of `person`; an unknown age or sex is left out."""
    known: dict[str, Fact] = {
        "conditions": person.conditions,
        "medications": person.medications,
        "pregnant_or_lactating": person.pregnant_or_lactating,
    }
    if person.age is not None:
        known["age_years"] = Decimal(person.age)
    if person.sex in ("female", "male"):
        known["sex"] = person.sex
    return known


def meal_facts(kind: Kind, meal: Meal) -> dict[str, Fact]:
    """Around which meal a glucose was taken; unstated counts as random. Nothing for other kinds."""
    if kind is not Kind.GLUCOSE:
        return {}
    return {"meal": (Meal.RANDOM if meal is Meal.UNKNOWN else meal).value}


def _own_facts(of: Measurement) -> dict[str, Fact]:
    known: dict[str, Fact] = {
        name: value if isinstance(value, OffScale) else QUANTITIES[name].rounded(value)
        for name, value in of.values.items()
    }
    known |= meal_facts(of.kind, of.meal)
    if of.symptoms is not None:
        known["symptoms"] = of.symptoms
    return known


def _repeated(definition: Repeat, of: Measurement, known: Facts, earlier: list[Measurement]) -> bool:
    return holds(definition.condition, known) is True and any(
        definition.apart <= of.taken_at - past.taken_at <= definition.within
        and holds(definition.condition, _own_facts(past)) is True
        for past in earlier
    )


def _episodes(definition: Count, of: Measurement, earlier: list[Measurement]) -> int:
    count = 0
    last: datetime | None = None
    for past in (*earlier, of):
        if of.taken_at - past.taken_at > definition.within:
            continue
        if last is not None and past.taken_at - last < definition.apart:
            continue
        if holds(definition.condition, _own_facts(past)) is True:
            count += 1
            last = past.taken_at
    return count


@cache
def vocabulary() -> Vocabulary:
    """The packaged operands.toml, read once; raises ClinicalDataError."""
    data = read_toml("operands.toml")
    off_scale = data["off_scale"]
    operands = {
        q.name: Operand(
            name=q.name,
            shape=Shape.NUMBER,
            unit=q.unit,
            decimals=q.decimals,
            least=q.range.reject_below,
            most=q.range.reject_above,
            hi_at_least=_decimal(off_scale.get(q.name, {}).get("hi_at_least")),
            lo_at_most=_decimal(off_scale.get(q.name, {}).get("lo_at_most")),
        )
        for q in QUANTITIES.values()
    }
    operands["meal"] = Operand(name="meal", shape=Shape.WORD, words=frozenset(Meal) - {Meal.UNKNOWN})
    operands["sex"] = Operand(name="sex", shape=Shape.WORD, words=frozenset(("female", "male")))
    operands["age_years"] = Operand(
        name="age_years", shape=Shape.NUMBER, unit="years", least=Decimal(0), most=Decimal(120)
    )
    operands["pregnant_or_lactating"] = Operand(name="pregnant_or_lactating", shape=Shape.FLAG)
    for name in ("conditions", "medications", "symptoms"):
        operands[name] = Operand(name=name, shape=Shape.SET, words=frozenset(data[name]))
    derived: list[Repeat | Count] = []
    made: type[Repeat] | type[Count]
    for table, made in (("repeat", Repeat), ("count", Count)):
        for name, row in data[table].items():
            where = f"operands.toml {table}.{name}"
            definition = made(
                name=name,
                kind=Kind(row["kind"]),
                condition=parse(row["condition"], operands, f"{where}.condition"),
                apart=timedelta(minutes=row["apart_min"]),
                within=timedelta(minutes=row["within_min"]),
            )
            derived.append(definition)
    # Only now, so that no derived fact can be defined by another one.
    for definition in derived:
        shape = Shape.FLAG if isinstance(definition, Repeat) else Shape.NUMBER
        operands[definition.name] = Operand(name=definition.name, shape=shape)
    return Vocabulary(operands=operands, derived=tuple(derived))


def read_toml(name: str) -> dict[str, Any]:
    """A packaged data file, numbers with a point as Decimal; raises ClinicalDataError naming the file."""
    content = resources.files("gateway.clinical").joinpath(name).read_text("utf-8")
    try:
        return tomllib.loads(content, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ClinicalDataError(f"{name}: {error}") from None


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)
