"""What the store can see now: the last value of each slot, meters being read, what is saved and what is received.

It is a picture, not a store: bounded, without names and without history, empty after a restart until `restored`.
Custody is the outbox's, who stands where is `gateway.visits`', how it looks is `gateway.screen`'s.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from gateway.clinical import Rule
from gateway.conversation import Sighting
from gateway.counter import Counter
from gateway.lately import Lately
from gateway.visits import Visits
from gateway.wire.messages import Answer, Purpose, Reading, Visit

K = TypeVar("K")
V = TypeVar("V")

VALUE_SHOWN_FOR = timedelta(seconds=60)
"""Long enough to read it aloud and write it down, short enough that the next in the queue does not see it."""
TILE_SHOWN_FOR = timedelta(minutes=30)
"""Within half an hour staff still know whose it was; later the cloud's page of unclaimed readings is the place."""
TROUBLE_SHOWN_FOR = timedelta(seconds=30)
"""A conversation that failed is worth a line while the meter is still in somebody's hand."""
TILES_KEPT = 8
"""What fits on the screen in one row."""
METERS_KEPT = 64
"""A counter carries a dozen meters; passers-by with Bluetooth watches must not fill the memory."""
SUBSCRIBERS_KEPT = 16
"""One screen per slot and a few tablets; above this the longest-standing one is let go and connects again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A reading on its way: on disk here, and `received` once the cloud has said so."""

    reading: Reading
    slot: str | None
    meter: str
    saved_at: datetime
    received: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A conversation that did not end well; `error` is its class (`lost`, `refused`, ...)."""

    meter: str
    error: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One slot's screen at one moment."""

    slot: str
    now: datetime
    visit: Visit | None
    last: Seen | None
    talking: tuple[str, ...]
    trouble: Trouble | None
    unlinked: tuple[Seen, ...]  # newest first
    unsent: int
    saved: int  # since the start
    received: int
    link: str
    transports: dict[str, str]
    parts_down: tuple[str, ...]


