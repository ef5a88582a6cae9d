"""A rule: a condition, what to do about it, where that comes from and which doctor signed it; and how rules judge.

Rules are TOML files (see library/). They are read and checked here; how a condition is written is `language`'s,
and turning a finding into a task is the cloud's.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from gateway.clinical.facts import vocabulary
from gateway.clinical.language import ClinicalDataError, Condition, Facts, holds, leaves, parse, plain
from gateway.clinical.words import Severity, Text, Words, text, words
from gateway.wire.vocabulary import KINDS, QUANTITIES, Kind

MAX_DEDUPE_H = 24 * 28
MAX_FRESH_H = 24 * 28
"""Four weeks: beyond that a measurement is history, not an alarm, and the history to load would have no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff:
    """A doctor's signature under one exact content, known by its digest."""

    name: str
    role: str
    date: date
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One clinical rule as its file says it. `digest` covers everything but the sign-off.

    Without a `kind` it is about what somebody feels, and speaks of a reading of any kind.
    """

    id: str
    version: int
    kind: Kind | None
    asks: frozenset[Kind]  # the kinds of readings at which its symptoms are asked
    name: Text
    context: Text
    condition: Condition
    severity: Severity
    action: str
    performer_role: str
    deadline_min: int
    verify: str
    worse: str  # "higher" or "lower": which way a value gets worse; "" where it is about none
    dedupe_h: int
    fresh_within_h: int
    protocol: str | None
    say: Text
    sources: tuple[str, ...]
    provenance: str
    sign_off: SignOff | None
    digest: str

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities its condition compares, each once."""
        names = (leaf.operand.name for leaf in leaves(self.condition))
        of_kind = KINDS[self.kind].quantities if self.kind else ()
        return tuple(dict.fromkeys(n for n in names if n in of_kind))

    @property
    def symptoms(self) -> frozenset[str]:
        """The symptoms its condition names."""
        told = (leaf.value for leaf in leaves(self.condition) if leaf.operand.name == "symptoms")
        return frozenset(code for value in told if isinstance(value, frozenset) for code in value)

    def speaks_of(self, kind: Kind) -> bool:
        """Whether readings of `kind` are judged by it."""
        return self.kind is None or self.kind is kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that fired, and the facts it fired on."""

    rule: Rule
    because: Facts


def judge(rules: Iterable[Rule], facts: Facts) -> list[Finding]:
    """The rules that are true of `facts`: highest severity first, then the shortest deadline."""
    fired = [
        Finding(rule=rule, because=_because(rule, facts)) for rule in rules if holds(rule.condition, facts) is True
    ]
    return sorted(fired, key=lambda f: (-f.rule.severity, f.rule.deadline_min, f.rule.id))


def signed(rule: Rule) -> bool:
    """Whether a doctor signed exactly this content; an edited rule is unsigned again."""
    return rule.sign_off is not None and rule.sign_off.digest == rule.digest


def library(directory: Traversable | None = None) -> tuple[Rule, ...]:
    """Every rule in `directory`'s *.toml (default: the packaged library, read once); raises ClinicalDataError."""
    return _packaged() if directory is None else _load(directory)


@cache
def _packaged() -> tuple[Rule, ...]:
    return _load(resources.files("gateway.clinical").joinpath("library"))


def _load(directory: Traversable) -> tuple[Rule, ...]:
    rules: dict[str, Rule] = {}
    for file in sorted(directory.iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".toml"):
            continue
        for rule in read(file.read_text("utf-8"), file.name):
            if rule.id in rules:
                raise ClinicalDataError(f"{file.name} {rule.id}: this id is used twice")
            rules[rule.id] = rule
    return tuple(rules.values())


