"""Blood pressures of one visit that belong together: a first high one, after a rest a second, perhaps a third.

Pure. Whose they are and what is asked at the counter is `gateway.counter`'s; repeats over days are the cloud's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from gateway.clinical import Repeat, vocabulary
from gateway.wire.messages import Reading
from gateway.wire.vocabulary import QUANTITIES, Kind, OffScale

HIGH_MMHG = {"systolic_mmhg": Decimal(140), "diastolic_mmhg": Decimal(90)}
"""From here on a first pressure is repeated after a rest (rules BP-004 to BP-014, HTN2025)."""
DIFFERS_MMHG = Decimal(10)
"""Two pressures that differ by more are followed by a third (rule BP-020: HTN2025, CHL2024)."""
AVERAGED = ("systolic_mmhg", "diastolic_mmhg", "pulse_per_min")


def sitting(pressures: Sequence[tuple[datetime, Reading]]) -> list[tuple[datetime, Reading]]:
    """Of pressures with their times, oldest first: the first high one, the next after a rest, and the third where
    those two differ. What was measured before the rest was over is passed over: it is no repeat."""
    chosen: list[tuple[datetime, Reading]] = []
    for at, reading in pressures:
        match chosen:
            case []:
                wanted = is_high(reading)
            case [(first_at, _)]:
                wanted = at - first_at >= rest()
            case [(_, first), (_, second)]:
                wanted = differ(first, second)
            case _:
                wanted = False
        if wanted:
            chosen.append((at, reading))
    return chosen


def rest() -> timedelta:
    """How long to sit before a high pressure is measured again: what the rules take for a confirmed repeat."""
    return next(d.apart for d in vocabulary().derived if isinstance(d, Repeat) and d.kind is Kind.BLOOD_PRESSURE)


def is_high(reading: Reading) -> bool:
    """Whether a pressure asks for a repeat."""
    return any(
        reading.off_scale.get(name) is OffScale.HI or (name in reading.values and reading.values[name] >= limit)
        for name, limit in HIGH_MMHG.items()
    )


def differ(first: Reading, second: Reading) -> bool:
    """By more than 10 mmHg in either; where a cuff showed HI or LO nobody can say that they do not."""
    return any(
        name not in first.values
        or name not in second.values
        or abs(first.values[name] - second.values[name]) > DIFFERS_MMHG
        for name in HIGH_MMHG
    )


def average(pressures: Sequence[Reading], *, last: int) -> tuple[dict[str, Decimal], int]:
    """The means of the `last` of them, each rounded as shown, and of how many. HI and LO are in no mean."""
    whole = [reading for reading in pressures[-last:] if HIGH_MMHG.keys() <= reading.values.keys()]
    means: dict[str, Decimal] = {}
    for name in AVERAGED:
        values = [reading.values[name] for reading in whole if name in reading.values]
        if values:
            means[name] = QUANTITIES[name].rounded(sum(values, Decimal(0)) / len(values))
    return means, len(whole)
