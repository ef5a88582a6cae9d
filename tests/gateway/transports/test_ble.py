"""The Bluetooth transport against virtual meters: lines, losses, refusals, bonds and the scanner's watchdog."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.conversation import Context, Lost, Refused
from gateway.converse import converse
from gateway.drivers import sinocare, taidoc
from gateway.drivers import sinocare_frames as frames
from gateway.drivers.ble_thermometer import measurement, record_of
from gateway.drivers.framing import Framer
from gateway.simulators.meter import Faults, Security
from gateway.simulators.sinocare_meter import NOTIFY, WRITE, SinocareMeter
from gateway.simulators.taidoc_meter import URIC_ACID, TaiDocMeter
from gateway.simulators.thermometer import EAR
from tests.gateway.transports.rig import (
    NOON,
    SOON_S,
    WITHIN_S,
    glucose_meter,
    noon,
    pressure_cuff,
    sinocare_meter,
    taidoc_meter,
    thermometer,
)

REPORT_ALL = b"\x01\x01"
NOW = datetime(2026, 3, 5, 4, 0, tzinfo=UTC)


async def listen(link) -> None:
    for channel in ("2a18", "2a34", "2a52"):
        await link.subscribe(channel)


async def report(link) -> list[tuple[str, bytes]]:
    await listen(link)
    await link.write("2a52", REPORT_ALL, True)
    arrived = []
    while not arrived or arrived[-1][0] != "2a52":
        arrived.append(await link.receive(WITHIN_S))
    return arrived


def test_a_meter_in_reach_is_seen_with_its_service_and_read_to_the_end(bench_of):
    async def scenario():
        meter = glucose_meter()
        for value in ("5.4", "7.8", "11.1"):
            meter.measure(Decimal(value), meal=3)
        async with bench_of(meter) as bench:
            sighting = await bench.sighting_of("VGM")
            assert sighting.transport == "ble"
            assert sighting.services == {"1808"}
            async with bench.ble.open(sighting) as link:
                assert await link.read("2a25") == b"SN-0001"
                arrived = await report(link)
            assert [channel for channel, _ in arrived] == ["2a18", "2a34"] * 3 + ["2a52"]
            assert arrived[-1][1] == bytes.fromhex("06000101")

    asyncio.run(scenario())


def test_a_watch_without_our_services_is_not_seen(bench_of):
    async def scenario():
        stranger = glucose_meter(advertised=("180d",))
        async with bench_of(stranger, pressure_cuff()) as bench:
            async with asyncio.timeout(WITHIN_S), aclosing(bench.ble.sightings()) as sightings:
                seen = [(await anext(sightings)).name for _ in range(5)]
            assert set(seen) == {"VBP"}

    asyncio.run(scenario())


def test_what_a_meter_does_not_have_or_does_not_allow_is_refused_by_name(bench_of):
    async def scenario():
        async with bench_of(glucose_meter()) as bench:
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                with pytest.raises(Refused) as missing:
                    await link.read("2a08")
                with pytest.raises(Refused) as unsubscribed:
                    await link.write("2a52", REPORT_ALL, True)
            assert missing.value.reason == "attribute_not_found"
            assert unsubscribed.value.reason == "cccd_improperly_configured"

    asyncio.run(scenario())


def test_a_second_request_while_records_are_coming_is_refused_and_the_first_goes_on(bench_of):
    async def scenario():
        meter = glucose_meter(faults=Faults(pause_s=0.05))
        for _ in range(3):
            meter.measure(Decimal("5.4"))
        async with bench_of(meter) as bench, bench.ble.open(await bench.sighting_of("VGM")) as link:
            await listen(link)
            await link.write("2a52", REPORT_ALL, True)
            with pytest.raises(Refused) as refused:
                await link.write("2a52", REPORT_ALL, True)
            assert refused.value.reason == "procedure_already_in_progress"
            assert [(await link.receive(WITHIN_S))[0] for _ in range(4)] == ["2a18"] * 3 + ["2a52"]

    asyncio.run(scenario())


def test_what_arrived_before_a_loss_is_handed_out_before_the_loss_is_reported(bench_of):
    async def scenario():
        meter = glucose_meter(faults=Faults(lose_link_after=2))
        for _ in range(4):
            meter.measure(Decimal("5.4"))
        async with bench_of(meter) as bench:
            sighting = await bench.sighting_of("VGM")
            async with bench.ble.open(sighting) as link:
                await listen(link)
                await link.write("2a52", REPORT_ALL, True)
                arrived = []
                with pytest.raises(Lost):
                    while True:
                        arrived.append((await link.receive(WITHIN_S))[0])
                assert arrived in ([], ["2a18"], ["2a18"] * 2)  # BlueZ may lose the last ones with the line
                with pytest.raises(Lost):
                    await link.read("2a25")
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                assert len(await report(link)) == 5

    asyncio.run(scenario())


def test_silence_is_silence_and_not_a_loss(bench_of):
    async def scenario():
        async with bench_of(pressure_cuff()) as bench:
            sighting = await bench.sighting_of("VBP")
            async with bench.ble.open(sighting) as link:
                await link.subscribe("2a35")
                assert await link.receive(0.05) is None

    asyncio.run(scenario())


def test_a_meter_that_is_not_there_is_lost_and_not_an_error(bench_of):
    async def scenario():
        async with bench_of(glucose_meter(), connect_timeout_s=0.2) as bench:
            sighting = await bench.sighting_of("VGM")
            await bench.tell("VGM", "hush")
            with pytest.raises(Lost):
                async with bench.ble.open(sighting):
                    pass

    asyncio.run(scenario())


def test_a_protected_meter_is_refused_before_pairing_and_read_after_and_the_bond_is_kept(bench_of):
    async def scenario():
        meter = glucose_meter(security=Security.JUST_WORKS)
        meter.measure(Decimal("5.4"))
        async with bench_of(meter, keeps_advertising=True) as bench:
            sighting = await bench.sighting_of("VGM")
            async with bench.ble.open(sighting) as link:
                try:
                    await link.subscribe("2a52")
                except Refused as refused:
                    # The second is BlueZ's: it raises security by itself and repeats the request too early.
                    assert refused.reason in ("insufficient_encryption", "unlikely_error")
                else:
                    assert bench.may_bond_by_itself
                await link.pair()
                assert len(await report(link)) == 2
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                await link.pair()
                assert len(await report(link)) == 2
            assert (await bench.tell("VGM", "report"))["pairings"] == 1

    asyncio.run(scenario())


def test_a_stored_passkey_is_typed_once(bench_of):
    async def scenario():
        meter = glucose_meter(security=Security.PASSKEY)
        meter.measure(Decimal("5.4"))
        async with bench_of(meter, passkeys={meter.address: 123456}, keeps_advertising=True) as bench:
            for _ in range(2):
                async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                    await link.pair()
                    assert len(await report(link)) == 2
            told = await bench.tell("VGM", "report")
            assert told["passkeys_shown"] == 1
            assert told["agent_calls"] == ["RequestPasskey"]

    asyncio.run(scenario())


@pytest.mark.parametrize("passkeys", [{}, {"C4:5E:00:00:00:01": 654321}], ids=["none", "wrong"])
def test_without_the_right_passkey_nothing_is_read(bench_of, passkeys):
    async def scenario():
        meter = glucose_meter(security=Security.PASSKEY)
        async with bench_of(meter, passkeys=passkeys, keeps_advertising=True) as bench:
            with pytest.raises((Refused, Lost)):
                async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                    await link.pair()
                    await report(link)

    asyncio.run(scenario())


def test_a_meter_that_forgot_its_bond_is_forgotten_too_and_paired_again(bench_of, caplog):
    async def scenario():
        meter = glucose_meter(security=Security.JUST_WORKS)
        meter.measure(Decimal("5.4"))
        async with bench_of(meter, keeps_advertising=True, connect_timeout_s=2 * SOON_S) as bench:
            for _ in range(2):
                async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                    await link.pair()
                    assert len(await report(link)) == 2
                await bench.tell("VGM", "forget_bond")
            assert (await bench.tell("VGM", "report"))["pairings"] == 2

    caplog.set_level("INFO", "gateway.transports")
    asyncio.run(scenario())
    assert [record.message for record in caplog.records].count("ble.bond_renewed") == 1


def test_a_meter_that_is_only_out_of_reach_keeps_its_bond(bench_of):
    async def scenario():
        meter = glucose_meter(security=Security.JUST_WORKS)
        meter.measure(Decimal("5.4"))
        async with bench_of(meter, connect_timeout_s=SOON_S) as bench:
            sighting = await bench.sighting_of("VGM")
            async with bench.ble.open(sighting) as link:
                await link.pair()
            with pytest.raises(Lost):
                async with bench.ble.open(sighting):
                    pass
            await bench.tell("VGM", "advertise")
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                await link.pair()
                assert len(await report(link)) == 2
            assert (await bench.tell("VGM", "report"))["pairings"] == 1

    asyncio.run(scenario())


def test_a_silent_scanner_is_started_again_and_says_so(bench_of):
    async def scenario():
        async with bench_of(glucose_meter(), silent_after_s=0.2) as bench:
            states = []
            async with asyncio.timeout(WITHIN_S), aclosing(bench.ble.sightings()) as sightings:
                await anext(sightings)
                await bench.tell("VGM", "hush")
                waiting = asyncio.ensure_future(anext(sightings))
                while bench.ble.state != "silent":
                    await asyncio.sleep(0.01)
                    if waiting.done():  # what was on the air before it fell silent
                        waiting = asyncio.ensure_future(anext(sightings))
                states.append(bench.ble.state)
                await bench.tell("VGM", "advertise")
                await waiting
                states.append(bench.ble.state)
            assert states == ["silent", "ok"]

    asyncio.run(scenario())


def test_two_meters_are_read_at_the_same_time(bench_of):
    async def scenario():
        glucose, cuff = glucose_meter(), pressure_cuff()
        glucose.measure(Decimal("5.4"))
        cuff.measure(Decimal(128), Decimal(82), Decimal(71))
        async with bench_of(glucose, cuff) as bench:
            first, second = await bench.sighting_of("VGM"), await bench.sighting_of("VBP")
            async with bench.ble.open(first) as one, bench.ble.open(second) as other:
                await other.subscribe("2a35")
                assert len(await report(one)) == 2
                channel, data = await other.receive(WITHIN_S)
                assert (channel, data[0]) == ("2a35", 0b10110)

    asyncio.run(scenario())


def test_a_thermometer_tells_what_it_stored_and_forgets_what_was_confirmed(bench_of):
    async def scenario():
        meter = thermometer(security=Security.JUST_WORKS)
        meter.measure(Decimal("36.6"))
        meter.measure(Decimal("101.0"), fahrenheit=True, site=EAR)
        async with bench_of(meter) as bench:
            sighting = await bench.sighting_of("VTH")
            assert sighting.services == {"1809"}
            async with bench.ble.open(sighting) as link:
                await link.pair()
                await link.subscribe("2a1c")
                told = [record_of(measurement((await link.receive(WITHIN_S))[1])) for _ in range(2)]
                async with asyncio.timeout(WITHIN_S):
                    while (await bench.tell("VTH", "report"))["stored"]:  # noqa: ASYNC110 - it has no event
                        await asyncio.sleep(0.01)
            assert [record.values for record in told] == [
                {"body_temperature_cel": Decimal("36.6")},
                {"body_temperature_cel": Decimal("38.3")},
            ]
            assert [record.flags for record in told] == [("taken_at_mouth",), ("taken_at_ear",)]
            assert {record.device_time for record in told} == {NOON}

    asyncio.run(scenario())


def test_a_meter_that_advertises_only_its_name_is_seen_and_passers_by_are_not(bench_of):
    async def scenario():
        named = glucose_meter(advertised=())
        phone = pressure_cuff(advertised=("180d",))
        async with bench_of(named, phone, names=["vg"]) as bench:
            async with asyncio.timeout(WITHIN_S), aclosing(bench.ble.sightings()) as sightings:
                seen = [(await anext(sightings)).name for _ in range(5)]
            assert set(seen) == {"VGM"}

    asyncio.run(scenario())


def test_a_sinocare_meter_is_known_by_its_name_and_its_split_frames_are_put_together(bench_of):
    async def scenario():
        line = SinocareMeter(now=noon)
        line.measure(Decimal("5.8"))
        async with bench_of(sinocare_meter(line), names=sinocare.NAMES) as bench:
            sighting = await bench.sighting_of("SN-6W")
            async with bench.ble.open(sighting) as link:
                await link.subscribe(NOTIFY)
                await link.write(WRITE, frames.connection_test(), True)
                framer, told = Framer(frames.cut), []
                while len(told) < 4:
                    _, data = await link.receive(WITHIN_S)
                    framer.feed(data)
                    while (data := framer.take()) is not None:
                        told.append(frames.frame(data))
            assert sorted(frame.command for frame in told) == [1, 3, 4, 10]
            (result,) = filter(None, map(frames.result, told))
            assert sinocare.record_of(result).values == {"glucose_mmol_l": Decimal("5.8")}

    asyncio.run(scenario())


class Home:
    """A keeper that only counts what it is given."""

    def __init__(self):
        self.records, self.notes = [], []

    async def save(self, record):
        self.records.append(record)

    async def note(self, what, value):
        self.notes.append((what, value))

    async def remember(self, value):
        pass


def test_a_taidoc_meter_is_known_by_its_name_and_asked_on_one_characteristic(bench_of):
    async def scenario():
        line = TaiDocMeter(now=noon, notices=True)
        line.measure(58, URIC_ACID)
        line.measure(97)
        async with bench_of(taidoc_meter(line), names=taidoc.NAMES) as bench:
            sighting = await bench.sighting_of("FORA 6 CONNECT")
            home = Home()
            async with bench.ble.open(sighting) as link:
                await converse(taidoc.DRIVER.talk(Context(sighting=sighting, now=NOW)), link, home)
            assert [str(record.kind) for record in home.records] == ["glucose", "uric_acid"]
            assert ("serial", line.serial) in home.notes

    asyncio.run(scenario())
