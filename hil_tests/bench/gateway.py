"""What a gateway costs a Pi: its memory at rest and after a day without the cloud, and how soon it is there.

The day is 300 readings, each through the outbox, the board and a screen that is looking; the broker is away, which
is the worst case for memory. The Bluetooth transport is loaded and finds what radio the machine has, or none.
"""

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

STARTS = 5
DAYS = 3
READINGS_PER_DAY = 300
"""A busy counter's day: about 30 an hour."""
SETTLES_S = 3.0
"""After the start: imports are done, the uplink has tried once, the garbage of the start is collected."""
TIMEOUT_S = 120.0


def figures() -> Iterator[dict[str, Any]]:
    """gateway.start_s, gateway.rss_mb, gateway.rss_after_day_mb: medians."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        yield _figure("gateway.start_s", statistics.median(_start_s(directory) for _ in range(STARTS)), "s")
        at_rest, after_day = zip(*(_rss_mb(directory) for _ in range(DAYS)), strict=True)
        yield _figure("gateway.rss_mb", statistics.median(at_rest), "MB")
        yield _figure("gateway.rss_after_day_mb", statistics.median(after_day), "MB")


def _figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"figure": name, "value": round(value, 2), "unit": unit, "baseline": None, "ratio": None}


def _start_s(directory: Path) -> float:
    """From the process's birth to the first answer of its screen."""
    path, port = _settings(directory)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", "--config", str(path)], stderr=subprocess.DEVNULL
    )
    try:
        while not _answers(port):
            if time.monotonic() - began > TIMEOUT_S:
                raise TimeoutError("the gateway did not start")
            time.sleep(0.01)
        return time.monotonic() - began
    finally:
        process.terminate()
        process.wait(timeout=10)


def _rss_mb(directory: Path) -> tuple[float, float]:
    path, port = _settings(directory)
    child = subprocess.Popen(
        [sys.executable, "-m", "hil_tests.bench.gateway", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        first = json.loads(child.stdout.readline())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/events", timeout=TIMEOUT_S) as screen:
            child.stdin.write("\n")
            child.stdin.flush()
            for _ in iter(screen.readline, b""):  # until the gateway, its day over, lets the screen go
                pass
        second = json.loads(child.stdout.readline())
    finally:
        child.terminate()
        child.wait(timeout=10)
    return first, second


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
            return True
    except urllib.error.HTTPError:  # not well, without a radio; but it answers
        return True
    except OSError:
        return False


def _settings(directory: Path) -> tuple[Path, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        screen, nobody = one.getsockname()[1], other.getsockname()[1]
    path = directory / "gateway.toml"
    path.write_text(
        f'[gateway]\nname = "gw-bench"\ndata_directory = "data-{uuid4().hex}"\nclock_trusted = true\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {nobody}\n[screen]\nport = {screen}\n'
    )
    return path, screen


# --- the child ---------------------------------------------------------------------------------------------


def _run_a_day(path: Path) -> None:
    """The gateway as `run` composes it and one part more, a day of customers; prints its RSS before and after."""
    from gateway import app, config, machine

    class Bench(app.Gateway):
        def parts(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
            return [*super().parts(), ("day", self.day)]

        async def day(self) -> None:
            await asyncio.sleep(SETTLES_S)
            print(_own_rss_mb(), flush=True)
            await asyncio.to_thread(sys.stdin.readline)  # the screen is looking
            for number in range(READINGS_PER_DAY):
                reading = _reading(number)
                await self.outbox.put([reading])
                self.board.saved(reading)
                await asyncio.sleep(0.01)  # the screen draws each of them
            print(_own_rss_mb(), flush=True)
            stop.set()
            await asyncio.sleep(TIMEOUT_S)

    async def run() -> None:
        settings = config.load(path)
        listener = machine.listen(settings.screen.host, settings.screen.port)
        async with machine.opened(settings) as outbox:
            await Bench(settings, outbox, listener).run(stop)

    stop = asyncio.Event()
    asyncio.run(run())


def _reading(number: int) -> Any:
    from gateway.wire.messages import Device, Reading, TakenAt, TimeQuality
    from gateway.wire.vocabulary import Kind

    at = datetime.now(UTC) - timedelta(minutes=READINGS_PER_DAY - number)
    return Reading(
        id=uuid4(),
        kind=Kind.GLUCOSE,
        device=Device(
            key=f"M-{number % 12}", maker="Bench", model="B1", address=f"C4:5E:00:00:00:{number % 12:02X}"
        ),
        record_key=str(number),
        time=TakenAt(at=at, quality=TimeQuality.DEVICE, received=at),
        conversation=uuid4(),
        driver="ble.glucose",
        values={"glucose_mmol_l": Decimal("6.2") + number % 10},
    )


def _own_rss_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS here")


if __name__ == "__main__":
    _run_a_day(Path(sys.argv[1]))
