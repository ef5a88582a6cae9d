"""A meter that speaks frames, on the virtual radio and on a pseudo terminal: the wires themselves."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from gateway.conversation import Lost
from gateway.simulators.air import BONDING_KEYS, Air, radio
from gateway.simulators.bumble_meter import BumbleMeter
from gateway.simulators.line import HEARD_WITHIN, BleLine, LineMeter, Untold
from gateway.simulators.meter import Faults
from gateway.simulators.serial_line import LineFaults, PtyMeter
from gateway.transports.ble import Backend, Ble
from gateway.transports.bumble_backend import BumbleClient, BumbleScanner, Typist

WITHIN_S = 20.0
"""Ends a test that hangs; none is judged by it."""
LONG_SERVICE = "00005970-6d75-4753-5053-676e6f6c7553"
LONG_NOTIFY = "02005970-6d75-4753-5053-676e6f6c7553"
LONG_WRITE = "01005970-6d75-4753-5053-676e6f6c7553"
NOON = datetime.fromisoformat("2026-03-05T12:00")
FRAME = bytes(range(1, 46))


@dataclass(kw_only=True)
class Parrot(LineMeter):
    """Says a frame of 45 bytes by itself, and repeats what it hears."""

    lost: int = 0

    def begin(self) -> Iterator[bytes]:
        yield FRAME

    def hear(self, data: bytes) -> Iterator[bytes]:
        yield b"=" + data

    def on_line_lost(self) -> None:
        self.lost += 1


def parrot() -> Parrot:
    return Parrot(now=lambda: NOON, clock_error=timedelta(minutes=3))


def on_the_air(service: str, notify: str, write_to: str, **options) -> BleLine:
    return BleLine(
        name="Parrot",
        address="C4:5E:00:00:00:09",
        now=lambda: NOON,
        line=parrot(),
        service=service,
        notify=notify,
        write_to=write_to,
        advertised=(service,),
        **options,
    )


async def told_over_the_air(meter: BleLine, *, write: bytes = b"", acknowledged: bool = True) -> list[bytes]:
    """What arrives once its channel is listened to and `write` was written, until the link goes or 3 s pass."""
    air = Air()
    served = BumbleMeter(meter)
    await served.power_on(air)
    typist = Typist({}, BONDING_KEYS)
    adapter = await radio(air, name="gateway", address="C0:00:00:00:00:01", delegate=typist)
    options = {"radio": adapter, "typist": typist}
    ble = Ble(
        frozenset(meter.advertised), backend=Backend(scanner=BumbleScanner, client=BumbleClient, options=options)
    )
    arrived = []
    await served.advertise()
    async with asyncio.timeout(WITHIN_S):
        async with aclosing(ble.sightings()) as sightings:
            sighting = await anext(sightings)
            assert (sighting.name, sighting.services) == ("Parrot", frozenset(meter.advertised))
            async with ble.open(sighting) as link:
                await link.subscribe(meter.notify)
                try:
                    if write:
                        await link.write(meter.write_to, write, acknowledged)
                    expected = len(FRAME) + (len(write) + 1 if write else 0)
                    while sum(map(len, arrived)) < expected:
                        channel, data = await link.receive(WITHIN_S)
                        assert channel == meter.notify
                        arrived.append(data)
                except Lost:
                    arrived.append(b"lost")
    await served.power_off()
    return arrived


@pytest.mark.parametrize(
    ("service", "notify", "write_to"), [("fff0", "fff1", "fff2"), (LONG_SERVICE, LONG_NOTIFY, LONG_WRITE)]
)
def test_a_frame_comes_in_notifications_of_twenty_bytes(service, notify, write_to):
    told = asyncio.run(told_over_the_air(on_the_air(service, notify, write_to)))
    assert told == [FRAME[:20], FRAME[20:40], FRAME[40:]]


@pytest.mark.parametrize("acknowledged", [True, False])
def test_it_answers_what_is_written_on_the_channel_it_speaks_on(acknowledged):
    meter = on_the_air("fff0", "fff1", "fff1", split=15)
    told = asyncio.run(told_over_the_air(meter, write=b"hello", acknowledged=acknowledged))
    assert sorted(told) == [FRAME[:15], FRAME[15:30], FRAME[30:], b"=hello"]


def test_a_vendor_meter_can_hang_up_midway():
    meter = on_the_air("fff0", "fff1", "fff2", faults=Faults(lose_link_after=2))
    assert asyncio.run(told_over_the_air(meter)) == [FRAME[:20], FRAME[20:40], b"lost"]
    assert meter.line.lost == 1


async def read_from(path: str, count: int) -> bytes:
    """`count` bytes of a port, or as many as came before it went."""
    port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    came = asyncio.Queue()

    def readable() -> None:
        try:
            came.put_nowait(os.read(port, 100))
        except OSError:
            came.put_nowait(b"")

    asyncio.get_running_loop().add_reader(port, readable)
    data = b""
    try:
        async with asyncio.timeout(WITHIN_S):
            while len(data) < count and (more := await came.get()):
                data += more
    finally:
        asyncio.get_running_loop().remove_reader(port)
        os.close(port)
    return data[:count]


def test_a_serial_meter_speaks_hears_and_is_plugged_again():
    async def main() -> None:
        wire = PtyMeter(parrot())
        path = wire.plug()
        assert wire.is_plugged
        wire.speak()
        assert await read_from(path, 45) == FRAME
        port = os.open(path, os.O_RDWR | os.O_NOCTTY)
        os.write(port, b"hi\n")
        os.close(port)
        assert await read_from(path, 4) == b"=hi\n"
        assert wire.heard == b"hi\n"
        wire.unplug()
        wire.unplug()
        assert not wire.is_plugged
        assert wire.meter.lost == 1
        wire.speak()  # nobody hears it
        path = wire.plug()
        wire.say(b"again")
        assert await read_from(path, 5) == b"again"
        wire.unplug()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("faults", "heard"),
    [
        (LineFaults(unplug_after=7), FRAME[:7]),
        (LineFaults(drop_byte=3), FRAME[:3] + FRAME[4:] + b"!"),
        (LineFaults(garbage_before=b"\xff\0"), b"\xff\0" + FRAME + b"\xff\0!"),
        (LineFaults(piece_bytes=1), FRAME),
    ],
)
def test_a_line_has_faults(faults, heard):
    async def main() -> bytes:
        wire = PtyMeter(parrot(), faults=faults)
        path = wire.plug()
        reading = asyncio.ensure_future(read_from(path, len(heard)))
        wire.speak()
        wire.say(b"!")
        try:
            return await reading
        finally:
            wire.unplug()

    assert asyncio.run(main()) == heard


def test_a_step_is_heard_at_that_moment_or_never_and_a_result_waits():
    times = [datetime.fromisoformat("2026-03-05T12:00:00")]
    untold = Untold(now=lambda: times[-1])
    untold.step(b"blood, please")
    untold.result(b"5.8")
    assert list(untold.tell()) == [b"blood, please", b"5.8"]
    untold.step(b"blood, please")
    untold.result(b"5.9")
    times.append(times[0] + HEARD_WITHIN * 2)
    assert list(untold.tell()) == [b"5.9"]
    untold.step(b"blood, please")
    untold.forget_steps()
    assert list(untold.tell()) == []
