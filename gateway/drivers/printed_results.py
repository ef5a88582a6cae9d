"""Results as analysers print them for people: a sign where the strip could not measure on, a number and a unit.

What the lines are called, and what else stands on the paper, is each driver's own.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.conversation import Garbled, Record
from gateway.drivers.ble_common import NoReading
from gateway.drivers.ble_time import step_s
from gateway.units import canonical
from gateway.wire.messages import Shown
from gateway.wire.vocabulary import Kind, OffScale

UNSUPPORTED = frozenset({"CREAT"})
"""What strips measure besides, and is not kept."""
_UNITS: Mapping[str, str] = {"mmol/l": "mmol/L", "mg/dl": "mg/dL"}
_RESULT = re.compile(r"(?P<sign>[<>]?) *(?P<value>\d+(\.\d+)?) *(?P<unit>[A-Za-z%].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result: `sign` is "<" or ">" at the end of what the strip can measure, `value` None where only dashes or
    the like are printed, `unit` as `gateway.units` knows it, "" where none is printed."""

    sign: str = ""
    value: Decimal | None = None
    unit: str = ""
    printed_unit: str = ""

    def __str__(self) -> str:
        return "-" if self.value is None else f"{self.sign}{self.value}"

    def fields(self) -> dict[str, Any]:
        """As decoder fields."""
        return {"qualifier": self.sign or None, "value": self.value, "unit": self.printed_unit or None}


def result_of(said: str) -> Result:
    """The result in the text behind its name; raises Garbled("grammar")."""
    if (found := _RESULT.fullmatch(said)) is None:
        raise Garbled("grammar")
    unit = (found["unit"] or "").strip()
    return Result(
        sign=found["sign"],
        value=Decimal(found["value"]),
        unit=_UNITS.get(unit.lower(), unit),
        printed_unit=unit,
    )


def records_of(
    results: Mapping[str, Result],
    quantities: Mapping[str, tuple[Kind, str]],
    *,
    key_of: Callable[[str], str],
    taken_at: datetime | None,
    flags: tuple[str, ...] = (),
) -> Iterator[Record | NoReading]:
    """A record of each kind of which there are `results`, by the names that `quantities` gives their meaning.

    `key_of` makes a record's own name, out of its numbers as they are printed. Raises Garbled("unknown_unit").
    """
    if results.keys() & UNSUPPORTED:
        yield NoReading(why="unsupported_analyte")
    by_kind: dict[Kind, dict[str, Result]] = {}
    for name, result in results.items():
        if name in quantities:
            kind, quantity = quantities[name]
            by_kind.setdefault(kind, {})[quantity] = result
    for kind, found in by_kind.items():
        values = {q: canonical(q, r.value, r.unit) for q, r in found.items() if r.value is not None and not r.sign}
        off_scale = {q: OffScale.LO if r.sign == "<" else OffScale.HI for q, r in found.items() if r.sign}
        if not values and not off_scale:
            yield NoReading(why="no_value")
            continue
        missing = tuple(f"{q.removesuffix('_mmol_l')}_not_computed" for q, r in found.items() if r.value is None)
        yield Record(
            kind=kind,
            key=key_of("/".join(map(str, found.values()))),
            values=values,
            off_scale=off_scale,
            shown=tuple(
                Shown(quantity=q, value=str(r), unit=r.unit) for q, r in found.items() if r.value is not None
            ),
            device_time=taken_at,
            time_step_s=step_s(taken_at),
            flags=missing + flags,
        )
