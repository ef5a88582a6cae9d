"""What was measured and said at each slot lately: as much as the counter can still ask about, and no more.

Bounded and in memory; after a restart it is filled again from the outbox. What is made of it is
`gateway.counter`'s.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from gateway.clinical import Rule
from gateway.counter import Counter, at_counter
from gateway.judging import alarming
from gateway.whose import NOBODYS_FOR, Said, moment
from gateway.wire.messages import Answer, Reading, Visit

READINGS_KEPT = 32
"""Per slot. A visit has a handful; whoever measures more has the rest in the outbox and in the cloud."""
ANSWERS_KEPT = 256
"""Several to each reading, some of them given again."""


class Lately:
    """Told what happens at the slots, in the order it happens; makes each slot's picture when asked."""

    def __init__(self, slots: Sequence[str], *, rules: Sequence[Rule] = (), profile: str | None = None) -> None:
        self._readings: dict[str, list[Reading]] = {slot: [] for slot in slots}
        self._answers: deque[Answer] = deque(maxlen=ANSWERS_KEPT)
        self._rules = rules
        self._profile = profile

    def measured(self, slot: str | None, reading: Reading) -> None:
        """A reading of `slot` was saved. Where nobody knows which slot, every one hears of it: an emergency must
        be seen by somebody."""
        if _matters(reading):
            for each in (slot,) if slot in self._readings else self._readings:
                self._readings[each] = alarming([*self._readings[each], reading])[-READINGS_KEPT:]

    def said(self, answer: Answer) -> None:
        """An answer was saved."""
        self._answers.append(answer)

    def given_to(self, reading: UUID) -> str | None:
        """The card of whom staff said that they measured it."""
        return Said(self._answers).given_to(reading)

    def at(self, slot: str, visit: Visit | None, now: datetime) -> Counter:
        """The picture of `slot`, where `visit` is open."""
        return at_counter(
            slot,
            visit,
            self._readings[slot],
            self._answers,
            now,
            rules=self._rules,
            profile=self._profile,
        )


def _matters(reading: Reading) -> bool:
    """Not a meter's old memory: five hundred of those would push out what was just measured."""
    visit = reading.visit
    taken = moment(reading)
    return reading.time.received - taken < NOBODYS_FOR or (visit is not None and taken >= visit.opened)
