"""Kills gateways, ingest, broker and PostgreSQL with SIGKILL at random moments under load, then counts.

    python -m hil_tests.custody.siege [KILLS] [SEED]

What must hold: every reading a store has saved is in the ledger exactly once, with the member whose card was
scanned, and nothing is there that was not measured.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID, uuid5

from sqlalchemy import Engine, insert, select

from cloud import db
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.crm.tasks.tables import tasks
from cloud.demo.servers import Broker, Postgres, Server, free_port
from cloud.ledger.tables import attributions, dead_letters, readings

CHAIN, STORE = "kang", "s1"
GATEWAYS = ("gw-siege-1", "gw-siege-2")
MEMBERS = {f"CARD{number:03d}": uuid5(UUID(int=7), str(number)) for number in range(40)}
VICTIMS = ("gw-siege-1", "gw-siege-2", "ingest", "broker", "postgres")
ALL_HOME_WITHIN_S = 180.0
"""After the last kill: the longest back-off of an uplink is 30 s, and of the ingest no more."""


class Child(Server):
    """One of our own processes."""

    def __init__(self, directory: Path, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        super().__init__(directory)
        self.name = name
        self._arguments = arguments
        self._environment = environment

    def command(self) -> list[str]:
        """See Server."""
        settings = [f"{key}={value}" for key, value in self._environment.items()]
        return ["/usr/bin/env", *settings, sys.executable, "-m", *self._arguments]

    def ready(self) -> bool:
        """It is not asked: a siege has no time to wait for its victims."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What was found when the dust had settled."""

    kills: dict[str, int]
    saved: int  # readings that a store's `put` has returned for
    in_ledger: int
    lost: int  # saved and not in the ledger
    wrong_member: int
    unknown: int  # in the ledger and never measured (more than those in flight at a kill)
    decided_twice: int  # readings with more than one attribution
    tasks: int
    double_tasks: int
    dead_letters: int

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or given to the wrong person."""
        return not (self.lost or self.wrong_member or self.decided_twice or self.double_tasks or self.dead_letters)


def besiege(directory: Path, kills: int, seed: int) -> Count:
    """Runs the siege in `directory`; every victim in turn, the order and the moments by `seed`."""
    chance = random.Random(seed)
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(Postgres(directory / "postgres"))
        broker = stack.enter_context(Broker(directory / "broker"))
        engine = db.engine(postgres.url)
        stack.callback(engine.dispose)
        db.migrate(engine)
        _found_a_chain(engine)
        city: dict[str, Server] = {"postgres": postgres, "broker": broker}
        for child in _children(directory, postgres, broker):
            city[child.name] = stack.enter_context(child)
        order = [
            victim for _ in range(-(-kills // len(VICTIMS))) for victim in chance.sample(VICTIMS, len(VICTIMS))
        ]
        for victim in order[:kills]:
            time.sleep(chance.uniform(0.2, 2.0))
            city[victim].kill()
            time.sleep(chance.uniform(0.0, 1.0))
            city[victim].start()
        time.sleep(1.0)
        for name in GATEWAYS:
            # The customers go home; the gateways stay until all is told. A stop is one more crash.
            city[name].kill()
        saved = _saved(directory)
        for name in GATEWAYS:
            city[name] = stack.enter_context(_gateway(directory, name, broker, cards=()))
        _wait_until_home(engine, saved)
        return _count(engine, saved, Counter(order[:kills]))


def _children(directory: Path, postgres: Postgres, broker: Broker) -> Iterator[Child]:
    environment = {
        "DATABASE_URL": postgres.url,
        "MQTT_HOST": "127.0.0.1",
        "MQTT_PORT": str(broker.port),
        "INGEST_HEALTH_PORT": str(free_port()),
        "KANGDOCK_MODE": "demo",
    }
    yield Child(directory / "ingest", "ingest", ["cloud", "ingest"], environment)
    for name in GATEWAYS:
        yield _gateway(directory, name, broker, cards=tuple(MEMBERS))


def _gateway(directory: Path, name: str, broker: Broker, cards: tuple[str, ...]) -> Child:
    home = directory / name
    home.mkdir(exist_ok=True)
    return Child(home, name, ["hil_tests.custody.store", str(home), name, str(broker.port), *cards], {})


def _found_a_chain(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(org_units),
            [
                {"chain_id": CHAIN, "id": CHAIN, "kind": "chain", "path": f"/{CHAIN}/", "name": "Siege"},
                {"chain_id": CHAIN, "id": STORE, "kind": "store", "path": f"/{CHAIN}/{STORE}/", "name": "Store"},
            ],
        )
        connection.execute(
            insert(gateways), [{"id": name, "chain_id": CHAIN, "store_id": STORE} for name in GATEWAYS]
        )
        connection.execute(
            insert(members),
            [
                {"chain_id": CHAIN, "id": id, "code": code, "name": "M", "store_id": STORE}
                for code, id in MEMBERS.items()
            ],
        )


def _saved(directory: Path) -> dict[UUID, str]:
    lines = itertools.chain.from_iterable(
        (directory / name / "saved.log").read_text().splitlines() for name in GATEWAYS
    )
    return {UUID(id): code for id, code in (line.split() for line in lines)}


def _wait_until_home(engine: Engine, saved: dict[UUID, str]) -> None:
    deadline = time.monotonic() + ALL_HOME_WITHIN_S
    missing = set(saved)
    while missing and time.monotonic() < deadline:
        time.sleep(1.0)
        with engine.connect() as connection:
            missing -= set(connection.execute(select(readings.c.id)).scalars())
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        # Tasks are raised after the receipt; wait until the ledger has no work left.
        time.sleep(1.0)
        with engine.connect() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM work").scalar_one()
        quiet = 0 if left else quiet + 1


def _count(engine: Engine, saved: dict[UUID, str], kills: Counter[str]) -> Count:
    with engine.connect() as connection:
        ledger = {row.id: row.member_id for row in connection.execute(select(readings.c.id, readings.c.member_id))}
        decided = Counter(connection.execute(select(attributions.c.reading_id)).scalars())
        about = Counter(connection.execute(select(tasks.c.reading_id)).scalars())
        letters = len(connection.execute(select(dead_letters.c.id)).all())
    return Count(
        kills=dict(kills),
        saved=len(saved),
        in_ledger=len(ledger),
        lost=len(saved.keys() - ledger.keys()),
        wrong_member=sum(ledger[id] != MEMBERS[code] for id, code in saved.items() if id in ledger),
        unknown=len(ledger.keys() - saved.keys()),
        decided_twice=sum(times > 1 for times in decided.values()),
        tasks=sum(about.values()),
        double_tasks=sum(times > 1 for times in about.values()),
        dead_letters=letters,
    )


def main(kills: int, seed: int) -> int:
    """Runs one siege in a scratch folder and prints what was counted as JSON."""
    with tempfile.TemporaryDirectory(prefix="siege-") as scratch:
        count = besiege(Path(scratch), kills, seed)
    print(json.dumps(asdict(count) | {"holds": count.holds, "seed": seed}))
    return 0 if count.holds else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 40, int(sys.argv[2]) if len(sys.argv) > 2 else os.getpid())
    )
