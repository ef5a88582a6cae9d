"""The meter of a transcript, docked by a gateway: on a pseudo terminal and over a Bluetooth service of its own."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

import pytest

from gateway import drivers, simulate
from gateway.buffer.outbox import Outbox
from gateway.config import SerialSettings
from gateway.conversation import Record
from gateway.docking import Docking
from gateway.simulators.scripted import Go, Hear, Pause, Progress, Say, script_of
from gateway.transcript import play
from gateway.transcript_text import parse
from gateway.transports.ble import Ble
from gateway.transports.serial_port import SerialPorts
from gateway.visits import Visits
from tests.gateway.drivers.test_transcripts import BY_NAME, FOLDER, TRANSCRIPTS
from tests.gateway.test_docking import NOW, Board
from tests.gateway.transports.rig import WITHIN_S

CHEAP = ("serial.omron_hbp/happy_path", "serial.terumo/lost_midway", "serial.cardiochek/happy_path")
ASKED = ("serial.taidoc/happy_path", "serial.benecheck/several_records")


def transcript_at(name: str):
    return parse((FOLDER / f"{name}.txt").read_text("utf-8"))


def records_of(name: str) -> list[Record]:
    transcript = transcript_at(name)
    return play(transcript, BY_NAME[transcript.driver]).records


@asynccontextmanager
async def docked(directory: Path, transport):
    outbox = await Outbox.open(directory, gateway="gw-1")
    board = Board()
    docking = Docking(
        outbox,
        board,
        Visits({"counter-1": ()}),
        clock=lambda: NOW,
        clock_trusted=lambda: True,
        gateway="gw-1",
    )
    watching = asyncio.ensure_future(docking.watch(transport))
    try:
        async with asyncio.timeout(WITHIN_S):
            yield board
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await outbox.close()


@pytest.mark.parametrize("name", CHEAP + ASKED)
def test_a_gateway_docks_the_meter_of_a_serial_transcript(name, tmp_path):
    async def scenario():
        transcript = transcript_at(name)
        told: list[str] = []
        playing = asyncio.ensure_future(simulate.on_a_wire(transcript, told.append, pause_s=0.1, linger_s=0.1))
        await asyncio.sleep(0)
        device = told[0].split('"')[1]
        assert told[0] == f'[[serial]]\ndevice = "{device}"\ndriver = "{transcript.driver}"'
        setting = SerialSettings(device=device, driver=transcript.driver)
        ports = SerialPorts([setting], drivers.recognise, look=list, look_every_s=0.02, ask_every_s=0.05)
        async with docked(tmp_path, ports) as board:
            await playing
            await board.until(lambda: len(board.readings) >= len(records_of(name)))
        return board.readings, told

    readings, told = asyncio.run(scenario())
    expected = records_of(name)
    assert [(one.kind, one.record_key) for one in readings] == [(one.kind, one.key) for one in expected]
    assert [one for one in told[1:] if "going on" not in one and "says more" not in one] == []


@pytest.mark.parametrize("name", ["ble.thermometer/several_records", "ble.glucose/happy_path"])
def test_a_gateway_docks_the_meter_of_a_bluetooth_transcript(name, tmp_path):
    async def scenario():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "simulate", str(FOLDER / f"{name}.txt")),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                line = (await process.stdout.readline()).decode()
            address = line.split()[0].partition("=")[2]
            with mock.patch.dict(os.environ, {"DBUS_SYSTEM_BUS_ADDRESS": address}):
                services = frozenset[str]().union(*(driver.services for driver in drivers.DRIVERS))
                async with docked(tmp_path, Ble(services)) as board:
                    await board.until(lambda: len(board.readings) >= len(records_of(name)))
                    rest = (await process.stdout.read()).decode()
            return board.readings, rest, await process.wait()
        finally:
            if process.returncode is None:
                process.kill()

    readings, rest, status = asyncio.run(scenario())
    expected = records_of(name)
    assert [(one.kind, one.record_key) for one in readings] == [(one.kind, one.key) for one in expected]
    assert (rest, status) == ("played to its end\n", 0)


def test_a_file_that_is_no_transcript_is_explained(tmp_path, capsys):
    path = tmp_path / "nothing.txt"
    path.write_text("hello\n")
    assert simulate.main(path) == 1
    assert simulate.main(tmp_path / "not there") == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_a_script_says_what_the_device_said_and_waits_for_what_the_driver_said():
    script = script_of(
        parse(
            "# driver: x\n# received: 2026-03-02T09:31:50+08:00\n"
            "> read 2a29\n< 2a29 414243\n> read 2a29\n. refused attribute_not_found\n"
            "> subscribe 2a18\n. refused attribute_not_found\n"
            "> subscribe 2a34\n> write 2a52 0101\n< 2a18 01\n. silence\n< 2a18 02\n. lost\n= lost\n"
        )
    )
    assert script.reads == {"2a29": (b"ABC",)}
    assert [type(item) for item in script.items] == [Hear, Hear, Say, Pause, Say, Go]
    told = []
    progress = Progress(script.items, told.append)
    assert not progress.hear("2a18", None)
    assert progress.hear("2a34", None)
    assert not progress.hear("2a52", b"\1")
    assert progress.hear("2a52", b"\1\2")
    assert [type(item) for item in progress.say()] == [Say, Pause, Say, Go]
    assert progress.is_over
    assert not progress.hear("2a52", b"\1\1")
    assert [line.partition(":")[0] for line in told] == [
        "line 9",
        "line 10",
        "line 10",
        "the host says more than the transcript",
    ]


def test_every_transcript_can_be_simulated():
    for path in TRANSCRIPTS:
        script = script_of(parse(path.read_text("utf-8")))
        assert Progress(script.items, print).is_over is not any(
            isinstance(item, Hear | Say | Go) for item in script.items
        ), path
