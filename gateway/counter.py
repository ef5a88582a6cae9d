"""What is being asked at a slot right now: the one open question, the average so far, the first-aid card.

Pure: the readings of a visit, the answers given and the time in, a picture out; nothing is remembered between two
calls. What a value means and which rules fire is `gateway.clinical`'s, the words are `gateway.screen`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from gateway.clinical import Finding, Protocol, Rule, Verdict
from gateway.wire import vocabulary
from gateway.wire.messages import Reading, Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer to touch, in both languages; `code` is what the answer carries."""

    code: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meal:
    """When was this glucose taken? One choice; its code is a word of the wire's `Meal`."""

    reading_id: UUID
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptoms:
    """Which of these? Any number of them; none of them is an answer too."""

    reading_id: UUID
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The pressure was high: sit quietly until then, and measure again."""

    reading_id: UUID
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureAgain:
    """The rest is over: the second measurement, to be compared with this one."""

    reading_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Third:
    """The second differs too much from the first: one more."""

    reading_id: UUID  # the second


Question: TypeAlias = Meal | Symptoms | Rest | MeasureAgain | Third


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A reading with what is known of it: the meal and the symptoms somebody stated, its verdicts by quantity and
    the rules it fires, the gravest first. `symptoms` None: nobody has asked."""

    reading: Reading
    meal: vocabulary.Meal
    symptoms: frozenset[str] | None
    verdicts: Mapping[str, Verdict]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """The blood pressure of this visit: the mean of `of` measurements, rounded as shown."""

    systolic_mmhg: Decimal
    diastolic_mmhg: Decimal
    pulse_per_min: Decimal | None
    verdicts: Mapping[str, Verdict]
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAid:
    """An emergency: what to do now, and the rule that says so. `signed`: the chain's doctor has signed this rule.
    `put_away`: staff have read the card; the screen may make it small."""

    reading_id: UUID
    card: Protocol
    rule: Rule
    signed: bool
    put_away: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One slot at one moment. Without a visit it is about the last reading that nobody has claimed."""

    slot: str
    visit: Visit | None
    readings: tuple[Judged, ...] = ()  # oldest first
    asked: Question | None = None
    average: Average | None = None
    first_aid: FirstAid | None = None
