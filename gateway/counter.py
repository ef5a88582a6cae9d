"""What is being asked at a slot right now: the one open question, the average so far, the first-aid card.

Pure: the readings of a visit, the answers given and the time in, a picture out; nothing is remembered between two
calls. What a value means and which rules fire is `gateway.clinical`'s, the words are `gateway.screen`'s.

A reading belongs to the visit in its evidence, if it was taken inside it. One that was taken without a visit, or
just before one was opened, is nobody's: it is asked about on its own and never compared with another, for nobody
can say that it is the same person's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from gateway import repeats
from gateway.clinical import (
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
    measurement,
    signed,
    words,
)
from gateway.wire.messages import Answer, Asked, Reading, TimeQuality, Visit
from gateway.wire.vocabulary import MEAL_LABELS, Kind
from gateway.wire.vocabulary import Meal as MealWord

MEALS = (MealWord.FASTING, MealWord.POST_MEAL_2H, MealWord.RANDOM)
"""What a glucose may be, asked in one touch; the cloud's pages know more, for whoever has time to ask."""
NOBODYS_FOR = timedelta(minutes=10)
"""How long a reading without a visit is asked about, and its first-aid card stands: as long as an idle visit."""


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
    the rules it fires, the gravest first. `symptoms` None: nobody has asked; then `could` are those of which any
    one would change what is to be done."""

    reading: Reading
    meal: MealWord
    symptoms: frozenset[str] | None
    verdicts: Mapping[str, Verdict]
    findings: tuple[Finding, ...]
    could: tuple[str, ...] = ()


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
    given about them, both in the order they came; those of other visits are passed over."""
    own, loose = [], []
    for reading in alarming(readings):
        if visit is not None and _inside(reading, visit):
            own.append(reading)
        elif _nobodys(reading, visit, now):
            loose.append(reading)
    said = _Said(answers)
    judged = _judged(sorted(own, key=moment), said, rules, profile)
    alone = [one for reading in loose for one in _judged([reading], said, rules, profile)]
    newest = sorted({one.reading.kind: one for one in judged}.values(), key=lambda one: moment(one.reading))
    first_aid = _first_aid([*newest, *alone], said, {one.reading.id for one in alone})
    pressures = [one for one in judged if one.reading.kind is Kind.BLOOD_PRESSURE]
    repeat, average = _repeat(pressures, now, profile)
    asked: Question | None = _symptoms(reversed([*alone, *newest]))
    if asked is None and (first_aid is None or first_aid.put_away):
        # Whoever is needed for an emergency is asked nothing that can wait.
        asked = _meal(reversed([*alone, *judged])) or repeat
    return Counter(
        slot=slot,
        visit=visit,
        readings=tuple(sorted([*judged, *alone], key=lambda one: moment(one.reading))),
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


def moment(reading: Reading) -> datetime:
    """When it was taken, as far as anybody can say: where no clock is to be believed, when it arrived."""
    return reading.time.received if reading.time.quality is TimeQuality.UNTRUSTED else reading.time.at


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


class _Said:
    """The last answer to each question about each reading."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._last = {(answer.reading, answer.what): answer.values for answer in answers}

    def meal(self, reading: Reading) -> MealWord:
        said = self._last.get((reading.id, Asked.MEAL))
        return MealWord(said[0]) if said and said[0] in MEAL_LABELS else reading.meal

    def symptoms(self, reading: Reading) -> frozenset[str] | None:
        said = self._last.get((reading.id, Asked.SYMPTOMS))
        return None if said is None else frozenset(said)

    def put_away(self, reading: Reading, rule: Rule) -> bool:
        return rule.id in self._last.get((reading.id, Asked.FIRST_AID), ())


def _inside(reading: Reading, visit: Visit) -> bool:
    evidence = reading.visit
    return evidence is not None and evidence.id == visit.id and moment(reading) >= visit.opened


def _nobodys(reading: Reading, visit: Visit | None, now: datetime) -> bool:
    """Measured a moment ago, and not in any visit: before it was opened, or without one."""
    evidence = reading.visit
    if evidence is not None and (visit is None or evidence.id != visit.id):
        return False
    # A clock that was set back makes a future time: over at once, like everything on the board.
    return timedelta(seconds=-1) <= now - moment(reading) < NOBODYS_FOR


def _judged(readings: Sequence[Reading], said: _Said, rules: Sequence[Rule], profile: str | None) -> list[Judged]:
    """Each by itself and by what the same person measured before it, the oldest first."""
    judged: list[Judged] = []
    past: list[Measurement] = []
    for reading in readings:
        meal, symptoms = said.meal(reading), said.symptoms(reading)
        measured = _measurement(reading, meal, symptoms)
        judged.append(
            Judged(
                reading=reading,
                meal=meal,
                symptoms=symptoms,
                verdicts={
                    name: interpret(reading.kind, name, value, meal, None, profile)
                    for name, value in measured.values.items()
                },
                findings=tuple(_findings(measured, past, rules)),
                could=_could(measured, past, rules) if symptoms is None else (),
            )
        )
        past.append(measured)
    return judged


def _measurement(reading: Reading, meal: MealWord, symptoms: frozenset[str] | None) -> Measurement:
    measured = measurement(reading, meal=meal, symptoms=symptoms)
    assert measured is not None  # noqa: S101 - alarming saw to it
    return replace(measured, taken_at=moment(reading))


def _findings(measured: Measurement, past: Iterable[Measurement], rules: Iterable[Rule]) -> list[Finding]:
    """What the rules say of somebody nobody knows: no age, no conditions, no history but this visit's."""
    known = facts(measured, None, past)
    return judge((rule for rule in rules if rule.kind is measured.kind), known)


def _could(measured: Measurement, past: Sequence[Measurement], rules: Sequence[Rule]) -> tuple[str, ...]:
    """The symptoms of which any one would change what is to be done now."""
    now_done = _to_do(_findings(measured, past, rules))
    return tuple(
        symptom
        for symptom in words().symptoms
        if _to_do(_findings(replace(measured, symptoms=frozenset((symptom,))), past, rules)) != now_done
    )


def _to_do(findings: Sequence[Finding]) -> tuple[object, ...]:
    if not findings:
        return ()
    rule = findings[0].rule
    return rule.severity, rule.action, rule.protocol


# --- what is asked ---------------------------------------------------------------------------------------------


def _symptoms(candidates: Iterable[Judged]) -> Symptoms | None:
    for judged in candidates:
        if judged.could:
            texts = words().symptoms
            choices = tuple(Choice(code=code, zh=texts[code].zh, en=texts[code].en) for code in judged.could)
            return Symptoms(reading_id=judged.reading.id, choices=choices)
    return None


def _meal(candidates: Iterable[Judged]) -> Meal | None:
    for judged in candidates:
        if judged.reading.kind is Kind.GLUCOSE and judged.meal is MealWord.UNKNOWN:
            choices = tuple(Choice(code=m.value, zh=MEAL_LABELS[m][0], en=MEAL_LABELS[m][1]) for m in MEALS)
            return Meal(reading_id=judged.reading.id, choices=choices)
    return None


def _first_aid(candidates: Iterable[Judged], said: _Said, alone: set[UUID]) -> FirstAid | None:
    """The card of the gravest emergency. In a visit a better value takes a card away; nobody's reading takes away
    nobody else's, only staff do."""
    cards = []
    for judged in candidates:
        rule = judged.findings[0].rule if judged.findings else None
        if rule is None or rule.severity is not Severity.EMERGENCY or rule.protocol is None:
            continue
        put_away = said.put_away(judged.reading, rule)
        if not (put_away and judged.reading.id in alone):
            cards.append(
                FirstAid(
                    reading_id=judged.reading.id,
                    card=words().protocols[rule.protocol],
                    rule=rule,
                    signed=signed(rule),
                    put_away=put_away,
                )
            )
    return min(cards, key=lambda card: (card.put_away, card.rule.deadline_min, card.rule.id), default=None)


def _repeat(
    pressures: Sequence[Judged], now: datetime, profile: str | None
) -> tuple[Rest | MeasureAgain | Third | None, Average | None]:
    sitting = repeats.sitting([(moment(one.reading), one.reading) for one in pressures])
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
        verdicts={
            name: interpret(Kind.BLOOD_PRESSURE, name, mean, profile=profile) for name, mean in means.items()
        },
        of=of,
    )
