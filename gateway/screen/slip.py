"""What a customer takes along: the results of the open visit on a slip of paper, and as text in a QR code. Pure.

Nothing on it says who was measured. The values are those of the screen (`values`), the QR code is `qr`'s.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.counter import Average, Counter, Judged
from gateway.screen.asking import pressures
from gateway.screen.values import Figure, figures, pressure, taken
from gateway.screen.wording import Wording
from gateway.wire.messages import Quality
from gateway.wire.vocabulary import Kind

RESULTS_KEPT = 6
"""More lines than this make a QR code that a phone cannot read from an arm's length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the slip: what, when, and its figures."""

    title: str
    at: str
    figures: tuple[Figure, ...]


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
        lines = [f"{self.title} {self.when}"]
        lines += [_line(result, figure) for result in self.results for figure in result.figures]
        return "\n".join((*lines, self.footer))


def slip(counter: Counter, now: datetime, wording: Wording) -> Slip | None:
    """The slip of the visit open at this slot; None where no visit is open or nothing was measured in it."""
    _ = wording.say
    if counter.visit is None:
        return None
    kept = [one for one in counter.readings if one.reading.quality is not Quality.REJECTED]
    results = [_result(one, now, wording) for one in kept]
    if counter.average is not None:
        results.append(_average(counter.average, counter, now, wording))
    if not results:
        return None
    return Slip(
        title=_("Results"),
        when=(now + wording.local).strftime("%Y-%m-%d %H:%M"),
        results=tuple(results[-RESULTS_KEPT:]),
        footer=_("For information. It does not replace a doctor's diagnosis."),
    )


def _result(judged: Judged, now: datetime, wording: Wording) -> Result:
    reading = judged.reading
    main, beside = figures(reading, wording, meal=judged.meal)
    title = wording.kind(reading.kind)
    if reading.kind is Kind.GLUCOSE:
        title = f"{title} {wording.meal(judged.meal)}"
    return Result(title=title, at=taken(reading, now, wording), figures=(*main, *beside))


def _average(average: Average, counter: Counter, now: datetime, wording: Wording) -> Result:
    _ = wording.say
    rows = pressures(counter, now, wording)
    return Result(
        title=_("Mean blood pressure"),
        at=_("{of} of {all}").format(of=average.of, all=max(average.of, len(rows))),
        figures=(pressure([average.systolic_mmhg, average.diastolic_mmhg], wording),),
    )


def _line(result: Result, figure: Figure) -> str:
    label = result.title if figure.label in result.title else f"{result.title} {figure.label}"
    parts = [label, result.at, figure.text, figure.unit, f"{figure.word}{figure.arrow}"]
    return " ".join(part for part in parts if part) + (f" ({figure.range})" if figure.range else "")
