"""Forty meters at two counters for some minutes of dense trade, and then the count.

    python -m hil_tests.trade [MINUTES] [--seed N]

The gateway is `python -m gateway run` with a clock that begins in 1970; it is killed again and again. Broker,
ingest and PostgreSQL are real. 0 when everything held; the count is a line of JSON.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Engine, insert

from cloud import db
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.demo.servers import Broker, Postgres, free_port
from hil_tests.custody.children import Child
from hil_tests.trade import truth
from hil_tests.trade.shop import SLOTS, Meter, Shop, opened
from hil_tests.trade.truth import Used, name_of

MINUTES = 6.0
GATEWAY, CHAIN, STORE = "gw-trade-1", "kang", "s1"
MEMBERS = {f"CARD{number:03d}": uuid5(UUID(int=9), str(number)) for number in range(60)}
SAVED_WITHIN_S = 25.0
"""A customer waits so long for the screen to say "saved", then leaves; the meter keeps what it has."""
NO_CARD = 0.15
KILL_EVERY_S = (8.0, 25.0)
IN_1970_FOR = 0.12
"""This part of the time the gateway does not know what year it is."""
HOME_WITHIN_S = 180.0
CONFIG = """\
[gateway]
name = "{name}"
data_directory = "data"

[mqtt]
host = "127.0.0.1"
port = {broker_port}

