"""What is being asked at a slot right now: the one open question, the average so far, the first-aid card.

Pure: the readings of a visit, the answers given and the time in, a picture out; nothing is remembered between two
calls. What a value means and which rules fire is `gateway.clinical`'s, the words are `gateway.screen`'s.

A reading is the visitor's where the clocks leave no doubt, or where staff said so (`gateway.whose`). Any other is
nobody's: it is asked about on its own and never compared with another, for nobody can say that it is the same
person's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from gateway import repeats
from gateway.clinical import Protocol, Rule, Severity, Verdict, averaged_of_three, interpret, signed, words
from gateway.judging import Case, Judged, alarming, cases, complaints, telling
from gateway.whose import Said, belongs, may_be, moment, nobodys
from gateway.wire.messages import Answer, Asked, Reading, Visit
from gateway.wire.vocabulary import MEAL_LABELS, Kind
from gateway.wire.vocabulary import Meal as MealWord

MEALS = (MealWord.FASTING, MealWord.POST_MEAL_2H, MealWord.RANDOM)
"""What a glucose may be, asked in one touch; the cloud's pages know more, for whoever has time to ask."""
NOBODYS_MEAL_FOR = timedelta(minutes=1)
"""With a visit open: as long as its value is shown. Then whoever measured it has gone, and cannot be asked."""


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
class Whose:
    """Did the visitor measure this? The clocks leave it open."""

    reading_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptoms:
    """Which of these? Any number of them; none of them is an answer too. `stated`: what was said before, and stays
    said."""

    reading_id: UUID
    choices: tuple[Choice, ...]
    stated: tuple[str, ...] = ()


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


Question: TypeAlias = Whose | Meal | Symptoms | Rest | MeasureAgain | Third


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
    """One slot at one moment: what was measured in the visit, and lately by nobody known, oldest first.

    `complaints` is what staff may ask by themselves, whatever was measured: somebody looks unwell, or says so.
    """

    slot: str
    visit: Visit | None
    readings: tuple[Judged, ...] = ()
    asked: Question | None = None
    complaints: Symptoms | None = None
    average: Average | None = None
    first_aid: FirstAid | None = None


def at_counter(
    slot: str,
    visit: Visit | None,
    readings: Iterable[Reading],
    answers: Iterable[Answer],
    now: datetime,
    *,
    rules: Sequence[Rule],
    profile: str | None = None,
) -> Counter:
    """The picture of `slot`, whose open visit is `visit`. `readings` are those of its meters and `answers` any
    given about them, both in the order they came; those of other visits are passed over. `profile` is the
    guideline that says how many of three pressures are averaged (None: the default)."""
    said = Said(answers)
    own, loose = [], []
    for reading in alarming(readings):
        if visit is not None and belongs(reading, visit, said):
            own.append(reading)
        elif nobodys(reading, visit, said, now):
            loose.append(reading)
    here = cases(sorted(own, key=moment), said, rules, visitors=True)
    alone = [case for reading in loose for case in cases([reading], said, rules, visitors=False)]
    newest = sorted({case.reading.kind: case for case in here}.values(), key=lambda case: case.at)
    first_aid = _first_aid([*newest, *alone], said, {case.reading.id for case in alone})
    pressures = [case.reading for case in here if case.reading.kind is Kind.BLOOD_PRESSURE]
    repeat, average = _repeat(pressures, now, profile)
    asked: Question | None = _symptoms(reversed([*alone, *newest]))
    if asked is None and (first_aid is None or first_aid.put_away):
        # Whoever is needed for an emergency is asked nothing that can wait.
        near = [case for case in alone if visit is None or _unasked(case.reading, visit, said, now)]
        asked = _whose(reversed(alone), visit, said) or _meal(reversed([*near, *here]))
        if asked is None and first_aid is None:
            # A card that was read still says what to do and when to measure again: on the other arm at once, or
            # after the sugar. "Rest, and once more on the same arm" is for whom nobody has called an ambulance.
            asked = repeat
    return Counter(
        slot=slot,
        visit=visit,
        readings=tuple(case.judged for case in sorted([*here, *alone], key=lambda case: case.at)),
        asked=asked,
        complaints=_complaints(here or ([] if visit else alone), asked),
        average=average,
        first_aid=first_aid,
    )


