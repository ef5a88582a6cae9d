"""The shipped rules do what their truth tables say, and every comparison in them matters."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from gateway.clinical import (
    Condition,
    Measurement,
    Person,
    Rule,
    Severity,
    facts,
    holds,
    interpret,
    judge,
    library,
    signed,
    words,
)
from gateway.clinical.language import All, AnyOf, Leaf, Not
from gateway.wire.vocabulary import Kind, Meal, OffScale
from tests.gateway.clinical.truth import TABLES, facts_of

RULES = {rule.id: rule for rule in library()}
OPPOSITE = {">=": ">", ">": ">=", "<=": "<", "<": "<=", "==": "!=", "!=": "==", "has_any": "none_known"}


def test_every_rule_has_a_truth_table_and_every_table_a_rule() -> None:
    assert RULES.keys() == TABLES.keys()


@pytest.mark.parametrize(
    ("rule_id", "row", "fires"),
    [
        pytest.param(rule_id, *row, id=f"{rule_id}-{n}")
        for rule_id, rows in TABLES.items()
        for n, row in enumerate(rows)
    ],
)
def test_a_rule_fires_where_its_table_says(rule_id: str, row: dict[str, Any], fires: bool) -> None:
    assert (holds(RULES[rule_id].condition, facts_of(row)) is True) is fires


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_no_comparison_of_a_rule_can_change_unnoticed(rule: Rule) -> None:
    table = [(facts_of(row), fires) for row, fires in TABLES[rule.id]]
    unnoticed = [
        what
        for what, changed in _mutants(rule.condition)
        if all((holds(changed, known) is True) is fires for known, fires in table)
    ]
    assert unnoticed == []


def _mutants(condition: Condition) -> Iterator[tuple[str, Condition]]:
    """The condition with one comparison changed: another operator, a limit one step off, one word less."""
    match condition:
        case Leaf():
            yield from _leaf_mutants(condition)
        case Not(part=part):
            yield "without not", part
            for what, mutant in _mutants(part):
                yield what, Not(part=mutant)
        case All(parts=parts) | AnyOf(parts=parts):
            other = AnyOf if isinstance(condition, All) else All
            yield "all for any", other(parts=parts)
            for i, part in enumerate(parts):
                for what, mutant in _mutants(part):
                    yield what, type(condition)(parts=(*parts[:i], mutant, *parts[i + 1 :]))


def _leaf_mutants(leaf: Leaf) -> Iterator[tuple[str, Condition]]:
    where = f"{leaf.operand.name} {leaf.op}"
    if leaf.op in OPPOSITE:
        yield f"{where}: operator", replace(leaf, op=OPPOSITE[leaf.op])
    match leaf.value:
        case OffScale():
            yield f"{where}: LO for HI", replace(leaf, value=OffScale.LO)
        case Decimal():
            step = Decimal(1).scaleb(-leaf.operand.decimals)
            yield f"{where}: one step up", replace(leaf, value=leaf.value + step)
            yield f"{where}: one step down", replace(leaf, value=leaf.value - step)
        case frozenset():
            for word in leaf.value:
                yield f"{where}: without {word}", replace(leaf, value=leaf.value - {word})


def test_the_worst_finding_comes_first_and_of_equals_the_most_pressing() -> None:
    found = judge(library(), facts_of({"glucose_mmol_l": "21.0", "meal": "random", "conditions": []}))
    assert [finding.rule.id for finding in found] == ["GL-014", "GL-013"]
    found = judge(library(), facts_of({"glucose_mmol_l": "2.5", "conditions": []}))
    assert [finding.rule.id for finding in found] == ["GL-002", "GL-004"]
    assert found[0].rule.severity is Severity.EMERGENCY
    assert found[1].because == {"glucose_mmol_l": Decimal("2.5"), "conditions": frozenset()}


def test_the_shipped_rules_are_unsigned_until_a_doctor_has_read_them() -> None:
    assert not any(signed(rule) for rule in library())


def test_every_emergency_comes_with_a_first_aid_card() -> None:
    for rule in library():
        if rule.severity is Severity.EMERGENCY:
            assert rule.protocol in words().protocols
            assert rule.dedupe_h == 0  # an emergency never keeps quiet


@pytest.mark.parametrize(
    "person",
    [
        None,
        Person(conditions=frozenset({"dm", "htn"}), age=70),
        Person(age=30, pregnant_or_lactating=True),
        Person(age=85, conditions=frozenset({"htn"})),
    ],
    ids=["nobody known", "diabetes", "pregnant", "very old"],
)
def test_whatever_a_screen_calls_critical_somebody_is_sent_to(person: Person | None) -> None:
    pressures = [(s, d) for s in range(60, 260, 2) for d in range(40, 150, 2) if s > d]
    critical = [
        {"systolic_mmhg": Decimal(s), "diastolic_mmhg": Decimal(d)}
        for s, d in pressures
        if _critical(Kind.BLOOD_PRESSURE, {"systolic_mmhg": s, "diastolic_mmhg": d}, person)
    ]
    assert critical
    for values in critical:
        assert _severity(Kind.BLOOD_PRESSURE, values, person) >= Severity.URGENT, values
    for tenths, meal in product(range(5, 400), Meal):
        if _critical(Kind.GLUCOSE, {"glucose_mmol_l": Decimal(tenths) / 10}, person, meal):
            values = {"glucose_mmol_l": Decimal(tenths) / 10}
            assert _severity(Kind.GLUCOSE, values, person, meal) >= Severity.URGENT, (values, meal)


def _critical(kind: Kind, values: dict[str, Any], person: Person | None, meal: Meal = Meal.UNKNOWN) -> bool:
    return any(
        interpret(kind, name, Decimal(value), meal, person).code in ("LL", "HH") for name, value in values.items()
    )


def _severity(kind: Kind, values: dict[str, Any], person: Person | None, meal: Meal = Meal.UNKNOWN) -> int:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    found = judge(library(), facts(Measurement(kind=kind, taken_at=at, values=values, meal=meal), person))
    return max((finding.rule.severity for finding in found), default=0)


def test_asking_about_symptoms_and_finding_none_takes_no_alarm_away() -> None:
    pressures = [(220, 120), (190, 100), (160, 95), (85, 55)]
    for systolic, diastolic in pressures:
        values = {"systolic_mmhg": Decimal(systolic), "diastolic_mmhg": Decimal(diastolic)}
        assert _fired(Kind.BLOOD_PRESSURE, values, None) == _fired(Kind.BLOOD_PRESSURE, values, frozenset())
    for value in (Decimal("2.5"), Decimal("17.0"), OffScale.LO, OffScale.HI):
        sugar = {"glucose_mmol_l": value}
        assert _fired(Kind.GLUCOSE, sugar, None) == _fired(Kind.GLUCOSE, sugar, frozenset())


def test_a_customer_who_is_not_awake_gets_another_card_than_one_who_is() -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    low = Measurement(kind=Kind.GLUCOSE, taken_at=at, values={"glucose_mmol_l": OffScale.LO})
    asleep = replace(low, symptoms=frozenset({"conscious_change"}))
    assert judge(library(), facts(low, None))[0].rule.protocol == "P-HYPO-AWAKE"
    assert judge(library(), facts(asleep, None))[0].rule.protocol == "P-HYPO-UNCONSCIOUS"


def _fired(kind: Kind, values: dict[str, Any], symptoms: frozenset[str] | None) -> list[str]:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    measured = Measurement(kind=kind, taken_at=at, values=values, symptoms=symptoms)
    return [finding.rule.id for finding in judge(library(), facts(measured, None))]
