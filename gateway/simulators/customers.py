"""People at a virtual counter: every few seconds somebody measures, and most of them scanned their card first.

Their values are believable and belong to their card: who is uncontrolled stays so. The meters are
`bumble_meter`'s, what becomes of the readings is the gateway's.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from gateway.simulators.benecheck_meter import Analyte, BeneCheckGlucoseService
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.glucose_meter import RESULT_TOO_HIGH, GlucoseMeter
from gateway.simulators.line import BleLine
from gateway.simulators.pressure_cuff import IRREGULAR_PULSE, PressureCuff
from gateway.simulators.sinocare_meter import Item, SinocareMeter
from gateway.simulators.taidoc_meter import CONTROL, GENERAL, URIC_ACID, TaiDocMeter
from gateway.simulators.thermometer import Thermometer

log = logging.getLogger(__name__)

UNCONTROLLED = 0.25
"""Share of customers above their target; about what Chinese community pharmacies see among chronic members."""
FORGETS_CARD = 0.12
HAS_A_FEVER = 0.04
CONTROL_RUN = 0.02
METER_RESTS_S = 8.0
"""Longer than the gateway's own rest between two conversations with one meter (docking.REST_S)."""
MEASURING_S = 1.5
"""From the card to the value. A cuff takes half a minute; within the same second the reading would lie, by the
whole seconds of a meter's clock, before the visit."""
READ_WITHIN_S = 15.0
"""A customer waits for the screen; when nothing appears for so long the next one comes anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What this person's values are around."""

    systolic: float
    diastolic: float
    pulse: float
    glucose: float
    temperature_cel: float
    urate_umol_l: float
    total_cholesterol_mmol_l: float


def habit_of(card: str) -> Habit:
    """The same for the same card, in every store and every run."""
    chance = Random(f"habit {card}")  # noqa: S311 - play-acting
    uncontrolled = chance.random() < UNCONTROLLED
    return Habit(
        systolic=chance.gauss(158 if uncontrolled else 126, 8),
        diastolic=chance.gauss(96 if uncontrolled else 79, 5),
        pulse=chance.gauss(74, 7),
        glucose=chance.gauss(11.5 if uncontrolled else 6.0, 1.5 if uncontrolled else 0.6),
        temperature_cel=chance.gauss(36.6, 0.2),
        urate_umol_l=chance.gauss(480 if uncontrolled else 330, 45),
        total_cholesterol_mmol_l=chance.gauss(6.2 if uncontrolled else 4.7, 0.5),
    )


async def trade(
    meters: Sequence[BumbleMeter],
    open_visit: Callable[[str], None],
    cards: Sequence[str],
    *,
    pace_s: float,
    random: Random,
) -> None:
    """Customers come for ever, one every `pace_s` seconds or so; `open_visit` is told their card, or ""."""
    loop = asyncio.get_running_loop()
    used_at: dict[str, float] = {}
    while True:
        await asyncio.sleep(pace_s * random.uniform(0.5, 1.5))
        free = [
            meter
            for meter in meters
            if meter.is_idle and loop.time() - used_at.get(meter.meter.address, -METER_RESTS_S) >= METER_RESTS_S
        ]
        if not free:
            continue
        meter, card = random.choice(free), random.choice(cards)
        # Who forgot the card measures after the staff ended the visit before: "" tells the gateway so.
        open_visit(card if random.random() >= FORGETS_CARD else "")
        await asyncio.sleep(MEASURING_S)
        measure(meter, habit_of(card), random)
        await meter.advertise()
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await meter.delivered.wait()
        except TimeoutError:
            log.info("customers.nobody_read_the_meter")
        used_at[meter.meter.address] = loop.time()


def measure(meter: BumbleMeter, habit: Habit, random: Random) -> None:
    """One measurement of somebody with `habit`, or now and then a control run by the staff."""
    match meter.meter:
        case BeneCheckGlucoseService() as three_in_one:
            analyte, level, spread, decimals = random.choice(
                (
                    (Analyte.GLUCOSE, habit.glucose, 0.7, 1),
                    (Analyte.URIC_ACID, habit.urate_umol_l / 1000, 0.02, 3),
                    (Analyte.CHOLESTEROL, habit.total_cholesterol_mmol_l, 0.2, 2),
                )
            )
            three_in_one.measure_analyte(analyte, _rounded(max(0.1, random.gauss(level, spread)), decimals))
        case GlucoseMeter() as glucose:
            if random.random() < CONTROL_RUN:
                glucose.measure(Decimal("6.2"), control=True)
                return
            after_meal = random.random() < 0.4
            level = max(2.2, random.gauss(habit.glucose + (1.8 if after_meal else 0), 0.7))
            too_high = level > 33.3
            glucose.measure(
                _rounded(min(level, 33.3), 1),
                meal=2 if after_meal else random.choice((1, 3, 3, None)),
                status=RESULT_TOO_HIGH if too_high else None,
            )
        case PressureCuff() as cuff:
            systolic = random.gauss(habit.systolic, 7)
            diastolic = min(random.gauss(habit.diastolic, 5), systolic - 20)
            cuff.measure(
                _rounded(systolic),
                _rounded(diastolic),
                _rounded(random.gauss(habit.pulse, 6)),
                status=IRREGULAR_PULSE if random.random() < 0.03 else 0,
            )
        case BleLine(line=SinocareMeter() as sinocare):
            if random.random() < 0.5:
                sinocare.measure(_rounded(max(2.2, random.gauss(habit.glucose, 0.7)), 1))
            else:
                sinocare.measure(_rounded(max(181, random.gauss(habit.urate_umol_l, 20))), Item.URIC_ACID)
        case BleLine(line=TaiDocMeter() as fora):
            category = CONTROL if random.random() < CONTROL_RUN else GENERAL
            if random.random() < 0.5:
                fora.measure(round(max(40.0, random.gauss(habit.glucose, 0.7) * 18)), category=category)
            else:
                fora.measure(round(max(30.0, random.gauss(habit.urate_umol_l, 20) / 5.95)), URIC_ACID, category)
        case Thermometer() as thermometer:
            fever = random.uniform(1.0, 2.5) if random.random() < HAS_A_FEVER else 0
            thermometer.measure(_rounded(random.gauss(habit.temperature_cel, 0.1) + fever, 1))
        case other:
            raise TypeError(f"nobody knows how to use a {type(other).__name__}")


def _rounded(value: float, decimals: int = 0) -> Decimal:
    return Decimal(str(round(value, decimals) if decimals else round(value)))
