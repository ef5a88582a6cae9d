"""A year of measurements for one member, as the store's meters and gateway would have sent it.

Pure: chance and the present are arguments. The numbers follow the member's course (controlled, improving ...),
the season (pressure rises in winter) and the meter's own resolution; nothing here judges them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from random import Random
from uuid import uuid5

from cloud.demo.people import PEOPLE, Course, Member, Unit
from gateway.wire.messages import Device, Purpose, Reading, Shown, TakenAt, TimeQuality, Visit
from gateway.wire.vocabulary import QUANTITIES, Kind, Meal, OffScale

LOCAL = timezone(timedelta(hours=8))
DAYS = 365
OPENING_HOURS = (7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19)
OPENING_WEIGHTS = (14, 22, 18, 12, 6, 5, 6, 7, 6, 5, 3)  # older customers come in the morning, before breakfast
RECENT_DAYS = 10
"""Readings without a card are claimed within days; the last ones still wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One of the meters on a counter. `driver` is the one that reads it."""

    kind: Kind
    driver: str
    maker: str
    model: str

    def device(self, store: Unit) -> Device:
        """This model as it stands in `store`."""
        serial = f"{self.model}-{store.chain_id}-{store.id}".upper()
        return Device(key=serial, maker=self.maker, model=self.model, serial=serial)


METERS: dict[Kind, Meter] = {
    meter.kind: meter
    for meter in (
        Meter(kind=Kind.BLOOD_PRESSURE, driver="ble.blood_pressure", maker="Kangce", model="KC-B2"),
        Meter(kind=Kind.GLUCOSE, driver="ble.glucose", maker="Kangce", model="KC-G1"),
        Meter(kind=Kind.LIPID_PANEL, driver="serial.lipid", maker="Kangce", model="KC-L3"),
        Meter(kind=Kind.URIC_ACID, driver="serial.uric_acid", maker="Kangce", model="KC-U1"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A reading of the past, and whose it turned out to be. `claimed_at` where staff had to say so."""

    reading: Reading
    store: Unit
    member: Member | None
    claimed_at: datetime | None = None


def year_of(member: Member, now: datetime, chance: Random) -> Iterator[Past]:
    """Every reading `member` took in the year before `now`, oldest first."""
    body = _Body(member, now, chance)
    for number, moment in enumerate(_visits(member, now, chance)):
        forgot_card = chance.random() < 0.04
        claimed_at = moment + timedelta(minutes=chance.randint(3, 600)) if forgot_card else None
        waits = forgot_card and moment > now - timedelta(days=RECENT_DAYS)
        visit = None if forgot_card else _visit(member, moment)
        for place, (kind, values, off_scale, meal) in enumerate(body.measured(moment, number)):
            taken_at = moment + timedelta(seconds=70 + 110 * place)
            yield Past(
                reading=reading(
                    METERS[kind],
                    member.store,
                    taken_at,
                    values=values,
                    off_scale=off_scale,
                    meal=meal,
                    visit=visit,
                    chance=chance,
                ),
                store=member.store,
                member=None if waits else member,
                claimed_at=None if waits else claimed_at,
            )


def controls_of(store: Unit, now: datetime, chance: Random) -> Iterator[Past]:
    """The control-solution runs of a store's glucose meter, every fortnight before opening."""
    for back in range(DAYS, 0, -14):
        moment = datetime.combine((now - timedelta(days=back)).date(), time(7, 5), LOCAL).astimezone(UTC)
        control = reading(
            METERS[Kind.GLUCOSE],
            store,
            moment,
            values={"glucose_mmol_l": Decimal("6.4") + Decimal(chance.randint(-3, 3)) / 10},
            purpose=Purpose.CONTROL,
            chance=chance,
        )
        yield Past(reading=control, store=store, member=None)


