"""Cuffs with services or habits of their own, read over the virtual radio by their drivers to the end."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.conversation import Context, Driver, Lasted, Lost
from gateway.converse import converse
from gateway.drivers import and_ua651, omron
from gateway.simulators.meter import Faults, Security
from tests.gateway.transports.rig import NOON, omron_cuff, ua651

NOW = datetime(2026, 3, 5, 4, 0, tzinfo=UTC)


class Home:
    """Keeps what a conversation brings."""

    def __init__(self):
        self.records, self.notes = {}, []

    async def save(self, record):
        self.records[record.key] = record

    async def note(self, what, value):
        self.notes.append((what, value))

    async def remember(self, value):
        pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("gateway.drivers.ble_told.FIRST_TIMEOUT_S", 0.5)
    monkeypatch.setattr("gateway.drivers.ble_told.IDLE_TIMEOUT_S", 0.3)


async def read(bench, name: str, driver: Driver, home: Home, set_clock_to: datetime | None = None) -> None:
    sighting = await bench.sighting_of(name)
    assert driver.recognise(sighting)
    async with bench.ble.open(sighting) as link:
        context = Context(sighting=sighting, now=NOW, set_clock_to=set_clock_to)
        await converse(driver.talk(context), link, home)


def systolics(home: Home) -> list[Decimal]:
    return [record.values["systolic_mmhg"] for record in home.records.values()]


@pytest.mark.parametrize("security", [Security.NONE, Security.JUST_WORKS])
def test_an_omron_cuff_is_unlocked_and_its_ring_read_in_the_order_of_time(bench_of, security):
    async def scenario():
        cuff = omron_cuff(slots=30, security=security)
        for minutes in range(32):
            cuff.clock_error = timedelta(minutes=minutes)
            cuff.measure(100 + minutes, 80, 66)
        async with bench_of(cuff) as bench:
            await read(bench, cuff.name, omron.DRIVER, home)

    home = Home()
    asyncio.run(scenario())
    assert systolics(home) == [Decimal(102 + number) for number in range(30)]
    assert ("clock", "2026-03-05T12:31:00") in home.notes
    assert ("records", "30") in home.notes


def test_an_omron_cuff_that_goes_midway_keeps_its_records_and_is_read_again(bench_of):
    async def scenario():
        cuff = omron_cuff(faults=Faults(lose_link_after=4))
        for number in range(9):
            cuff.clock_error = timedelta(minutes=number)
            cuff.measure(110 + number, 80, 66)
        async with bench_of(cuff, keeps_advertising=True) as bench:
            with pytest.raises(Lost):
                await read(bench, cuff.name, omron.DRIVER, home)
            half = len(home.records)
            await read(bench, cuff.name, omron.DRIVER, home)
            assert half <= 8

    home = Home()
    asyncio.run(scenario())
    assert sorted(systolics(home)) == [Decimal(110 + number) for number in range(9)]


def test_a_ua651_is_given_its_own_time_back_and_the_right_one_when_staff_ask(bench_of, monkeypatch):
    # What has passed until it is set belongs to the time it is set to.
    monkeypatch.setattr("gateway.converse.Lasted", lambda _seconds: Lasted(7))

    async def scenario():
        cuff = ua651(security=Security.JUST_WORKS, clock_error=timedelta(days=-400))
        cuff.measure(Decimal(121), Decimal(80), Decimal(66))
        async with bench_of(cuff, keeps_advertising=True) as bench:
            await read(bench, cuff.name, and_ua651.DRIVER, home)
            await read(bench, cuff.name, and_ua651.DRIVER, again, set_clock_to=NOON)
            await read(bench, cuff.name, and_ua651.DRIVER, again)

    home, again = Home(), Home()
    asyncio.run(scenario())
    (record,) = home.records.values()
    assert record.device_time == NOON - timedelta(days=400)
    assert ("clock", "2025-01-29T12:00:00") in home.notes
    told = [note for note in again.notes if note[0].startswith("clock")]
    assert told == [
        ("clock", "2025-01-29T12:00:00"),
        ("clock_set", "2026-03-05T12:00:07"),
        ("clock", "2026-03-05T12:00:07"),
    ]
