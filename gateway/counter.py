"""What is being asked at a slot right now: the one open question, the average so far, the first-aid card.

Pure: the readings of a visit, the answers given and the time in, a picture out; nothing is remembered between two
calls. What a value means and which rules fire is `gateway.clinical`'s, the words are `gateway.screen`'s.

A reading is the visitor's where the clocks leave no doubt, or where staff said so (`gateway.whose`). Any other is
nobody's: it is asked about on its own and never compared with another, for nobody can say that it is the same
person's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from gateway import repeats
from gateway.clinical import (
    Facts,
    Finding,
    Measurement,
    Protocol,
    Rule,
    Severity,
    Verdict,
    averaged_of_three,
    facts,
    interpret,
    judge,
    leaves,
    measurement,
    signed,
    words,
)
from gateway.whose import Said, certainly, may_be, moment
from gateway.wire.messages import Answer, Asked, Reading, TimeQuality, Visit
from gateway.wire.vocabulary import MEAL_LABELS, Kind
from gateway.wire.vocabulary import Meal as MealWord

MEALS = (MealWord.FASTING, MealWord.POST_MEAL_2H, MealWord.RANDOM)
"""What a glucose may be, asked in one touch; the cloud's pages know more, for whoever has time to ask."""
NOBODYS_FOR = timedelta(minutes=10)
"""How long a reading without a visit is asked about, and its first-aid card stands: as long as an idle visit."""
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


Question: TypeAlias = Whose | Meal | Symptoms | Rest | MeasureAgain | Third


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A reading with what is known of it: whether it is the visitor's, the meal and the symptoms somebody stated,
    its verdicts by quantity and the rules it fires, the gravest first. `symptoms` None: nobody has asked."""

    reading: Reading
    visitors: bool
    meal: MealWord
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
    """One slot at one moment: what was measured in the visit, and lately by nobody known, oldest first."""

    slot: str
    visit: Visit | None
    readings: tuple[Judged, ...] = ()
    asked: Question | None = None
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
        if visit is not None and _visitors(reading, visit, said):
            own.append(reading)
        elif _nobodys(reading, visit, now):
            loose.append(reading)
    here = _cases(sorted(own, key=moment), said, rules, visitors=True)
    alone = [case for reading in loose for case in _cases([reading], said, rules, visitors=False)]
    newest = sorted({case.reading.kind: case for case in here}.values(), key=lambda case: case.at)
    first_aid = _first_aid([*newest, *alone], said, {case.reading.id for case in alone})
    pressures = [case.reading for case in here if case.reading.kind is Kind.BLOOD_PRESSURE]
    repeat, average = _repeat(pressures, now, profile)
    asked: Question | None = _symptoms(reversed([*alone, *newest]))
    if asked is None and (first_aid is None or first_aid.put_away):
        # Whoever is needed for an emergency is asked nothing that can wait.
        near = [case for case in alone if visit is None or _unasked(case.reading, visit, said, now)]
        asked = _whose(reversed(alone), visit, said) or _meal(reversed([*near, *here])) or repeat
    return Counter(
        slot=slot,
        visit=visit,
        readings=tuple(case.judged for case in sorted([*here, *alone], key=lambda case: case.at)),
        asked=asked,
        average=average,
        first_aid=first_aid,
    )


def rules_here(rules: Iterable[Rule], *, production: bool) -> tuple[Rule, ...]:
    """Those that speak at the counter: emergencies and urgents; in production the urgents only once signed.

    An unsigned emergency still shows its card, and the card says so: it is general first aid, names nobody and
    raises nothing, and a card too many costs a minute while one too few may cost a life. Tasks are the cloud's,
    and there an unsigned rule raises none.
    """
    return tuple(
        rule
        for rule in rules
        if rule.severity is Severity.EMERGENCY
        or (rule.severity is Severity.URGENT and (signed(rule) or not production))
    )


def alarming(readings: Iterable[Reading]) -> list[Reading]:
    """Those that can mean anything now. A meter without a clock may hand over its whole memory: of such a
    conversation only the newest of a kind counts, as in the cloud."""
    kept: list[Reading] = []
    newest: dict[tuple[object, ...], Reading] = {}
    for reading in readings:
        if measurement(reading) is None:
            continue
        if reading.time.quality is TimeQuality.UNTRUSTED:
            key = (reading.conversation, reading.kind, reading.visit and reading.visit.id)
            if key in newest and reading.time.at < newest[key].time.at:
                continue
            kept = [one for one in kept if one is not newest.get(key)]
            newest[key] = reading
        kept.append(reading)
    return kept


# --- whose readings, and what is known of them -----------------------------------------------------------------


def _visitors(reading: Reading, visit: Visit, said: Said) -> bool:
    """Whether it is the visitor's: what staff said counts for more than the clocks."""
    stated = said.visitors(reading.id, visit)
    return certainly(reading, visit) if stated is None else stated


