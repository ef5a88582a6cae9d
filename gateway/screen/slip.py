"""What a customer takes along: the results of the open visit on a slip of paper, and as text in a QR code. Pure.

Nothing on it says who was measured. The values are those of the screen (`values`), the QR code is `qr`'s.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from gateway.counter import Counter
from gateway.judging import Judged
from gateway.screen.asking import averaged, urged
from gateway.screen.values import Figure, figures, taken
from gateway.screen.wording import Wording
from gateway.wire.vocabulary import Kind

RESULTS_KEPT = 6
"""More lines than this make a QR code that a phone cannot read from an arm's length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One part of the slip: what, when or how, its figures, and what is to be done about them."""

    title: str
    at: str
    figures: tuple[Figure, ...]
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """The paper, and the same as plain text."""

    title: str
    when: str
    results: tuple[Result, ...]
    footer: str

    @property
    def text(self) -> str:
        """For the QR code: every phone shows it without a network."""
        return "\n".join((f"{self.title} {self.when}", *map(_line, self.results), self.footer))


def slip(counter: Counter, now: datetime, wording: Wording) -> Slip | None:
    """The slip of the visit open at this slot; None where no visit is open or nothing was measured in it."""
    _, visit = wording.say, counter.visit
    if visit is None:
        return None
    # Also on the counter may lie what was measured before the visit was opened: it may be somebody else's.
    own = [one for one in counter.readings if one.visitors]
    if not own:
        return None
    results = [_result(one, now, wording) for one in own[-RESULTS_KEPT:]]
    return Slip(
        title=_("Results"),
        when=(now + wording.local).strftime("%Y-%m-%d %H:%M"),
        results=(*_mean(counter, wording), *results),
        footer=_("For information. It does not replace a doctor's diagnosis."),
    )


def _result(judged: Judged, now: datetime, wording: Wording) -> Result:
    reading = judged.reading
    main, beside = figures(reading, wording, meal=judged.meal)
    title = wording.kind(reading.kind)
    if reading.kind is Kind.GLUCOSE:
        title = f"{title} {wording.meal(judged.meal)}"
    return Result(
        title=title,
        at=taken(reading, now, wording),
        figures=_under(title, *main, *beside),
        advice=urged(judged, wording),
    )


def _mean(counter: Counter, wording: Wording) -> tuple[Result, ...]:
    """The mean stands first: it is the pressure that counts."""
    _ = wording.say
    mean = averaged(counter.average, wording)
    if mean is None:
        return ()
    title = _("Mean blood pressure")
    return (Result(title=title, at=mean.how, figures=_under(title, mean.figure)),)


def _under(title: str, *figures: Figure) -> tuple[Figure, ...]:
    """The figures under a title: what it says already is not said again beside each of them."""
    said = title.casefold()
    return tuple(replace(figure, label="") if figure.label.casefold() in said else figure for figure in figures)


def _line(result: Result) -> str:
    said = [_figure(figure) for figure in result.figures]
    return " ".join(part for part in (result.title, result.at, "; ".join(said), result.advice) if part)


def _figure(figure: Figure) -> str:
    limits = f"({figure.range})" if figure.range else ""
    parts = (figure.label, figure.text, figure.unit, f"{figure.word}{figure.arrow}", limits)
    return " ".join(part for part in parts if part)
