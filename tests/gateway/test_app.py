"""The whole gateway as a process: it starts, reads virtual meters, hands over, survives and ends cleanly."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from cloud.demo.servers import Broker, free_port
from gateway import app, machine
from gateway.buffer.opening import LIVE
from gateway.buffer.schema import FILE_NAME, unseal
from gateway.config import load
from gateway.drivers import DRIVERS
from gateway.transports.ble import Ble
from gateway.wire import codec, topics
from gateway.wire.messages import Outcome, Receipt

WAIT_S = 40.0
VIRTUAL = """
[virtual]
meters = ["glucose", "pressure"]
cards = "cards.txt"
pace_s = 0.2
seed = 7
"""


def settings(directory: Path, broker_port: int, *, name: str, more: str = "") -> tuple[Path, int]:
    port = free_port()
    (directory / "cards.txt").write_text("M0001042\nM0001043\n")
    path = directory / "gateway.toml"
    path.write_text(
        f'[gateway]\nname = "{name}"\ndata_directory = "data"\nclock_trusted = true\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n'
        f"[screen]\nport = {port}\n[ble]\nenabled = false\n{more}"
    )
    return path, port


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "gateway", "run", "--config", str(path)]


@contextmanager
def running(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (path.parent / "gateway.log").open("ab") as log:
        process = subprocess.Popen(command(path), stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ask(port: int, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return json.load(answer)
    except OSError:
        return None


def post(port: int, path: str, **form: str) -> int:
    try:
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def until(wanted: Callable[[], Any], what: str) -> Any:
    """Polls another process; there is no event to wait for across the border."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if found := wanted():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never came: {what}")


async def receipt_everything(port: int, gateway: str, enough: Callable[[], Any]) -> int:
    """A cloud that receipts every batch; returns how many readings it was handed once `enough` says so."""
    seen: set[str] = set()
    async with (
        asyncio.timeout(WAIT_S),
        aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client,
    ):
        await client.subscribe(f"{topics.ROOT}/{gateway}/batch/+", qos=1)
        async for message in client.messages:
            envelope, readings = codec.decode_batch(bytes(message.payload))
            seen.update(str(reading.id) for reading in readings)
            receipt = Receipt(batch=envelope.id, outcome=Outcome.ACCEPTED, stored=len(readings))
            await client.publish(topics.receipt(gateway, envelope.id), codec.encode(receipt), qos=1)
            if await asyncio.to_thread(enough):
                return len(seen)
    return 0


def test_virtual_customers_measure_and_the_cloud_receives_it(tmp_path: Path, broker: Broker):
    path, port = settings(tmp_path, broker.port, name="gw-app-1", more=VIRTUAL)
    with running(path) as process:
        until(lambda: ask(port, "/healthz"), "an answer of /healthz")

        def received() -> bool:
            state = ask(port, "/state")
            return bool(state and state["received"] >= 1)

        assert asyncio.run(receipt_everything(broker.port, "gw-app-1", received)) >= 1
        health = until(lambda: (it := ask(port, "/healthz")) and it["status"] == "ok" and it, "a healthy gateway")
        assert health["uplink"] == "up"
        assert health["transports"] == {"virtual": "ok"}
        assert health["parts_down"] == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    log = (tmp_path / "gateway.log").read_text()
    assert "gateway.stopping" in log
    assert "Traceback" not in log
    assert "M000104" not in log  # no card code in any log line


