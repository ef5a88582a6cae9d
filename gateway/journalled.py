"""A link whose bytes are on disk before anybody is handed them: journalled as they arrive, not as they are wanted.

Many cuffs forget a record once the radio has confirmed it, so it must not wait in memory for a busy driver.
Where a journal lives is the outbox's, what the bytes mean the drivers'.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from gateway.conversation import Lost
from gateway.converse import Link

AHEAD = 1024
"""Arrivals held for a driver that is slower than its meter: the 1000 records of the largest memory known. What is
beyond waits in the link's own bounded queue."""
LOOK_AGAIN_S = 60.0
"""Nobody waits for this: the pump listens again at once."""

Arrival: TypeAlias = tuple[str, bytes]
Journal: TypeAlias = Callable[[str, bytes], Awaitable[None]]


@asynccontextmanager
async def journalled(link: Link, journal: Journal) -> AsyncIterator["JournalledLink"]:
    """`link`, journalled. On leaving, what has arrived is on disk, whether or not anybody asked for it."""
    line = JournalledLink(link, journal)
    try:
        yield line
    finally:
        await line.close()


class JournalledLink:
    """See `converse.Link`, and `journalled`. `journal` returns when the bytes are on disk.

    Journalling starts in order of arrival and is not awaited before the next arrival is taken, so bytes that come
    together share one commit.
    """

    def __init__(self, link: Link, journal: Journal) -> None:
        self.handed = 0
        """The number of the bytes the driver was last handed; the first that were journalled have number 1."""
        self._link = link
        self._journal = journal
        self._journalled = 0
        self._heard = 0
        self._keeping: set[asyncio.Task[None]] = set()
        self._arrived: asyncio.Queue[tuple[int, Arrival, asyncio.Task[None]] | Exception] = asyncio.Queue(AHEAD)
        self._ended: Exception | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def unheard(self) -> int:
        """How many arrivals are in the journal that no driver was handed."""
        return self._journalled - self._heard

    async def pair(self) -> None:
        """See Link. Pairing may hang up and connect anew, which is no loss: nobody listens meanwhile."""
        await self._stop_listening()
        await self._link.pair()

    async def subscribe(self, channel: str) -> None:
        """See Link."""
        self._listen()
        await self._link.subscribe(channel)

    async def read(self, channel: str) -> bytes:
        """See Link."""
        data = await self._link.read(channel)
        number, kept = self._keep(channel, data)
        await asyncio.shield(kept)  # a conversation that is cut short still has its bytes on disk
        self._hand(number)
        return data

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None:
        """See Link."""
        await self._link.write(channel, data, acknowledged)

    async def receive(self, timeout_s: float) -> Arrival | None:
        """See Link. What arrived before a loss is handed out first; raises what `journal` raised."""
        if self._ended is not None:
            raise self._ended
        self._listen()
        try:
            async with asyncio.timeout(timeout_s):
                came = await self._arrived.get()
        except TimeoutError:
            return None
        if isinstance(came, Exception):
            self._ended = came
            raise came
        number, arrival, kept = came
        await asyncio.shield(kept)
        self._hand(number)
        return arrival

    async def close(self) -> None:
        """Journals what has arrived. A failure to do so has nobody to tell: the conversation is over."""
        listened = self._pump is not None
        await self._stop_listening()
        try:
            for _ in range(AHEAD if listened else 0):
                if (arrival := await self._link.receive(0)) is None:
                    break
                self._keep(*arrival)
        except Lost:
            pass  # a link that is gone has handed out everything first
        await asyncio.gather(*self._keeping, return_exceptions=True)

    def _hand(self, number: int) -> None:
        self.handed = number
        self._heard += 1

    def _listen(self) -> None:
        if self._pump is None and self._ended is None:
            self._pump = asyncio.ensure_future(self._take())

    async def _stop_listening(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None

    async def _take(self) -> None:
        try:
            while True:
                if (arrival := await self._link.receive(LOOK_AGAIN_S)) is not None:
                    number, kept = self._keep(*arrival)
                    await self._arrived.put((number, arrival, kept))
        except Exception as error:
            await self._arrived.put(error)

    def _keep(self, channel: str, data: bytes) -> tuple[int, asyncio.Task[None]]:
        # Tasks start in the order they are made, so numbers, the journal's rows and arrivals have one order.
        self._journalled += 1
        kept = asyncio.ensure_future(self._in_journal(channel, data))
        self._keeping.add(kept)
        kept.add_done_callback(self._was_kept)
        return self._journalled, kept

    def _was_kept(self, kept: asyncio.Task[None]) -> None:
        self._keeping.discard(kept)
        if not kept.cancelled():
            kept.exception()  # whoever is handed these bytes is told; nobody may be, and that is no complaint

    async def _in_journal(self, channel: str, data: bytes) -> None:
        await self._journal(channel, data)
