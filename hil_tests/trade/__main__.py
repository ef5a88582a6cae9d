"""Forty meters at three counters for some minutes of dense trade, and then the count.

    python -m hil_tests.trade [MINUTES] [--seed N] [--hardware FILE]

The gateway is `python -m gateway run` with a clock that begins in 1970; it is killed again and again, broker and
ingest are away for a while. Everything in the cloud is real. 0 when everything held; the count is a line of JSON.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, insert

from cloud import db
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.demo.servers import Broker, Postgres, free_port
from hil_tests.custody.children import Child
from hil_tests.hardware import NO_HARDWARE, Hardware, plugged
from hil_tests.trade import truth
from hil_tests.trade.customers import MEMBERS, Seen, Trade
from hil_tests.trade.journal import Journal
from hil_tests.trade.shop import SLOTS, Shop, opened

MINUTES = 7.0
"""More than 240 measurements: a busy counter's day has 300, its busiest hour a fifth of them."""
GATEWAY, REAL, CHAIN, STORE = "gw-trade-1", "gw-trade-real", "kang", "s1"
HOME_WITHIN_S = 180.0
CALLS_EVERY_S = 2.0
SETTLES_S = 2.0
"""What would come twice comes now."""
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


async def trade(directory: Path, minutes: float, seed: int, hardware: Hardware = NO_HARDWARE) -> dict[str, Any]:
    """One trade in `directory`; what was counted."""
    chance = Random(seed)
    with contextlib.ExitStack() as servers:
        postgres = servers.enter_context(Postgres(directory / "postgres"))
        broker = servers.enter_context(Broker(directory / "broker"))
        engine = db.engine(postgres.url)
        servers.callback(engine.dispose)
        db.migrate(engine)
        _found(engine)
        ingest = servers.enter_context(_ingest(directory, postgres, broker))
        if hardware.settings:  # before the shop has a system bus of its own
            servers.enter_context(_real(directory, hardware, broker.port))
        async with opened(directory, chance) as shop:
            gateway, port = _gateway(directory, shop, broker.port)
            seen = Seen()
            trading = Trade(
                shop,
                gateway,
                port,
                directory / "clock",
                {"broker": broker, "ingest": ingest},
                lambda: {one.name for one in truth.absent(engine, seen.used)},
                chance,
                seen,
            )
            try:
                await trading.run(minutes)
                heard = await _go_home(engine, shop, seen, gateway.directory / "data")
            finally:
                gateway.kill()
            verdict = truth.compare(
                engine,
                seen.used,
                kills=seen.kills,
                links_lost=shop.links_lost,
                heard=heard,
                first_trusted_at=seen.first_trusted_at,
                real=REAL,
            )
            return _counted(verdict, seen, shop) | {
                "seed": seed,
                "minutes": minutes,
                "real": truth.told_by(engine, REAL),
            }


def _counted(verdict: truth.Verdict, seen: Seen, shop: Shop) -> dict[str, Any]:
    waited = sorted(seen.waited_s)
    return {
        # A meter that only tells live is put back where nobody listens: no more often than the gateway was away.
        "holds": verdict.holds and seen.not_usable <= verdict.kills,
        "meters": len(shop.meters),
        "families": len({meter.family.driver for meter in shop.meters}),
        "outages": seen.outages,
        "faults": dict(shop.faults),
        **asdict(verdict),
        "left_at_once": seen.left_at_once,
        "left_before_seen": seen.left_waiting,
        "not_usable": seen.not_usable,
        "seen_p50_s": round(waited[len(waited) // 2], 2) if waited else None,
        "seen_p95_s": round(waited[len(waited) * 95 // 100], 2) if waited else None,
    }


async def _go_home(engine: Engine, shop: Shop, seen: Seen, data: Path) -> Journal:
    """Everything that was measured is fetched and delivered, or the time is over; what the gateway wrote down."""
    deadline = asyncio.get_running_loop().time() + HOME_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        absent = await asyncio.to_thread(truth.absent, engine, seen.used)
        heard = await asyncio.to_thread(Journal, data)
        missing = [one for one in absent if one.excuse(seen.kills, heard) is None]
        if not missing:
            break
        await shop.call_again({address for address, *_ in (one.name for one in missing)})
        await asyncio.sleep(CALLS_EVERY_S)
    await asyncio.sleep(SETTLES_S)
    return await asyncio.to_thread(Journal, data)


def _gateway(directory: Path, shop: Shop, broker_port: int) -> tuple[Child, int]:
    home, port = directory / GATEWAY, free_port()
    home.mkdir()
    text = CONFIG.format(name=GATEWAY, broker_port=broker_port, screen_port=port)
    for slot in SLOTS:
        text += SLOT.format(name=slot, meters=json.dumps([m.address for m in shop.meters if m.slot == slot]))
    for meter in shop.meters:
        if meter.family.is_serial:
            text += PORT.format(place=meter.address, driver=meter.family.driver)
    config = home / "gateway.toml"
    config.write_text(text)
    return Child(home, GATEWAY, ["hil_tests.trade.gateway", str(config), str(directory)], {}), port


def _real(directory: Path, hardware: Hardware, broker_port: int) -> Child:
    """A gateway beside the other, on the real radio and the real ports."""
    home = directory / REAL
    home.mkdir()
    config = home / "gateway.toml"
    config.write_text(
        CONFIG.format(name=REAL, broker_port=broker_port, screen_port=free_port()) + hardware.settings
    )
    return Child(home, REAL, ["gateway", "run", "--config", str(config)], {})


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
        connection.execute(
            insert(gateways), [{"id": id, "chain_id": CHAIN, "store_id": STORE} for id in (GATEWAY, REAL)]
        )
        connection.execute(
            insert(members),
            [
                {"chain_id": CHAIN, "id": id, "code": code, "name": "M", "store_id": STORE}
                for code, id in MEMBERS.items()
            ],
        )


def main(minutes: float = MINUTES, seed: int = 1, file: Path | None = None, keep: Path | None = None) -> int:
    """Runs one trade in a scratch folder, or in `keep`; prints what was real, and the count."""
    hardware = plugged(file)
    for line in hardware.lines:
        print(f"  {line}", flush=True)
    with tempfile.TemporaryDirectory(prefix="trade-") as scratch:
        counted = asyncio.run(trade(keep or Path(scratch), minutes, seed, hardware))
    print(json.dumps(counted, ensure_ascii=False), flush=True)
    return 0 if counted["holds"] else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # everything that was started ends on the way out
    parser = argparse.ArgumentParser(prog="python -m hil_tests.trade", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hardware", type=Path, help="a TOML file that names real adapters and meters")
    parser.add_argument("--keep", type=Path, help="an empty folder for what is left: outbox, journal, logs")
    arguments = parser.parse_args()
    sys.exit(main(arguments.minutes, arguments.seed, arguments.hardware, arguments.keep))