def test_no_card_no_name_and_no_value_is_in_anything_the_gateway_prints(tmp_path: Path, broker: Broker):
    path, port = settings(tmp_path, broker.port, name="gw-app-11", more=VIRTUAL)
    with running(path) as process:
        until(lambda: ask(port, "/healthz"), "an answer of /healthz")
        for code, staff, status in (
            ("M0001044", "李雷", 200),
            ("M0001044", "李雷\0", 422),
            ("会员M0001044", "", 422),
        ):
            assert post(port, "/visits", code=code, staff=staff) == status

        def received() -> bool:
            state = ask(port, "/state")
            return bool(state and state["received"] >= 1)

        asyncio.run(receipt_everything(broker.port, "gw-app-11", received))
        shown = until(lambda: (it := ask(port, "/state")) and it["last"] and it["last"]["values"], "a reading")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    log = (tmp_path / "gateway.log").read_text()
    assert "docking.done" in log
    assert "visit.opened" in log
    secrets = {"M000104", "李", "mmol", "mmhg", *shown}
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / LIVE / FILE_NAME)) as kept:
        readings = [codec.decode_reading(unseal(body)) for (body,) in kept.execute("SELECT body FROM reading")]
    for reading in readings:
        secrets |= {reading.device.serial} | {str(value) for value in reading.values.values() if value % 1}
        secrets |= {f"{name}={value}" for name, value in reading.values.items()}
    assert readings
    found = [one for one in secrets if re.search(rf"(?<![\w.:,]){re.escape(one)}(?![\w.])", log)]
    assert not [*found, *(one for one in ("M000104", "李", "mmol", "mmhg") if one in log)]


def test_with_the_broker_away_readings_wait_and_are_there_after_a_kill(tmp_path: Path):
    path, port = settings(tmp_path, free_port(), name="gw-app-2", more=VIRTUAL)
    with running(path) as process:
        waiting = until(
            lambda: (ask(port, "/healthz") or {"unsent": 0})["unsent"] >= 2 and ask(port, "/healthz"),
            "two readings on the disk",
        )
        assert waiting["uplink"] in ("down", "connecting")
        process.kill()
    path.write_text(path.read_text().replace(VIRTUAL, ""))
    with running(path):
        health = until(lambda: ask(port, "/healthz"), "an answer after the restart")
        assert health["unsent"] >= waiting["unsent"]
        assert health["damaged"] == 0


def test_a_visit_outlives_a_kill_and_ends_with_a_stop(tmp_path: Path):
    path, port = settings(tmp_path, free_port(), name="gw-app-14")

    def visitor() -> Any:
        state = until(lambda: ask(port, "/state"), "an answer of /state")
        return state["visit"] and state["visit"]["code_tail"]

    with running(path) as process:
        until(lambda: ask(port, "/healthz"), "an answer of /healthz")
        assert post(port, "/visits", code="M0001042") == 200
        process.kill()
    with running(path) as process:
        assert visitor() == "1042"
        process.terminate()
        assert process.wait(timeout=20) == 0
    with running(path):
        assert visitor() is None


def test_ctrl_c_ends_it_with_a_screen_still_looking(tmp_path: Path):
    path, port = settings(tmp_path, free_port(), name="gw-app-3")
    with running(path) as process:
        until(lambda: ask(port, "/healthz"), "an answer of /healthz")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/events", timeout=10) as events:
            assert events.readline().startswith(b"retry:")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0


def test_it_ends_promptly_while_the_line_swallows_everything(tmp_path: Path):
    with socket.socket() as broker, contextlib.ExitStack() as callers:
        broker.bind(("127.0.0.1", 0))
        broker.listen(0)  # a full queue makes Linux drop whoever calls next, as a dead 4G line does
        for _ in range(2):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(broker.getsockname())
        path, port = settings(tmp_path, broker.getsockname()[1], name="gw-app-10")
        with running(path) as process:
            until(lambda: ask(port, "/healthz"), "an answer of /healthz")
            process.terminate()
            assert process.wait(timeout=5) == 0