# --- whose readings, and what is known of them -----------------------------------------------------------------


def _unasked(reading: Reading, visit: Visit, said: Said, now: datetime) -> bool:
    """Whether nobody's reading may still be this visitor's."""
    return said.visitors(reading.id, visit) is None and now - moment(reading) < NOBODYS_MEAL_FOR


# --- what is asked ---------------------------------------------------------------------------------------------


def _symptoms(cases: Iterable[Case]) -> Symptoms | None:
    for case in cases:
        if case.judged.symptoms is None and (codes := telling(case)):
            return Symptoms(reading_id=case.reading.id, choices=_to_touch(codes))
    return None


def _complaints(cases: Sequence[Case], asked: Question | None) -> Symptoms | None:
    """Of the newest reading; nothing while a value's own danger signs are asked: these come first."""
    newest = max(cases, key=lambda case: case.at, default=None)
    if newest is None:
        return None
    codes, stated = complaints(newest), tuple(sorted(newest.judged.symptoms or ()))
    if not (codes or stated):
        return None
    if isinstance(asked, Symptoms) and not {choice.code for choice in asked.choices} <= set(codes):
        return None
    return Symptoms(reading_id=newest.reading.id, choices=_to_touch(codes), stated=stated)


def _to_touch(codes: Iterable[str]) -> tuple[Choice, ...]:
    texts = words().symptoms
    return tuple(Choice(code=code, zh=texts[code].zh, en=texts[code].en) for code in codes)


def _whose(cases: Iterable[Case], visit: Visit | None, said: Said) -> Whose | None:
    for case in cases:
        reading = case.reading
        if visit is not None and said.visitors(reading.id, visit) is None and may_be(reading, visit):
            return Whose(reading_id=reading.id)
    return None


def _meal(cases: Iterable[Case]) -> Meal | None:
    for case in cases:
        if case.reading.kind is Kind.GLUCOSE and case.judged.meal is MealWord.UNKNOWN:
            choices = tuple(Choice(code=m.value, zh=MEAL_LABELS[m][0], en=MEAL_LABELS[m][1]) for m in MEALS)
            return Meal(reading_id=case.reading.id, choices=choices)
    return None


def _first_aid(cases: Iterable[Case], said: Said, alone: set[UUID]) -> FirstAid | None:
    """The card of the gravest emergency. In a visit a better value takes a card away; nobody's reading takes away
    nobody else's, only staff do."""
    cards = []
    for case in cases:
        findings = case.judged.findings
        rule = findings[0].rule if findings else None
        if rule is None or rule.severity is not Severity.EMERGENCY or rule.protocol is None:
            continue
        put_away = rule.id in (said.values(case.reading.id, Asked.FIRST_AID) or ())
        if not (put_away and case.reading.id in alone):
            cards.append(
                FirstAid(
                    reading_id=case.reading.id,
                    card=words().protocols[rule.protocol],
                    rule=rule,
                    signed=signed(rule),
                    put_away=put_away,
                )
            )
    return min(cards, key=lambda card: (card.put_away, card.rule.deadline_min, card.rule.id), default=None)


def _repeat(
    pressures: Sequence[Reading], now: datetime, profile: str | None
) -> tuple[Rest | MeasureAgain | Third | None, Average | None]:
    sitting = repeats.sitting([(moment(reading), reading) for reading in pressures])
    match sitting:
        case []:
            return None, None
        case [(at, first)]:
            until = min(at, now) + repeats.rest()  # a clock set back must not make anybody wait
            waits = Rest(reading_id=first.id, until=until)
            return (waits if now < until else MeasureAgain(reading_id=first.id)), None
        case [(_, first), (_, second)] if repeats.differ(first, second):
            return Third(reading_id=second.id), None
        case _:
            return None, _average([reading for _, reading in sitting], profile)


def _average(sitting: Sequence[Reading], profile: str | None) -> Average | None:
    means, of = repeats.average(sitting, last=averaged_of_three(profile))
    if of < 2:
        return None
    return Average(
        systolic_mmhg=means["systolic_mmhg"],
        diastolic_mmhg=means["diastolic_mmhg"],
        pulse_per_min=means.get("pulse_per_min"),
        verdicts={name: interpret(Kind.BLOOD_PRESSURE, name, mean) for name, mean in means.items()},
        of=of,
    )
