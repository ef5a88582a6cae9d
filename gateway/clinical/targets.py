"""One value beside one person's target: the single place that says 达标, 偏高, 偏低 or 危急.

The bands are data (targets.toml). A verdict marks a number on a screen; what to do about it is the rules'.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import Any

from gateway.clinical.facts import Person, meal_facts, person_facts, read_toml, vocabulary
from gateway.clinical.language import ClinicalDataError, Condition, holds, parse
from gateway.clinical.words import words
from gateway.wire.vocabulary import KINDS, QUANTITIES, Kind, Meal, OffScale

NOBODY = Person()
REMEMBERED = 4096
"""Persons with their bands kept in memory: about a megabyte, and a worklist asks for the same ones again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A FHIR v3 interpretation code and how it is read; `code` is None where nothing has a target."""

    code: str | None
    word_zh: str = ""
    word_en: str = ""
    arrow: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One side of a band, such as < 140."""

    op: str
    value: Decimal

    def holds(self, value: Decimal) -> bool:
        """Whether `value`, rounded as shown, is on the near side."""
        match self.op:
            case "<":
                return value < self.value
            case "<=":
                return value <= self.value
            case ">":
                return value > self.value
            case _:
                return value >= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The target of one quantity for one person: on target while `low` and `high` hold, critical when those do."""

    low: Limit | None = None
    high: Limit | None = None
    critical_low: Limit | None = None
    critical_high: Limit | None = None
    source: str = ""
    profile: str = ""


def interpret(
    kind: Kind,
    quantity: str,
    value: Decimal | OffScale,
    meal: Meal = Meal.UNKNOWN,
    person: Person | None = None,
    profile: str | None = None,
) -> Verdict:
    """How `value` of `quantity` in a `kind` reading stands to the person's target; never raises for a quantity.

    A glucose whose meal nobody stated may be low, high or critical, but is never on target.
    """
    band = targets(person, kind, meal, profile).get(quantity)
    if band is None:
        return Verdict(code=None)
    code = _off_scale_code(value, band) if isinstance(value, OffScale) else _code(quantity, value, band)
    if kind is Kind.GLUCOSE and meal is Meal.UNKNOWN and code == "N":
        return Verdict(code=None)  # on target after a meal may be high before one; nobody is told so until we know
    word = words().verdicts[code]
    return Verdict(code=code, word_zh=word.zh, word_en=word.en, arrow=word.arrow)


def targets(
    person: Person | None, kind: Kind, meal: Meal = Meal.UNKNOWN, profile: str | None = None
) -> Mapping[str, Band]:
    """The band of every quantity of a `kind` reading that has one; KeyError names an unknown profile."""
    return _targets(person or NOBODY, kind, meal, profile)


def profiles() -> tuple[str, ...]:
    """Whose targets there are to choose from, the default first."""
    table = _table()
    return table.default_profile, *(name for name in table.profiles if name != table.default_profile)


def averaged_of_three(profile: str | None = None) -> int:
    """How many of three blood pressures, counted from the last, are averaged; KeyError for an unknown profile."""
    table = _table()
    return table.averaged_of_three[profile or table.default_profile]


@lru_cache(maxsize=REMEMBERED)
def _targets(person: Person, kind: Kind, meal: Meal, profile: str | None) -> Mapping[str, Band]:
    table = _table()
    profile = profile or table.default_profile
    if profile not in table.profiles:
        raise KeyError(profile)
    known = person_facts(person) | meal_facts(kind, meal)
    rows = [
        row
        for row in table.rows
        if row.kind is kind
        and row.profile in (None, profile)
        and (row.when is None or holds(row.when, known) is True)
    ]
    bands: dict[str, Band] = {}
    for quantity in KINDS[kind].quantities:
        target = next((r for r in rows if not r.critical and quantity in r.limits), None)
        critical = next((r for r in rows if r.critical and quantity in r.limits), None)
        if target is None and critical is None:
            continue
        low, high = target.limits[quantity] if target else (None, None)
        critical_low, critical_high = critical.limits[quantity] if critical else (None, None)
        bands[quantity] = Band(
            low=low,
            high=high,
            critical_low=critical_low,
            critical_high=critical_high,
            source=words().sources[target.source] if target else "",
            profile=target.profile or "" if target else "",
        )
    return bands


def _code(quantity: str, value: Decimal, band: Band) -> str:
    value = QUANTITIES[quantity].rounded(value)
    if band.critical_low and band.critical_low.holds(value):
        return "LL"
    if band.critical_high and band.critical_high.holds(value):
        return "HH"
    if band.low and not band.low.holds(value):
        return "L"
    if band.high and not band.high.holds(value):
        return "H"
    return "N"


def _off_scale_code(value: OffScale, band: Band) -> str:
    match value:
        case OffScale.HI:
            return "HH" if band.critical_high else "H" if band.high else "N"
        case OffScale.LO:
            return "LL" if band.critical_low else "L" if band.low else "N"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    kind: Kind
    profile: str | None
    when: Condition | None
    source: str
    critical: bool
    limits: Mapping[str, tuple[Limit | None, Limit | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    default_profile: str
    profiles: tuple[str, ...]
    averaged_of_three: Mapping[str, int]
    rows: tuple[_Row, ...]


@cache
def _table() -> _Table:
    data = read_toml("targets.toml")
    rows = [
        _row(row, f"targets.toml {name}[{i}]", critical=name == "critical")
        for name in ("target", "critical")
        for i, row in enumerate(data[name])
    ]
    profiles = tuple(data["profiles"])
    for row in rows:
        if row.profile is not None and row.profile not in profiles:
            raise ClinicalDataError(f"targets.toml: no such profile: {row.profile}")
    averaged = data["averaged_of_three"]
    if set(averaged) != set(profiles) or not set(averaged.values()) <= {2, 3}:
        raise ClinicalDataError("targets.toml averaged_of_three: needs 2 or 3 for each profile")
    return _Table(
        default_profile=data["default_profile"], profiles=profiles, averaged_of_three=averaged, rows=tuple(rows)
    )


def _row(row: Mapping[str, Any], where: str, *, critical: bool) -> _Row:
    kind = Kind(row["kind"])
    limits: dict[str, tuple[Limit | None, Limit | None]] = {}
    for name in row.keys() - {"kind", "profile", "when", "source"}:
        if name not in KINDS[kind].quantities:
            raise ClinicalDataError(f"{where}.{name}: not a quantity of {kind}")
        low, high = row[name]
        limits[name] = (_limit(low, f"{where}.{name}"), _limit(high, f"{where}.{name}"))
    if row["source"] not in words().sources:
        raise ClinicalDataError(f"{where}.source: {row['source']!r} is not in words.toml")
    return _Row(
        kind=kind,
        profile=row.get("profile"),
        when=parse(row["when"], vocabulary().operands, f"{where}.when") if "when" in row else None,
        source=row["source"],
        critical=critical,
        limits=limits,
    )


def _limit(text: str, where: str) -> Limit | None:
    if not text:
        return None
    op, _, number = text.partition(" ")
    try:
        value = Decimal(number)
    except InvalidOperation:
        value = Decimal("NaN")
    if op not in ("<", "<=", ">", ">=") or not value.is_finite():
        raise ClinicalDataError(f"{where}: {text!r} is not a limit such as '< 140'")
    return Limit(op=op, value=value)