def reading(
    meter: Meter,
    store: Unit,
    taken_at: datetime,
    *,
    chance: Random,
    values: dict[str, Decimal],
    off_scale: dict[str, OffScale] | None = None,
    meal: Meal = Meal.UNKNOWN,
    purpose: Purpose = Purpose.PATIENT,
    visit: Visit | None = None,
) -> Reading:
    """One wire Reading from the meter of that kind in `store`."""
    device = meter.device(store)
    quality = chance.choices((TimeQuality.DEVICE, TimeQuality.CORRECTED), (85, 15))[0]
    offset_s = float(chance.randint(90, 900)) if quality is TimeQuality.CORRECTED else float(chance.randint(-2, 2))
    said = (taken_at - timedelta(seconds=offset_s)).astimezone(LOCAL).replace(tzinfo=None)
    shown = tuple(
        Shown(quantity=name, value=str(value), unit=QUANTITIES[name].unit) for name, value in values.items()
    )
    return Reading(
        id=uuid5(PEOPLE, f"{device.key}/{meter.kind}/{taken_at.isoformat()}/{visit.code if visit else ''}"),
        kind=meter.kind,
        device=device,
        record_key=said.isoformat(),
        time=TakenAt(
            at=taken_at,
            quality=quality,
            received=taken_at + timedelta(seconds=chance.randint(4, 40)),
            device=said.isoformat(),
            offset_s=offset_s,
        ),
        conversation=uuid5(PEOPLE, f"conversation/{device.key}/{taken_at.isoformat()}"),
        driver=meter.driver,
        values=values,
        off_scale=off_scale or {},
        shown=shown,
        meal=meal,
        purpose=purpose,
        visit=visit,
    )


def _visits(member: Member, now: datetime, chance: Random) -> Iterator[datetime]:
    today = now.astimezone(LOCAL).date()
    day = max(today - timedelta(days=DAYS), member.joined_on) + timedelta(
        days=chance.randint(0, member.every_days)
    )
    last = today - timedelta(days=chance.randint(80, 240)) if member.course is Course.LAPSED else today
    away = today - timedelta(days=chance.randint(30, DAYS)) if chance.random() < 0.3 else date.min
    while day <= last:
        hour = chance.choices(OPENING_HOURS, OPENING_WEIGHTS)[0]
        moment = datetime.combine(day, time(hour, chance.randint(0, 49), chance.randint(0, 59)), LOCAL)
        travelling = away <= day < away + timedelta(days=50) if away > date.min else False
        if moment.astimezone(UTC) < now - timedelta(minutes=10) and not travelling:
            yield moment.astimezone(UTC)
        day += timedelta(days=max(2, round(chance.gauss(member.every_days, member.every_days * 0.25))))


def _visit(member: Member, moment: datetime) -> Visit:
    return Visit(
        id=uuid5(PEOPLE, f"visit/{member.code}/{moment.isoformat()}"),
        code=member.code,
        slot="counter-1",
        opened=moment,
        closed=moment + timedelta(minutes=9),
    )