def _unasked(reading: Reading, visit: Visit, said: Said, now: datetime) -> bool:
    """Whether nobody's reading may still be this visitor's."""
    return said.visitors(reading.id, visit) is None and now - moment(reading) < NOBODYS_MEAL_FOR


def _nobodys(reading: Reading, visit: Visit | None, now: datetime) -> bool:
    """Measured a moment ago, and not in any visit: before it was opened, or without one."""
    evidence = reading.visit
    if evidence is not None and (visit is None or evidence.id != visit.id):
        return False
    # A clock that was set back makes a future time: over at once, like everything on the board.
    return timedelta(seconds=-1) <= now - moment(reading) < NOBODYS_FOR


@dataclass(frozen=True, slots=True)
class _Case:
    """A reading being looked at: what will be shown of it, and what it was judged by."""

    judged: Judged
    known: Facts
    rules: Sequence[Rule]  # of its kind

    @property
    def reading(self) -> Reading:
        return self.judged.reading

    @property
    def at(self) -> datetime:
        return moment(self.reading)


def _cases(readings: Sequence[Reading], said: Said, rules: Sequence[Rule], *, visitors: bool) -> list[_Case]:
    """Each by itself and by what the same person measured before it, the oldest first.

    Judged as somebody nobody knows: no age, no conditions, no history but this visit's.
    """
    cases: list[_Case] = []
    past: list[Measurement] = []
    for reading in readings:
        meal, symptoms = _stated_meal(reading, said), said.values(reading.id, Asked.SYMPTOMS)
        felt = None if symptoms is None else frozenset(symptoms)
        measured = _measurement(reading, meal, felt)
        known = facts(measured, None, past)
        of_kind = [rule for rule in rules if rule.kind is reading.kind]
        judged = Judged(
            reading=reading,
            visitors=visitors,
            meal=meal,
            symptoms=felt,
            verdicts={name: interpret(reading.kind, name, value, meal) for name, value in measured.values.items()},
            findings=tuple(judge(of_kind, known)),
        )
        cases.append(_Case(judged, known, of_kind))
        past.append(measured)
    return cases


def _stated_meal(reading: Reading, said: Said) -> MealWord:
    stated = said.values(reading.id, Asked.MEAL)
    return MealWord(stated[0]) if stated and stated[0] in MEAL_LABELS else reading.meal


def _measurement(reading: Reading, meal: MealWord, symptoms: frozenset[str] | None) -> Measurement:
    measured = measurement(reading, meal=meal, symptoms=symptoms)
    assert measured is not None  # noqa: S101 - alarming saw to it
    return replace(measured, taken_at=moment(reading))


def _telling(case: _Case) -> list[str]:
    """The symptoms of which any one would change what is to be done now, in the order they are asked."""
    asked_for = {
        code
        for rule in case.rules
        for leaf in leaves(rule.condition)
        if leaf.operand.name == "symptoms" and isinstance(leaf.value, frozenset)
        for code in leaf.value
    }
    to_do = _to_do(case.judged.findings)
    return [
        code
        for code in words().symptoms
        if code in asked_for and _to_do(judge(case.rules, {**case.known, "symptoms": frozenset((code,))})) != to_do
    ]


def _to_do(findings: Sequence[Finding]) -> tuple[object, ...]:
    if not findings:
        return ()
    rule = findings[0].rule
    return rule.severity, rule.action, rule.protocol


# --- what is asked ---------------------------------------------------------------------------------------------


def _symptoms(cases: Iterable[_Case]) -> Symptoms | None:
    texts = words().symptoms
    for case in cases:
        if case.judged.symptoms is None and (telling := _telling(case)):
            choices = tuple(Choice(code=code, zh=texts[code].zh, en=texts[code].en) for code in telling)
            return Symptoms(reading_id=case.reading.id, choices=choices)
    return None


def _whose(cases: Iterable[_Case], visit: Visit | None, said: Said) -> Whose | None:
    for case in cases:
        reading = case.reading
        if visit is not None and said.visitors(reading.id, visit) is None and may_be(reading, visit):
            return Whose(reading_id=reading.id)
    return None


def _meal(cases: Iterable[_Case]) -> Meal | None:
    for case in cases:
        if case.reading.kind is Kind.GLUCOSE and case.judged.meal is MealWord.UNKNOWN:
            choices = tuple(Choice(code=m.value, zh=MEAL_LABELS[m][0], en=MEAL_LABELS[m][1]) for m in MEALS)
            return Meal(reading_id=case.reading.id, choices=choices)
    return None


def _first_aid(cases: Iterable[_Case], said: Said, alone: set[UUID]) -> FirstAid | None:
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
