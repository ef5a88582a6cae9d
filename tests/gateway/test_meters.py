"""What staff see of their meters: battery, clock, driver, the last error; and a clock is set when asked."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.board import Board
from gateway.buffer.outbox import Outbox
from gateway.conversation import Context, Driver, Lost, Sighting, Talk, note
from gateway.docking import Docking
from gateway.meters import METERS_KEPT, Meters, MeterState
from gateway.proof import Proof
from gateway.visits import Visits
from tests.gateway.readings import NOON

LOCAL_NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - as a meter shows it
SIGHTING = Sighting(transport="ble", address="AA:01", name="GLU-1")


def clock_meter(*said: tuple[str, str], ends: Exception | None = None, sets_clock: bool = True) -> Driver:
    """A driver that notes what is given, sets the clock when told to, and may lose its line."""

    def talk(context: Context) -> Talk:
        for what, value in said:
            yield from note(what, value)
        if ends is not None:
            raise ends
        if context.set_clock_to is not None:
            yield from note("clock_set", context.set_clock_to.isoformat())

    return Driver(
        name="ble.clock",
        transport="ble",
        recognise=lambda sighting: True,
        talk=talk,
        devices="-",
        source="-",
        quirks="-",
        proven_by="own simulator only",
        proof=Proof.ONE_SOURCE,
        sets_clock=sets_clock,
    )


class Counter:
    """Meters talked to one conversation at a time, at noon or as said."""

    def __init__(self, directory: Path, *, trusted: bool = True) -> None:
        self.directory = directory
        self.trusted = trusted
        self.now = NOON
        self.meters = Meters()

    def dock(self, driver: Driver) -> MeterState:
        async def main() -> None:
            outbox = await Outbox.open(self.directory, gateway="gw-1")
            visits = Visits({"one": ()})
            docking = Docking(
                outbox,
                Board(visits, clock=lambda: self.now),
                visits,
                clock=lambda: self.now,
                clock_trusted=lambda: self.trusted,
                meters=self.meters,
                recognise=lambda sighting: driver,
                new_id=uuid4,
            )
            self.meters.met(SIGHTING, driver, self.now)
            self.meters.begun(SIGHTING.address)
            error = None
            try:
                await docking.dock(driver, SIGHTING, Nothing())
            except Lost:
                error = "lost"
            self.meters.ended(SIGHTING.address, error, self.now)
            await outbox.close()

        asyncio.run(main())
        (state,) = self.meters.seen()
        return state


class Nothing:
    """A line on which nobody says anything."""

    async def pair(self) -> None:
        pass

    async def subscribe(self, channel: str) -> None:
        pass

    async def read(self, channel: str) -> bytes:
        raise Lost

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None:
        pass

    async def receive(self, timeout_s: float) -> None:
        return None


def test_a_meter_tells_who_it_is_how_full_its_battery_and_how_wrong_its_clock(tmp_path):
    counter = Counter(tmp_path)
    slow = (LOCAL_NOON - timedelta(minutes=10)).isoformat()
    state = counter.dock(
        clock_meter(("maker", "Acme"), ("serial", "A-7"), ("battery_percent", "85"), ("clock", slow))
    )
    assert (state.maker, state.serial, state.battery_percent, state.clock_offset_s) == ("Acme", "A-7", 85, 600.0)
    assert (state.driver, state.proof, state.last_seen) == ("ble.clock", Proof.ONE_SOURCE, NOON)
    assert state.last_error == ""


def test_a_clock_is_set_once_when_staff_ask_for_it(tmp_path):
    counter = Counter(tmp_path)
    slow = (LOCAL_NOON - timedelta(minutes=10)).isoformat()
    assert counter.dock(clock_meter(("clock", slow))).clock_set_at is None
    assert counter.meters.ask_clock("AA:01")
    assert counter.meters.seen()[0].clock_asked
    state = counter.dock(clock_meter(("clock", slow)))
    assert (state.clock_set_at, state.clock_offset_s, state.clock_asked) == (NOON, 0.0, False)
    counter.now += timedelta(hours=1)
    assert counter.dock(clock_meter()).clock_set_at == NOON  # not again


def test_a_lost_line_leaves_the_clock_to_be_set_the_next_time(tmp_path):
    counter = Counter(tmp_path)
    counter.dock(clock_meter())
    counter.meters.ask_clock("AA:01")
    state = counter.dock(clock_meter(ends=Lost()))
    assert (state.clock_asked, state.last_error) == (True, "lost")
    assert counter.dock(clock_meter()).clock_set_at == NOON


def test_a_gateway_that_does_not_know_the_time_sets_no_clock(tmp_path):
    counter = Counter(tmp_path, trusted=False)
    counter.dock(clock_meter())
    counter.meters.ask_clock("AA:01")
    assert counter.dock(clock_meter()).clock_set_at is None


def test_a_meter_whose_clock_cannot_be_set_says_so(tmp_path):
    counter = Counter(tmp_path)
    counter.dock(clock_meter(sets_clock=False))
    assert not counter.meters.ask_clock("AA:01")
    assert not counter.meters.ask_clock("AA:99")


def test_a_meters_own_error_stands_until_it_is_read_well(tmp_path):
    counter = Counter(tmp_path)
    state = counter.dock(clock_meter(("error", "strip_used")))
    assert (state.last_error, state.last_error_at) == ("strip_used", NOON)
    assert counter.dock(clock_meter()).last_error == ""


def test_passers_by_do_not_fill_the_memory():
    meters = Meters()
    driver = clock_meter()
    for number in range(3 * METERS_KEPT):
        meters.met(Sighting(transport="ble", address=f"AA:{number}"), driver, NOON)
    assert len(meters.seen()) == METERS_KEPT
    assert meters.seen()[0].address == f"AA:{3 * METERS_KEPT - 1}"


@pytest.mark.parametrize("value", ["", "low", "-3", "8.5"])
def test_a_battery_that_is_no_percentage_is_not_shown(value):
    meters = Meters()
    meters.met(SIGHTING, clock_meter(), NOON)
    meters.noted("AA:01", {"battery_percent": value}, None, NOON)
    assert meters.seen()[0].battery_percent is None
