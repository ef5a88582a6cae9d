"""BlueZ's known sulks, each with its cure: an adapter off, deaf or stuck, and what a killed program leaves."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from dbus_fast import Variant

from gateway.simulators.meter import Security
from gateway.transports.bluez import (
    ADAPTER1,
    DEVICE1,
    PROPERTIES,
    UNHEARD_FOR_S,
    Known,
    NoAdapter,
    adapters,
    call,
    devices,
    managed,
    stale,
    system_bus,
    unneeded,
)
from gateway.transports.bluez import Bluez as Adapter
from gateway.transports.uuids import short_uuid
from tests.gateway.transports.rig import SILENT_S, SOON_S, WITHIN_S, glucose_meter, pressure_cuff

GLUCOSE = "dev_C4_5E_00_00_00_01"
CUFF = "dev_C4_5E_00_00_00_02"
CHARACTERISTIC1 = "org.bluez.GattCharacteristic1"


@pytest.fixture
def bench_of(bluez_bench_of):
    return bluez_bench_of


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("gateway.transports.ble.RETRY_SCAN_S", (0.01,))
    monkeypatch.setattr("gateway.transports.bluez.OFF_FOR_S", 0.01)


async def until(true) -> None:
    """Neither BlueZ nor a log has an event to wait for."""
    async with asyncio.timeout(WITHIN_S):
        while not (await found if asyncio.iscoroutine(found := true()) else found):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def known(bench, device: str) -> bool:
    async with system_bus() as bus:
        return f"{bench.adapter}/{device}" in await managed(bus)


async def serial_of(ble, sighting) -> bytes:
    async with ble.open(sighting) as link:
        return await link.read("2a25")


@asynccontextmanager
async def another_program():
    """Somebody else's connection to the bus. When the block ends it is gone, as if killed."""
    async with system_bus() as bus:
        yield bus


def test_an_adapter_that_was_switched_off_is_switched_on(bench_of):
    async def scenario():
        async with bench_of(glucose_meter()) as bench:
            async with another_program() as bus:
                await call(
                    bus, bench.adapter, PROPERTIES, "Set", "ssv", [ADAPTER1, "Powered", Variant("b", False)]
                )
            assert (await bench.sighting_of("VGM")).services == {"1808"}

    asyncio.run(scenario())


def test_a_scanner_that_stays_deaf_after_a_restart_has_its_adapter_switched_off_and_on(
    bench_of, impatient, caplog
):
    async def scenario():
        async with bench_of(glucose_meter(), silent_after_s=SILENT_S) as bench:
            await bench.sighting_of("VGM")
            await bench.tell("", "deaf")
            await until(lambda: bench.ble.state == "silent")
            await bench.sighting_of("VGM")
            assert bench.ble.state == "ok"

    caplog.set_level("INFO", "gateway.transports")
    asyncio.run(scenario())
    words = [record.message.partition(" ")[0] for record in caplog.records]
    assert words.count("ble.power_cycled") == 1
    assert words.count("ble.scanner_restarted") >= 2


def test_a_quiet_shop_has_its_adapter_switched_only_once_in_a_while(bench_of, impatient, caplog):
    async def scenario():
        async with bench_of(glucose_meter(), silent_after_s=SILENT_S) as bench:
            await bench.sighting_of("VGM")
            await bench.tell("VGM", "hush")
            await until(lambda: caplog.text.count("scanner_restarted") >= 8)

    caplog.set_level("INFO", "gateway.transports")
    asyncio.run(scenario())
    assert sum("power_cycled" in record.message for record in caplog.records) == 1


def test_the_adapter_is_never_switched_off_under_a_meter_that_is_being_read(bench_of, impatient, caplog):
    async def scenario():
        async with (
            bench_of(glucose_meter(), silent_after_s=SILENT_S) as bench,
            bench.ble.open(await bench.sighting_of("VGM")) as link,
        ):
            await bench.tell("", "deaf")
            await bench.ble._power_cycle()
            assert await link.read("2a25") == b"SN-0001"

    caplog.set_level("INFO", "gateway.transports")
    asyncio.run(scenario())
    assert "power_cycled" not in caplog.text


