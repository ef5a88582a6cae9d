"""What just changed, told to every open page: PostgreSQL's NOTIFY in, server-sent events out.

It carries the fact that something changed and where, never what: a page asks again through `cloud.crm.access`,
so nothing here can show anybody more than they may see.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

import psycopg
from sqlalchemy import Connection, text

log = logging.getLogger(__name__)

CHANNEL = "kangdock"
KINDS = frozenset({"reading", "task", "claim"})
MAX_PAYLOAD_BYTES = 7_000
"""PostgreSQL refuses a notification of 8000 bytes; a longer list of stores is told as the whole chain."""
WHOLE_CHAIN = "*"
RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long the listener waits after each failure in a row; ten seconds is as stale as a page may get."""
CONNECT_TIMEOUT_S = 5
NEWS_KEPT = 1_000
"""What a page missed between being made and being told: seconds of a busy chain. Older pages look again."""


def announce(connection: Connection, *, chain_id: str, store_ids: Iterable[str], what: str) -> None:
    """Tells open pages of these stores that a `reading`, `task` or `claim` changed, once the caller commits."""
    if what not in KINDS:
        raise ValueError(f"nobody listens for {what!r}")
    stores = sorted(set(store_ids))
    if not stores:
        return
    payload = json.dumps({"chain": chain_id, "stores": stores, "what": what})
    if len(payload.encode()) > MAX_PAYLOAD_BYTES:
        payload = json.dumps({"chain": chain_id, "stores": [WHOLE_CHAIN], "what": what})
    connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": payload})


@dataclass(eq=False, slots=True, kw_only=True)
class Listener:
    """One open page. What it has not read yet is a set of words, so a slow page costs three words at most."""

    chain_id: str
    store_ids: frozenset[str]
    _changed: set[str] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def concerns(self, chain_id: str, stores: Iterable[str]) -> bool:
        """Whether news of these stores is this page's business."""
        if chain_id != self.chain_id:
            return False
        return any(store == WHOLE_CHAIN or store in self.store_ids for store in stores)

    def tell(self, what: str) -> None:
        """Adds a word and wakes whoever waits."""
        self._changed.add(what)
        self._wake.set()

    async def changes(self, timeout_s: float) -> frozenset[str]:
        """What changed since the last call; empty when nothing did for `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return frozenset()
        self._wake.clear()
        changed = frozenset(self._changed)
        self._changed.clear()
        return changed


class Hub:
    """One LISTEN connection per process, fanned out to every listener of that process."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._listeners: set[Listener] = set()
        self._process = uuid4().hex
        self._told = 0  # how many announcements came so far
        self._news: deque[tuple[int, str, tuple[str, ...], str]] = deque(maxlen=NEWS_KEPT)
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()
        """Set while news can arrive; a test waits for it instead of sleeping."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="live")
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def position(self) -> str:
        """How far the news has come. A page takes it along before it reads, and hands it to `join`."""
        return f"{self._process}.{self._told}"

    def join(self, listener: Listener, since: str = "") -> None:
        """From now on `listener` is told, and at once of what came after the position `since`.

        A position of another process, or one too old to tell, is answered with everything: look again.
        """
        self._listeners.add(listener)
        process, _, told = since.partition(".")
        oldest = self._news[0][0] if self._news else self._told + 1
        if process != self._process or not told.isdecimal() or int(told) + 1 < oldest:
            self._tell_all(listener)
            return
        for number, chain_id, stores, what in self._news:
            if number > int(told) and listener.concerns(chain_id, stores):
                listener.tell(what)

    def leave(self, listener: Listener) -> None:
        """`listener` is told no more."""
        self._listeners.discard(listener)

    @property
    def listening(self) -> int:
        """How many pages are open."""
        return len(self._listeners)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async for payload in self._notifications():
                    failures = 0
                    self._spread(payload)
            except (psycopg.Error, OSError) as error:
                log.warning("live.lost error=%s failures=%d", type(error).__name__, failures)
            self.connected.clear()
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
            failures += 1

    async def _notifications(self) -> AsyncIterator[str]:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="kangdock live"
        )
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self.connected.set()
            # Whatever was announced while nobody listened is made good by asking every page to look again.
            self._news.clear()
            self._told += 1
            for listener in self._listeners:
                self._tell_all(listener)
            async for notification in connection.notifies():
                yield notification.payload

    def _spread(self, payload: str) -> None:
        try:
            news = json.loads(payload)
            chain_id, stores, what = news["chain"], news["stores"], news["what"]
        except (ValueError, KeyError, TypeError):
            log.warning("live.unreadable bytes=%d", len(payload))
            return
        if what not in KINDS:
            return
        self._told += 1
        self._news.append((self._told, chain_id, tuple(stores), what))
        for listener in self._listeners:
            if listener.concerns(chain_id, stores):
                listener.tell(what)

    @staticmethod
    def _tell_all(listener: Listener) -> None:
        for what in KINDS:
            listener.tell(what)
