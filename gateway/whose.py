"""Whose a reading on the counter is, as far as clocks tell and staff say. Pure.

What is asked when is `gateway.counter`'s. For good only the cloud decides (`cloud.ingest.attribution`), by the
same evidence: the visit, the time (`gateway.wire.evidence`), and what was answered here.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from gateway.wire.evidence import inside
from gateway.wire.messages import SOMEBODY_ELSE, TAIL_ONLY, VISITOR, Answer, Asked, Reading, TimeQuality, Visit

NOBODYS_FOR = timedelta(minutes=10)
"""How long a reading without a visit is asked about, and its first-aid card stands: as long as an idle visit."""
BEFORE_THE_CARD = timedelta(minutes=2)
"""Some customers are measured first and show their card then. Whoever measured earlier has mostly gone."""


class Said:
    """The last answer to each question about each reading."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._last = {(answer.reading, answer.what): answer for answer in answers}

    def values(self, reading: UUID, what: Asked) -> tuple[str, ...] | None:
        """What was said; None if nobody has asked."""
        answer = self._last.get((reading, what))
        return None if answer is None else answer.values

    def given_to(self, reading: UUID) -> str | None:
        """The card of whom staff said that they measured it; None: of nobody."""
        match self.values(reading, Asked.WHOSE):
            case (word, code) if word == VISITOR:
                return code
        return None

    def visitors(self, reading: UUID, visit: Visit) -> bool | None:
        """Whether staff said that this visitor measured it, or that somebody else did; None: not asked of this
        visitor yet."""
        if (given_to := self.given_to(reading)) is not None:
            return given_to == visit.code
        return False if self.values(reading, Asked.WHOSE) == (SOMEBODY_ELSE, visit.code) else None


def moment(reading: Reading) -> datetime:
    """When it was taken, as far as anybody can say: where no clock is to be believed, when it arrived."""
    return reading.time.received if reading.time.quality is TimeQuality.UNTRUSTED else reading.time.at


def belongs(reading: Reading, visit: Visit, said: Said) -> bool:
    """Whether it is the visitor's of now: what staff said counts for more than the clocks. Who scans the same card
    again after a rest goes on; who comes back in the afternoon begins anew."""
    stated = said.visitors(reading.id, visit)
    if stated is None:
        return certainly(reading, visit)
    return stated and moment(reading) >= visit.opened - NOBODYS_FOR


def nobodys(reading: Reading, visit: Visit | None, said: Said, now: datetime) -> bool:
    """Measured a moment ago, and not in any visit: before it was opened, or without one. What staff gave to
    somebody goes with them, like what was measured in their visit."""
    evidence = reading.visit
    if evidence is not None and (visit is None or evidence.id != visit.id):
        return False
    if said.given_to(reading.id) is not None:
        return False
    # A clock that was set back makes a future time: over at once, like everything on the board.
    return timedelta(seconds=-1) <= now - moment(reading) < NOBODYS_FOR


def certainly(reading: Reading, visit: Visit) -> bool:
    """Whether the clocks leave no doubt: of this visit by its evidence, and taken inside it."""
    evidence, believed = reading.visit, reading.time.quality is not TimeQuality.UNTRUSTED
    return evidence is not None and evidence.id == visit.id and believed and inside(reading, visit)


def may_be(reading: Reading, visit: Visit) -> bool:
    """Whether it is worth asking if the visitor measured it: a whole minute on a meter's clock may lie before the
    card was scanned, a meter without a clock says nothing, and some customers show their card afterwards."""
    return known(visit) and moment(reading) >= visit.opened - BEFORE_THE_CARD


def known(visit: Visit | None) -> bool:
    """Whether there is somebody a reading can be given to: of some visitors only the end of a phone number is
    known."""
    return visit is not None and not visit.code.startswith(TAIL_ONLY)