class Board:
    """Told what happens, asked for snapshots; wakes its subscribers when something changed."""

    def __init__(
        self,
        visits: Visits,
        *,
        clock: Callable[[], datetime],
        unsent: Callable[[], int] = lambda: 0,
        rules: Sequence[Rule] = (),
        profile: str | None = None,
    ) -> None:
        """`unsent` counts what waits in the outbox; it is asked at every snapshot, so it is never stale. `rules`
        and `profile` are what the counter judges and averages by."""
        self._visits = visits
        self._clock = clock
        self._unsent = unsent
        self._lately = Lately(visits.slots, rules=rules, profile=profile)
        self._last: dict[str, Seen] = {}
        self._unlinked: OrderedDict[UUID, Seen] = OrderedDict()
        self._meters: OrderedDict[str, str] = OrderedDict()  # address -> name
        self._last_seen: OrderedDict[str, datetime] = OrderedDict()  # device key -> when
        self._talking: dict[str, str] = {}
        self._trouble: dict[str, Trouble] = {}  # address -> what went wrong last
        self._transports: dict[str, str] = {}
        self._link = "connecting"
        self._parts_down: frozenset[str] = frozenset()
        self._saved = 0
        self._received = 0
        self._changed: OrderedDict[object, asyncio.Event] = OrderedDict()
        self._closed = False

    # --- what happens ----------------------------------------------------------------------------------

    def seen(self, sighting: Sighting) -> None:
        """A meter is within reach. Comes many times a second and changes nothing on the screen."""
        name = sighting.name or self._meters.get(sighting.address, "")
        _keep(self._meters, sighting.address, name, METERS_KEPT)

    def talking(self, address: str, name: str) -> None:
        """A conversation began."""
        _keep(self._meters, address, name, METERS_KEPT)
        self._talking[address] = name
        self._trouble.pop(address, None)
        self.changed()

    def saved(self, reading: Reading) -> None:
        """A reading is safely on disk."""
        self._saved += 1
        now = self._clock()
        _keep(self._last_seen, reading.device.key, now, METERS_KEPT)
        self._show(self._as_seen(reading, now))
        if reading.visit is not None:
            self._visits.used(reading.visit.slot, now)
        self.changed()

    def answered(self, answer: Answer) -> None:
        """What somebody said about a reading is safely on disk."""
        self._lately.said(answer)
        if answer.visit is not None:
            self._visits.used(answer.slot, self._clock())
        self.changed()

    def received(self, ids: Iterable[UUID]) -> None:
        """The cloud's receipt for these readings has come."""
        ids = frozenset(ids)
        self._received += len(ids)
        for slot, last in self._last.items():
            if last.reading.id in ids:
                self._last[slot] = replace(last, received=True)
        for id in ids & self._unlinked.keys():
            self._unlinked[id] = replace(self._unlinked[id], received=True)
        self.changed()

    def ended(self, address: str, error: str | None) -> None:
        """A conversation ended: well (`error` None), or with the class of what went wrong."""
        name = self._talking.pop(address, self._meters.get(address, ""))
        if error is not None:
            self._trouble[address] = Trouble(meter=name, error=error, at=self._clock())
        self.changed()

    def transport(self, name: str, state: str) -> None:
        """How a transport is: ok, silent, absent, failed."""
        if self._transports.get(name) != state:
            self._transports[name] = state
            self.changed()

    def link(self, state: str) -> None:
        """How the way to the cloud is: connecting, up, refused, down."""
        if self._link != state:
            self._link = state
            self.changed()

    def part(self, name: str, up: bool) -> None:
        """A part of the gateway (uplink, a transport's watcher) crashed, or runs again."""
        if (name in self._parts_down) is up:
            self._parts_down = self._parts_down - {name} if up else self._parts_down | {name}
            self.changed()

    def restored(self, readings: Iterable[tuple[Reading, datetime, bool]], answers: Iterable[Answer] = ()) -> None:
        """After a restart: what the outbox held, oldest first, readings as (reading, saved at, received)."""
        for reading, saved_at, received in readings:
            self._show(replace(self._as_seen(reading, saved_at), received=received))
        for answer in answers:
            self._lately.said(answer)
        self.changed()

    def expire(self) -> None:
        """Lets go of what has been shown long enough. Called every second."""
        now = self._clock()
        before = (len(self._last), len(self._unlinked), len(self._trouble))
        self._last = {k: v for k, v in self._last.items() if _within(v.saved_at, now, VALUE_SHOWN_FOR)}
        self._trouble = {k: v for k, v in self._trouble.items() if _within(v.at, now, TROUBLE_SHOWN_FOR)}
        for id in [k for k, v in self._unlinked.items() if not _within(v.saved_at, now, TILE_SHOWN_FOR)]:
            del self._unlinked[id]
        idle = self._visits.expire(now)
        if idle or before != (len(self._last), len(self._unlinked), len(self._trouble)):
            self.changed()

    # --- who looks -------------------------------------------------------------------------------------

    def snapshot(self, slot: str) -> Snapshot:
        """What the screen of `slot` shows now."""
        now = self._clock()
        visit = self._visits.at(slot, now)
        last = self._last.get(slot)
        if last is not None and not self._may_show(last, visit, now):
            last = None
        troubles = [one for one in self._trouble.values() if _within(one.at, now, TROUBLE_SHOWN_FOR)]
        return Snapshot(
            slot=slot,
            now=now,
            visit=visit,
            last=last,
            talking=tuple(self._talking.values()),
            trouble=max(troubles, key=lambda one: one.at, default=None),
            unlinked=tuple(
                one
                for one in reversed(self._unlinked.values())
                if _within(one.saved_at, now, TILE_SHOWN_FOR) and self._lately.given_to(one.reading.id) is None
            ),
            unsent=self._unsent(),
            saved=self._saved,
            received=self._received,
            link=self._link,
            transports=dict(self._transports),
            parts_down=self.parts_down,
        )

    def counter(self, slot: str) -> Counter:
        """What is asked at `slot` now."""
        now = self._clock()
        return self._lately.at(slot, self._visits.at(slot, now), now)

    @property
    def meters(self) -> dict[str, datetime]:
        """Device key -> when it last gave a reading, for the status message."""
        return dict(self._last_seen)

    @property
    def transports(self) -> dict[str, str]:
        """Transport name -> state, for the status message."""
        return dict(self._transports)

    @property
    def link_state(self) -> str:
        """The last that `link` was told."""
        return self._link

    @property
    def parts_down(self) -> tuple[str, ...]:
        """Parts that crashed and wait to be started again."""
        return tuple(sorted(self._parts_down))

    async def subscribe(self) -> AsyncIterator[None]:
        """Yields at once, and again whenever something changed; ends when the board closes or has to let go.

        Changes that come while a subscriber is busy are one change: what it fetches next is the newest picture, so
        a slow screen costs one flag and never a growing queue.
        """
        me, changed = object(), asyncio.Event()
        changed.set()
        self._changed[me] = changed
        if len(self._changed) > SUBSCRIBERS_KEPT:
            _, oldest = self._changed.popitem(last=False)
            oldest.set()
        try:
            while True:
                await changed.wait()
                if self._closed or me not in self._changed:
                    return
                changed.clear()
                yield
        finally:
            self._changed.pop(me, None)

    def changed(self) -> None:
        """Wakes every subscriber; also called when a visit opens or closes."""
        for changed in self._changed.values():
            changed.set()

    def close(self) -> None:
        """Lets every subscriber go, for a quick shutdown."""
        self._closed = True
        self.changed()

    # --- within ----------------------------------------------------------------------------------------

    def _as_seen(self, reading: Reading, saved_at: datetime) -> Seen:
        device = reading.device
        slot = reading.visit.slot if reading.visit else self._visits.slot_of(device.address)
        name = " ".join(part for part in (device.maker, device.model) if part)
        meter = name or self._meters.get(device.address, "")
        return Seen(reading=reading, slot=slot, meter=meter, saved_at=saved_at)

    def _show(self, seen: Seen) -> None:
        if seen.reading.purpose is not Purpose.PATIENT:
            return  # a control solution is nobody's value
        self._lately.measured(seen.slot, seen.reading)
        if seen.slot is not None and not self._older_than_shown(seen):
            self._last[seen.slot] = seen
        if seen.reading.visit is None:
            _keep(self._unlinked, seen.reading.id, seen, TILES_KEPT)

    def _older_than_shown(self, seen: Seen) -> bool:
        """Whether it comes from the same meter's memory, before what is shown: meters differ in their order."""
        shown = self._last.get(seen.slot or "")
        if shown is None or shown.reading.device.key != seen.reading.device.key:
            return False
        return seen.reading.time.at < shown.reading.time.at

    def _may_show(self, last: Seen, visit: Visit | None, now: datetime) -> bool:
        """The value goes with its visit: neither the next visitor sees it, nor whoever comes after it closed."""
        mine, given_to = last.reading.visit, self._lately.given_to(last.reading.id)
        if mine is not None and (visit is None or visit.id != mine.id):
            return False
        if given_to is not None and (visit is None or visit.code != given_to):
            return False
        return _within(last.saved_at, now, VALUE_SHOWN_FOR)


def _within(since: datetime, now: datetime, limit: timedelta) -> bool:
    # A clock that jumps (a Pi before NTP) must not freeze a value on the screen: a future time is over at once,
    # but for the second that callers' clocks may differ.
    return timedelta(seconds=-1) <= now - since < limit


def _keep(into: "OrderedDict[K, V]", key: K, value: V, at_most: int) -> None:
    into[key] = value
    into.move_to_end(key)
    if len(into) > at_most:
        into.popitem(last=False)