class _Body:
    """A member's own numbers: where they start, where they end, and what a day does to them."""

    def __init__(self, member: Member, now: datetime, chance: Random) -> None:
        self._member = member
        self._now = now
        self._chance = chance
        pressure = {
            Course.HEALTHY: (119, 119),
            Course.CONTROLLED: (129, 128),
            Course.IMPROVING: (156, 129),
            Course.UNCONTROLLED: (149, 156),
            Course.LAPSED: (138, 143),
        }
        fasting = {
            Course.HEALTHY: (5.2, 5.2),
            Course.CONTROLLED: (6.5, 6.4),
            Course.IMPROVING: (9.4, 6.8),
            Course.UNCONTROLLED: (9.6, 10.3),
            Course.LAPSED: (7.6, 8.3),
        }
        start, end = pressure[member.course if "htn" in member.conditions else Course.HEALTHY]
        own = chance.gauss(0, 5)
        self._systolic = (start + own, end + own)
        low, high = fasting[member.course if "dm" in member.conditions else Course.HEALTHY]
        self._fasting = (low, high)
        self._pulse = chance.gauss(73, 6)

    def measured(
        self, moment: datetime, number: int
    ) -> Iterator[tuple[Kind, dict[str, Decimal], dict[str, OffScale], Meal]]:
        """What they have measured on visit `number`."""
        has = self._member.conditions
        if "htn" in has or self._chance.random() < 0.6:
            yield Kind.BLOOD_PRESSURE, self._blood_pressure(moment), {}, Meal.UNKNOWN
        if "dm" in has or number % 5 == 0:
            values, off_scale, meal = self._glucose(moment)
            yield Kind.GLUCOSE, values, off_scale, meal
        visits_a_year = DAYS // self._member.every_days
        if number % max(1, visits_a_year // (3 if "dyslipidaemia" in has else 1)) == 1:
            yield Kind.LIPID_PANEL, self._lipids(moment), {}, Meal.UNKNOWN
        if number % max(1, visits_a_year // (5 if "gout" in has else 1)) == 2:
            yield Kind.URIC_ACID, self._urate(moment), {}, Meal.UNKNOWN

    def _between(self, start: float, end: float, moment: datetime) -> float:
        passed = 1 - (self._now - moment) / timedelta(days=DAYS)
        return start + (end - start) * min(1.0, max(0.0, passed))

    def _blood_pressure(self, moment: datetime) -> dict[str, Decimal]:
        winter = 4 * math.cos(2 * math.pi * (moment.timetuple().tm_yday - 20) / DAYS)
        systolic = self._between(*self._systolic, moment) + winter + self._chance.gauss(0, 6)
        if self._member.course is Course.UNCONTROLLED and self._chance.random() < 0.03:
            systolic += self._chance.uniform(20, 44)  # the week the tablets ran out
        age = self._member.age_on(moment.date())
        diastolic = systolic * 0.47 + 20 - (age - 60) * 0.2 + self._chance.gauss(0, 4)
        values = {
            "systolic_mmhg": whole(min(228.0, max(92.0, systolic))),
            "diastolic_mmhg": whole(min(128.0, max(54.0, diastolic))),
        }
        values["pulse_per_min"] = whole(max(49.0, self._pulse + self._chance.gauss(0, 5)))
        return values

    def _glucose(self, moment: datetime) -> tuple[dict[str, Decimal], dict[str, OffScale], Meal]:
        fasting = self._between(*self._fasting, moment)
        hour = moment.astimezone(LOCAL).hour
        meals = (Meal.FASTING, Meal.POST_MEAL_2H, Meal.RANDOM, Meal.UNKNOWN)
        meal = self._chance.choices(meals, (78, 8, 8, 6) if hour < 10 else (2, 55, 33, 10))[0]
        value = fasting if meal is Meal.FASTING else fasting * 1.36
        value += self._chance.gauss(0, (0.15 if self._member.course is Course.UNCONTROLLED else 0.09) * value)
        drops = {"insulin", "sulfonylurea"} & set(self._member.medications)
        odd = self._chance.random()
        if drops and odd < 0.03:
            return {"glucose_mmol_l": tenth(self._chance.uniform(2.7, 3.9))}, {}, meal
        if "dm" in self._member.conditions and odd > 0.998:
            return {}, {"glucose_mmol_l": OffScale.HI if self._chance.random() < 0.7 else OffScale.LO}, meal
        return {"glucose_mmol_l": tenth(max(4.2, value))}, {}, meal

    def _lipids(self, moment: datetime) -> dict[str, Decimal]:
        high = "dyslipidaemia" in self._member.conditions
        treated = "statin" in self._member.medications
        total = self._chance.gauss((4.6 if treated else 6.1) if high else 4.8, 0.6)
        triglyceride = math.exp(self._chance.gauss(0.65 if high else 0.3, 0.35))
        hdl = self._chance.gauss(1.35 if self._member.sex == "female" else 1.2, 0.18)
        values = {
            "total_cholesterol_mmol_l": hundredth(max(2.9, total)),
            "triglyceride_mmol_l": hundredth(triglyceride),
            "hdl_mmol_l": hundredth(min(2.4, max(0.7, hdl))),
        }
        if triglyceride < 4.5:  # the meter calculates LDL by Friedewald, and not above this (observations, 5)
            ldl = max(2.9, total) - min(2.4, max(0.7, hdl)) - triglyceride / 2.2
            values["ldl_mmol_l"] = hundredth(max(0.6, ldl))
        return values

    def _urate(self, moment: datetime) -> dict[str, Decimal]:
        base = 395.0 if self._member.sex == "male" else 320.0
        if "gout" in self._member.conditions:
            base = 370.0 if "urate_lowering" in self._member.medications else 505.0
        return {"urate_umol_l": whole(min(820.0, max(185.0, self._chance.gauss(base, 42))))}


def whole(value: float) -> Decimal:
    """As a meter shows whole numbers."""
    return Decimal(round(value))


def tenth(value: float) -> Decimal:
    """As a glucose meter shows it."""
    return Decimal(round(value * 10)) / 10


def hundredth(value: float) -> Decimal:
    """As a lipid meter shows it."""
    return Decimal(round(value * 100)) / 100
