"""Who stands at which slot of the counter, from when to when. Pure: times and ids are arguments.

It keeps evidence; which member a code belongs to, and whether a reading is theirs, only the cloud decides. What
lies where comes from the settings (`gateway.config.Slot`).
"""

import unicodedata
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from gateway.wire.codec import CARD_CODE
from gateway.wire.messages import Visit

IDLE_CLOSES_AFTER = timedelta(minutes=10)
"""A customer who measures takes a minute or two per meter and may rest five minutes between two blood pressures;
after ten without anything the next reading is more likely somebody else's."""
VISITS_KEPT_PER_SLOT = 32
"""A conversation lasts minutes, so a reading never asks about a visit older than the last few."""
LONGEST_NAME = 32
"""A name or a number of staff; the longest Chinese names have six characters."""


class BadCode(ValueError):
    """This is not a member code; the message may be shown, and does not repeat the code."""


class Visits:
    """Open and recent visits per slot. At one slot there is one visit at a time; slots never mix."""

    def __init__(self, slots: Mapping[str, Iterable[str]]) -> None:
        """`slots`: each slot's name and the addresses of the meters lying there."""
        self._recent: dict[str, deque[Visit]] = {slot: deque(maxlen=VISITS_KEPT_PER_SLOT) for slot in slots}
        self._last_used: dict[str, datetime] = {}
        self._slot_of = {address.upper(): slot for slot, addresses in slots.items() for address in addresses}

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots, in the order of the settings."""
        return tuple(self._recent)

    def slot_of(self, address: str) -> str | None:
        """The slot where the meter with this address lies; None where that cannot be known."""
        if len(self._recent) == 1:
            return next(iter(self._recent))
        return self._slot_of.get(address.upper())

    def open(self, slot: str, code: str, at: datetime, *, id: UUID, staff: str = "") -> Visit:
        """Opens a visit of `code` (already normalised) and closes the one before; KeyError for an unknown slot."""
        visits = self._recent[slot]
        self.close(slot, at)
        visit = Visit(id=id, code=code, slot=slot, opened=at, staff=staff)
        visits.append(visit)
        self._last_used[slot] = at
        return visit

    def close(self, slot: str, at: datetime) -> Visit | None:
        """Ends the open visit at `slot`, if there is one, and returns it as it was; KeyError as for `open`."""
        visits = self._recent[slot]
        if not visits or visits[-1].closed is not None:
            return None
        # A clock set back must not make a visit end before it began.
        end = max(visits[-1].opened, min(at, self._last_used[slot] + IDLE_CLOSES_AFTER))
        visits[-1] = msgspec.structs.replace(visits[-1], closed=end)
        return visits[-1]

    def resume(self, visit: Visit, used: datetime, now: datetime) -> bool:
        """Takes up a visit that was open, and last used at `used`, before a restart; False if it is over `now`."""
        # A clock that has jumped since says nothing about how long ago that was.
        if visit.slot not in self._recent or not timedelta(0) <= now - used < IDLE_CLOSES_AFTER:
            return False
        self._recent[visit.slot].append(visit)
        self._last_used[visit.slot] = used
        return True

    def at(self, slot: str | None, moment: datetime) -> Visit | None:
        """The visit that was open at `slot` at `moment`, or None. A slot nobody knows has no visit."""
        for visit in reversed(self._recent.get(slot or "", ())):
            if visit.opened <= moment:
                return visit if moment < self._end(visit) else None
        return None

    def used(self, slot: str | None, moment: datetime) -> None:
        """Something happened for the visit open at `slot`: its idle time starts again."""
        if slot is not None and self.at(slot, moment) is not None:
            self._last_used[slot] = max(moment, self._last_used[slot])

    def expire(self, now: datetime) -> list[Visit]:
        """Closes what has been idle too long, and returns it."""
        closed = []
        for slot, visits in self._recent.items():
            if visits and visits[-1].closed is None and now >= self._end(visits[-1]):
                ended = self.close(slot, now)
                if ended is not None:
                    closed.append(ended)
        return closed

    def _end(self, visit: Visit) -> datetime:
        return visit.closed or self._last_used[visit.slot] + IDLE_CLOSES_AFTER


def normalise_code(typed: str) -> str:
    """A card code as the cloud knows it: half width, upper case, without spaces. Raises BadCode."""
    # A Chinese input method left on turns a scanner's digits into full-width ones.
    code = "".join(unicodedata.normalize("NFKC", typed[:200]).upper().split())
    if not CARD_CODE.fullmatch(code):
        raise BadCode("a member code is 3 to 32 letters, digits or hyphens")
    return code


class BadName(ValueError):
    """This is not a name of staff; the message does not repeat it."""


def normalise_name(typed: str) -> str:
    """The name of who opens a visit, as every screen can show it; may be "". Raises BadName."""
    name = unicodedata.normalize("NFKC", typed[:200]).strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise BadName(f"a name has at most {LONGEST_NAME} characters, all of them printable")
    return name


def tail(code: str) -> str:
    """The end of `code`, for a screen everybody sees: enough to know one's own card by."""
    return code[-4:] if len(code) >= 8 else code[-2:]
