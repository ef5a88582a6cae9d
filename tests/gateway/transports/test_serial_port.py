"""Serial meters on real pseudo terminals: what is sighted, what is heard, and what a pulled plug costs."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.config import SerialSettings
from gateway.conversation import (
    Lost,
    Refused,
    Sighting,
)
from gateway.converse import LATE
from gateway.transports import serial_link, serial_port
from tests.gateway.transports.rig import WITHIN_S
from tests.gateway.transports.serial_rig import (
    ADAPTER,
    KNOWN,
    Logger,
    Sockets,
    heard,
    opened,
    transport,
    until,
    wire,
)


def test_what_was_said_before_anybody_listened_is_marked_and_what_follows_is_not():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        monitor.say(b"one ")
        async with transport(sockets, settle_s=WITHIN_S) as ports, aclosing(ports.sightings()) as sightings:
            kept = await anext(sightings)
            assert (kept.calling, kept.waited) == (True, True)
            async with ports.open(kept) as link:
                assert await heard(link, 4) == b"one "
            ports._settle_s = 0.0  # the port has been open for long
            monitor.say(b"two")
            now = await anext(sightings)
            assert (now.calling, now.waited) == (True, False)
            monitor.unplug()

    asyncio.run(scenario())


def test_a_meter_with_a_usb_id_of_its_own_calls_as_soon_as_it_speaks():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            assert ports.state == ""
            first = asyncio.ensure_future(anext(sightings))
            await asyncio.sleep(0)
            sockets.plug("1-1.2", monitor)
            await until(lambda: opened(ports, "1-1.2"))
            assert ports.state == "ok"
            assert not first.done()
            monitor.say(b"one ")
            sighting = await first
            assert sighting == Sighting(transport="serial", address="1-1.2", usb_id=KNOWN, calling=True)
            monitor.say(b"two")
            async with ports.open(sighting) as link:
                assert await heard(link, 7) == b"one two"
                assert await link.receive(0) is None
            monitor.unplug()

    asyncio.run(scenario())


def test_what_was_said_before_the_port_was_opened_is_heard():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        monitor.say(b"kept by the meter")
        await monitor.quiet()
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            sighting = await anext(sightings)
            async with ports.open(sighting) as link:
                assert await heard(link, 17) == b"kept by the meter"
        monitor.unplug()

    asyncio.run(scenario())


def test_what_comes_between_two_conversations_begins_the_next():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"first")
            async with ports.open(await anext(sightings)) as link:
                await heard(link, 5)
                monitor.say(b"second")
                await monitor.quiet()
                await until(lambda: ports._plugged["1-1.2"].open.waiting)
            again = await anext(sightings)
            assert again.calling
            async with ports.open(again) as link:
                assert await heard(link, 6) == b"second"
        monitor.unplug()

    asyncio.run(scenario())


def test_bytes_nobody_could_take_are_called_out_again_later_and_not_at_once(monkeypatch):
    monkeypatch.setattr(serial_port, "CALL_AGAIN_S", 0.3)

    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        loop = asyncio.get_running_loop()
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"kept")
            sighting = await anext(sightings)
            called = loop.time()
            async with ports.open(sighting):
                pass  # the disk is full: nothing may be fetched
            again = await anext(sightings)
            assert loop.time() - called >= 0.25
            async with ports.open(again) as link:
                assert await heard(link, 4) == b"kept"
        monitor.unplug()

    asyncio.run(scenario())


def test_a_meter_that_is_asked_is_sighted_again_and_again_and_a_late_answer_is_no_answer():
    async def scenario():
        sockets, logger = Sockets(), wire(Logger)
        sockets.plug("1-1.3", logger, ADAPTER)
        setting = SerialSettings(usb_path="1-1.3", driver="serial.logger", label="Logger")
        async with transport(sockets, setting) as ports, aclosing(ports.sightings()) as sightings:
            sighting, again = await anext(sightings), await anext(sightings)
            assert (sighting.name, sighting.driver, sighting.calling) == ("Logger", "serial.logger", False)
            assert again == sighting
            logger.say(b"stale")
            await until(lambda: ports._plugged["1-1.3"].open.waiting)
            async with ports.open(sighting) as link:
                await link.write("", b"?", True)
                assert await link.receive(WITHIN_S) == (LATE, b"stale")
                assert await link.receive(WITHIN_S) == ("", b"END\r\n")
        logger.unplug()

    asyncio.run(scenario())


def test_two_ports_at_once_do_not_mix_and_a_named_driver_belongs_to_one_of_them():
    async def scenario():
        sockets, left, right, stranger = Sockets(), wire(), wire(), wire()
        sockets.plug("1-1.1", left, ADAPTER)
        sockets.plug("1-1.2", right, ADAPTER)
        sockets.plug("1-1.4", stranger, ADAPTER)
        settings = [SerialSettings(usb_path=f"1-1.{n}", driver="serial.monitor", label=f"{n}") for n in (1, 2)]
        async with transport(sockets, *settings) as ports, aclosing(ports.sightings()) as sightings:
            first = asyncio.ensure_future(anext(sightings))
            await until(lambda: opened(ports, "1-1.1") and opened(ports, "1-1.2"))
            left.say(b"left")
            right.say(b"right")
            one, other = sorted([await first, await anext(sightings)], key=lambda it: it.address)
            assert (one.name, other.name) == ("1", "2")
            async with ports.open(other) as second, ports.open(one) as first:
                assert await heard(second, 5) == b"right"
                assert await heard(first, 4) == b"left"
            assert "1-1.4" not in ports._plugged, "nobody knows what hangs there"
        for one in (left, right, stranger):
            one.unplug()

    asyncio.run(scenario())


def test_a_plug_pulled_in_mid_frame_is_a_loss_after_what_came_and_its_next_plug_is_another_port():
    async def scenario():
        sockets, monitor = Sockets(), wire(unplug_after=4)
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"half a frame")
            async with ports.open(await anext(sightings)) as link:
                assert await heard(link, 4) == b"half"
                with pytest.raises(Lost):
                    await link.receive(WITHIN_S)
                with pytest.raises(Lost):
                    await link.write("", b"?", True)
            sockets.plug("1-1.2", monitor)
            monitor.say(b"whole")
            async with ports.open(await anext(sightings)) as link:
                assert await heard(link, 5) == b"whole"
            monitor.unplug()
            await until(lambda: not ports._plugged)

    asyncio.run(scenario())


def test_what_a_meter_said_just_before_it_was_pulled_is_not_the_next_meters():
    async def scenario():
        sockets, first, second = Sockets(), wire(), wire()
        sockets.plug("1-1.2", first)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            first.say(b"first")
            called = await anext(sightings)
            first.unplug()
            await until(lambda: not ports._plugged)
            sockets.plug("1-1.2", second)
            await until(lambda: opened(ports, "1-1.2"))
            second.say(b"second")
            await second.quiet()
            async with ports.open(called) as link:
                assert await heard(link, 5) == b"first"
                with pytest.raises(Lost):
                    await link.receive(0)
            async with ports.open(called) as link:
                assert await heard(link, 6) == b"second"
        second.unplug()

    asyncio.run(scenario())


def test_a_port_that_is_gone_cannot_be_opened():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        async with transport(sockets) as ports:
            with pytest.raises(Lost):
                async with ports.open(Sighting(transport="serial", address="1-1.2")):
                    pass
        assert not monitor.is_plugged

    asyncio.run(scenario())


def test_a_cable_has_nothing_to_pair_or_to_read():
    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(b"!")
            async with ports.open(await anext(sightings)) as link:
                await link.pair()
                await link.subscribe("2a18")
                with pytest.raises(Refused):
                    await link.read("2a29")
        monitor.unplug()

    asyncio.run(scenario())


def test_more_than_the_queue_holds_waits_in_the_kernel(monkeypatch):
    monkeypatch.setattr(serial_link, "WAITING_BYTES", 1000)
    flood = bytes(range(256)) * 64

    async def scenario():
        sockets, monitor = Sockets(), wire()
        sockets.plug("1-1.2", monitor)
        async with transport(sockets) as ports, aclosing(ports.sightings()) as sightings:
            monitor.say(flood)
            sighting = await anext(sightings)
            await until(lambda: not ports._plugged["1-1.2"].open._reading)
            async with ports.open(sighting) as link:
                assert await heard(link, len(flood)) == flood
        monitor.unplug()

    asyncio.run(scenario())
