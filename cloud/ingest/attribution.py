"""Whose a reading is, decided from evidence: the one place that may link a value to a person by itself.

Pure. Finding the evidence (members with this code, the meter's owner) is `intake`'s; staff's own decisions are
`cloud.ledger.changes.claim`'s.

    evidence                                                       decision
    taken inside the visit, code is one member's                   the visitor
    ... and the meter is registered to the same member             the visitor
    ... and the meter is registered to another member              nobody: conflict
    taken inside the visit, code is nobody's or several members'   nobody: unknown_code, ambiguous_code
    taken outside the visit (an old memory), or no visit           the meter's owner, else nobody: outside_visit
    clock untrusted, a visit is open                               nobody: untrusted_clock, unless the meter's
                                                                   owner and the visitor are the same person
    control solution, or a value that cannot be true               nobody, never

What staff answer at the dock about a doubtful one is a claim like any other (`cloud.ledger.changes.answer_whose`).

A wrong link is worse than none: an unclaimed reading is one click away from its owner, a wrong one sits in
somebody's record. So every doubt ends at nobody, with the doubt written down.
"""

from collections.abc import Collection
from uuid import UUID

import msgspec

from cloud.ledger.words import How
from gateway.wire.evidence import inside
from gateway.wire.messages import Purpose, Quality, Reading, TimeQuality


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the cloud knows beside the reading: the different members of this chain whose card or code is the
    visit's, exactly as scanned (a phone number or its tail is never looked up), and whose own the meter is."""

    visitors: Collection[UUID] = ()
    owner: UUID | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a reading is. `how` None: there was nothing to decide. `why` is one machine word."""

    member_id: UUID | None = None
    how: How | None = None
    why: str = ""


UNDECIDED = Decision()


def attribute(reading: Reading, evidence: Evidence) -> Decision:
    """Decides by the table above; never names anyone but the visitor or the meter's owner."""
    if reading.purpose is not Purpose.PATIENT or reading.quality is Quality.REJECTED:
        return UNDECIDED
    visit, owner = reading.visit, evidence.owner
    if visit is None:
        return _owner(owner)
    if reading.time.quality is TimeQuality.UNTRUSTED:
        # Just measured, or a memory of somebody else's: only the meter's owner, visiting, leaves no doubt.
        return _owner(owner) if set(evidence.visitors) == {owner} else _nobody("untrusted_clock")
    if not inside(reading, visit):
        return _owner(owner) if owner is not None else _nobody("outside_visit")
    if not evidence.visitors:
        return _nobody("unknown_code")
    if len(evidence.visitors) > 1:
        return _nobody("ambiguous_code")
    (visitor,) = evidence.visitors
    if owner is not None and owner != visitor:
        return _nobody("conflict")
    return Decision(member_id=visitor, how=How.VISIT, why="inside_visit")


def _owner(owner: UUID | None) -> Decision:
    return UNDECIDED if owner is None else Decision(member_id=owner, how=How.OWNER, why="own_meter")


def _nobody(why: str) -> Decision:
    return Decision(how=How.UNDECIDED, why=why)
