"""What only BlueZ does: agents, refusals without one, and a bluetoothd that dies."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from dbus_fast import Message, MessageType

from gateway.conversation import Lost, Refused
from gateway.simulators.meter import Security
from gateway.transports.agent import AGENT, NoAgent, answer
from gateway.transports.bluez import devices, managed, system_bus
from tests.gateway.transports.rig import WITHIN_S, MostAtOnce, glucose_meter, pressure_cuff


@pytest.fixture
def bench_of(bluez_bench_of):
    return bluez_bench_of


def test_just_works_pairs_without_asking_anybody_anything(bench_of):
    async def scenario():
        async with bench_of(glucose_meter(security=Security.JUST_WORKS)) as bench:
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                await link.pair()
            told = await bench.tell("VGM", "report")
            assert told["pairings"] == 1
            assert told["agent_calls"] == []

    asyncio.run(scenario())


def test_without_an_agent_bluez_refuses_even_just_works_and_open_meters_are_still_read(bench_of, monkeypatch):
    @asynccontextmanager
    async def refused(passkeys, died):
        raise NoAgent("RegisterAgent")
        yield

    async def scenario():
        meter = glucose_meter(security=Security.JUST_WORKS)
        async with bench_of(meter) as bench, bench.ble.open(await bench.sighting_of("VGM")) as link:
            with pytest.raises(Refused) as refusal:
                await link.pair()
            assert refusal.value.reason == "AuthenticationFailed"
            assert await link.read("2a25") == b"SN-0001"

    monkeypatch.setattr("gateway.transports.ble.agent", refused)
    asyncio.run(scenario())


def test_a_wrong_passkey_is_refused_by_the_word_bluez_has_for_it(bench_of):
    async def scenario():
        meter = glucose_meter(security=Security.PASSKEY)
        async with bench_of(meter, passkeys={meter.address: 654321}) as bench:
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                with pytest.raises(Refused) as refusal:
                    await link.pair()
            assert refusal.value.reason == "AuthenticationFailed"

    asyncio.run(scenario())


def test_a_bluetoothd_that_dies_loses_the_line_and_once_it_is_back_meters_are_read_again(bench_of, monkeypatch):
    async def scenario():
        meter = glucose_meter()
        async with bench_of(meter, keeps_advertising=True) as bench:
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                await link.read("2a25")
                await bench.kill_bluez()
                with pytest.raises(Lost):
                    await link.read("2a25")
            async with asyncio.timeout(WITHIN_S):  # it notices at once, and not after the silence
                while bench.ble.state not in ("failed", "absent"):  # noqa: ASYNC110 - a state has no event
                    await asyncio.sleep(0.02)
            await bench.restart_bluez(meter)
            async with bench.ble.open(await bench.sighting_of("VGM")) as link:
                assert await link.read("2a25") == b"SN-0001"
            assert bench.ble.state == "ok"

    monkeypatch.setattr("gateway.transports.ble.RETRY_SCAN_S", (0.1,))
    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("member", "reply"),
    [
        ("RequestPasskey", MessageType.METHOD_RETURN),
        ("RequestPinCode", MessageType.METHOD_RETURN),
        ("RequestAuthorization", MessageType.METHOD_RETURN),
        ("Cancel", MessageType.METHOD_RETURN),
        ("RequestConfirmation", MessageType.ERROR),
        ("AuthorizeService", MessageType.ERROR),
        ("SomethingNew", MessageType.ERROR),
    ],
)
def test_the_agent_answers_what_it_can_and_confirms_nothing_nobody_looked_at(member, reply):
    known = Message(
        path="/agent",
        interface=AGENT,
        member=member,
        signature="o",
        body=["/org/bluez/hci0/dev_C4_5E_00_00_00_01"],
        serial=1,
        sender=":1.1",
    )
    assert answer(known, {"C4:5E:00:00:00:01": 12}).message_type is reply


def test_the_agent_knows_no_passkey_of_a_stranger():
    stranger = Message(
        path="/agent",
        interface=AGENT,
        member="RequestPasskey",
        signature="o",
        body=["/org/bluez/hci0/dev_00_00_00_00_00_09"],
        serial=1,
        sender=":1.1",
    )
    assert answer(stranger, {"C4:5E:00:00:00:01": 12}).message_type is MessageType.ERROR


@pytest.mark.parametrize(("names", "filtered"), [([], True), (["VGM"], False)])
def test_bluez_filters_by_service_unless_a_meter_is_known_by_its_name_alone(bench_of, names, filtered):
    async def scenario():
        async with bench_of(glucose_meter(), pressure_cuff(advertised=("180d",)), names=names) as bench:
            for _ in range(10):  # the passer-by calls as often
                await bench.sighting_of("VGM")
            async with system_bus() as bus:
                here = bench.adapter.rpartition("/")[2]
                known = {device.name for device in devices(await managed(bus), here)}
            assert known == ({"VGM"} if filtered else {"VGM", "VBP"})

    asyncio.run(scenario())


def test_lines_are_opened_one_after_the_other(bench_of):
    async def scenario():
        most = MostAtOnce("Connect")
        async with bench_of(glucose_meter(), pressure_cuff()) as bench, most.overheard():
            first, second = await bench.sighting_of("VGM"), await bench.sighting_of("VBP")

            async def read(sighting):
                async with bench.ble.open(sighting) as link:
                    return await link.read("2a25")

            assert await asyncio.gather(read(first), read(second)) == [b"SN-0001"] * 2
            assert most.seen == 1

    asyncio.run(scenario())
