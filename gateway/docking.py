"""One meter at the dock: recognised, talked to, every byte journalled, every record vouched for and kept.

How bytes move is `gateway.transports`', what they mean `gateway.drivers`', how a reading is kept
`gateway.custody`'s, how a meter is doing `gateway.meters`' and who stands at the counter `gateway.visits`'. This
is where they meet.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID, uuid4

import msgspec

from gateway import drivers
from gateway.buffer.limits import OutboxFull
from gateway.conversation import (
    Context,
    ConversationError,
    Driver,
    Garbled,
    Lost,
    Refused,
    Sighting,
)
from gateway.converse import Link, converse
from gateway.custody import Custody, Outbox, printable
from gateway.journalled import journalled
from gateway.logged import failing
from gateway.meters import Meters
from gateway.transports import Transport
from gateway.wire.messages import Reading, Visit

log = logging.getLogger(__name__)

HEADER = "@conversation"
"""The journal's first row of a conversation: what `gateway.rejournal` needs to know besides the bytes."""

ENDED = "@ended"
"""The journal's last row of a conversation whose driver was handed all that came. Where it is missing, the bytes
may hold readings that nobody saved, and `gateway.rejournal` finishes the conversation."""

REST_S = 5.0
"""After a conversation: long enough for a meter to notice the line is closed and stop calling."""
REST_LONGEST_S = 60.0
"""A meter that keeps calling and has nothing new is asked after 5, 10, 20, 40 and then every 60 s: often enough
for the next customer, seldom enough for its battery."""
REST_ON_A_CABLE_S = 15.0
"""A meter on a cable is often there all day and switched on when somebody uses it, and it has a customer waiting:
the longest rest is shorter. It is asked a handful of bytes, and the radio is nobody's."""
RETRY_S = 1.0
"""After a lost line: the next sighting resumes at once, then after 1, 2, 4 ... 30 s."""
RETRY_LONGEST_S = 30.0
GONE_AFTER_S = 20.0
"""A meter not heard for so long was put away; when it calls again it has something to say. BlueZ reports a steady
caller at least every 10 s."""
METERS_REMEMBERED = 256
WATCH_AGAIN_S = 5.0
"""Before a transport whose watching failed is watched again."""


class Board(Protocol):
    """What docking tells `gateway.board.Board`."""

    def seen(self, sighting: Sighting) -> None:
        """A meter is within reach."""

    def talking(self, address: str, name: str) -> None:
        """A conversation began."""

    def saved(self, reading: Reading) -> None:
        """A reading is on disk."""

    def ended(self, address: str, error: str | None) -> None:
        """A conversation ended."""


class Visits(Protocol):
    """What docking asks `gateway.visits.Visits`."""

    def slot_of(self, address: str) -> str | None:
        """Where this meter lies."""

    def at(self, slot: str | None, moment: datetime) -> Visit | None:
        """Whose visit is open there."""


