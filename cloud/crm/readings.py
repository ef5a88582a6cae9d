"""A reading as people read it: values with unit, word and arrow, its meal label, its age and where it came from.

What a value means is `gateway.clinical.interpret`'s and nobody else's; this puts it into words for one reader.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from cloud.crm.access import age_on
from cloud.i18n import Translator
from cloud.ledger.store import LedgerReading
from gateway import clinical
from gateway.wire.messages import TAIL_ONLY, Purpose, Quality
from gateway.wire.vocabulary import KINDS, MEAL_LABELS, QUANTITIES, Kind, Meal, OffScale

SEVERITY_OF_CODE = {"LL": 2, "HH": 2, "L": 1, "H": 1, "N": 0}
MEALS_ASKED = (Meal.FASTING, Meal.PRE_MEAL, Meal.POST_MEAL_2H, Meal.RANDOM)
"""What staff may answer for a glucose whose meter did not say; the rules judge no other meal apart."""
BESIDE = ("pulse_per_min", "mean_arterial_mmhg")
"""Shown smaller beside a blood pressure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueView:
    """One quantity: `text` is the number at its decimals, or HI/LO; `code` is LL, L, N, H, HH or empty."""

    quantity: str
    label: str
    text: str
    unit: str
    code: str
    word: str
    arrow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingView:
    """One reading; `text` is the whole of it on one line, the worst verdict's word and arrow apart."""

    id: UUID
    kind: str
    kind_label: str
    meal: str
    meal_label: str
    asks_meal: bool  # the meter did not say when it was taken: staff may, and may say it again
    text: str
    unit: str
    code: str
    word: str
    arrow: str
    values: tuple[ValueView, ...]
    taken_at: datetime
    time_quality: str
    quality: str
    flags: tuple[str, ...]
    device: str
    store_id: str
    member_id: UUID | None
    phone_tail: str  # all that the dock knew of the customer, else ""


def person_of(member: Any, today: date) -> clinical.Person | None:
    """What the clinical rules need to know of a member row; None while nobody is known."""
    if member is None:
        return None
    return clinical.Person(
        age=age_on(member.birth_date, today),
        sex=member.sex,
        conditions=frozenset(member.conditions),
        medications=frozenset(member.medications),
        pregnant_or_lactating=member.pregnant_or_lactating,
    )


def view(row: LedgerReading, person: clinical.Person | None, t: Translator) -> ReadingView:
    """`row` in the words of `t`, judged for `person`."""
    kind, meal = Kind(row.kind), Meal(row.meal)
    info = KINDS[kind]
    values = tuple(
        _value(row, kind, name, meal, person, t)
        for name in info.quantities
        if name in row.reading.values or name in row.reading.off_scale
    )
    main = [value for value in values if value.quantity not in BESIDE] or list(values)
    worst = max(main, key=lambda value: SEVERITY_OF_CODE.get(value.code, -1))
    device = row.reading.device
    return ReadingView(
        id=row.id,
        kind=row.kind,
        kind_label=t.pick(info.zh, info.en),
        meal=row.meal,
        meal_label=t.pick(*MEAL_LABELS[meal]) if kind is Kind.GLUCOSE else "",
        asks_meal=kind is Kind.GLUCOSE
        and row.reading.meal is Meal.UNKNOWN
        and row.purpose == Purpose.PATIENT
        and row.quality != Quality.REJECTED,
        text=_line(kind, main),
        unit=main[0].unit,
        code=worst.code,
        word=worst.word,
        arrow=worst.arrow,
        values=values,
        taken_at=row.taken_at,
        time_quality=row.time_quality,
        quality=row.quality,
        flags=row.reading.flags,
        device=" ".join(part for part in (device.maker, device.model) if part) or row.device_key,
        store_id=row.store_id,
        member_id=row.member_id,
        phone_tail=code.removeprefix(TAIL_ONLY) if (code := row.visit_code or "").startswith(TAIL_ONLY) else "",
    )


def _line(kind: Kind, main: list[ValueView]) -> str:
    if kind is Kind.LIPID_PANEL:
        return " · ".join(f"{SHORT_LIPID[value.quantity]} {value.text}" for value in main)
    return "/".join(value.text for value in main)


SHORT_LIPID = {
    "total_cholesterol_mmol_l": "TC",
    "triglyceride_mmol_l": "TG",
    "hdl_mmol_l": "HDL",
    "ldl_mmol_l": "LDL",
}


def _value(
    row: LedgerReading, kind: Kind, name: str, meal: Meal, person: clinical.Person | None, t: Translator
) -> ValueView:
    quantity = QUANTITIES[name]
    given = row.reading.off_scale.get(name) or row.reading.values[name]
    verdict = clinical.interpret(kind, name, given, meal, person)
    return ValueView(
        quantity=name,
        label=t.pick(quantity.zh, quantity.en),
        text=given.value if isinstance(given, OffScale) else str(quantity.rounded(given)),
        unit=quantity.unit,
        code=verdict.code or "",
        word=t.pick(verdict.word_zh, verdict.word_en),
        arrow=verdict.arrow,
    )
