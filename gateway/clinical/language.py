"""The rule language: conditions written as TOML data, checked when they are read, evaluated in three values.

A missing fact makes a comparison unknown (None), never false: a rule fires only on true. What the facts are is
`facts`' business, what a rule does when it fires is `rules`'.

    { all = [ ... ] }   { any = [ ... ] }   { not = { ... } }
    { var = "systolic_mmhg", op = ">=", value = 180 }
    { var = "meal", op = "in", value = ["random", "bedtime"] }
    { var = "conditions", op = "has_any", value = ["dm"] }         unknown while nobody knows the person
    { var = "symptoms", op = "none_known", value = ["syncope"] }   true as well when nobody has asked
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway.wire.vocabulary import OffScale

Fact = Decimal | OffScale | str | bool | frozenset[str]
Facts = Mapping[str, Fact]
Truth = bool | None
MAX_DEPTH = 8
"""No rule needs more nesting than a person can read; a deeper one is a mistake in the file."""


class ClinicalDataError(ValueError):
    """A clinical data file is wrong; the message names the file, the rule and the field."""


class Shape(StrEnum):
    """What kind of fact an operand is."""

    NUMBER = "number"
    WORD = "word"
    FLAG = "flag"
    SET = "set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A name that conditions may use, and what may be compared with it.

    A meter's HI is only known to lie above `hi_at_least`, its LO below `lo_at_most` (both in `unit`): where a
    limit lies beyond them, the comparison is unknown.
    """

    name: str
    shape: Shape
    unit: str = ""
    decimals: int = 0
    least: Decimal | None = None
    most: Decimal | None = None
    hi_at_least: Decimal | None = None
    lo_at_most: Decimal | None = None
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One comparison of one operand with a constant."""

    operand: Operand
    op: str
    value: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class All:
    """True when every part is."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """True when one part is."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """True when its part is false; unknown stays unknown."""

    part: "Condition"


Condition = Leaf | All | AnyOf | Not

_OPS: dict[Shape, tuple[str, ...]] = {
    Shape.NUMBER: ("==", "!=", "<", "<=", ">", ">="),
    Shape.WORD: ("==", "!=", "in"),
    Shape.FLAG: ("==", "!="),
    Shape.SET: ("has_any", "none_known"),
}


def holds(condition: Condition, facts: Facts) -> Truth:
    """Whether `condition` is true of `facts`; None when a missing fact decides."""
    match condition:
        case Leaf():
            return _leaf(condition, facts.get(condition.operand.name))
        case Not(part=part):
            inner = holds(part, facts)
            return None if inner is None else not inner
        case All(parts=parts):
            truth: Truth = True
            for part in parts:
                match holds(part, facts):
                    case False:
                        return False
                    case None:
                        truth = None
            return truth
        case AnyOf(parts=parts):
            truth = False
            for part in parts:
                match holds(part, facts):
                    case True:
                        return True
                    case None:
                        truth = None
            return truth


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Every comparison in `condition`, in the order it is written."""
    match condition:
        case Leaf():
            yield condition
        case Not(part=part):
            yield from leaves(part)
        case All(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from leaves(part)


def plain(condition: Condition) -> dict[str, Any]:
    """`condition` as the data it was read from, in one canonical form (numbers as strings, sets sorted)."""
    match condition:
        case Leaf(operand=operand, op=op, value=value):
            return {"var": operand.name, "op": op, "value": _plain_value(value)}
        case Not(part=part):
            return {"not": plain(part)}
        case All(parts=parts):
            return {"all": [plain(part) for part in parts]}
        case AnyOf(parts=parts):
            return {"any": [plain(part) for part in parts]}


def parse(data: Any, operands: Mapping[str, Operand], where: str, depth: int = 1) -> Condition:
    """The condition in `data`; raises ClinicalDataError naming `where` and the field."""
    if depth > MAX_DEPTH:
        raise ClinicalDataError(f"{where}: nested deeper than {MAX_DEPTH}")
    if not isinstance(data, dict):
        raise ClinicalDataError(f"{where}: a condition is a table with all, any, not or var, op, value")
    match sorted(data):
        case ["all"]:
            return All(parts=_parts(data["all"], operands, f"{where}.all", depth))
        case ["any"]:
            return AnyOf(parts=_parts(data["any"], operands, f"{where}.any", depth))
        case ["not"]:
            return Not(part=parse(data["not"], operands, f"{where}.not", depth + 1))
        case ["op", "value", "var"]:
            return _parse_leaf(data, operands, where)
        case keys:
            raise ClinicalDataError(
                f"{where}: a condition has exactly all, any, not, or var + op + value; this one has "
                f"{', '.join(map(str, keys)) or 'nothing'}"
            )


def _parts(data: Any, operands: Mapping[str, Operand], where: str, depth: int) -> tuple[Condition, ...]:
    if not isinstance(data, list) or not data:
        raise ClinicalDataError(f"{where}: needs a list with at least one condition")
    return tuple(parse(part, operands, f"{where}[{i}]", depth + 1) for i, part in enumerate(data))


def _parse_leaf(data: dict[str, Any], operands: Mapping[str, Operand], where: str) -> Leaf:
    operand = operands.get(data["var"]) if isinstance(data["var"], str) else None
    if operand is None:
        raise ClinicalDataError(f"{where}.var: {data['var']!r} is unknown{_hint(str(data['var']), operands)}")
    op = data["op"]
    if op not in _OPS[operand.shape]:
        raise ClinicalDataError(f"{where}.op: {operand.name} takes {' '.join(_OPS[operand.shape])}, not {op!r}")
    return Leaf(operand=operand, op=op, value=_parse_value(data["value"], operand, op, f"{where}.value"))


def _hint(name: str, operands: Mapping[str, Operand]) -> str:
    stem = name.split("_")[0]
    near = [f"{o.name} (in {o.unit})" if o.unit else o.name for o in operands.values() if o.name.startswith(stem)]
    return f"; a quantity's name ends in its unit: {', '.join(near)}" if near else ""


def _parse_value(value: Any, operand: Operand, op: str, where: str) -> Fact:
    match operand.shape:
        case Shape.NUMBER:
            return _parse_number(value, operand, op, where)
        case Shape.FLAG:
            if not isinstance(value, bool):
                raise ClinicalDataError(f"{where}: {operand.name} is true or false, not {value!r}")
            return value
        case Shape.WORD if op != "in":
            _check_words([value], operand, where)
            return str(value)
        case _:
            if not isinstance(value, list) or not value:
                raise ClinicalDataError(f"{where}: {op} needs a list of words")
            _check_words(value, operand, where)
            return frozenset(value)


def _check_words(words: list[Any], operand: Operand, where: str) -> None:
    for word in words:
        if word not in operand.words:
            raise ClinicalDataError(f"{where}: {operand.name} is never {word!r}")


def _parse_number(value: Any, operand: Operand, op: str, where: str) -> Fact:
    if op in ("==", "!=") and operand.unit and value in (OffScale.HI.value, OffScale.LO.value):
        return OffScale(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ClinicalDataError(f"{where}: {operand.name} is compared with a number, not {value!r}")
    number = Decimal(value)
    if number != round(number, operand.decimals):
        raise ClinicalDataError(f"{where}: {operand.name} has {operand.decimals} decimals, {number} has more")
    if (operand.least is not None and number < operand.least) or (
        operand.most is not None and number > operand.most
    ):
        raise ClinicalDataError(
            f"{where}: {number} cannot be a {operand.name} ({operand.least} to {operand.most} {operand.unit}); "
            f"is it in another unit?"
        )
    return number


def _leaf(leaf: Leaf, fact: Fact | None) -> Truth:
    value = leaf.value
    match leaf.op:
        case "none_known":
            return fact is None or (isinstance(fact, frozenset) and fact.isdisjoint(_set(value)))
        case _ if fact is None:
            return None
        case "has_any":
            return isinstance(fact, frozenset) and not fact.isdisjoint(_set(value))
        case "in":
            return fact in _set(value)
        case "==" | "!=" as op:
            return (fact == value) is (op == "==")
        case op:
            return _compare(fact, op, value, leaf.operand)


def _compare(fact: Fact, op: str, limit: Fact, operand: Operand) -> Truth:
    if not isinstance(limit, Decimal):
        return None
    if isinstance(fact, OffScale):
        return _compare_off_scale(fact, op, limit, operand)
    if not isinstance(fact, Decimal):
        return None
    match op:
        case "<":
            return fact < limit
        case "<=":
            return fact <= limit
        case ">":
            return fact > limit
        case _:
            return fact >= limit


def _compare_off_scale(fact: OffScale, op: str, limit: Decimal, operand: Operand) -> Truth:
    match fact:
        case OffScale.HI if operand.hi_at_least is not None and limit <= operand.hi_at_least:
            return op in (">", ">=")
        case OffScale.LO if operand.lo_at_most is not None and limit >= operand.lo_at_most:
            return op in ("<", "<=")
        case _:
            return None


def _set(value: Fact) -> frozenset[str]:
    return value if isinstance(value, frozenset) else frozenset()


def _plain_value(value: Fact) -> Any:
    match value:
        case bool():
            return value
        case Decimal():
            return str(value.normalize() + 0)
        case frozenset():
            return sorted(value)
        case _:
            return str(value)
