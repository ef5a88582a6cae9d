"""Trend charts as data: ECharts options made from readings and this person's targets; the browser only draws them.

Times are epoch milliseconds on a real time axis. The meal of a glucose point decides its series, so fasting and
after-meal are never joined; a gap of more than 90 days is not joined either.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from cloud.crm.readings import SHORT_LIPID
from cloud.i18n import N_, Translator
from cloud.ledger.store import LedgerReading
from gateway import clinical
from gateway.wire.messages import Quality
from gateway.wire.vocabulary import KINDS, MEAL_LABELS, QUANTITIES, Kind, Meal, OffScale

GAP = timedelta(days=90)
COLOURS = ("#0958d9", "#ad4e00", "#237804", "#531dab")
CRITICAL_COLOUR = "#a8071a"
SYMBOLS = ("circle", "triangle", "rect", "diamond")
"""Told apart by shape first; the same order everywhere, so a shape means the same on every chart."""
SYMBOL_SIZE = 7
CRITICAL_SIZE = 11
EDGE_SIZE = 13
EDGES = {OffScale.HI: (Decimal("0.97"), 0), OffScale.LO: (Decimal("0.03"), 180)}
"""Where a HI or LO stands between the bottom (0) and the top (1) of its chart, and how its triangle is turned."""

GLUCOSE_SERIES: tuple[tuple[str, frozenset[Meal]], ...] = (
    (N_("Fasting"), frozenset({Meal.FASTING})),
    (N_("After a meal"), frozenset({Meal.POST_MEAL_1H, Meal.POST_MEAL_2H})),
    (N_("Before a meal"), frozenset({Meal.PRE_MEAL})),
    (N_("Random or not stated"), frozenset({Meal.RANDOM, Meal.UNKNOWN, Meal.BEDTIME})),
)
"""Only fasting values are comparable enough to be joined by a line."""
JOINED_MEALS = frozenset({Meal.FASTING})
CHARTED: dict[Kind, tuple[str, ...]] = {
    Kind.BLOOD_PRESSURE: ("systolic_mmhg", "diastolic_mmhg"),
    Kind.GLUCOSE: ("glucose_mmol_l",),
    Kind.LIPID_PANEL: (
        "total_cholesterol_mmol_l",
        "triglyceride_mmol_l",
        "hdl_mmol_l",
        "ldl_mmol_l",
    ),
    Kind.URIC_ACID: ("urate_umol_l",),
    Kind.BODY_WEIGHT: ("weight_kg",),
    Kind.BODY_TEMPERATURE: ("body_temperature_cel",),
    Kind.OXYGEN_SATURATION: ("spo2_percent",),
    Kind.HBA1C: ("hba1c_percent",),
    Kind.HAEMOGLOBIN: ("haemoglobin_g_l",),
    Kind.HAEMATOCRIT: ("haematocrit_percent",),
}
MEAL_OF_BAND = Meal.FASTING
"""A glucose chart has one band, the fasting target; the after-meal limit is a labelled line."""
LIPID_TARGET = "ldl_mmol_l"
"""Four bands on one chart would be none: a lipid panel shows the target that treatment follows, as a line."""
AXIS_STEPS = 8
"""About so many steps, at most, on a value axis; a chart is 264 pixels high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart: its title, unit, options, and a sentence for those who cannot see it."""

    kind: str
    title: str
    unit: str
    source: str
    points: int
    beyond: str  # the HI and LO among them, with their days; "" when there is none
    option: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    name: str
    quantity: str
    meals: frozenset[Meal] | None
    joined: bool


def charts(
    ledger: Sequence[LedgerReading],
    person: clinical.Person | None,
    t: Translator,
    *,
    span_days: int,
    now: datetime,
) -> list[Chart]:
    """A chart for each kind that has readings within the span, in the order people look at them."""
    since = now - timedelta(days=span_days)
    usable = [r for r in reversed(ledger) if r.taken_at >= since and r.quality != Quality.REJECTED]
    made = []
    for kind in CHARTED:
        of_kind = [reading for reading in usable if reading.kind == kind]
        if of_kind:
            made.append(_chart(kind, of_kind, person, t, since, now))
    return made


def _chart(
    kind: Kind,
    readings: Sequence[LedgerReading],
    person: clinical.Person | None,
    t: Translator,
    since: datetime,
    now: datetime,
) -> Chart:
    quantity = QUANTITIES[CHARTED[kind][0]]
    bands = _bands(person, kind)
    drawn = []
    for index, series in enumerate(_series_of(kind, t)):
        points = list(_points(series, readings, person, t))
        if points:
            drawn.append(_line(series, points, index, bands.get(series.quantity), kind, t))
    targets = [limit.value for band in bands.values() if (limit := band.high or band.low) is not None]
    if kind is Kind.GLUCOSE and drawn:
        after = clinical.targets(person, kind, Meal.POST_MEAL_2H).get("glucose_mmol_l")
        if after is not None and after.high is not None:
            drawn[0]["markLine"]["data"].append(_limit_line(after.high, t(N_("after a meal")), COLOURS[1]))
            targets.append(after.high.value)
    values = [value for line in drawn for point in line["data"] if (value := point["value"][1]) is not None]
    beyond = list(_beyond(readings, person, t))
    numbers = bool(drawn)
    if beyond:
        drawn.append(_edge_markers(beyond))
    source = next((band.source for band in bands.values() if band.source), "")
    title = t.pick(KINDS[kind].zh, KINDS[kind].en)
    option = {
        "animation": False,
        "aria": {
            "enabled": True,
            "decal": {"show": True},
            "label": {"description": ", ".join([title, quantity.unit, *(_words(p) for p in beyond)])},
        },
        "grid": {"left": 44, "right": 112, "top": 36, "bottom": 28},
        "legend": {
            "type": "scroll",  # a telephone has no second line for it
            "top": 0,
            "left": 0,
            "itemWidth": 18,
            "textStyle": {"color": "#1f1f1f", "fontSize": 12},
        },
        "tooltip": {"trigger": "item", "confine": True},
        "xAxis": {
            "type": "time",
            "min": _ms(since),
            "max": _ms(now),
            "axisLabel": {"color": "#595959", "hideOverlap": True, "formatter": _date_labels(t)},
            "axisLine": {"lineStyle": {"color": "#bfbfbf"}},
            "splitLine": {"show": False},
        },
        "yAxis": [
            {
                "type": "value",
                "show": numbers,  # without a number there is nothing to read off it
                **_axis([*values, *targets], quantity.decimals),
                "axisLabel": {"color": "#595959"},
                "splitLine": {"lineStyle": {"color": "#f0f0f0"}},
            },
            {"type": "value", "show": False, "min": 0, "max": 1},
        ],
        "series": drawn,
    }
    return Chart(
        kind=kind.value,
        title=title,
        unit=quantity.unit,
        source=source,
        points=len(readings),
        beyond=t.pick("；", "; ").join(_words(point) for point in beyond),
        option=option,
    )


def _bands(person: clinical.Person | None, kind: Kind) -> dict[str, clinical.Band]:
    """The targets that a chart of this kind shows, by quantity."""
    shown = (LIPID_TARGET,) if kind is Kind.LIPID_PANEL else CHARTED[kind]
    known = clinical.targets(person, kind, MEAL_OF_BAND if kind is Kind.GLUCOSE else Meal.UNKNOWN)
    return {name: known[name] for name in shown if name in known}


def _axis(values: Sequence[Decimal], decimals: int) -> dict[str, Decimal]:
    """From a round number below these values to one above them; no step is finer than a meter's last digit."""
    if not values:
        return {}
    lowest, highest = min(values), max(values)
    air = (highest - lowest or highest or Decimal(1)) / 12
    least = max((highest - lowest + 2 * air) / AXIS_STEPS, Decimal(1).scaleb(-decimals))
    unit = Decimal(1).scaleb(least.adjusted())
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= least)
    bottom = ((lowest - air) / step).to_integral_value(ROUND_FLOOR) * step
    top = ((highest + air) / step).to_integral_value(ROUND_CEILING) * step
    return {"min": max(bottom, Decimal(0)), "max": top, "interval": step}


