"""`make demo`: a whole chain on this machine, until Ctrl-C.

It starts PostgreSQL and Mosquitto, fills the database once, runs the cloud, the ingest and two stores' gateways
with virtual meters, and starts again what dies. What a chain looks like is `people`'s and `seed`'s.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from cloud import db
from cloud.demo import debian, seed
from cloud.demo.people import PASSWORD, STAFF, STORES, Unit
from cloud.demo.processes import MARK, Service, stop_leftovers
from cloud.demo.servers import Broker, Postgres, Server, ServerError, free_port

PROJECT = Path(__file__).resolve().parents[2]
LIVE_STORES = ("n01", "s01")
"""One in each area, so that an area manager sees one of them and head office both."""
LOOK_EVERY_S = 0.5
LONGEST_PAUSE_S = 30.0
"""What keeps dying is started again twice a minute: often enough to go on when its cause goes away."""
DATABASE = "kangdock"

GATEWAY_CONFIG = """\
# Written by `make demo`.
[gateway]
name = "{gateway}"
data_directory = "{data}"
clock_trusted = true

[mqtt]
host = "127.0.0.1"
port = {broker_port}

[screen]
port = {screen_port}

[ble]
enabled = false

[[slots]]
name = "counter-1"
label = "{label}"

[virtual]
meters = ["pressure", "glucose", "sinocare", "taidoc", "three_in_one"]
cards = "{cards}"
pace_s = {pace_s}
seed = {seed}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Where and how fast."""

    directory: Path
    port: int
    screens: tuple[int, ...]
    pace_s: float


class CannotStart(RuntimeError):
    """Something outside the demo is in the way; the message says what and what to do."""


def main(argv: list[str] | None = None) -> int:
    """Runs the demo until SIGINT or SIGTERM; 1 and a reason when it cannot start."""
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    choices = _choices(argv)
    try:
        with _alone(choices.directory):
            _demo(choices, stop)
    except (CannotStart, ServerError, debian.Unavailable) as reason:
        print(f"\ndemo: {reason}", file=sys.stderr)
        return 1
    return 0


def _demo(choices: Choices, stop: threading.Event) -> None:
    began = time.monotonic()
    os.environ[MARK] = str(choices.directory)
    stopped = stop_leftovers(choices.directory)
    if stopped:
        _say(f"stopped {stopped} processes that an earlier demo left behind")
    _ports_free(choices)
    if forget_another_schema(choices.directory):
        _say("the chain that was here was made by another version; a new one is made")
    running: list[Server] = []
    try:
        for server in _servers(choices):
            if stop.is_set():
                return
            started = time.monotonic()
            server.start()
            running.append(server)
            _say(f"{server.name:<14} {time.monotonic() - started:4.1f} s")
            if isinstance(server, Postgres):
                _fill(server, choices)
        _welcome(choices, time.monotonic() - began)
        _watch(running, stop)
    finally:
        _end(running)


def forget_another_schema(directory: Path) -> bool:
    """Removes a demo whose tables were made by other migrations than today's; whether there was one.

    Until the first release a migration may be edited, and the demo's readings are play-acting.
    """
    migrations = sorted((Path(db.__file__).parent / "migrations" / "versions").glob("*.py"))
    today = hashlib.sha256(b"".join(file.read_bytes() for file in migrations)).hexdigest()
    mark = directory / "schema"
    other = (directory / "postgres").exists() and not (mark.exists() and mark.read_text() == today)
    if other:
        for one in directory.iterdir():
            if one.is_dir():
                shutil.rmtree(one)
            elif one.name != "lock":
                one.unlink()
    mark.write_text(today)
    return other


def _servers(choices: Choices) -> Iterator[Server]:
    """Everything in the order it starts; each is running when the next is asked for."""
    directory = choices.directory
    postgres = Postgres(directory / "postgres")
    yield postgres
    debian.provide("mosquitto", install=True)
    broker = Broker(directory / "broker")
    yield broker
    os.environ |= {
        "KANGDOCK_MODE": "demo",
        "DATABASE_URL": postgres.database(DATABASE),
        "MQTT_HOST": "127.0.0.1",
        "MQTT_PORT": str(broker.port),
        "PUBLIC_URL": f"http://127.0.0.1:{choices.port}",
        "INGEST_HEALTH_PORT": str(ingest_health := free_port()),
    }
    logs = directory / "logs"
    yield Service("cloud", logs, ["cloud", "serve", "--port", str(choices.port)], choices.port)
    yield Service("ingest", logs, ["cloud", "ingest"], ingest_health)
    stores = [store for store in STORES if store.chain_id == "kang" and store.id in LIVE_STORES]
    for number, (store, port) in enumerate(zip(stores, choices.screens, strict=True), start=1):
        config = _configure(store, number, port, broker.port, choices)
        yield Service(store.gateway, logs, ["gateway", "run", "--config", str(config)], port)


def _fill(postgres: Postgres, choices: Choices) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")
    engine = db.engine(postgres.database(DATABASE))
    db.migrate(engine)
    engine.dispose()
    url = postgres.database(DATABASE)
    if not seed.seeded(url):
        _say("a chain, 400 members and their year (once) ...")
        started = time.monotonic()
        rows = seed.seed(url, db.now())
        _say(
            f"{rows['members']} members, {rows['readings']} readings, {rows['tasks']} tasks "
            f"{time.monotonic() - started:.1f} s"
        )
    with psycopg.connect(url) as connection:
        for store in STORES:
            codes = connection.execute(
                "SELECT code FROM members WHERE chain_id = %s AND store_id = %s ORDER BY code",
                (store.chain_id, store.id),
            ).fetchall()
            cards = choices.directory / f"{store.gateway}.cards"
            cards.write_text("".join(f"{code}\n" for (code,) in codes))


def _configure(store: Unit, number: int, port: int, broker_port: int, choices: Choices) -> Path:
    path = choices.directory / f"{store.gateway}.toml"
    path.write_text(
        GATEWAY_CONFIG.format(
            gateway=store.gateway,
            data=choices.directory / store.gateway,
            broker_port=broker_port,
            screen_port=port,
            label=store.name,
            cards=choices.directory / f"{store.gateway}.cards",
            pace_s=choices.pace_s,
            seed=number,
        ),
        encoding="utf-8",
    )
    return path


def _watch(running: list[Server], stop: threading.Event) -> None:
    """Looks after them until it is told to stop; what dies is shown and started again."""
    pauses: dict[str, tuple[float, float]] = {}  # name -> (not before, how long next time)
    while not stop.wait(LOOK_EVERY_S):
        for server in running:
            if server.running or stop.is_set():
                continue
            not_before, pause_s = pauses.get(server.name, (0.0, 1.0))
            if time.monotonic() < not_before:
                continue
            pauses[server.name] = (time.monotonic() + pause_s, min(pause_s * 2, LONGEST_PAUSE_S))
            _say(f"{server.name} died; its log {server.log} ends:\n{_indented(server.tail())}")
            try:
                server.start()
                _say(f"{server.name} runs again")
            except ServerError as error:
                _say(str(error))


def _end(running: list[Server]) -> None:
    """Our own programs all at once, then the broker and the database they speak to."""
    own = [server for server in running if isinstance(server, Service)]
    others = [server for server in running if not isinstance(server, Service)]
    started = time.monotonic()
    for group in (own, others):
        if group:
            with ThreadPoolExecutor(len(group)) as pool:
                list(pool.map(lambda server: server.stop(), group))
    _say(f"stopped in {time.monotonic() - started:.1f} s")
    _say("`make demo` goes on where this ended, `make clean` forgets it")


def _ports_free(choices: Choices) -> None:
    for port in (choices.port, *choices.screens):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise CannotStart(
                    f"port {port} is in use by another program (`ss -ltnp 'sport = :{port}'` names it); stop that "
                    "first, nothing was started"
                ) from None


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart("a demo is running here already; Ctrl-C in its window stops it") from None
        yield


def _welcome(choices: Choices, took_s: float) -> None:
    names = {store.id: store.name for store in STORES}
    lines = [
        "",
        f"Kangdock runs ({took_s:.0f} s). Customers dock a meter every few seconds; Ctrl-C stops everything.",
        "",
        f"  http://127.0.0.1:{choices.port}   worklist, members, unclaimed readings",
    ]
    for store_id, port in zip(LIVE_STORES, choices.screens, strict=True):
        lines.append(f"  http://127.0.0.1:{port}   dock screen of {names[store_id]}")
    lines += ["", f"  password of every login: {PASSWORD}"]
    lines += [f"  {one.login:<16}{one.role:<16}{one.unit:<8}{one.name}" for one in STAFF]
    lines += ["", f"  logs: {choices.directory / 'logs'}", ""]
    print("\n".join(lines), flush=True)


def _say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _choices(argv: list[str] | None) -> Choices:
    parser = argparse.ArgumentParser(prog="python -m cloud.demo.run", description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=PROJECT / ".cache" / "demo", help="where its data lives")
    parser.add_argument("--port", type=int, default=8000, help="of the cloud")
    parser.add_argument("--screens", type=int, nargs=2, default=(8101, 8102), help="of the two dock screens")
    given = parser.parse_args(argv)
    try:
        pace_s = float(os.environ.get("DEMO_PACE_S", "6"))
    except ValueError:
        parser.error("DEMO_PACE_S is the number of seconds between two customers, such as 6")
    return Choices(
        directory=given.directory.resolve(), port=given.port, screens=tuple(given.screens), pace_s=pace_s
    )


if __name__ == "__main__":
    sys.exit(main())
