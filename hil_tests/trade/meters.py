"""Which forty meters stand in the shop: some of every family there is a driver for.

How each is made and used is `radio_meters`' and `wired_meters`'.
"""

from collections.abc import Iterator
from typing import Any

from gateway.simulators.line import BleLine, LineMeter
from gateway.simulators.meter import VirtualMeter
from hil_tests.trade.family import Family
from hil_tests.trade.radio_meters import RADIO
from hil_tests.trade.wired_meters import WIRED

FAMILIES: tuple[Family, ...] = (*RADIO, *WIRED)

NOT_IN_THE_TRADE: dict[str, str] = {}
"""Drivers that no meter here is read by, and why. A test holds this list against `drivers list`."""


def everyone() -> Iterator[Family]:
    """Each meter's family, one after the other."""
    for family in FAMILIES:
        yield from [family] * family.how_many


def measuring(meter: VirtualMeter | LineMeter) -> Any:
    """The part that measures."""
    return meter.line if isinstance(meter, BleLine) else meter
