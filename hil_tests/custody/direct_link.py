"""A line to a virtual meter without a radio: it answers at once. For load; radios are tested elsewhere."""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from gateway.conversation import Refused
from gateway.simulators.meter import Declined, Outgoing, VirtualMeter


class DirectLink:
    """See `gateway.converse.Link`."""

    def __init__(self, meter: VirtualMeter) -> None:
        self._meter = meter
        self._readable = {c.channel for c in meter.characteristics() if "read" in c.properties}
        self._subscribed: frozenset[str] = frozenset()
        self._coming: deque[Outgoing] = deque()
        self._news = asyncio.Event()

    async def pair(self) -> None:
        """Nothing to protect."""

    async def subscribe(self, channel: str) -> None:
        """Listens; a cuff then sends what it holds."""
        self._subscribed |= {channel}
        self._send(self._meter.on_subscribed(self._subscribed))

    async def read(self, channel: str) -> bytes:
        """The value of `channel`."""
        if channel not in self._readable:
            raise Refused("ATTRIBUTE_NOT_FOUND")
        return self._meter.read(channel)

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None:
        """Sends `data`; what follows is what `receive` gives."""
        try:
            self._send(self._meter.write(channel, data, self._subscribed))
        except Declined as declined:
            raise Refused(declined.code.name) from None

    async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """The next message, or None after `timeout_s`."""
        if not self._coming:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
        if not self._coming:
            return None
        sent = self._coming.popleft()
        if sent.indicate:
            self._meter.on_confirmed(sent)
        return sent.channel, sent.data

    def _send(self, messages: Iterable[Outgoing]) -> None:
        self._coming.extend(messages)
        self._news.set()
