"""Customers at the counters, somebody who pulls plugs, and a list of what was measured.

What a meter does when it is used is `shop`'s; what must have come of it `truth`'s.
"""

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid5

from cloud.demo.servers import Server
from gateway.wire.messages import VISITOR
from hil_tests.custody.children import Child
from hil_tests.trade.family import Keeps, Measured
from hil_tests.trade.shop import SLOTS, Meter, Shop
from hil_tests.trade.truth import NEVER, Name, Stay, Used, name_of

MEMBERS = {f"CARD{number:03d}": uuid5(UUID(int=9), str(number)) for number in range(60)}
MEASURING_S = 1.2
"""From the card to the value. A cuff takes half a minute; within a second the reading would lie, by the whole
seconds of a meter's clock, before the visit."""
SEEN_WITHIN_S = 25.0
"""A customer waits so long for his value on the screen, then leaves; the meter keeps what it has."""
SEEN_AFTER_KILL_S = 8.0
"""A gateway that was killed has forgotten who stands there, and shows the value to nobody: no use to wait."""
LOOK_S = 0.1
NO_CARD = 0.15
LEAVES_AT_ONCE = 0.1
NEXT_CARD_S = (0.4, 2.0)
"""How soon after somebody left at once the next card is scanned."""
KILL_EVERY_S = (8.0, 25.0)
DOWN_FOR_S = (0.0, 1.5)
CLOUD_DOWN_EVERY_S = (20.0, 60.0)
CLOUD_DOWN_FOR_S = (4.0, 15.0)
IN_1970_FOR = 0.12
"""This part of the time the gateway does not know what year it is."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """What customers met."""

    used: list[Used] = field(default_factory=list)
    kills: list[datetime] = field(default_factory=list)
    outages: dict[str, int] = field(default_factory=dict)
    waited_s: list[float] = field(default_factory=list)
    left_at_once: int = 0
    left_waiting: int = 0
    not_usable: int = 0  # a meter that only tells live, and found nobody to tell
    first_trusted_at: datetime = NEVER


class Trade:
    """One counter after the other is served, until the time is over."""

    def __init__(
        self,
        shop: Shop,
        gateway: Child,
        port: int,
        clock: Path,
        cloud: dict[str, Server],
        absent: Callable[[], set[Name]],
        chance: Random,
        seen: Seen,
    ) -> None:
        """`absent` says what has not come to the ledger yet; `cloud` is what goes down for a while."""
        self.seen = seen
        self._shop, self._gateway, self._port, self._clock = shop, gateway, port, clock
        self._cloud, self._absent, self._chance = cloud, absent, chance
        self._last: dict[str, Name] = {}  # what a meter with one place for it measured last
        shop.listens = self._listens

    async def run(self, minutes: float) -> None:
        """Trades for so long."""
        self._set_clock(trusted=False)
        self._gateway.start()
        try:
            async with asyncio.timeout(minutes * 60), asyncio.TaskGroup() as tasks:
                for slot in SLOTS:
                    tasks.create_task(self._serve(slot))
                tasks.create_task(self._kill())
                tasks.create_task(self._jump(minutes * 60 * IN_1970_FOR))
                for name in self._cloud:
                    tasks.create_task(self._cut_off(name))
        except TimeoutError:
            pass
        for server in (self._gateway, *self._cloud.values()):
            if not server.running:
                await asyncio.to_thread(server.start)

    # --- at the counter ----------------------------------------------------------------------------------------

    async def _serve(self, slot: str) -> None:
        """One customer after the other."""
        mine = [meter for meter in self._shop.meters if meter.slot == slot]
        stay = Stay(member=None, since=datetime.now(UTC))
        while True:
            card = None if self._chance.random() < NO_CARD else self._chance.choice(list(MEMBERS))
            stay.left = datetime.now(UTC)
            if not await self._open(slot, card):
                await asyncio.sleep(0.5)
                continue
            stay = Stay(member=MEMBERS[card] if card else None, since=stay.left)
            for meter in self._chance.sample(mine, self._chance.randint(1, 2)):
                await asyncio.sleep(MEASURING_S)
                if await self._measure(meter, stay):
                    continue
                await asyncio.sleep(self._chance.uniform(*NEXT_CARD_S))
                break

    async def _measure(self, meter: Meter, stay: Stay) -> bool:
        """Whether this customer stays."""
        if meter.address in self._last and self._last[meter.address] in await asyncio.to_thread(self._absent):
            return True  # its display shows what nobody has read yet: staff take another one
        before = await self._shown(meter.slot)
        taken = await self._shop.measure(meter)
        if taken is None:
            self.seen.not_usable += 1
            return True
        name = name_of(meter.address, *taken.what)
        if meter.family.keeps is Keeps.LAST:
            self._last[meter.address] = name
        self.seen.used.append(
            Used(
                name=name,
                driver=meter.family.driver,
                stay=stay,
                at=taken.at,
                until=taken.at + timedelta(seconds=meter.family.takes_s),
                telling=taken.telling,
            )
        )
        if not meter.family.takes_s and self._chance.random() < LEAVES_AT_ONCE:
            self.seen.left_at_once += 1
            return False
        seen = await self._look_for(taken.what, meter, before)
        if seen is not None:
            # Staff say so also where the dock did not ask; of nobody's visit the dock takes no such answer.
            said = {"slot": meter.slot, "reading": seen, "what": "whose", "value": VISITOR}
            await self._ask("/answers", said | {"visit": await self._visit(meter.slot)})
        await self._shop.put_down(meter)
        return True

    async def _shown(self, slot: str) -> dict[str, Any] | None:
        """The value on the screen."""
        state = await self._ask(f"/state?slot={slot}")
        return None if state is None else state["last"]

    async def _visit(self, slot: str) -> str:
        """The visit on the screen; "" where there is none."""
        state = await self._ask(f"/state?slot={slot}")
        return state["visit"]["id"] if state is not None and state["visit"] is not None else ""

    async def _look_for(self, what: Measured, meter: Meter, before: dict[str, Any] | None) -> str | None:
        """Which reading it is, once the customer sees his value on the screen and not the one `before`."""
        began, kills = asyncio.get_running_loop().time(), len(self.seen.kills)
        while True:
            waited = asyncio.get_running_loop().time() - began
            last = await self._shown(meter.slot)
            if last is not None and (before is None or last["id"] != before["id"]) and _is(last, what, meter):
                self.seen.waited_s.append(waited)
                return str(last["id"])
            patience_s = SEEN_WITHIN_S if len(self.seen.kills) == kills else SEEN_AFTER_KILL_S
            if waited > max(patience_s, meter.family.takes_s):
                self.seen.left_waiting += 1
                return None
            await asyncio.sleep(LOOK_S)

    async def _open(self, slot: str, card: str | None) -> bool:
        if card is None:
            return await self._ask("/visits/close", {"slot": slot}) is not None
        return await self._ask("/visits", {"slot": slot, "code": card}) is not None

    async def _ask(self, path: str, form: dict[str, str] | None = None) -> dict[str, Any] | None:
        return await asyncio.to_thread(_ask, self._port, path, form)

    # --- what goes wrong ---------------------------------------------------------------------------------------

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*KILL_EVERY_S))
            self.seen.kills.append(datetime.now(UTC))
            self._gateway.kill()
            await asyncio.sleep(self._chance.uniform(*DOWN_FOR_S))
            await _start(self._gateway)

    async def _cut_off(self, name: str) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*CLOUD_DOWN_EVERY_S))
            await asyncio.to_thread(self._cloud[name].kill)
            self.seen.outages[name] = self.seen.outages.get(name, 0) + 1
            await asyncio.sleep(self._chance.uniform(*CLOUD_DOWN_FOR_S))
            await _start(self._cloud[name])

    async def _jump(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self.seen.first_trusted_at = datetime.now(UTC)
        self._set_clock(trusted=True)

    def _set_clock(self, *, trusted: bool) -> None:
        behind_s = 0 if trusted else int(datetime.now(UTC).timestamp()) - 60
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{behind_s} {int(trusted)}")
        fresh.rename(self._clock)

    def _listens(self, port: str | None) -> bool:
        """Whether the gateway runs and, of a port, has it open."""
        pid = self._gateway.pid
        if pid is None or port is None:
            return pid is not None
        try:
            return any(str(one.readlink()) == port for one in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:  # it has just died, or closed one of them
            return False


async def _start(server: Server) -> None:
    """Starts it, to the end, also where the trade ends meanwhile: half started, it would be started twice."""
    starting = asyncio.ensure_future(asyncio.to_thread(server.start))
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await starting
        raise


def _is(last: dict[str, Any], what: Measured, meter: Meter) -> bool:
    """Whether the screen shows this value of this meter: the customer before may have had the same of another."""
    kind, values = what
    shown = {name: Decimal(value) for name, value in last["values"].items()}
    its = (last["meter"], last["kind"]) == (meter.address, kind)
    return its and all(shown.get(name) == value for name, value in values.items())


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
    except (OSError, HTTPException, ValueError):  # also one that is killed while it answers
        return None
