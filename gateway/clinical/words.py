"""The closed sets rules are written with and what people read: severities, actions, roles, first-aid cards.

Loaded from words.toml and protocols.toml, checked once. Which rule uses which is `rules`' business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from gateway.clinical.facts import read_toml
from gateway.clinical.language import ClinicalDataError


class Severity(IntEnum):
    """How bad; the number is the task's severity column."""

    INFO = 1
    ATTENTION = 2
    URGENT = 3
    EMERGENCY = 4

    @property
    def word(self) -> str:
        """Its code in the data files: emergency, urgent, attention, info."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictWord:
    """How a verdict is read: a word and an arrow, never a colour alone."""

    zh: str
    en: str
    arrow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A first-aid card: what shop staff do, step by step."""

    id: str
    title: Text
    steps: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Every closed set by its code."""

    severities: Mapping[Severity, Text]
    actions: Mapping[str, Text]
    roles: Mapping[str, Text]
    verify: Mapping[str, Text]
    verdicts: Mapping[str, VerdictWord]
    conditions: Mapping[str, Text]
    medications: Mapping[str, Text]
    symptoms: Mapping[str, Text]
    sources: Mapping[str, str]
    protocols: Mapping[str, Protocol]


@cache
def words() -> Words:
    """The packaged words, read once; raises ClinicalDataError."""
    data = read_toml("words.toml")
    codes = read_toml("operands.toml")
    protocols = read_toml("protocols.toml")
    severities: dict[Severity, Text] = {}
    for severity in Severity:
        row = data["severities"][severity.word]
        if row["rank"] != severity:
            raise ClinicalDataError(f"words.toml severities.{severity.word}.rank: must be {int(severity)}")
        severities[severity] = text({"zh": row["zh"], "en": row["en"]}, f"words.toml severities.{severity.word}")
    return Words(
        severities=severities,
        actions=_texts(data["actions"], "words.toml actions"),
        roles=_texts(data["roles"], "words.toml roles"),
        verify=_texts(data["verify"], "words.toml verify"),
        verdicts={code: VerdictWord(**row) for code, row in data["verdicts"].items()},
        conditions=_texts(codes["conditions"], "operands.toml conditions"),
        medications=_texts(codes["medications"], "operands.toml medications"),
        symptoms=_texts(codes["symptoms"], "operands.toml symptoms"),
        sources=data["sources"],
        protocols={
            code: Protocol(
                id=code,
                title=text(row["title"], f"protocols.toml {code}.title"),
                steps=tuple(text(s, f"protocols.toml {code}.step[{i}]") for i, s in enumerate(row["step"])),
            )
            for code, row in protocols.items()
        },
    )


def text(row: Any, where: str) -> Text:
    """A { zh, en } table as a Text; raises ClinicalDataError when a language is missing or empty."""
    if not isinstance(row, dict) or set(row) != {"zh", "en"}:
        raise ClinicalDataError(f"{where}: needs exactly zh and en")
    for language, words_ in row.items():
        if not isinstance(words_, str) or not words_.strip():
            raise ClinicalDataError(f"{where}.{language}: is empty")
    return Text(zh=row["zh"], en=row["en"])


def _texts(rows: Mapping[str, Any], where: str) -> dict[str, Text]:
    return {code: text(row, f"{where}.{code}") for code, row in rows.items()}
