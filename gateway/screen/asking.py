"""What the screen asks and warns of at a slot, in words: one question at a time, the average, the first-aid card.

Pure. What is to be asked, averaged and warned of is `gateway.counter`'s; how it looks is the templates'.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from gateway import repeats
from gateway.clinical import Severity, words
from gateway.counter import (
    MEALS,
    Average,
    Counter,
    FirstAid,
    Meal,
    MeasureAgain,
    Rest,
    Symptoms,
    Third,
    Whose,
)
from gateway.judging import Judged
from gateway.screen.values import Figure, Value, figures, pressure, taken
from gateway.screen.wording import Wording
from gateway.whose import known, moment
from gateway.wire.messages import SOMEBODY_ELSE, VISITOR, Asked, Reading
from gateway.wire.vocabulary import QUANTITIES, Kind
from gateway.wire.vocabulary import Meal as MealWord

EMERGENCY_NUMBER = "120"
"""The ambulance in mainland China."""
CALLED_NOW = ("CALL_120_STAY", "HYPO_UNCONSCIOUS_PROTOCOL")
"""Actions that begin with the call; with the others it is made if the person gets worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One answer to touch."""

    code: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choose:
    """A question answered by touching a button."""

    panel: str  # the template that draws it
    what: Asked
    reading: UUID
    title: str
    detail: str
    about: str  # which reading, where it is not the one that is shown
    buttons: tuple[Button, ...]
    kept: tuple[str, ...] = ()  # answers given before, which are given again with any of these
    kept_words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A rest that ends by itself: the page counts down, the gateway says when it is over."""

    reading: UUID
    title: str
    detail: str
    until_ms: int  # since 1970
    until: str
    panel: str = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """One more measurement is wanted."""

    reading: UUID
    title: str
    detail: str
    panel: str = "again"


Ask: TypeAlias = Choose | Wait | Again


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement of this visit in a list of them."""

    number: int
    at: str
    figure: Figure
    left_out: bool  # there is a mean, and it is not in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaged:
    """The mean pressure of this visit, and what it was made of."""

    figure: Figure
    pulse: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The first-aid card: who to call, what to say, what to do."""

    reading: UUID
    rule: str
    title: str
    action: str
    say: str
    steps: tuple[str, ...]
    number: str
    call: bool  # the number is to be called now, not only if it gets worse
    figure: Figure | None  # the number it is about, while it is shown; None where it is about what somebody feels
    small: bool  # staff have read it
    unsigned: str  # what to say of a rule that no doctor has signed, or ""


def ask(counter: Counter, shown: UUID | None, now: datetime, wording: Wording) -> Ask | None:
    """The one open question of this slot, whose screen shows the reading `shown`."""
    _ = wording.say
    match counter.asked:
        case Whose() as whose:
            return Choose(
                panel="one",
                what=Asked.WHOSE,
                reading=whose.reading_id,
                # Another value may stand beside it, as large as a hand.
                title=_("{what}: did this customer measure it?").format(
                    what=_what_and_when(whose, counter, now, wording)
                ),
                detail=_("The times alone leave it open."),
                about="",
                buttons=(
                    Button(code=VISITOR, words=_("Yes")),
                    Button(code=SOMEBODY_ELSE, words=_("Somebody else")),
                ),
            )
        case Meal() as meal:
            return Choose(
                panel="one",
                what=Asked.MEAL,
                reading=meal.reading_id,
                title=_("When was this blood taken?"),
                detail=_("What is a good value depends on the last meal."),
                about=_about(meal, counter, shown, now, wording),
                buttons=_buttons(meal, wording),
            )
        case Symptoms() as symptoms:
            return Choose(
                panel="symptoms",
                what=Asked.SYMPTOMS,
                reading=symptoms.reading_id,
                title=_("Is anything of this the case now?"),
                detail="",
                about=_about(symptoms, counter, shown, now, wording),
                buttons=_buttons(symptoms, wording),
            )
        case Rest() as rest:
            return Wait(
                reading=rest.reading_id,
                title=_("High: rest first, then measure again"),
                detail=_("Sit with the back supported, feet on the floor, without talking."),
                until_ms=round(rest.until.timestamp() * 1000),
                until=wording.moment(rest.until, now),
            )
        case MeasureAgain() as again:
            return Again(
                reading=again.reading_id,
                title=_("Measure a second time now"),
                detail=_("Same arm, cuff at the height of the heart. The value appears by itself."),
            )
        case Third() as third:
            return Again(
                reading=third.reading_id,
                title=_("Measure a third time now"),
                detail=_("The two differ by more than 10. Wait one minute, then start the meter once more."),
            )
        case None:
            return None


def unwell(counter: Counter, wording: Wording) -> Choose | None:
    """What staff may ask by themselves, whatever was measured: one touch away, and in nobody's way."""
    if counter.complaints is None:
        return None
    _ = wording.say
    return Choose(
        panel="symptoms",
        what=Asked.SYMPTOMS,
        reading=counter.complaints.reading_id,
        title=_("Is anything of this the case now?"),
        detail="",
        about="",
        buttons=_buttons(counter.complaints, wording),
        kept=counter.complaints.stated,
        kept_words=_symptom_words(counter.complaints.stated, wording),
    )


