"""Kills gateways, ingest, broker and PostgreSQL with SIGKILL at random moments under load, then counts.

    python -m hil_tests.custody.siege [KILLS] [SEED]

Two gateways are `store`: the gateway's parts under a hundred readings a second, and a witness. The third is
`python -m gateway run` as a store runs it. What must hold: every reading in a store's outbox, and every one that a
witness saw saved, is in the ledger exactly once, with the member whose card was scanned; nothing else is there.
"""

import contextlib
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
from hil_tests.custody import truth
from hil_tests.custody.children import Child, RealGateway

CHAIN, STORE = "kang", "s1"
WITNESSED = ("gw-siege-1", "gw-siege-2")
REAL = "gw-siege-3"
GATEWAYS = (*WITNESSED, REAL)
MEMBERS = {f"CARD{number:03d}": uuid5(UUID(int=7), str(number)) for number in range(40)}
VICTIMS = (*GATEWAYS, "ingest", "broker", "postgres")
ALL_HOME_WITHIN_S = 180.0
"""After the last kill: the longest back-off of an uplink is 30 s, and of the ingest no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What was found when the dust had settled."""

    kills: dict[str, int]
    saved: int  # readings in some outbox, or seen by a witness
    saved_by_real: int  # ... of these, by `python -m gateway run`
    in_ledger: int
    lost: int  # saved and not in the ledger
    wrong_member: int
    from_nowhere: int  # in the ledger and in no outbox
    unknown: int  # in the ledger, and its store's witness did not see it
    unknown_at_most: int  # a kill between the commit and the witness hides one reading: one `put` is under way
    decided_twice: int  # readings with more than one attribution
    tasks: int
    double_tasks: int
    dead_letters: int

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or given to the wrong person."""
        return self.unknown <= self.unknown_at_most and not (
            self.lost
            or self.wrong_member
            or self.from_nowhere
            or self.decided_twice
            or self.double_tasks
            or self.dead_letters
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What the stores have: whose each reading of each outbox is, and what the witnesses saw."""

    held: dict[UUID, str | None]
    by_real: int
    seen: dict[UUID, str]

    @property
    def ids(self) -> set[UUID]:
        """Everything that must be in the ledger."""
        return self.held.keys() | self.seen.keys()


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
            time.sleep(chance.uniform(0.1, 1.6))
            city[victim].kill()
            time.sleep(chance.uniform(0.0, 0.4))
            city[victim].start()
        time.sleep(1.0)
        for name in GATEWAYS:
            # The customers go home; the gateways stay until all is told. A stop is one more crash.
            city[name].kill()
        saved = _saved(directory)
        for name in GATEWAYS:
            city[name] = stack.enter_context(_gateway(directory, name, broker, cards=()))
        _wait_until_home(engine, saved.ids)
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
    if name == REAL:
        return RealGateway(home, name, broker.port, cards)
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


def _saved(directory: Path) -> Saved:
    real = {one.id: truth.card_of(one) for one in truth.held(directory / REAL / "data")}
    held = dict(real)
    seen: dict[UUID, str] = {}
    for name in WITNESSED:
        held |= {one.id: truth.card_of(one) for one in truth.held(directory / name / "outbox")}
        seen |= truth.witnessed(directory / name / "saved.log")
    return Saved(held=held, by_real=len(real), seen=seen)


def _wait_until_home(engine: Engine, saved: set[UUID]) -> None:
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


def _count(engine: Engine, saved: Saved, kills: Counter[str]) -> Count:
    with engine.connect() as connection:
        rows = connection.execute(select(readings.c.id, readings.c.member_id, readings.c.gateway_id)).all()
        # Nobody changes an owner here, so a decision beside the one on the reading's own row would be a second.
        decided_again = len(connection.execute(select(attributions.c.reading_id)).all())
        about = Counter(connection.execute(select(tasks.c.reading_id)).scalars())
        letters = len(connection.execute(select(dead_letters.c.id)).all())
    ledger = {row.id: row.member_id for row in rows}
    whose = {id: MEMBERS[code] if code else None for id, code in (saved.held | saved.seen).items()}
    return Count(
        kills=dict(kills),
        saved=len(saved.ids),
        saved_by_real=saved.by_real,
        in_ledger=len(ledger),
        lost=len(saved.ids - ledger.keys()),
        wrong_member=sum(ledger[id] != member for id, member in whose.items() if id in ledger),
        from_nowhere=len(ledger.keys() - saved.held.keys()),
        unknown=sum(row.gateway_id in WITNESSED and row.id not in saved.seen for row in rows),
        unknown_at_most=sum(kills[name] + 1 for name in WITNESSED),  # and each is killed once more at the end
        decided_twice=decided_again,
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