class Docking:
    """Watches transports and reads the meters they see. One conversation per meter at a time."""

    def __init__(
        self,
        outbox: Outbox,
        board: Board,
        visits: Visits,
        *,
        clock: Callable[[], datetime],
        clock_trusted: Callable[[], bool],
        local_utc_offset_min: int = 480,
        gateway: str = "",
        meters: Meters | None = None,
        recognise: Callable[[Sighting], Driver | None] = drivers.recognise,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._outbox = outbox
        self._board = board
        self._visits = visits
        self._recognise = recognise
        self._clock = clock
        self._clock_trusted = clock_trusted
        self._new_id = new_id
        self._offset_min = local_utc_offset_min
        self._gateway = gateway
        self._meters = meters or Meters()
        self._manners = Manners()
        self._under_way: set[UUID] = set()

    @property
    def under_way(self) -> Collection[UUID]:
        """The conversations going on now."""
        return self._under_way

    async def watch(self, transport: Transport) -> None:
        """Reads every known meter that `transport` sees, for ever; no meter's failure ends it."""
        async with asyncio.TaskGroup() as conversations:
            while True:
                try:
                    async with aclosing(transport.sightings()) as sightings:
                        async for sighting in sightings:
                            self._greet(sighting, transport, conversations)
                except Exception as failure:
                    log.error("docking.watch_failed transport=%s %s", transport.name, failing(failure))
                await asyncio.sleep(WATCH_AGAIN_S)

    async def dock(self, driver: Driver, sighting: Sighting, link: Link) -> int:
        """One conversation to its end; how many of its readings were new. Raises ConversationError, OutboxFull."""
        now = self._clock()
        # Of a serial meter: what was remembered at this socket. A driver knows another meter's mark by its number.
        known = await self._outbox.mark(driver.name, sighting.address)
        context = Context(sighting=sighting, now=now, last_record=known, local_utc_offset_min=self._offset_min)
        # Nobody is helped by a meter that shows our own wrong time.
        if driver.sets_clock and self._meters.clock_asked(sighting.address) and self._clock_trusted():
            context = replace(context, set_clock_to=context.local_now())
        custody = Custody(
            outbox=self._outbox,
            driver=driver.name,
            sighting=sighting,
            conversation=self._new_id(),
            clock=self._clock,
            clock_trusted=self._clock_trusted,
            visit_at=lambda moment: self._visits.at(self._visits.slot_of(sighting.address), moment),
            local_utc_offset_min=self._offset_min,
            gateway=self._gateway,
            saved=self._board.saved,
            told=partial(self._told, sighting.address),
            handed=lambda: line.handed,
        )

        async def journal(channel: str, data: bytes) -> None:
            await self._outbox.journal(custody.conversation, self._clock(), channel, data)

        async def ended() -> None:
            if not line.unheard:
                await journal(ENDED, b"")

        # An outbox with no room refuses here, before the meter has said anything it might then forget.
        visit = custody.visit_at(now)
        self._under_way.add(custody.conversation)
        try:
            trusted = self._clock_trusted()
            await journal(
                HEADER, header(driver.name, context, visit, clock_trusted=trusted, gateway=self._gateway)
            )
            try:
                async with journalled(link, journal) as line:
                    await converse(driver.talk(context), line, custody)
            except ConversationError:
                await ended()
                raise
            await ended()
        finally:
            self._under_way.discard(custody.conversation)
        return custody.new

    def _greet(self, sighting: Sighting, transport: Transport, conversations: asyncio.TaskGroup) -> None:
        driver = self._recognise(sighting)
        if driver is None:
            return
        self._board.seen(sighting)
        self._meters.met(sighting, driver, self._clock())
        now = asyncio.get_running_loop().time()
        if self._manners.may_talk(sighting.address, now, calling=sighting.calling):
            self._manners.begun(sighting.address)
            conversations.create_task(self._talk(driver, sighting, transport))

    async def _talk(self, driver: Driver, sighting: Sighting, transport: Transport) -> None:
        self._board.talking(sighting.address, sighting.name)
        self._meters.begun(sighting.address)
        error: str | None = None
        new = 0
        try:
            async with transport.open(sighting) as link:
                new = await self.dock(driver, sighting, link)
        except ConversationError as ended:
            error = _word(ended)
            log.info("docking.ended driver=%s error=%s", driver.name, error)
        except OutboxFull:
            error = "outbox_full"
            log.error("docking.outbox_full driver=%s", driver.name)
        except Exception as failure:
            # Also a driver's mistake: the bytes are in the journal, and the other meters must go on being read.
            error = "failed"
            log.error("docking.failed driver=%s %s", driver.name, failing(failure))
        else:
            log.info("docking.done driver=%s new=%d", driver.name, new)
        finally:
            now = asyncio.get_running_loop().time()
            cable = sighting.transport == "serial"
            self._manners.ended(sighting.address, now, well=error is None, new=new, cable=cable)
            self._meters.ended(sighting.address, error, self._clock())
            self._board.ended(sighting.address, error)

    def _told(self, address: str, facts: Mapping[str, str], clock_offset_s: float | None) -> None:
        self._meters.noted(address, facts, clock_offset_s, self._clock())


class Manners:
    """When a meter may be talked to again. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Meter] = OrderedDict()

    def may_talk(self, address: str, now: float, *, calling: bool = False) -> bool:
        """Whether to answer this sighting. One that is `calling` has bytes waiting, and is never made to wait."""
        meter = self._known.setdefault(address, _Meter(heard=now))
        self._known.move_to_end(address)
        if len(self._known) > METERS_REMEMBERED:
            self._known.popitem(last=False)
        away = now - meter.heard
        meter.heard = now
        if meter.busy:
            return False
        if away > GONE_AFTER_S:
            meter.rest = 0
            return True
        return calling or now >= meter.until

    def begun(self, address: str) -> None:
        """A conversation with it begins."""
        self._known[address].busy = True

    def ended(self, address: str, now: float, *, well: bool, new: int, cable: bool = False) -> None:
        """It ended, with `new` readings."""
        meter = self._known.setdefault(address, _Meter(heard=now))
        meter.busy = False
        meter.heard = now
        shortest, longest = (REST_S, REST_LONGEST_S) if well else (RETRY_S, RETRY_LONGEST_S)
        longest = min(longest, REST_ON_A_CABLE_S) if cable else longest
        if new or well != meter.well:
            meter.rest = 0
        meter.well = well
        meter.until = now + min(longest, shortest * 2**meter.rest)
        meter.rest += 1


@dataclass(slots=True, kw_only=True)
class _Meter:
    heard: float
    until: float = 0.0
    rest: int = 0
    well: bool = True
    busy: bool = False


def header(driver: str, context: Context, visit: Visit | None, *, clock_trusted: bool, gateway: str = "") -> bytes:
    """The first row of a conversation in the journal."""
    sighting = context.sighting
    return msgspec.json.encode(
        {
            "driver": driver,
            "transport": sighting.transport,
            "address": sighting.address,
            "name": printable(sighting.name),
            "services": sorted(sighting.services),
            "usb_id": sighting.usb_id,
            "waited": sighting.waited,
            "last_record": context.last_record,
            "local_utc_offset_min": context.local_utc_offset_min,
            "clock_trusted": clock_trusted,
            "gateway": gateway,
            "visit": visit,
        }
    )


def _word(error: ConversationError) -> str:
    match error:
        case Refused():
            return "refused"
        case Garbled(error=why):
            return f"garbled_{why}"
        case Lost():
            return "lost"
        case _:
            return "failed"
