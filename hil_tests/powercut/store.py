"""The program that is recorded: a store's outbox at work, which marks each thing it was promised.

It writes its own marks before it goes on: marks written by another process come too late and make a store that
loses readings look clean.
"""

import argparse
import asyncio
import os
import sqlite3
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from gateway.buffer import schema, writer
from gateway.buffer.outbox import Outbox
from gateway.wire.messages import Outcome, Receipt
from hil_tests.readings import reading

LANES = 4
IN_LANE = 5
TALK = UUID("2f1c3b5e-8f4e-4a54-9d3e-000000000001")
CHECKPOINT_EVERY_BYTES = 256 * 1024
"""Small, so that a short run also folds the log into the file and starts it anew several times."""


async def work(directory: Path, acks: int, alone: int) -> None:
    """Saves readings alone and in parallel, keeps raw bytes, sends a batch, and closes."""

    def promise(what: str) -> None:
        os.write(acks, f"{what}\n".encode())

    outbox = await Outbox.open(directory, gateway="store-1")
    for number in range(alone):
        data = number.to_bytes(2, "big")
        await outbox.journal(TALK, datetime(2026, 11, 21, tzinfo=UTC), "2a18", data)
        promise(f"raw:{data.hex()}")
        await outbox.put([reading(number)])
        promise(f"reading:{number}")
    batch = await outbox.next_batch(10)
    if batch is not None:
        await outbox.settle(Receipt(batch=batch.id, outcome=Outcome.ACCEPTED))
    await outbox.set_mark("ble.glucose", "GLU-1", "7")
    promise("mark:7")

    async def lane(first: int) -> None:
        for number in range(first, first + IN_LANE):
            await outbox.put([reading(number)])
            promise(f"reading:{number}")

    await asyncio.gather(*(lane(1000 + 100 * number) for number in range(LANES)))
    await outbox.put([reading(number) for number in range(2000, 2030)])
    promise(" ".join(f"reading:{number}" for number in range(2000, 2030)))
    await outbox.close()


class Weakness(StrEnum):
    """What an outbox must not be, so that the rig can show that it would notice."""

    NONE = "none"
    NORMAL = "normal"  # synchronous=NORMAL: a commit does not wait for the disk
    OFF = "off"  # synchronous=OFF
    TRUSTING = "trusting"  # believes that a torn write spoils no neighbours


def weaken(weakness: Weakness) -> None:
    """Gives this process's outbox a weakness."""
    if weakness is Weakness.TRUSTING:
        schema.POWERSAFE_OVERWRITE = 1
    if weakness not in (Weakness.NORMAL, Weakness.OFF):
        return
    strong = schema.connect

    def connect(file: Path) -> sqlite3.Connection:
        connection = strong(file)
        connection.execute(f"PRAGMA synchronous = {weakness}")
        return connection

    schema.connect = connect


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("acks", type=Path)
    parser.add_argument("--weakness", type=Weakness, default=Weakness.NONE)
    parser.add_argument("--alone", type=int, default=24, help="readings saved one by one")
    arguments = parser.parse_args()
    writer.CHECKPOINT_EVERY_BYTES = schema.LOG_BYTES = CHECKPOINT_EVERY_BYTES
    weaken(arguments.weakness)
    asyncio.run(work(arguments.directory, os.open(arguments.acks, os.O_WRONLY | os.O_APPEND), arguments.alone))
