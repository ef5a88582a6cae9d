"""`make demo`, as a visitor runs it, on ports of its own."""

import fcntl
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.demo import run
from cloud.demo.debian import find
from cloud.demo.processes import leftovers
from cloud.demo.servers import free_port

PATIENCE_S = 120
"""A hung demo must not hang the tests; nobody waits this long."""

pytestmark = pytest.mark.skipif(find("mosquitto") is None, reason="no mosquitto here; `make setup` says why")


class Demo:
    """A running `python -m cloud.demo.run` and what it prints."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.screens = (free_port(), free_port())
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cloud.demo.run", "--directory", str(directory)),
                *("--port", str(self.port), "--screens", *map(str, self.screens)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DEMO_PACE_S": "0.5"},
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def until(self, words: str) -> str:
        """Waits for a line with `words` in it."""
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            self.said.append(line)
            if words in line:
                return line
        raise AssertionError(f"never said {words!r}:\n{''.join(self.said)}")

    def health(self) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=10) as answer:
            return json.load(answer)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path / "demo")
    yield running
    if running.process.poll() is None:
        running.end()


def _process_of(directory: Path, words: str) -> int:
    return next(
        process
        for process in leftovers(directory)
        if words in Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    )


def test_a_visitor_sees_a_chain_at_work_and_ctrl_c_leaves_nothing_running(demo: Demo) -> None:
    demo.until("Kangdock runs")
    before = demo.health()
    assert before["readings"] > 8000
    assert before["tasks"] > 50
    assert before["dead_letters"] == 0
    for port in demo.screens:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as screen:
            assert screen.status == 200

    waiting = threading.Event()
    for _second in range(PATIENCE_S):
        if demo.health()["readings"] > before["readings"]:
            break
        waiting.wait(1)
    assert demo.health()["readings"] > before["readings"], "no customer's reading arrived"

    os.kill(_process_of(demo.directory, "cloud ingest"), signal.SIGKILL)
    demo.until("ingest died")
    demo.until("ingest runs again")

    assert demo.end() == 0
    assert leftovers(demo.directory) == []


def test_a_busy_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "cloud.demo.run", "--directory", str(tmp_path / "demo")),
                *("--port", str(port), "--screens", str(free_port()), str(free_port())),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 1
    assert f"port {port} is in use" in done.stderr
    assert leftovers(tmp_path / "demo") == []


def test_a_second_demo_in_the_same_place_is_turned_away(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    with (tmp_path / "demo" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-m", "cloud.demo.run", "--directory", str(tmp_path / "demo")],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 1
    assert "running here already" in done.stderr


def test_a_demo_made_by_other_migrations_is_forgotten_and_one_made_by_todays_is_kept(tmp_path: Path):
    (tmp_path / "lock").touch()
    assert not run.forget_another_schema(tmp_path)
    (tmp_path / "postgres").mkdir()
    assert not run.forget_another_schema(tmp_path)
    (tmp_path / "schema").write_text("of another version")
    (tmp_path / "gw-n01.cards").touch()
    assert run.forget_another_schema(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["lock", "schema"]