def test_a_discovery_that_is_in_progress_for_ever_is_ended_by_switching_off_and_on(bench_of, impatient, caplog):
    async def scenario():
        async with bench_of(glucose_meter()) as bench:
            await bench.tell("", "stuck")
            assert (await bench.sighting_of("VGM")).name == "VGM"
            assert bench.ble.state == "ok"

    caplog.set_level("INFO", "gateway.transports")
    asyncio.run(scenario())
    assert "ble.scan_failed error=InProgress" in caplog.text
    assert "ble.power_cycled" in caplog.text


def test_a_discovery_that_is_refused_soon_after_the_adapter_was_switched_is_ended_too(bench_of, impatient, caplog):
    """Only silence waits: a shop may be silent, but it never refuses."""

    async def scenario():
        async with bench_of(glucose_meter(), silent_after_s=SILENT_S) as bench:
            await bench.tell("", "stuck")
            await bench.sighting_of("VGM")
            await bench.tell("VGM", "hush")
            await bench.tell("", "stuck")
            await until(lambda: bench.ble.state == "failed")
            await bench.tell("VGM", "advertise")
            await bench.sighting_of("VGM")
            assert bench.ble.state == "ok"

    caplog.set_level("INFO", "gateway.transports")
    asyncio.run(scenario())
    assert caplog.text.count("ble.power_cycled") == 2


def test_a_line_a_killed_program_left_open_is_hung_up_and_the_meter_calls_again(bench_of, impatient):
    async def scenario():
        meter = glucose_meter()
        meter.measure(Decimal("5.4"))
        async with bench_of(meter, keeps_advertising=True) as bench:
            async with another_program() as bus:
                await call(bus, bench.adapter, ADAPTER1, "StartDiscovery")
                await until(lambda: known(bench, GLUCOSE))
                await call(bus, f"{bench.adapter}/{GLUCOSE}", DEVICE1, "Connect")
            async with another_program() as bus:
                (left,) = [
                    one for one in devices(await managed(bus), bench.adapter.rpartition("/")[2]) if one.connected
                ]
            assert left.path == f"{bench.adapter}/{GLUCOSE}"
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                assert await link.read("2a25") == b"SN-0001"

    asyncio.run(scenario())


async def listened_to(bench, channel: str) -> dict[str, bool]:
    """The characteristics of that UUID, and whether BlueZ listens to them for anybody."""
    async with system_bus() as bus:
        rows = {
            path: row[CHARACTERISTIC1]
            for path, row in (await managed(bus)).items()
            if path.startswith(bench.adapter) and CHARACTERISTIC1 in row
        }
    return {path: row["Notifying"] for path, row in rows.items() if short_uuid(row["UUID"]) == channel}


def test_a_cuff_is_not_listened_to_for_a_program_that_was_killed(bench_of, impatient):
    """Else BlueZ would confirm its records, and the cuff forget them, for nobody."""

    async def scenario():
        async with bench_of(pressure_cuff(), keeps_advertising=True) as bench:
            async with another_program() as bus:
                await call(bus, bench.adapter, ADAPTER1, "StartDiscovery")
                await until(lambda: known(bench, CUFF))
                await call(bus, f"{bench.adapter}/{CUFF}", DEVICE1, "Connect")
                await until(lambda: listened_to(bench, "2a35"))
                ((path, _),) = (await listened_to(bench, "2a35")).items()
                await call(bus, path, CHARACTERISTIC1, "StartNotify")
                assert await listened_to(bench, "2a35") == {path: True}
            await until(lambda: nobody_listens(bench, path))

    async def nobody_listens(bench, path) -> bool:
        return await listened_to(bench, "2a35") == {path: False}

    asyncio.run(scenario())


