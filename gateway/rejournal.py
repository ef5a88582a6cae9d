"""Plays journalled conversations through their drivers again: one that was cut off, or one decoded by mistake.

Many cuffs deliver a record once and forget it: the bytes in the journal are then all there is. Readings that were
decoded correctly come out with the ids they already have, so replaying is harmless. Talking to meters is
`gateway.docking`'s.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from gateway.buffer.limits import OutboxFull
from gateway.conversation import Context, ConversationError, Driver, Lost, Refused, Sighting
from gateway.converse import LATE, converse
from gateway.custody import Custody
from gateway.custody import Outbox as CustodyOutbox
from gateway.docking import ENDED, HEADER
from gateway.logged import failing
from gateway.wire.messages import Reading, Visit

log = logging.getLogger(__name__)

FINISHED_AT_ONCE = 50
"""A crash cuts off one conversation per meter at the dock; what is beyond is finished the next time."""
SILENCES_AT_END = 3
"""A driver that keeps waiting after the last journalled byte is told three times that nothing comes."""


class Outbox(CustodyOutbox, Protocol):
    """What replaying needs of `gateway.buffer.outbox.Outbox`."""

    async def journal_of(self, conversation: UUID) -> Sequence[tuple[datetime, str, bytes]]:
        """The journalled rows of one conversation as (at, channel, data), oldest first."""

    async def unended(self, began: str, ended: str, limit: int) -> Sequence[UUID]:
        """Conversations with a row of channel `began` and none of channel `ended`, oldest first."""


class NotReplayable(ValueError):
    """There is no such conversation in the journal, or no such driver in this software."""


async def finish_interrupted(
    outbox: Outbox,
    *,
    drivers: Mapping[str, Driver],
    under_way: Callable[[], Collection[UUID]],
    saved: Callable[[Reading], None] = lambda reading: None,
) -> int:
    """Decodes what meters said in conversations that a crash or a loss cut off; how many readings that saved.

    Each is tried once: what no driver can play stays in the journal, for `replay_journal` with a mended one.
    """
    new = 0
    for conversation in await outbox.unended(HEADER, ENDED, FINISHED_AT_ONCE):
        if conversation in under_way():
            continue
        try:
            saved_now = await replay_journal(outbox, conversation, drivers=drivers, saved=saved)
        except OutboxFull:
            raise
        except Exception as error:
            # Also a driver's mistake: it must not keep the gateway from its other meters.
            log.warning("rejournal.unplayable conversation=%s %s", conversation, failing(error))
        else:
            new += saved_now
            log.info("rejournal.finished conversation=%s new=%d", conversation, saved_now)
        rows = await outbox.journal_of(conversation)
        await outbox.journal(conversation, rows[-1][0], ENDED, b"")
    return new


async def replay_journal(
    outbox: Outbox,
    conversation: UUID,
    *,
    drivers: Mapping[str, Driver],
    saved: Callable[[Reading], None] = lambda reading: None,
) -> int:
    """Decodes one conversation again and keeps what is new; how many were. Raises NotReplayable, or as converse.

    The evidence of who stood there is the visit that was open when the conversation began, and no longer: who came
    while it went on, nobody wrote down.
    """
    rows = list(await outbox.journal_of(conversation))
    if not rows or rows[0][1] != HEADER:
        raise NotReplayable(f"the journal no longer holds the beginning of conversation {conversation}")
    began, _, header = rows[0]
    facts: dict[str, Any] = msgspec.json.decode(header)
    visit = msgspec.convert(facts["visit"], Visit | None)
    if visit is not None and visit.closed is None:
        visit = msgspec.structs.replace(visit, closed=began)
    driver = drivers.get(facts["driver"])
    if driver is None:
        raise NotReplayable(f"this software has no driver {facts['driver']!r}")
    sighting = Sighting(
        transport=facts["transport"],
        address=facts["address"],
        name=facts["name"],
        services=frozenset(facts["services"]),
        usb_id=facts["usb_id"],
        waited=facts.get("waited", False),
    )
    context = Context(
        sighting=sighting,
        now=began,
        last_record=facts["last_record"],
        local_utc_offset_min=facts["local_utc_offset_min"],
    )

    def keeping(tape: Tape) -> _Replay:
        return _Replay(
            known=facts["last_record"],
            outbox=outbox,
            driver=driver.name,
            sighting=sighting,
            conversation=conversation,
            clock=lambda: tape.at,
            clock_trusted=lambda: bool(facts["clock_trusted"]),
            visit_at=lambda moment: visit,
            local_utc_offset_min=facts["local_utc_offset_min"],
            gateway=facts.get("gateway", ""),
            saved=saved,
            handed=lambda: tape.handed,
        )

    said = [row for row in rows[1:] if row[1] != ENDED]
    tape = Tape(began, said, literal=True)
    custody = keeping(tape)
    with suppress(ConversationError):
        await converse(driver.talk(context), tape, custody)
    new = custody.new
    if not tape.is_over:  # the driver ended before the meter did, or it is another one now
        tape = Tape(began, said, literal=False)
        custody = keeping(tape)
        with suppress(Lost):  # the tape is over: whatever it held is kept
            await converse(driver.talk(context), tape, custody)
        new += custody.new
    return new


class Tape:
    """See `converse.Link`: answers with journalled bytes. `at` is when the last one came, `handed` its number.

    The journal is in the order of arrival: what a meter sends by itself may stand before the answer to a read that
    the driver was waiting for at the time. A `literal` one is silent for as long as the meter was: a driver that
    waited in vain, and then asked, is not given the answer before its question. No channel is there that told
    nothing: a driver that had to look for another finds it. One that is not literal keeps nothing back.
    """

    def __init__(self, began: datetime, rows: Sequence[tuple[datetime, str, bytes]], *, literal: bool) -> None:
        self.at = began
        self.handed = 0
        self._now = began
        self._literal = literal
        self._told = {channel for _, channel, _ in rows}
        self._rows = list(enumerate(rows, start=1))
        self._subscribed = {"", LATE}  # a serial line needs no subscription
        self._silences = 0

    @property
    def is_over(self) -> bool:
        """Whether all of it was handed out."""
        return not self._rows

    async def pair(self) -> None:
        """See Link."""

    async def subscribe(self, channel: str) -> None:
        """See Link."""
        if self._literal and channel not in self._told:
            raise Refused("not_in_journal")
        self._subscribed.add(channel)

    async def read(self, channel: str) -> bytes:
        """See Link; a read that was refused then left no bytes, and is refused again."""
        for index, (_, (_, came_from, _)) in enumerate(self._rows):
            if came_from == channel:
                return self._hand(index)[1]
            if came_from not in self._subscribed:
                break  # the answer to a later read
        raise Refused("not_in_journal")

    async def write(self, channel: str, data: bytes, acknowledged: bool) -> None:
        """See Link."""

    async def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """See Link."""
        nearest = self._rows[:1] if self._literal else self._rows
        for index, (_, (at, channel, _)) in enumerate(nearest):
            if channel in self._subscribed:
                pause = timedelta(seconds=timeout_s)
                if not self._literal or at - self._now < pause:
                    return self._hand(index)
                self._now += pause
        if not self._rows:
            self._silences += 1
            if self._silences > SILENCES_AT_END:
                raise Lost("the journal ends here")
        return None

    def _hand(self, index: int) -> tuple[str, bytes]:
        self.handed, (self.at, channel, data) = self._rows.pop(index)
        self._now = self.at
        return channel, data


@dataclass(kw_only=True)
class _Replay(Custody):
    known: str | None  # what was remembered of this meter when the conversation began

    async def remember(self, value: str) -> None:
        """As it would have been then; where a later conversation has remembered something, that stays."""
        if await self.outbox.mark(self.driver, self.sighting.address) == self.known:
            await super().remember(value)