[screen]
port = {screen_port}
"""
SLOT = """
[[slots]]
name = "{name}"
meters = {meters}
"""
PORT = """
[[serial]]
usb_path = "{place}"
driver = "{driver}"
"""


class Trade:
    """Customers at the counters, somebody who pulls the gateway's plug, and a list of what was measured."""

    def __init__(self, shop: Shop, gateway: Child, port: int, clock: Path, chance: Random) -> None:
        self.used: list[Used] = []
        self.kills = 0
        self.waited: list[float] = []
        self.left_waiting = 0
        self._shop, self._gateway, self._port, self._clock, self._chance = shop, gateway, port, clock, chance
        self._trusted = False
        self.first_trusted_at = datetime.max.replace(tzinfo=UTC)

    async def run(self, minutes: float) -> None:
        """Trades for so long."""
        self._set_clock(trusted=False)
        self._gateway.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(minutes * 60), asyncio.TaskGroup() as tasks:
                for slot in SLOTS:
                    tasks.create_task(self._serve(slot))
                tasks.create_task(self._kill())
                tasks.create_task(self._jump(minutes * 60 * IN_1970_FOR))

    async def go_home(self, engine: Engine) -> None:
        """Everything that was measured is fetched and delivered, or the time is over."""
        if not self._gateway.running:
            self._gateway.start()
        deadline = asyncio.get_running_loop().time() + HOME_WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            await self._shop.call_again()
            await asyncio.sleep(5.0)
            if await asyncio.to_thread(truth.missing, engine, self.used) == 0:
                break
        await asyncio.sleep(2.0)  # what would come twice comes now

    async def _serve(self, slot: str) -> None:
        """One customer after the other at one counter."""
        mine = [meter for meter in self._shop.meters if meter.slot == slot]
        while True:
            card = None if self._chance.random() < NO_CARD else self._chance.choice(list(MEMBERS))
            if not await self._open(slot, card):
                await asyncio.sleep(0.5)
                continue
            for meter in self._chance.sample(mine, self._chance.randint(1, 2)):
                await self._measure(meter, card)

    async def _measure(self, meter: Meter, card: str | None) -> None:
        kind, values = meter.use()
        self.used.append(
            Used(
                name=name_of(meter.address, kind, values),
                driver=meter.family.driver,
                member=MEMBERS[card] if card else None,
                at=datetime.now(UTC),
                clock_trusted=self._trusted,
            )
        )
        before = await self._saved()
        began = asyncio.get_running_loop().time()
        await self._shop.show(meter)
        while asyncio.get_running_loop().time() - began < SAVED_WITHIN_S:
            now = await self._saved()
            if now is None or before is None:
                before = now  # killed in between: its count begins again
            elif now > before:
                self.waited.append(asyncio.get_running_loop().time() - began)
                return
            await asyncio.sleep(0.1)
        self.left_waiting += 1

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*KILL_EVERY_S))
            self._gateway.kill()
            self.kills += 1
            await asyncio.sleep(self._chance.uniform(0.0, 1.5))
            await asyncio.to_thread(self._gateway.start)

    async def _jump(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self.first_trusted_at = datetime.now(UTC)
        self._set_clock(trusted=True)

    def _set_clock(self, *, trusted: bool) -> None:
        behind_s = 0 if trusted else int(datetime.now(UTC).timestamp()) - 60
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{behind_s} {int(trusted)}")
        fresh.rename(self._clock)
        self._trusted = trusted

    async def _open(self, slot: str, card: str | None) -> bool:
        if card is None:
            return await self._ask("/visits/close", {"slot": slot}) is not None
        return await self._ask("/visits", {"slot": slot, "code": card}) is not None

    async def _saved(self) -> int | None:
        answer = await self._ask("/state")
        return None if answer is None else int(answer["saved"])

    async def _ask(self, path: str, form: dict[str, str] | None = None) -> dict[str, Any] | None:
        return await asyncio.to_thread(_ask, self._port, path, form)


def _ask(port: int, path: str, form: dict[str, str] | None) -> dict[str, Any] | None:
    """What the dock screen answers; None while there is no gateway."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=None if form is None else urllib.parse.urlencode(form).encode(),
        headers={"Accept": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found
    except (OSError, urllib.error.URLError, ValueError):
        return None


async def trade(directory: Path, minutes: float, seed: int) -> dict[str, object]:
    """One trade in `directory`; what was counted."""
    chance = Random(seed)
    with contextlib.ExitStack() as servers:
        postgres = servers.enter_context(Postgres(directory / "postgres"))
        broker = servers.enter_context(Broker(directory / "broker"))
        engine = db.engine(postgres.url)
        servers.callback(engine.dispose)
        db.migrate(engine)
        _found(engine)
        servers.enter_context(_ingest(directory, postgres, broker))
        async with opened(directory, chance) as shop:
            port = free_port()
            (directory / GATEWAY).mkdir()
            config = directory / GATEWAY / "gateway.toml"
            config.write_text(_config(shop, broker.port, port))
            gateway = Child(
                directory / GATEWAY, GATEWAY, ["hil_tests.trade.gateway", str(config), str(directory)], {}
            )
            trading = Trade(shop, gateway, port, directory / "clock", chance)
            try:
                await trading.run(minutes)
                await trading.go_home(engine)
            finally:
                gateway.kill()
            verdict = truth.compare(engine, trading.used, trading.first_trusted_at)
            waited = sorted(trading.waited)
            return {
                "holds": verdict.holds,
                "seed": seed,
                "minutes": minutes,
                "meters": len(shop.meters),
                "families": len({meter.family.driver for meter in shop.meters}),
                "kills": trading.kills,
                "faults": dict(shop.faults),
                **asdict(verdict),
                "left_before_saved": trading.left_waiting,
                "saved_p50_s": round(waited[len(waited) // 2], 2) if waited else None,
                "by_driver": dict(Counter(one.driver for one in trading.used)),
            }


def _config(shop: Shop, broker_port: int, screen_port: int) -> str:
    text = CONFIG.format(name=GATEWAY, broker_port=broker_port, screen_port=screen_port)
    for slot in SLOTS:
        text += SLOT.format(name=slot, meters=json.dumps([m.address for m in shop.meters if m.slot == slot]))
    for meter in shop.meters:
        if meter.family.is_serial:
            text += PORT.format(place=meter.address, driver=meter.family.driver)
    return text


def _ingest(directory: Path, postgres: Postgres, broker: Broker) -> Child:
    environment = {
        "DATABASE_URL": postgres.url,
        "MQTT_HOST": "127.0.0.1",
        "MQTT_PORT": str(broker.port),
        "INGEST_HEALTH_PORT": str(free_port()),
        "KANGDOCK_MODE": "demo",
    }
    return Child(directory / "ingest", "ingest", ["cloud", "ingest"], environment)


def _found(engine: Engine) -> None:
    with engine.begin() as connection:
        units = (("chain", CHAIN, f"/{CHAIN}/"), ("store", STORE, f"/{CHAIN}/{STORE}/"))
        connection.execute(
            insert(org_units),
            [{"chain_id": CHAIN, "id": id, "kind": kind, "path": path, "name": id} for kind, id, path in units],
        )
        connection.execute(insert(gateways), [{"id": GATEWAY, "chain_id": CHAIN, "store_id": STORE}])
        connection.execute(
            insert(members),
            [
                {"chain_id": CHAIN, "id": id, "code": code, "name": "M", "store_id": STORE}
                for code, id in MEMBERS.items()
            ],
        )


def main(minutes: float = MINUTES, seed: int = 1) -> int:
    """Runs one trade in a scratch folder and prints what was counted."""
    with tempfile.TemporaryDirectory(prefix="trade-") as scratch:
        counted = asyncio.run(trade(Path(scratch), minutes, seed))
    print(json.dumps(counted, ensure_ascii=False), flush=True)
    return 0 if counted["holds"] else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m hil_tests.trade", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.exit(main(arguments.minutes, arguments.seed))
