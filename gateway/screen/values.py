"""A reading in the figures of the screen: digits, unit, word, arrow, and the range it is compared with. Pure.

What a number means is `gateway.clinical`'s; how large it stands there is the style sheet's.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from gateway.board import Seen
from gateway.clinical import Limit, Person, Verdict, interpret, targets
from gateway.screen.wording import Wording
from gateway.wire.messages import Quality, Reading, TimeQuality
from gateway.wire.vocabulary import KINDS, QUANTITIES, Kind, Meal, OffScale, Quantity

SOMEBODY = Person()
"""The shared screen does not know who stands there, so it judges by what holds for any adult."""

TONES = {"HH": "critical", "LL": "critical", "H": "high", "L": "low", "N": "target"}
SEVERITY = ("HH", "LL", "H", "L", "N")
PRESSURES = ("systolic_mmhg", "diastolic_mmhg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number as it stands on the screen; its tone is critical, high, low, target or plain."""

    label: str
    text: str
    unit: str
    word: str = ""
    arrow: str = ""
    tone: str = "plain"
    quantities: tuple[str, ...] = ()  # what it shows
    range: str = ""  # what holds for any adult: "90-139/60-89", or "" where nothing is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The last reading of a slot: `main` figures are giant, those `beside` are not."""

    reading: UUID
    title: str
    meal: str
    main: tuple[Figure, ...]
    beside: tuple[Figure, ...]
    meter: str
    taken: str
    received: bool
    linked: bool
    doubt: str


def value(
    seen: Seen, now: datetime, wording: Wording, *, meal: Meal | None = None, visitors: bool | None = None
) -> Value:
    """What was measured last, with the meal that staff said, if they did; `visitors`: whether it is the visitor's,
    None where the counter does not say."""
    _ = wording.say
    reading = seen.reading
    meal = reading.meal if meal is None else meal
    main, beside = figures(reading, wording, meal=meal)
    doubt = ""
    if reading.quality is Quality.REJECTED:
        doubt = _("This number cannot be right. Please measure again.")
    elif reading.quality is Quality.FLAGGED:
        doubt = _("Unusual number. Please measure again to be sure.")
    return Value(
        reading=reading.id,
        title=wording.kind(reading.kind),
        meal=wording.meal(meal) if reading.kind is Kind.GLUCOSE else "",
        main=main,
        beside=beside,
        meter=seen.meter,
        taken=taken(reading, now, wording),
        received=seen.received,
        linked=reading.visit is not None if visitors is None else visitors,
        doubt=doubt,
    )


def figures(
    reading: Reading, wording: Wording, *, meal: Meal | None = None
) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
    """The figures people look for, and those that stand beside them."""
    meal = reading.meal if meal is None else meal
    judged = reading.quality is not Quality.REJECTED
    known = KINDS[reading.kind].quantities
    there = [name for name in known if name in reading.values or name in reading.off_scale]
    each = {name: _figure(reading, name, meal, wording, judged) for name in there}
    if reading.kind is Kind.BLOOD_PRESSURE:
        both = pressure([_shown(reading, name) for name in PRESSURES], wording, judged=judged)
        return (both,), tuple(figure for name, figure in each.items() if name not in PRESSURES)
    pulse = each.pop("pulse_per_min", None)
    return tuple(each.values()), () if pulse is None else (pulse,)


def pressure(pair: list[Decimal | OffScale], wording: Wording, *, judged: bool = True) -> Figure:
    """Systolic and diastolic are one figure, under the graver of their two verdicts."""
    verdicts = [
        interpret(Kind.BLOOD_PRESSURE, name, shown, Meal.UNKNOWN, SOMEBODY)
        for name, shown in zip(PRESSURES, pair, strict=True)
        if judged
    ]
    gravest = min(
        (one for one in verdicts if one.code is not None),
        key=lambda one: SEVERITY.index(str(one.code)),
        default=None,
    )
    ranges = [_range(Kind.BLOOD_PRESSURE, QUANTITIES[name], Meal.UNKNOWN) for name in PRESSURES]
    return Figure(
        label=wording.kind(Kind.BLOOD_PRESSURE),
        text="/".join(_digits(QUANTITIES[name], shown) for name, shown in zip(PRESSURES, pair, strict=True)),
        unit=QUANTITIES[PRESSURES[0]].unit,
        quantities=PRESSURES,
        range="/".join(ranges) if all(ranges) else "",
        **_judged(gravest, wording),
    )


def taken(reading: Reading, now: datetime, wording: Wording) -> str:
    """When it was measured, as far as anybody knows."""
    _ = wording.say
    if reading.time.quality is TimeQuality.UNTRUSTED:
        return _("time unknown")
    return wording.moment(reading.time.at, now)


def _figure(reading: Reading, name: str, meal: Meal, wording: Wording, judged: bool) -> Figure:
    quantity, shown = QUANTITIES[name], _shown(reading, name)
    verdict = interpret(reading.kind, name, shown, meal, SOMEBODY) if judged else None
    asked = reading.kind is Kind.GLUCOSE and meal is Meal.UNKNOWN
    return Figure(
        label=quantity.zh if wording.chinese else quantity.en,
        text=_digits(quantity, shown),
        unit=wording.unit(quantity.unit),
        quantities=(name,),
        range="" if asked else _range(reading.kind, quantity, meal),
        **_judged(verdict, wording),
    )


def _shown(reading: Reading, name: str) -> Decimal | OffScale:
    value = reading.values.get(name)
    return reading.off_scale[name] if value is None else value


def _digits(quantity: Quantity, shown: Decimal | OffScale) -> str:
    return shown.value if isinstance(shown, OffScale) else str(quantity.rounded(shown))


def _judged(verdict: Verdict | None, wording: Wording) -> dict[str, str]:
    if verdict is None or verdict.code is None:
        return {}
    word = verdict.word_zh if wording.chinese else verdict.word_en
    return {"word": word, "arrow": verdict.arrow, "tone": TONES[str(verdict.code)]}


def _range(kind: Kind, quantity: Quantity, meal: Meal) -> str:
    """The target in numbers that can be shown: "< 7.0" next to a low limit is 6.9, the last one on target."""
    band = targets(SOMEBODY, kind, meal).get(quantity.name)
    if band is None or (band.low is None and band.high is None):
        return ""
    if band.low is None or band.high is None:
        limit = band.low or band.high
        assert limit is not None  # noqa: S101 - one of them is there
        return f"{limit.op.replace('>=', '≥').replace('<=', '≤')} {quantity.rounded(limit.value)}"
    return f"{_inside(band.low, quantity)}–{_inside(band.high, quantity)}"


def _inside(limit: Limit, quantity: Quantity) -> str:
    step = Decimal(1).scaleb(-quantity.decimals)
    match limit.op:
        case "<":
            return str(quantity.rounded(limit.value) - step)
        case ">":
            return str(quantity.rounded(limit.value) + step)
        case _:
            return str(quantity.rounded(limit.value))
