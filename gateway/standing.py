"""Who stood at the counter when the gateway died: open visits are kept for its next start.

For a restart of the process, which takes seconds, and not of the machine: after a power cut somebody else may
stand there, and a card is scanned again in a moment. What a visit is, and when it ends by itself, is
`gateway.visits`'.
"""

import logging
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec

from gateway.buffer.limits import OutboxFull
from gateway.visits import Visits
from gateway.wire.messages import Reading, Visit

log = logging.getLogger(__name__)

AT = "@standing_at"
"""In place of a driver's name: the mark that keeps who stands at a slot."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Another one after every start of the machine (random(4)); where there is none, nothing is taken up again."""


class Marks(Protocol):
    """What this needs of `gateway.buffer.outbox.Outbox`."""

    async def mark(self, driver: str, device_key: str) -> str | None:
        """What was remembered."""

    async def set_mark(self, driver: str, device_key: str, value: str) -> None:
        """Remembers; on the disk on return."""


class _Standing(msgspec.Struct, frozen=True, kw_only=True):
    boot: str
    visit: Visit


class Standing:
    """Keeps the open visits of `visits` in `marks`."""

    def __init__(self, marks: Marks, visits: Visits, *, boot: str | None = None) -> None:
        """`boot` names this run of the machine; "" where nobody can say."""
        self._marks, self._visits = marks, visits
        self._boot = _boot() if boot is None else boot

    async def keep(self, slot: str, now: datetime) -> None:
        """Keeps who stands at `slot` now, if anybody does. A disk that has no room costs only this."""
        visit = self._visits.at(slot, now)
        standing = b"" if visit is None else msgspec.json.encode(_Standing(boot=self._boot, visit=visit))
        await self._remember(slot, standing.decode())

    async def take_up(self, lately: Iterable[Reading], now: datetime) -> None:
        """Opens again what was open when the process died; `lately` is what was measured before, newest first."""
        used: dict[UUID, datetime] = {}
        for reading in lately:
            if reading.visit is not None:
                used.setdefault(reading.visit.id, reading.time.received)
        for slot in self._visits.slots:
            kept = await self._marks.mark(AT, slot)
            if not kept:
                continue
            try:
                standing = msgspec.json.decode(kept, type=_Standing)
            except msgspec.MsgspecError:
                continue  # of other software
            visit = standing.visit
            if self._boot and standing.boot == self._boot:
                self._visits.resume(visit, max(visit.opened, used.get(visit.id, visit.opened)), now)

    async def forget(self) -> None:
        """Nobody stands there any more: the gateway is stopped, and who knows for how long."""
        for slot in self._visits.slots:
            await self._remember(slot, "")

    async def _remember(self, slot: str, standing: str) -> None:
        try:
            await self._marks.set_mark(AT, slot, standing)
        except (OutboxFull, sqlite3.Error) as error:
            log.warning("standing.not_kept error=%s", type(error).__name__)


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
