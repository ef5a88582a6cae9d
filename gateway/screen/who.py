"""Who may be meant by the end of a phone number, while staff ask, and which visits were opened so. Pure.

In memory and for half a minute: masked names stand on a screen that everybody sees, and the codes behind them are
for this customer alone. Finding them is `gateway.lookup`'s, what they look like `view`'s.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.lookup import tail_only
from gateway.wire.messages import Candidate, Visit

SHOWN_FOR = timedelta(seconds=30)
"""Long enough to ask "is that you?", short enough that the next in the queue does not read it."""
CHOSEN_WITHIN = SHOWN_FOR + timedelta(seconds=10)
"""A finger already on its way, and a browser that hears late, still choose; a page left open does not."""
VISITS_REMEMBERED = 64
"""More than are open at any counter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """Candidates for the end of a phone number at one slot."""

    tail: str
    candidates: tuple[Candidate, ...]
    since: datetime


class Who:
    """Told what was found and chosen; asked by the screen."""

    def __init__(self) -> None:
        self._choosing: dict[str, Choosing] = {}
        self._tails: OrderedDict[UUID, str] = OrderedDict()  # visit -> end of the phone number

    def found(self, slot: str, tail: str, candidates: tuple[Candidate, ...], now: datetime) -> None:
        """Staff are to choose."""
        self._choosing[slot] = Choosing(tail=tail, candidates=candidates, since=now)

    def choosing(self, slot: str, now: datetime) -> Choosing | None:
        """What there is to choose from at `slot`."""
        return self._asked(slot, now, SHOWN_FOR)

    def may_choose(self, slot: str, code: str, now: datetime) -> bool:
        """Whether the candidate with this code may be chosen at `slot`: was shown there, and only just now."""
        choosing = self._asked(slot, now, CHOSEN_WITHIN)
        return choosing is not None and any(code == candidate.code for candidate in choosing.candidates)

    def opened(self, visit: Visit) -> None:
        """A visit was opened at a slot: what was to be chosen there is chosen, or no longer wanted."""
        choosing = self._choosing.pop(visit.slot, None)
        if choosing is not None and visit.code in {candidate.code for candidate in choosing.candidates}:
            self._tails[visit.id] = choosing.tail
            if len(self._tails) > VISITS_REMEMBERED:
                self._tails.popitem(last=False)

    def dropped(self, slot: str) -> None:
        """It was none of them."""
        self._choosing.pop(slot, None)

    def expire(self, now: datetime) -> None:
        """Forgets whom nobody may choose any more; a slot has one question at most, so there are never many."""
        for slot in tuple(self._choosing):
            if self._asked(slot, now, CHOSEN_WITHIN) is None:
                self.dropped(slot)

    def _asked(self, slot: str, now: datetime, within: timedelta) -> Choosing | None:
        choosing = self._choosing.get(slot)
        # A clock that was set back makes a future time: over at once.
        if choosing is None or not timedelta(seconds=-1) <= now - choosing.since < within:
            return None
        return choosing

    def tail_of(self, visit: Visit) -> str:
        """The end of the phone number that `visit` was opened by, or "" where it was a card."""
        only = visit.code.removeprefix(tail_only(""))
        return only if only != visit.code else self._tails.get(visit.id, "")
