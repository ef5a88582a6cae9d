"""Finding a member without a card: the dock asks the cloud by the end of a phone number, staff confirm who it is.

Nothing found here links anybody: the visit is opened with a candidate's code, and the cloud decides as always.
When the cloud is away the tail itself becomes the evidence, which links nobody, and the store claims it later.
Moving the question is `gateway.uplink`'s.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from gateway.wire.codec import TAIL
from gateway.wire.messages import TAIL_ONLY, Ask, Candidate, Found, Told

log = logging.getLogger(__name__)

ANSWERED_WITHIN_S = 3.0
"""A customer stands there. A later answer is no use, and the tail is kept as evidence instead."""
WAITING_AT_MOST = 8
"""One question per slot and a little more; whatever else asks is no person."""


class BadTail(ValueError):
    """This is not the end of a phone number; the message may be shown, and does not repeat it."""


class Away(RuntimeError):
    """The cloud cannot be asked now, or did not answer in time."""


@dataclass(slots=True)
class LookUps:
    """Questions on their way. `find` is for the screen, `next` and `heard` for the uplink."""

    gateway: str
    new_id: Callable[[], UUID] = uuid4
    within_s: float = ANSWERED_WITHIN_S
    _up: bool = False
    _asked: "asyncio.Queue[Ask]" = field(default_factory=lambda: asyncio.Queue(WAITING_AT_MOST))
    _waiting: dict[UUID, "asyncio.Future[Told]"] = field(default_factory=dict)

    async def find(self, tail: str, *, slot: str, staff: str = "") -> tuple[Found, tuple[Candidate, ...]]:
        """Who may be meant; raises BadTail, or Away: at once where the cloud is known to be away."""
        if not TAIL.fullmatch(tail):
            raise BadTail("the last four digits of the phone number")
        if not self._up or len(self._waiting) >= WAITING_AT_MOST:
            raise Away
        ask = Ask(id=self.new_id(), gateway=self.gateway, tail=tail, slot=slot, staff=staff)
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting[ask.id] = answer
        try:
            self._asked.put_nowait(ask)
            async with asyncio.timeout(self.within_s):
                told = await answer
        except (TimeoutError, asyncio.QueueFull):
            log.warning("lookup.unanswered")
            raise Away from None
        finally:
            self._waiting.pop(ask.id, None)
        log.info("lookup.answered found=%s candidates=%d", told.found, len(told.candidates))
        return told.found, told.candidates

    def link(self, *, up: bool) -> None:
        """Whether the cloud can be asked now. Whoever waits when the line breaks hears so at once."""
        self._up = up
        if not up:
            while not self._asked.empty():
                self._asked.get_nowait()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Away())

    async def next(self) -> Ask:
        """The next question that somebody still waits for."""
        while True:
            ask = await self._asked.get()
            if ask.id in self._waiting:
                return ask

    def heard(self, told: Told) -> None:
        """The cloud's answer; to a question nobody waits for any more it is nothing."""
        answer = self._waiting.get(told.ask)
        if answer is not None and not answer.done():
            answer.set_result(told)


def tail_only(tail: str) -> str:
    """The code of a visit of which nothing is known but a tail: it is nobody's card and links nobody."""
    return f"{TAIL_ONLY}{tail}"
