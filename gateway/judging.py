"""What is known of each reading on a counter: meal and symptoms as stated, and the rules it fires. Pure.

Judged as somebody nobody knows: no age, no conditions, no history but this visit's. Whose a reading is, is
`gateway.whose`'s, what follows from all of it `gateway.counter`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.clinical import (
    Facts,
    Finding,
    Measurement,
    Rule,
    Severity,
    Verdict,
    facts,
    interpret,
    judge,
    measurement,
    signed,
    words,
)
from gateway.whose import Said, moment
from gateway.wire.messages import Asked, Reading, TimeQuality
from gateway.wire.vocabulary import MEAL_LABELS
from gateway.wire.vocabulary import Meal as MealWord


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


@dataclass(frozen=True, slots=True)
class Case:
    """A reading being looked at: what will be shown of it, and what it was judged by."""

    judged: Judged
    known: Facts
    rules: Sequence[Rule]  # that speak of its kind

    @property
    def reading(self) -> Reading:
        return self.judged.reading

    @property
    def at(self) -> datetime:
        return moment(self.reading)


def cases(readings: Sequence[Reading], said: Said, rules: Sequence[Rule], *, visitors: bool) -> list[Case]:
    """Each by itself and by what the same person measured before it, the oldest first."""
    made: list[Case] = []
    past: list[Measurement] = []
    for reading in readings:
        meal, symptoms = _stated_meal(reading, said), said.values(reading.id, Asked.SYMPTOMS)
        felt = None if symptoms is None else frozenset(symptoms)
        measured = _measurement(reading, meal, felt)
        known = facts(measured, None, past)
        of_kind = [rule for rule in rules if rule.speaks_of(reading.kind)]
        judged = Judged(
            reading=reading,
            visitors=visitors,
            meal=meal,
            symptoms=felt,
            verdicts={name: interpret(reading.kind, name, value, meal) for name, value in measured.values.items()},
            findings=tuple(judge(of_kind, known)),
        )
        made.append(Case(judged, known, of_kind))
        past.append(measured)
    return made


def telling(case: Case) -> list[str]:
    """The symptoms worth asking about, in the order they are asked: those of which any one would change what is to
    be done about the value, and those of the rules that want everybody asked who has this measured."""
    kind, of_value = case.reading.kind, [rule for rule in case.rules if rule.kind]
    of_everybody = {code for rule in case.rules if not rule.kind and kind in rule.asks for code in rule.symptoms}
    may_matter = {code for rule in of_value for code in rule.symptoms}
    to_do = _to_do(judge(of_value, case.known))
    return [
        code
        for code in words().symptoms
        if code in of_everybody
        or (
            code in may_matter and _to_do(judge(of_value, {**case.known, "symptoms": frozenset((code,))})) != to_do
        )
    ]


def complaints(case: Case) -> list[str]:
    """The symptoms that mean something whatever was measured, but for those that were stated already."""
    stated = case.judged.symptoms or frozenset()
    known = {code for rule in case.rules if not rule.kind for code in rule.symptoms} - stated
    return [code for code in words().symptoms if code in known]


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


def _stated_meal(reading: Reading, said: Said) -> MealWord:
    stated = said.values(reading.id, Asked.MEAL)
    return MealWord(stated[0]) if stated and stated[0] in MEAL_LABELS else reading.meal


def _measurement(reading: Reading, meal: MealWord, symptoms: frozenset[str] | None) -> Measurement:
    measured = measurement(reading, meal=meal, symptoms=symptoms)
    assert measured is not None  # noqa: S101 - alarming saw to it
    return replace(measured, taken_at=moment(reading))


def _to_do(findings: Sequence[Finding]) -> tuple[object, ...]:
    if not findings:
        return ()
    rule = findings[0].rule
    return rule.severity, rule.action, rule.protocol