def test_a_wrong_line_stops_it_before_anything_starts(tmp_path: Path):
    path, _ = settings(tmp_path, 1883, name="gw-app-4", more='[screeen]\nhost = "x"\n')
    ended = subprocess.run(command(path), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "screeen: unknown; expected 'screen'" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_virtual_store_without_cards_says_so(tmp_path: Path):
    path, _ = settings(tmp_path, 1883, name="gw-app-9", more=VIRTUAL)
    (tmp_path / "cards.txt").unlink()
    ended = subprocess.run(command(path), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "virtual.cards" in ended.stderr
    assert "cards.txt: there is no such file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_gateway_on_the_same_store_gets_no_further_than_a_sentence(tmp_path: Path):
    path, port = settings(tmp_path, free_port(), name="gw-app-5")
    with running(path):
        until(lambda: ask(port, "/healthz"), "an answer of /healthz")
        same_port = subprocess.run(command(path), capture_output=True, text=True, timeout=30, check=False)
        path.write_text(path.read_text().replace(str(port), str(free_port())))
        same_data = subprocess.run(command(path), capture_output=True, text=True, timeout=30, check=False)
    assert same_port.returncode == same_data.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in same_port.stderr
    assert "another gateway is running" in same_data.stderr


def test_a_gateway_without_radio_or_virtual_meters_loads_neither(tmp_path: Path):
    program = (
        "import sys, gateway.app\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'bumble', 'bleak', 'cloud', 'sqlalchemy'}))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


class Boom(app.Gateway):
    """A gateway with one part more, which crashes twice and then holds."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.tries = 0
        self.holds = asyncio.Event()

    def parts(self) -> Any:
        return [*super().parts(), ("boom", self.boom)]

    async def boom(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise ValueError("M0001042 measured 6.2")
        self.holds.set()
        await asyncio.Event().wait()


def test_a_part_that_crashes_is_started_again_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(app, "FIRST_PAUSE_S", 0.0)
    path, port = settings(tmp_path, free_port(), name="gw-app-7")

    async def play() -> tuple[int, Any]:
        config, stop = load(path, {}), asyncio.Event()
        async with machine.opened(config) as outbox:
            gateway = Boom(config, outbox, machine.listen("127.0.0.1", port))
            running = asyncio.create_task(gateway.run(stop))
            await asyncio.wait_for(gateway.holds.wait(), WAIT_S)
            health = await asyncio.to_thread(ask, port, "/healthz")
            stop.set()
            await running
            return gateway.tries, health

    tries, health = asyncio.run(play())
    assert tries == 3
    assert health["status"] == "degraded"  # until it has held for a while
    assert health["parts_down"] == ["boom"]
    assert "part.crashed part=boom error=ValueError" in caplog.text
    assert "6.2" not in caplog.text  # an error's words may hold a reading


def test_without_its_outbox_the_gateway_stops(tmp_path: Path):
    path, port = settings(tmp_path, free_port(), name="gw-app-8")

    async def play() -> None:
        config = load(path, {})
        async with machine.opened(config) as outbox:

            async def fails(now: object, *, clock_trusted: bool) -> int:
                raise sqlite3.OperationalError("disk I/O error")

            outbox.housekeep = fails
            await app.Gateway(config, outbox, machine.listen("127.0.0.1", port)).run(asyncio.Event())

    with pytest.raises(machine.OutboxFailed):
        asyncio.run(asyncio.wait_for(play(), WAIT_S))


def test_systemd_is_told_that_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):

    path, _ = settings(tmp_path, free_port(), name="gw-app-6")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(WAIT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with running(path):
            told = {systemd.recv(64) for _ in range(2)}
    assert told == {b"READY=1", b"WATCHDOG=1"}


def test_the_radio_is_given_the_passkeys_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given: dict[str, Any] = {}

    class Radio(Ble):
        def __init__(self, *services: Any, **options: Any) -> None:
            given.update(options)
            super().__init__(*services, **options)

    monkeypatch.setattr("gateway.transports.ble.Ble", Radio)
    path, port = settings(tmp_path, free_port(), name="gw-app-12")
    text = path.read_text().replace("enabled = false\n", "enabled = true\n")
    path.write_text(text + '[ble.passkeys]\n"C4:64:E3:00:00:01" = "004711"\n')

    async def play() -> list[str]:
        config = load(path, {})
        async with machine.opened(config) as outbox:
            with machine.listen("127.0.0.1", port) as listener:
                return [name for name, _ in app.Gateway(config, outbox, listener).parts()]

    assert "ble" in asyncio.run(play())
    assert given["passkeys"] == {"C4:64:E3:00:00:01": 4711}
    assert set(given["names"]) == {
        name for driver in DRIVERS if driver.transport == "ble" for name in driver.names
    }