def _series_of(kind: Kind, t: Translator) -> Iterable[_Series]:
    if kind is Kind.GLUCOSE:
        for label, meals in GLUCOSE_SERIES:
            yield _Series(name=t(label), quantity="glucose_mmol_l", meals=meals, joined=meals <= JOINED_MEALS)
        return
    for name in CHARTED[kind]:
        yield _Series(name=_label(name, t), quantity=name, meals=None, joined=True)


def _points(
    series: _Series, readings: Iterable[LedgerReading], person: clinical.Person | None, t: Translator
) -> Iterable[dict[str, Any]]:
    quantity = QUANTITIES[series.quantity]
    last: datetime | None = None
    for row in readings:
        value = row.reading.values.get(series.quantity)
        if value is None or (series.meals is not None and Meal(row.meal) not in series.meals):
            continue
        if last is not None and row.taken_at - last > GAP:
            yield {"value": [_ms(last + (row.taken_at - last) / 2), None]}
        last = row.taken_at
        shown = quantity.rounded(value)
        verdict = clinical.interpret(Kind(row.kind), series.quantity, value, Meal(row.meal), person)
        meal = t.pick(*MEAL_LABELS[Meal(row.meal)]) if series.meals is not None else _label(series.quantity, t)
        word = f"{t.pick(verdict.word_zh, verdict.word_en)} {verdict.arrow}".strip()
        critical = verdict.code in ("LL", "HH")
        yield {
            "value": [_ms(row.taken_at), shown],
            "text": f"{t.minute(row.taken_at)}\n{meal} {shown} {quantity.unit}  {word}",
            "symbolSize": CRITICAL_SIZE if critical else SYMBOL_SIZE,
        } | ({"itemStyle": {"color": CRITICAL_COLOUR}} if critical else {})