def read(toml: str, file: str) -> list[Rule]:
    """The rules in one file's text; raises ClinicalDataError naming `file`, the rule and the field."""
    try:
        data = tomllib.loads(toml, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ClinicalDataError(f"{file}: {error}") from None
    if set(data) - {"rule"} or not isinstance(data.get("rule", []), list):
        raise ClinicalDataError(f"{file}: a rule file holds [[rule]] tables and nothing else")
    return [_rule(row, f"{file} {row.get('id', f'rule[{i}]')}") for i, row in enumerate(data.get("rule", []))]


def _rule(row: Mapping[str, Any], where: str) -> Rule:
    fields = _Fields(row, where)
    sets = words()
    condition = parse(row.get("condition"), vocabulary().operands, f"{where} condition")
    kind = Kind(fields.one_of("kind", frozenset(Kind))) if "kind" in row else None
    rule = Rule(
        id=fields.text("id"),
        version=fields.number("version", least=1, most=9999),
        kind=kind,
        asks=frozenset((kind,)) if kind else frozenset(map(Kind, fields.several("asks", frozenset(Kind)))),
        name=text(row.get("name"), f"{where} name"),
        context=text(row.get("context"), f"{where} context"),
        condition=condition,
        severity=Severity[fields.one_of("severity", frozenset(s.word for s in Severity)).upper()],
        action=fields.one_of("action", sets.actions),
        performer_role=fields.one_of("performer_role", sets.roles),
        deadline_min=fields.number("deadline_min", least=1, most=60 * 24 * 28),
        verify=fields.one_of("verify", sets.verify),
        worse=fields.one_of("worse", frozenset(("higher", "lower"))) if kind else "",
        dedupe_h=fields.number("dedupe_h", least=0, most=MAX_DEDUPE_H),
        fresh_within_h=fields.number("fresh_within_h", least=1, most=MAX_FRESH_H),
        protocol=fields.one_of("protocol", sets.protocols) if "protocol" in row else None,
        say=text(row.get("say"), f"{where} say"),
        sources=_sources(row.get("sources"), sets, where),
        provenance=fields.text("provenance"),
        sign_off=_sign_off(row["sign_off"], where) if "sign_off" in row else None,
        digest=_digest(row, condition, sets),
    )
    fields.nothing_else(Rule.__dataclass_fields__.keys() - {"digest", "asks" if kind else "worse"})
    if kind and not rule.quantities:
        raise ClinicalDataError(f"{where} condition: compares no quantity of a {kind} reading")
    if not kind and not rule.symptoms:
        raise ClinicalDataError(f"{where} condition: without a kind it must be about symptoms")
    if not kind and (about := {leaf.operand.name for leaf in leaves(condition)} & QUANTITIES.keys()):
        raise ClinicalDataError(f"{where} condition: {min(about)} belongs to a kind of reading")
    return rule


def _digest(row: Mapping[str, Any], condition: Condition, sets: Words) -> str:
    """sha256 of the rule's canonical content, the definitions its condition leans on, and its first-aid card."""
    content = {key: value for key, value in row.items() if key != "sign_off"}
    content["condition"] = plain(condition)
    names = {leaf.operand.name for leaf in leaves(condition)}
    content["definitions"] = {name: vocabulary().definition(name) for name in sorted(names)}
    if card := sets.protocols.get(str(row.get("protocol"))):
        content["card"] = [[step.zh, step.en] for step in card.steps]
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _sign_off(row: Any, where: str) -> SignOff:
    where = f"{where} sign_off"
    if not isinstance(row, dict):
        raise ClinicalDataError(f"{where}: is a table with name, role, date and digest")
    fields = _Fields(row, where)
    signed_on = row.get("date")
    if not isinstance(signed_on, date):
        raise ClinicalDataError(f"{where}.date: is a date such as 2026-01-31, without quotes")
    sign_off = SignOff(
        name=fields.text("name"), role=fields.text("role"), date=signed_on, digest=fields.text("digest")
    )
    fields.nothing_else(SignOff.__dataclass_fields__.keys())
    return sign_off


def _sources(value: Any, sets: Words, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ClinicalDataError(f"{where} sources: a rule without a source is nobody's")
    for source in value:
        if source not in sets.sources:
            raise ClinicalDataError(f"{where} sources: {source!r} is not in words.toml")
    return tuple(value)


def _because(rule: Rule, facts: Facts) -> Facts:
    names = dict.fromkeys(leaf.operand.name for leaf in leaves(rule.condition))
    return {name: facts[name] for name in names if name in facts}


class _Fields:
    """Reads fields of one table, complaining by name."""

    def __init__(self, row: Mapping[str, Any], where: str) -> None:
        self._row = row
        self._where = where

    def text(self, name: str) -> str:
        value = self._row.get(name)
        if not isinstance(value, str) or not value.strip():
            raise ClinicalDataError(f"{self._where} {name}: needs a text")
        return value

    def number(self, name: str, *, least: int, most: int) -> int:
        value = self._row.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ClinicalDataError(f"{self._where} {name}: needs a whole number from {least} to {most}")
        return value

    def one_of(self, name: str, words: Iterable[str]) -> str:
        value = self._row.get(name)
        known = sorted(map(str, words))
        if not isinstance(value, str) or value not in known:
            raise ClinicalDataError(f"{self._where} {name}: {value!r} is none of {', '.join(known)}")
        return value

    def several(self, name: str, words: Iterable[str]) -> list[str]:
        value = self._row.get(name, [])
        known = sorted(map(str, words))
        if not isinstance(value, list) or not all(one in known for one in value):
            raise ClinicalDataError(f"{self._where} {name}: is a list of {', '.join(known)}")
        return value

    def nothing_else(self, names: Iterable[str]) -> None:
        unknown = set(self._row) - set(names)
        if unknown:
            raise ClinicalDataError(f"{self._where}: no such field: {', '.join(sorted(unknown))}")
