"""What makers do differently on the Bluetooth glucose service: a list by maker, never a guess from the bytes.

How records are asked for and what they are is `ble_glucose`'s business.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.wire.vocabulary import OffScale

CLOCK = "fff1"
"""i-SENS: where the clock is written (NightscoutFoundation/xDrip, caresens/TimeTx.java)."""
_SET_CLOCK = bytes.fromhex("c0030100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Where a maker's meters leave the specification."""

    unlisted_types: frozenset[int] = frozenset()  # of samples that the meter leaves out of its own lists
    beyond_mg_dl: tuple[Decimal, Decimal] | None = None  # outside of these a number means LO or HI
    context_decides: bool = False  # a record whose context is missing may be another analyte
    has_clock_channel: bool = False

    def off_scale(self, value: Decimal, unit: str) -> OffScale | None:
        """HI or LO where a number in mg/dL or mmol/L only stands for one."""
        if self.beyond_mg_dl is None:
            return None
        low, high = self.beyond_mg_dl
        mg_dl = value if unit == "mg/dL" else value * _MG_DL_PER_MMOL_L
        return OffScale.LO if mg_dl < low else OffScale.HI if mg_dl > high else None


_MG_DL_PER_MMOL_L = Decimal(18)  # the makers' own factor: 33.3 mmol/L is 599, 0.6 mmol/L is 11

PLAIN = Habits()
BY_MAKER = {
    "roche": Habits(unlisted_types=frozenset({4}), beyond_mg_dl=(Decimal(10), Decimal(600))),
    "i-sens": Habits(context_decides=True, has_clock_channel=True),
}
"""By how the manufacturer's name (0x2A29) begins. After tidepool-org/uploader (both) and
NightscoutFoundation/xDrip (i-SENS)."""


def habits_of(maker: str) -> Habits:
    """The habits of a maker; those of the specification for one not listed."""
    for name, habits in BY_MAKER.items():
        if maker.casefold().startswith(name):
            return habits
    return PLAIN


def clock_setting(moment: datetime) -> bytes:
    """What is written to CLOCK to set an i-SENS meter to `moment`, naive: a command and a Date Time."""
    date = moment.year.to_bytes(2, "little") + bytes((moment.month, moment.day))
    return _SET_CLOCK + date + bytes((moment.hour, moment.minute, moment.second))
