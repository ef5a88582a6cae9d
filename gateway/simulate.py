"""`python -m gateway simulate FILE`: be the meter of a transcript, on a pseudo terminal or a virtual radio.

A gateway docks it as it would the meter. What a transcript is `gateway.transcript` says; the device made of one is
`simulators.scripted`.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.simulators.line import LineMeter
from gateway.simulators.meter import Faults
from gateway.simulators.scripted import (
    ANY_SERVICE,
    SERVICE_OF,
    Go,
    Hear,
    Pause,
    Progress,
    Say,
    ScriptedMeter,
    said_before_loss,
    script_of,
)
from gateway.simulators.serial_line import PtyMeter
from gateway.transcript_text import Malformed, Transcript, parse

PAUSE_S = 3.0
"""A silence in the middle of a transcript: most drivers give up waiting a little earlier."""
LINGER_S = 10.0
"""After the last word: drivers wait so long to be sure that nothing more comes."""
LOOK_S = 0.1
FAILED = 1

Tell = Callable[[str], None]


class CannotSimulate(Exception):
    """Something is missing on this machine; the message says what."""


def main(path: Path) -> int:
    """Plays one transcript to its end; 1 if it cannot be played, or the host did not hear it out."""
    told: Tell = lambda line: print(line, flush=True)  # noqa: E731 - one line, used twice
    try:
        transcript = parse(path.read_text(encoding="utf-8"))
        play = on_a_wire if transcript.context.sighting.transport == "serial" else on_the_air
        asyncio.run(play(transcript, told))
    except (OSError, UnicodeDecodeError, Malformed, CannotSimulate) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        told("the host did not hear it out")
        return FAILED
    told("played to its end")
    return 0


# --- on a wire ---------------------------------------------------------------------------------------------------


class _Ear(LineMeter):
    """Takes down what the host says; when to answer the player decides."""

    def __init__(self) -> None:
        super().__init__(now=_now)
        self.news = asyncio.Event()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter."""
        self.news.set()
        return iter(())


async def on_a_wire(
    transcript: Transcript, told: Tell, *, pause_s: float = PAUSE_S, linger_s: float = LINGER_S
) -> None:
    """Plays on a pseudo terminal, whose path is told, until the host has heard it out."""
    script = script_of(transcript)
    ear = _Ear()
    wire = PtyMeter(ear)
    wire.plug()
    told(f'[[serial]]\ndevice = "{wire.path}"\ndriver = "{transcript.driver}"')
    progress, taken = Progress(script.items, told), 0
    while not progress.is_over:
        for item in progress.say():
            match item:
                case Say(_, data):
                    wire.say(data)
                    await wire.quiet()
                case Pause() if not progress.is_over and not isinstance(script.items[progress.at], Hear):
                    await asyncio.sleep(pause_s)
                case Go():
                    await wire.heard_out(within_s=None)
                    wire.unplug()
                    return
        if progress.is_over:
            break
        expected = script.items[progress.at]
        size = len(expected.data or b"") if isinstance(expected, Hear) else 0
        while len(wire.heard) < taken + size:
            ear.news.clear()
            await ear.news.wait()
        progress.hear("", wire.heard[taken : taken + size])
        taken += size
    await wire.heard_out(within_s=None)
    await asyncio.sleep(linger_s)
    wire.unplug()


# --- on the air --------------------------------------------------------------------------------------------------


async def on_the_air(transcript: Transcript, told: Tell) -> None:
    """Plays on a virtual radio behind a Bluetooth service of its own, whose bus is told, to its end."""
    try:
        from gateway.simulators.bumble_meter import BumbleMeter
    except ImportError as error:
        raise CannotSimulate(f"a virtual radio needs `pip install kangdock[demo]` ({error})") from None
    script = script_of(transcript)
    sighting = transcript.context.sighting
    vendor = sorted(sighting.services - set(SERVICE_OF.values()))
    progress = Progress(script.items, told)
    meter = ScriptedMeter(
        name=sighting.name or "Transcript",
        address=sighting.address or "C0:FF:EE:00:00:01",
        now=_now,
        advertised=tuple(sorted(sighting.services)),
        script=script,
        progress=progress,
        service=(vendor or [ANY_SERVICE])[0],
        faults=Faults(lose_link_after=said_before_loss(script)),
    )
    async with _bluetooth_service(told) as air:
        served = BumbleMeter(meter)
        await served.power_on(air)
        await served.advertise()
        while not (progress.is_over and served.connections and served.is_idle):  # noqa: ASYNC110 - no event
            await asyncio.sleep(LOOK_S)
        await served.power_off()


@asynccontextmanager
async def _bluetooth_service(told: Tell) -> AsyncIterator[Any]:
    """A private D-Bus with our own `org.bluez`: a gateway started on it finds one adapter, and the meter."""
    from bumble.pairing import PairingDelegate
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus

    from gateway.simulators.air import BONDING_KEYS, Air, radio
    from gateway.simulators.bluez import BlueZ

    program = shutil.which("dbus-daemon")
    if program is None:
        raise CannotSimulate("a virtual radio needs dbus-daemon: apt-get install dbus-daemon")
    with TemporaryDirectory() as directory:
        address = f"unix:path={directory}/bus"
        daemon = await asyncio.create_subprocess_exec(
            program,
            *("--session", "--nofork", "--nopidfile", "--print-address=1", f"--address={address}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            if daemon.stdout is None or not await daemon.stdout.readline():
                raise CannotSimulate("dbus-daemon does not start")
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
            air = Air()
            adapter = await radio(
                air,
                name="hci0",
                address="C0:00:00:00:00:01",
                delegate=PairingDelegate(PairingDelegate.NO_OUTPUT_NO_INPUT, BONDING_KEYS, BONDING_KEYS),
            )
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            await BlueZ(bus, adapter).serve()
            told(f"DBUS_SYSTEM_BUS_ADDRESS={address} python -m gateway run")
            yield air
            bus.disconnect()
        finally:
            daemon.terminate()
            await daemon.wait()


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
