"""Forty meters of all families at their counters, for a short while. The long version is `make hil`."""

import asyncio
import shutil
from pathlib import Path

import pytest

from gateway.drivers import DRIVERS
from hil_tests.trade.__main__ import trade
from hil_tests.trade.meters import FAMILIES, NOT_IN_THE_TRADE, everyone

MINUTES = 0.4


def test_every_driver_has_a_meter_in_the_trade_or_a_reason_why_not() -> None:
    drivers = {driver.name for driver in DRIVERS}
    assert {family.driver for family in FAMILIES} | NOT_IN_THE_TRADE.keys() == drivers
    assert len(list(everyone())) >= 40


@pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="no dbus-daemon (Debian package dbus-daemon)")
def test_forty_meters_are_docked_and_every_reading_arrives_once_at_its_own_member(tmp_path: Path) -> None:
    counted = asyncio.run(trade(tmp_path, MINUTES, seed=20261122))
    assert counted["evidence"] == ()
    assert counted["measured"] > 5  # there was a trade
    assert counted["kills"] > 0
    assert (counted["lost"], counted["doubled"], counted["from_nowhere"]) == ({}, 0, 0)
    assert (counted["wrong_member"], counted["believed_too_early"], counted["dishonest_time"]) == (0, 0, 0)
    assert counted["holds"]
