"""What a store saved, read from its own files after the fact, and whose each reading is by what was scanned.

Comparing it with the ledger is `siege`'s.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

from gateway.buffer.opening import LIVE, damaged_folders
from gateway.buffer.schema import FILE_NAME, connect_to_read, unseal
from gateway.wire import codec
from gateway.wire.evidence import inside
from gateway.wire.messages import Purpose, Quality, Reading


def held(outbox: Path) -> Iterator[Reading]:
    """Every reading in any file of this outbox, sent ones and damaged files included."""
    for folder in (outbox / LIVE, *damaged_folders(outbox)):
        with closing(connect_to_read(folder / FILE_NAME)) as connection:
            for (body,) in connection.execute(
                "SELECT body FROM reading WHERE NOT is_answer ORDER BY seq"
            ).fetchall():
                payload = unseal(body)
                if payload is None:
                    raise AssertionError(f"a reading in {folder} is not what was written")
                yield codec.decode_reading(payload)


def witnessed(log: Path) -> dict[UUID, str]:
    """Reading id to card, as a store's witness wrote them down when `put` had returned."""
    pairs = (line.split() for line in log.read_text().splitlines())
    return {UUID(id): code for id, code in pairs}


def card_of(reading: Reading) -> str | None:
    """The card whose member this is; None: nobody's (no card, a control run, taken outside the visit)."""
    visit = reading.visit
    if visit is None or reading.purpose is not Purpose.PATIENT or reading.quality is Quality.REJECTED:
        return None
    return visit.code if inside(reading, visit) else None