def test_an_attempt_a_killed_program_began_is_ended_and_the_meter_is_read(bench_of, caplog):
    async def scenario():
        async with bench_of(glucose_meter()) as bench:
            sighting = await bench.sighting_of("VGM")
            await bench.tell("VGM", "hush")
            async with another_program() as bus:
                attempt = asyncio.ensure_future(call(bus, f"{bench.adapter}/{GLUCOSE}", DEVICE1, "Connect"))
                await asyncio.sleep(0)  # it is on its way before ours
                await managed(bus)
                attempt.cancel()
            reading = asyncio.ensure_future(serial_of(bench.ble, sighting))
            await until(lambda: "connect_failed" in caplog.text)
            await bench.tell("VGM", "advertise")
            assert await reading == b"SN-0001"

    caplog.set_level("INFO", "gateway.transports")
    asyncio.run(scenario())
    assert "ble.connect_failed attempt=1" in caplog.text  # ours says InProgress, BlueZ 5.66 Failed


def test_what_was_not_heard_for_a_day_is_forgotten_and_a_bond_never(bench_of, monkeypatch):
    monkeypatch.setattr("gateway.transports.ble.TIDY_EVERY_S", 0.05)
    monkeypatch.setattr("gateway.transports.bluez.UNHEARD_FOR_S", SOON_S)

    async def scenario():
        async with bench_of(glucose_meter(), pressure_cuff(security=Security.JUST_WORKS)) as bench:
            await bench.sighting_of("VGM")
            async with bench.ble.open(await bench.sighting_of("VBP")) as link:
                await link.pair()
            assert await known(bench, GLUCOSE)  # it calls all the while
            await bench.tell("VGM", "hush")
            await until(lambda: gone(bench))
            assert await known(bench, CUFF)

    async def gone(bench) -> bool:
        return not await known(bench, GLUCOSE)

    asyncio.run(scenario())


def test_an_adapter_that_is_not_there_is_absent(bench_of, impatient):
    async def scenario():
        async with bench_of(glucose_meter(), adapter="hci7") as bench:
            watching = asyncio.ensure_future(bench.sighting_of("VGM"))
            await until(lambda: bench.ble.state == "absent")
            watching.cancel()
            with pytest.raises(NoAdapter):
                await Adapter("hci7").power_cycle()

    asyncio.run(scenario())


def device(**facts) -> Known:
    usual = {"name": "", "services": frozenset({"1808"}), "paired": False, "connected": False}
    return Known(path="/org/bluez/hci0/dev", address="C4:5E:00:00:00:01", **{**usual, **facts})


@pytest.mark.parametrize(
    ("one", "cut"),
    [
        (device(connected=True), True),
        (device(), False),
        (device(connected=True, services=frozenset({"180d"})), False),  # somebody's heart rate strap
        (
            device(connected=True, services=frozenset({"1808", "1812"})),
            False,
        ),  # it types: a card scanner
    ],
)
def test_only_a_meter_nobody_reads_is_hung_up(one: Known, cut: bool):
    assert stale([one], lambda one: "1808" in one.services, ours=()) == [one] * cut
    assert stale([one], lambda one: "1808" in one.services, ours=[one.address]) == []


@pytest.mark.parametrize(
    ("one", "heard_s_ago", "gone"),
    [
        (device(), None, True),
        (device(), UNHEARD_FOR_S + 1, True),
        (device(), UNHEARD_FOR_S - 1, False),
        (device(paired=True), None, False),
        (device(connected=True), None, False),
    ],
)
def test_a_device_is_unneeded_a_day_after_it_was_last_heard(one: Known, heard_s_ago: float | None, gone: bool):
    now = 10 * UNHEARD_FOR_S
    heard = {} if heard_s_ago is None else {one.address: now - heard_s_ago}
    assert unneeded([one], heard, since=0.0, now=now) == [one] * gone


def test_adapters_come_in_the_order_bluez_numbers_them():
    assert list(adapters({f"/org/bluez/hci{n}": {ADAPTER1: {}} for n in (10, 2, 0)})) == ["hci0", "hci2", "hci10"]
