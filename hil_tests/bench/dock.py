"""From the last byte of a measurement leaving the meter to "saved" on the dock screen: what a customer waits for.

The gateway is a process of its own, with its disk, its screen and no cloud. The meter is a tunnel monitor on a
pseudo terminal; the screen is whoever reads the event stream that browsers read.
"""

import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cloud.demo.servers import free_port
from gateway.simulators.serial_line import PtyMeter
from gateway.simulators.tunnel_monitors import OmronTunnel
from hil_tests.trade.family import pressures
from hil_tests.trade.shop import store_time

MEASUREMENTS = 300
FIRST_FEW = 10
"""They open files and warm templates; they are waited for and not counted."""
PAUSE_S = (0.1, 0.4)
"""Customers do not come in step with the gateway's own clock."""
TIMEOUT_S = 60.0
TAG = re.compile("<[^>]*>")
PLACE = "1-1.1"
SETTINGS = """\
[gateway]
name = "gw-bench"
data_directory = "data"
language = "en"

[mqtt]
host = "127.0.0.1"
port = {nobody}

[screen]
port = {screen}

[ble]
enabled = false

[[serial]]
usb_path = "{place}"
driver = "serial.omron_hbp"
"""


def figures() -> Iterator[dict[str, Any]]:
    """dock.last_byte_to_saved_p50_ms and dock.last_byte_to_saved_p99_ms."""
    taken = sorted(asyncio.run(_measure()))
    for name, value in (("p50", statistics.median(taken)), ("p99", taken[len(taken) * 99 // 100])):
        yield {
            "figure": f"dock.last_byte_to_saved_{name}_ms",
            "value": round(value, 1),
            "unit": "ms",
            "baseline": None,
            "ratio": None,
        }


async def _measure() -> list[float]:
    chance = random.Random(1)
    meter = OmronTunnel(now=store_time)
    wire = PtyMeter(meter)
    with tempfile.TemporaryDirectory() as folder:
        directory, screen = Path(folder), free_port()
        config = directory / "gateway.toml"
        config.write_text(SETTINGS.format(nobody=free_port(), screen=screen, place=PLACE))
        (directory / "clock").write_text("0 1")
        (directory / "ports").write_text(json.dumps([(wire.plug(), PLACE)]))
        gateway = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hil_tests.trade.gateway", str(config), str(directory),
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(TIMEOUT_S + MEASUREMENTS), _looking(screen) as boards:
                await _has_open(gateway.pid, wire.path)
                taken = []
                for number in range(FIRST_FEW + MEASUREMENTS):
                    await asyncio.sleep(chance.uniform(*PAUSE_S))
                    meter.measure(*pressures(number))
                    taken.append(await _until_saved(wire, boards, pressures(number)))
                return taken[FIRST_FEW:]
        finally:
            gateway.kill()
            await gateway.wait()
            wire.unplug()


async def _until_saved(wire: PtyMeter, boards: "asyncio.Queue[tuple[float, str]]", what: tuple[int, ...]) -> float:
    """Milliseconds from the last byte until the screen has been sent the value, which it says is saved."""
    while not boards.empty():
        boards.get_nowait()
    wire.speak()
    await wire.said.wait()
    last_byte = time.perf_counter()
    while True:
        at, html = await boards.get()
        words = TAG.sub("", html).split()
        if f"{what[0]}/{what[1]}" in words and "Saved" in words:
            return (at - last_byte) * 1000


@asynccontextmanager
async def _looking(screen: int) -> AsyncIterator["asyncio.Queue[tuple[float, str]]"]:
    """What the screen's event stream brings, and when."""
    while not await asyncio.to_thread(_answers, screen):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", screen, limit=1 << 20)
    writer.write(b"GET /events?page=dock HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    boards: asyncio.Queue[tuple[float, str]] = asyncio.Queue()

    async def read() -> None:
        while event := await reader.readuntil(b"\n\n"):
            if b"event: board\n" in event:
                boards.put_nowait((time.perf_counter(), event.decode()))

    reading = asyncio.create_task(read())
    try:
        yield boards
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.close()


async def _has_open(pid: int, port: str) -> None:
    while not any(str(one.readlink()) == port for one in Path(f"/proc/{pid}/fd").iterdir()):  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/state", timeout=1):
            return True
    except OSError:
        return False
