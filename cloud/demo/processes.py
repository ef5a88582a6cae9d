"""The demo's own processes: how one service is run, and how what a crashed demo left is found and stopped.

`make clean` runs this file with a bare Python 3.11, so it and `servers` import nothing but the standard library.
"""

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from cloud.demo.servers import Server

MARK = "KANGDOCK_DEMO"
"""Every process of a demo inherits this variable; its value is the demo's folder."""
STOP_WITHIN_S = 5.0
LOG_MAX_BYTES = 2_000_000
"""A log that is longer when the demo starts is begun anew."""


class Service(Server):
    """One of Kangdock's own programs, ready when its health page (where it has one) answers 200."""

    def __init__(
        self, name: str, directory: Path, arguments: Sequence[str], health_port: int | None = None
    ) -> None:
        self.name = name
        super().__init__(directory, health_port)
        self._arguments = list(arguments)
        self._health_port = health_port
        if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
            self.log.unlink()

    def command(self) -> list[str]:
        """See Server."""
        return [sys.executable, "-m", *self._arguments]

    def ready(self) -> bool:
        """See Server."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False


def leftovers(directory: Path) -> list[int]:
    """Process ids of a demo in `directory` whose own process is gone, this process aside."""
    marked = f"{MARK}={directory.resolve()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if marked in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def stop_leftovers(directory: Path) -> int:
    """Ends them: asked first, then by force. Returns how many there were."""
    processes = leftovers(directory)
    for how, patience_s in ((signal.SIGINT, STOP_WITHIN_S), (signal.SIGKILL, STOP_WITHIN_S)):
        for process in leftovers(directory):
            try:
                os.kill(process, how)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + patience_s
        while leftovers(directory) and time.monotonic() < deadline:
            time.sleep(0.1)
    return len(processes)


if __name__ == "__main__":
    stopped = stop_leftovers(Path(__file__).resolve().parents[2] / ".cache" / "demo")
    if stopped:
        print(f"clean: stopped {stopped} processes of a demo")
