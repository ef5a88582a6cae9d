"""Forty meters of all families at their counters, for a short while. The long version is `make hil`."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from gateway.drivers import DRIVERS
from gateway.simulators.fdk_meter import FdkMeter
from gateway.simulators.pangao_cuff import PanGaoCuff
from gateway.simulators.pressure_cuff import MEASUREMENT, PressureCuff
from gateway.simulators.tunnel_monitors import TerumoTunnel
from gateway.wire.messages import TakenAt, TimeQuality, Visit
from hil_tests.trade.__main__ import trade
from hil_tests.trade.family import Keeps
from hil_tests.trade.meters import FAMILIES, NOT_IN_THE_TRADE, everyone
from hil_tests.trade.telling import Tellings
from hil_tests.trade.truth import Excuse, Fault, Row, Stay, Used, faults_of
from tests.gateway.readings import reading

MINUTES = 0.4
NOON = datetime.fromisoformat("2026-03-05T12:00:30")
NOW = datetime.now(UTC)
NOON_UTC = datetime(2026, 3, 5, 4, 0, 30, tzinfo=UTC)
NOBODY = Stay(member=None, since=NOW)


def test_every_driver_has_a_meter_in_the_trade_or_a_reason_why_not() -> None:
    drivers = {driver.name for driver in DRIVERS}
    assert {family.driver for family in FAMILIES} | NOT_IN_THE_TRADE.keys() == drivers
    assert len(list(everyone())) >= 40


def taken(*, early_s: float, after_s: float, quality: TimeQuality = TimeQuality.DEVICE) -> TakenAt:
    """Told to have been measured so long after it was."""
    at = NOON_UTC + timedelta(seconds=after_s)
    return TakenAt(at=at, quality=quality, received=NOON_UTC, early_s=early_s)


class Heard:
    """The journal of a gateway that wrote down `frames`."""

    def __init__(self, *frames: bytes) -> None:
        self.frames = frames

    def has(self, address: str, frame: bytes) -> bool:
        return frame in self.frames


def used(device, keeps: Keeps) -> tuple[Used, Tellings]:
    """A cuff was used just now."""
    tellings = Tellings(device)
    before = tellings.kept()
    device.measure(*((Decimal(120), Decimal(80)) if isinstance(device, PressureCuff) else (120, 80, 70)))
    telling = tellings.measured(before) if keeps.tells_once else None
    return Used(name=("A", "x", ()), driver="d", stay=NOBODY, at=NOW, until=NOW, telling=telling), tellings


def tunnel(**options) -> tuple[Used, Tellings]:
    """A tunnel monitor: it says each result once, on its line."""
    device = TerumoTunnel(now=lambda: NOON)
    one, tellings = used(device, Keeps.NOTHING)
    for piece in device.begin():
        tellings.overheard(piece[:7])
        tellings.overheard(piece[7:])
    return one, tellings


def test_what_was_said_to_a_gateway_that_died_at_that_moment_is_excused() -> None:
    one, _ = tunnel()
    assert one.excuse([one.telling.said + timedelta(seconds=0.2)], Heard()) is Excuse.KILLED
    assert one.excuse([one.telling.said + timedelta(seconds=3)], Heard()) is None
    assert one.excuse([one.telling.said - timedelta(seconds=3)], Heard()) is None
    assert one.excuse([], Heard()) is None


def test_what_the_gateway_wrote_down_before_it_died_must_arrive() -> None:
    one, _ = tunnel()
    assert one.excuse([one.telling.said], Heard(one.telling.frame)) is None


def test_what_a_cuff_still_holds_must_arrive_whatever_was_killed() -> None:
    device = PressureCuff(name="V", address="A", now=lambda: NOON)
    one, tellings = used(device, Keeps.TILL_TOLD)
    tellings.links_lost = lambda: 1
    assert one.excuse([one.at], Heard()) is None
    (told,) = device.on_subscribed(frozenset({MEASUREMENT}))
    tellings.overheard(told.data)
    device.on_confirmed(told)
    assert one.excuse([one.telling.said], Heard()) is Excuse.KILLED
    assert one.excuse([], Heard()) is None


def test_what_was_cut_off_is_excused_only_where_the_line_really_went() -> None:
    device = FdkMeter(now=lambda: NOON)
    tellings = Tellings(device)
    lost = 0
    tellings.links_lost = lambda: lost
    device.measure_glucose(100)
    one = Used(name=("A", "x", ()), driver="d", stay=NOBODY, at=NOW, until=NOW, telling=tellings.measured(()))
    tellings.overheard(next(device.begin()))
    assert one.excuse([one.at], Heard()) is None  # it would still tell
    device.on_line_lost()
    assert one.excuse([one.at], Heard()) is None  # whoever hung up, it was nobody's fault but the gateway's
    lost = 1
    assert one.excuse([], Heard()) is Excuse.LINE_LOST


def test_what_is_on_a_display_has_no_excuse() -> None:
    one, _ = used(PanGaoCuff(now=lambda: NOON, wired=True), Keeps.LAST)
    assert one.excuse([one.at], Heard()) is None


SINCE = NOON_UTC - timedelta(seconds=5)
ANNA, BERT = UUID(int=1), UUID(int=2)
VISIT = Visit(id=UUID(int=3), code="CARD001", slot="counter-1", opened=SINCE)


@pytest.mark.parametrize(
    ("changes", "member", "kills", "found"),
    [
        ({"visit": VISIT}, ANNA, [], []),
        ({"visit": VISIT}, None, [], []),
        ({"visit": VISIT}, BERT, [], [Fault.WRONG_MEMBER]),
        ({}, None, [], [Fault.VISIT_UNKNOWN]),
        ({}, None, [NOON_UTC - timedelta(seconds=1)], [Fault.VISIT_UNKNOWN]),  # it knows on its return
        ({}, None, [NOON_UTC + timedelta(seconds=1)], []),  # read from the journal of a talk begun before
        ({"visit": VISIT, "time": taken(early_s=0, after_s=4)}, ANNA, [], [Fault.WRONG_TIME]),
        ({"visit": VISIT, "time": taken(early_s=60, after_s=59)}, ANNA, [], []),
        ({"visit": VISIT, "time": taken(early_s=0, after_s=-63)}, ANNA, [], [Fault.WRONG_TIME]),
        ({"visit": VISIT, "time": taken(early_s=0, after_s=4, quality=TimeQuality.UNTRUSTED)}, ANNA, [], []),
    ],
)
def test_what_is_wrong_with_a_reading_that_arrived(changes, member, kills, found) -> None:
    one = Used(
        name=("A", "x", ()),
        driver="d",
        stay=Stay(member=ANNA, since=SINCE),
        at=NOON_UTC,
        until=NOON_UTC,
        telling=None,
    )
    row = Row(name=one.name, gateway="g", member=member, why="", reading=reading(at=NOON_UTC, **changes))
    assert list(faults_of(row, one, kills=kills, jumped=SINCE - timedelta(seconds=1))) == found


@pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="no dbus-daemon (Debian package dbus-daemon)")
def test_forty_meters_are_docked_and_every_reading_arrives_once_at_its_own_member(tmp_path: Path) -> None:
    counted = asyncio.run(trade(tmp_path, MINUTES, seed=20261122))
    assert counted["evidence"] == ()
    assert counted["measured"] > 5  # there was a trade
    assert counted["kills"] > 0
    assert (counted["lost"], counted["doubled"], counted["from_nowhere"]) == ({}, 0, 0)
    assert (counted["wrong_member"], counted["believed_too_early"], counted["dishonest_time"]) == (0, 0, 0)
    assert counted["holds"]
