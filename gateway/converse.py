"""Plays one conversation against one link: a driver's actions out, a meter's bytes in, nothing lost between.

What a link is made of is `gateway.transports`'; that its bytes are on disk first is `gateway.journalled`'s, and
where readings are kept the keeper's (`gateway.docking`).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from gateway.conversation import (
    Arrived,
    Done,
    Emit,
    Event,
    Garbled,
    HowLong,
    Lasted,
    Lost,
    Note,
    Pair,
    Read,
    Record,
    Refused,
    Remember,
    Silence,
    Subscribe,
    Talk,
    Wait,
    Write,
)

T = TypeVar("T")

ACTION_TIMEOUT_S = 30.0
"""Longest a single read, write or subscription may take: BlueZ can hang for ever on a protected write."""
PAIR_TIMEOUT_S = 60.0
"""Pairing may wait for a person to look at a passkey."""
MAX_ACTIONS = 100_000
"""A conversation is finite: a meter with 1000 records needs about 3000 actions."""
LATE = "late"
"""The channel of what a serial meter answered when nobody waited for it any more: journalled, and no answer."""


class Link(Protocol):
    """An open line to one meter. Every call raises Lost when the line is gone, Refused when it is declined."""

    async def pair(self) -> None:
        """Bond; returns at once where that was done before."""

    async def subscribe(self, channel: str) -> None:
        """Start receiving from `channel`."""

    async def read(self, channel: str) -> bytes:
        """The value of `channel`."""

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None:
        """Send `data`."""

    async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """The next (channel, bytes) that arrived, or None after `timeout_s`; to be cancelled loses nothing."""


class Keeper(Protocol):
    """Custody of what a conversation brings. `save` returns only when it is on disk."""

    async def save(self, record: Record) -> None:
        """Vouch for a record and keep the reading."""

    async def note(self, what: str, value: str) -> None:
        """Take a fact about the meter."""

    async def remember(self, value: str) -> None:
        """Keep the driver's mark for this meter's next conversation."""


async def converse(talk: Talk, link: Link, keeper: Keeper) -> None:
    """Runs `talk` to its end. Raises Lost, Refused or Garbled when that is how it ended."""
    event: Event | Refused | Lost = Done()
    began_s = asyncio.get_running_loop().time()
    for turn in range(MAX_ACTIONS):
        try:
            match event:
                case Refused() | Lost():
                    action = talk.throw(event)
                case Done() if turn == 0:
                    action = next(talk)
                case _:
                    action = talk.send(event)
        except StopIteration:
            return
        try:
            match action:
                case HowLong():  # by a clock that nobody sets
                    event = Lasted(int(asyncio.get_running_loop().time() - began_s))
                case _:
                    event = await _do(action, link, keeper)
        except (Refused, Lost) as error:
            event = error  # raised out of the driver's yield, and from there out of here unless it knows better
    raise Garbled("endless_conversation")


async def _do(action: object, link: Link, keeper: Keeper) -> Event:
    match action:
        case Emit(record):
            await keeper.save(record)
        case Wait(timeout_s):
            arrival = await link.receive(timeout_s)
            return Silence() if arrival is None else Arrived(*arrival)
        case Read(channel):
            return Arrived(channel, await _bounded(link.read(channel), ACTION_TIMEOUT_S))
        case Write(channel, data, acknowledged):
            await _bounded(link.write(channel, data, acknowledged), ACTION_TIMEOUT_S)
        case Subscribe(channel):
            await _bounded(link.subscribe(channel), ACTION_TIMEOUT_S)
        case Pair():
            await _bounded(link.pair(), PAIR_TIMEOUT_S)
        case Note(what, value):
            await keeper.note(what, value)
        case Remember(value):
            await keeper.remember(value)
        case _:
            raise TypeError(f"a driver yielded {action!r}")
    return Done()


async def _bounded(call: Coroutine[Any, Any, T], timeout_s: float) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except TimeoutError:
        raise Lost(f"no answer within {timeout_s:.0f} s") from None
