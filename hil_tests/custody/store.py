"""One store under load: the gateway's own parts, virtual meters, and a witness of every reading that was saved.

    python -m hil_tests.custody.store DIRECTORY GATEWAY BROKER_PORT [CARD ...]

It is what `gateway.app` composes, without radio and screen, so that it can be killed and started many times a
minute. A line `<reading id> <card>` is in DIRECTORY/saved.log before the meter is told that its record is kept.
"""

import asyncio
import itertools
import os
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from gateway import uplink
from gateway.buffer.outbox import Outbox
from gateway.config import MqttSettings
from gateway.conversation import Sighting
from gateway.docking import Docking
from gateway.drivers import DRIVERS
from gateway.simulators.glucose_meter import GlucoseMeter
from gateway.visits import Visits
from gateway.wire.messages import Reading, Status
from hil_tests.custody.direct_link import DirectLink

PAUSE_S = 0.02
"""Between two customers: about a hundred readings a second and store, a year's trade in minutes."""
SLOT = "1"
MEASURING = timedelta(seconds=90)


def now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)


class Witness:
    """The board of this store: it writes down what was saved. The page cache outlives SIGKILL."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def saved(self, reading: Reading) -> None:
        """See Board."""
        code = reading.visit.code if reading.visit else "-"
        os.write(self._file, f"{reading.id} {code}\n".encode())

    def seen(self, sighting: Sighting) -> None:
        """See Board."""

    def talking(self, address: str, name: str) -> None:
        """See Board."""

    def ended(self, address: str, error: str | None) -> None:
        """See Board."""


async def main(directory: Path, gateway: str, broker_port: int, cards: Sequence[str]) -> None:
    """Trades until it is killed; without cards it only delivers what it has."""
    outbox = await Outbox.open(directory / "outbox", gateway=gateway)
    visits = Visits({SLOT: ()})
    docking = Docking(outbox, Witness(directory / "saved.log"), visits, clock=now, clock_trusted=lambda: True)
    async with asyncio.TaskGroup() as parts:
        parts.create_task(
            uplink.run(
                outbox,
                MqttSettings(port=broker_port),
                status=lambda: Status(gateway=gateway, online=True),
                received=lambda ids: None,
                receipt_wait_s=1.0,
            )
        )
        if cards:
            parts.create_task(_trade(docking, visits, gateway, cards))


async def _trade(docking: Docking, visits: Visits, gateway: str, cards: Sequence[str]) -> None:
    chance = random.Random()
    (driver,) = (driver for driver in DRIVERS if driver.name == "ble.glucose")
    # A new meter each time the gateway starts: what a killed one still had in its memory is the meter's to keep.
    meter = GlucoseMeter(
        name="Virtual", address="C4:5E:00:00:00:01", serial=f"{gateway}-{uuid4().hex[:12]}",
        now=lambda: now().replace(tzinfo=None) + timedelta(hours=8),
    )  # fmt: skip
    sighting = Sighting(
        transport="ble", address=f"{gateway}/{meter.serial}", name=meter.name, services=frozenset({"1808"})
    )
    for _ in itertools.count():
        # The card comes first, and measuring takes a while that nobody here waits for: longer than a time that
        # happens to end in :00 may be wrong by.
        visits.open(SLOT, chance.choice(cards), now() - MEASURING, id=UUID(int=chance.getrandbits(128)))
        for _ in range(chance.randint(1, 4)):
            # Mostly normal, sometimes an emergency: the rules and their tasks are part of the load.
            value = "2.4" if chance.random() < 0.02 else f"{chance.randint(45, 99) / 10}"
            meter.measure(Decimal(value))
        await docking.dock(driver, sighting, DirectLink(meter))
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