def pressures(counter: Counter, now: datetime, wording: Wording) -> tuple[Row, ...]:
    """The blood pressures of this visit so far, oldest first; nothing while there is only one."""
    several = [one.reading for one in counter.readings if one.reading.kind is Kind.BLOOD_PRESSURE and one.visitors]
    if len(several) < 2:
        return ()
    meant = _meant(several, counter.average)
    return tuple(
        Row(
            number=number,
            at=taken(reading, now, wording),
            figure=figures(reading, wording)[0][0],
            left_out=reading.id not in meant,
        )
        for number, reading in enumerate(several, start=1)
    )


def averaged(average: Average | None, wording: Wording) -> Averaged | None:
    """The average, and how it was made."""
    if average is None:
        return None
    _ = wording.say
    pulse = QUANTITIES["pulse_per_min"]
    return Averaged(
        figure=pressure([average.systolic_mmhg, average.diastolic_mmhg], wording),
        pulse=""
        if average.pulse_per_min is None
        else f"{pulse.zh if wording.chinese else pulse.en} {pulse.rounded(average.pulse_per_min)} "
        f"{wording.unit(pulse.unit)}",
        how=_("Mean of {of} measurements").format(of=average.of),
    )


def card(first_aid: FirstAid | None, value: Value | None, wording: Wording) -> Card | None:
    """The first-aid card of an emergency; `value` is what the screen shows now."""
    if first_aid is None:
        return None
    _ = wording.say
    return Card(
        reading=first_aid.reading_id,
        rule=first_aid.rule.id,
        title=wording.text(first_aid.card.title),
        action=wording.text(words().actions[first_aid.rule.action]),
        say=wording.text(first_aid.rule.say),
        steps=tuple(wording.text(step) for step in first_aid.card.steps),
        number=EMERGENCY_NUMBER,
        call=first_aid.rule.action in CALLED_NOW,
        figure=_alarming(first_aid, value),
        small=first_aid.put_away,
        unsigned="" if first_aid.signed else _("House rule, not yet signed by a doctor"),
    )


def _alarming(first_aid: FirstAid, value: Value | None) -> Figure | None:
    """The figure that the emergency is about: the pulse and not the pressure, the triglycerides of a panel."""
    if value is None or value.reading != first_aid.reading_id:
        return None
    about = set(first_aid.rule.quantities)
    return next((one for one in (*value.main, *value.beside) if about.intersection(one.quantities)), None)


def stated(judged: Judged, wording: Wording) -> str:
    """What somebody said about a reading besides its meal: "" unless symptoms were asked."""
    if judged.symptoms is None:
        return ""
    _ = wording.say
    if not judged.symptoms:
        return _("No complaints stated")
    return wording.labelled(_("Stated"), _symptom_words(judged.symptoms, wording))


def _symptom_words(codes: Iterable[str], wording: Wording) -> str:
    known = words().symptoms
    return wording.listed(tuple(wording.text(known[code]) for code in sorted(codes)))


def amending(judged: Judged, wording: Wording) -> tuple[Button, ...]:
    """The meals to choose from again, where staff stated one; nothing where the meter did, or nobody has."""
    if judged.reading.kind is not Kind.GLUCOSE or judged.meal in (judged.reading.meal, MealWord.UNKNOWN):
        return ()
    return tuple(Button(code=meal.value, words=wording.meal(meal)) for meal in MEALS if meal is not judged.meal)


def disowning(judged: Judged, counter: Counter, wording: Wording) -> tuple[Button, ...]:
    """To say that a value that counts as the visitor's is not theirs: of somebody they brought along, say."""
    _ = wording.say
    if not judged.visitors or not known(counter.visit):
        return ()
    return (Button(code=SOMEBODY_ELSE, words=_("Not this customer's")),)


def urged(judged: Judged, wording: Wording) -> str:
    """What the gravest rule that a reading fires says is to be done, where it is urgent."""
    if not judged.findings or judged.findings[0].rule.severity < Severity.URGENT:
        return ""
    rule = judged.findings[0].rule
    return wording.labelled(
        wording.text(words().severities[rule.severity]), wording.text(words().actions[rule.action])
    )


def _about(
    question: Meal | Symptoms, counter: Counter, shown: UUID | None, now: datetime, wording: Wording
) -> str:
    """What and when, never how much: a value that is no longer shown stays so. Whose it is, if nobody knows."""
    if question.reading_id == shown:
        return ""
    _ = wording.say
    about = next(one for one in counter.readings if one.reading.id == question.reading_id)
    words = _what_and_when(question, counter, now, wording)
    return words if about.visitors else f"{words} · {_('No visit open')}"


def _what_and_when(question: Whose | Meal | Symptoms, counter: Counter, now: datetime, wording: Wording) -> str:
    about = next(one.reading for one in counter.readings if one.reading.id == question.reading_id)
    return f"{wording.kind(about.kind)} {wording.moment(moment(about), now)}"


def _buttons(question: Meal | Symptoms, wording: Wording) -> tuple[Button, ...]:
    return tuple(
        Button(code=choice.code, words=choice.zh if wording.chinese else choice.en) for choice in question.choices
    )


def _meant(pressures: Sequence[Reading], average: Average | None) -> frozenset[UUID]:
    """The readings in the mean; all of them while there is none. Which belong together is `gateway.repeats`'."""
    if average is None:
        return frozenset(reading.id for reading in pressures)
    sitting = [reading for _at, reading in repeats.sitting([(moment(one), one) for one in pressures])]
    whole = [one for one in sitting if repeats.HIGH_MMHG.keys() <= one.values.keys()]
    return frozenset(one.id for one in whole[-average.of :])