def _beyond(
    readings: Iterable[LedgerReading], person: clinical.Person | None, t: Translator
) -> Iterable[dict[str, Any]]:
    """A triangle at the edge for each HI and LO: it has no number, and is drawn at none."""
    for row in readings:
        kind, meal = Kind(row.kind), Meal(row.meal)
        for name in CHARTED[kind]:
            off_scale = row.reading.off_scale.get(name)
            if off_scale is None:
                continue
            height, turned = EDGES[off_scale]
            verdict = clinical.interpret(kind, name, off_scale, meal, person)
            label = t.pick(*MEAL_LABELS[meal]) if kind is Kind.GLUCOSE else _label(name, t)
            word = f"{t.pick(verdict.word_zh, verdict.word_en)} {verdict.arrow}".strip()
            yield {
                "value": [_ms(row.taken_at), height],
                "text": f"{t.minute(row.taken_at)}\n{label} {off_scale.value}  {word}".rstrip(),
                "symbolRotate": turned,
                "label": {"formatter": off_scale.value, "position": "bottom" if turned == 0 else "top"},
            } | ({"itemStyle": {"color": CRITICAL_COLOUR}} if verdict.code in ("LL", "HH") else {})


def _edge_markers(points: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": "HI / LO",
        "yAxisIndex": 1,
        "data": points,
        "symbol": "triangle",
        "symbolSize": EDGE_SIZE,
        "itemStyle": {"color": "#595959"},
        "label": {"show": True, "color": "#1f1f1f", "fontSize": 11},
    }


def _words(point: dict[str, Any]) -> str:
    text: str = point["text"]
    return " ".join(text.split())


def _label(name: str, t: Translator) -> str:
    return t.pick(QUANTITIES[name].zh, QUANTITIES[name].en)


def _line(
    series: _Series,
    points: list[dict[str, Any]],
    index: int,
    band: clinical.Band | None,
    kind: Kind,
    t: Translator,
) -> dict[str, Any]:
    colour = COLOURS[index % len(COLOURS)]
    line: dict[str, Any] = {
        "type": "line",
        "name": series.name,
        "data": points,
        "symbol": SYMBOLS[index % len(SYMBOLS)],
        "showAllSymbol": True,
        "connectNulls": False,
        "itemStyle": {"color": colour},
        "lineStyle": {"color": colour, "width": 1.5 if series.joined else 0},
        "markLine": {"silent": True, "symbol": "none", "animation": False, "data": []},
    }
    if band is None or (kind is Kind.GLUCOSE and index > 0):
        return line
    target = band.high or band.low
    if kind is Kind.LIPID_PANEL:
        if target is not None:
            line["markLine"]["data"].append(_limit_line(target, SHORT_LIPID[series.quantity], colour))
        return line
    line["markArea"] = {
        "silent": True,
        "itemStyle": {"color": colour, "opacity": 0.07},
        "data": [[_edge(band.low), _edge(band.high)]],
    }
    if target is not None:
        line["markLine"]["data"].append(_limit_line(target, t(N_("target")), "#595959"))
    for critical in (band.critical_low, band.critical_high):
        if critical is not None:
            line["markLine"]["data"].append(_limit_line(critical, t(N_("critical")), CRITICAL_COLOUR, dashed=True))
    return line


def _edge(limit: clinical.Limit | None) -> dict[str, Any]:
    return {"yAxis": limit.value} if limit is not None else {}


def _limit_line(limit: clinical.Limit, word: str, colour: str, *, dashed: bool = False) -> dict[str, Any]:
    return {
        "yAxis": limit.value,
        "lineStyle": {"color": colour, "type": "dashed" if dashed else "solid", "width": 1 if dashed else 0.5},
        "label": {
            "position": "end",
            "formatter": f"{word} {_sign(limit.op)}{limit.value}",
            "color": colour,
            "fontSize": 11,
        },
    }


def _sign(op: str) -> str:
    return {"<=": "≤", ">=": "≥"}.get(op, op)


def _date_labels(t: Translator) -> dict[str, str]:
    return {"year": "{yyyy}", "month": t.pick("{M}月", "{MMM}"), "day": "{MM}-{dd}"}


def _ms(moment: datetime) -> Decimal:
    return Decimal(int(moment.timestamp() * 1000))
