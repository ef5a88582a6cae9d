"""The closed sets of the ledger's words: who reads it, how a reading got its owner, why an owner is refused.

Pure, so that `cloud.ingest.attribution` may use them; what they do is `store`'s.
"""

from enum import StrEnum


class Reader(StrEnum):
    """Who reads the ledger after it has changed."""

    ASSESS = "assess"  # judges by the rules and raises tasks
    PROJECT = "project"  # writes the time series


class How(StrEnum):
    """How a reading got the owner it has."""

    VISIT = "visit"  # taken inside an open visit
    OWNER = "owner"  # taken with the member's own meter
    CLAIM = "claim"  # staff said so
    UNDO = "undo"  # staff took it back; it is nobody's again
    UNDECIDED = "undecided"  # there was evidence, and `why` says what was wrong with it


class Refusal(StrEnum):
    """Why an owner cannot be changed: the message key of the words the screen shows."""

    UNKNOWN_READING = "unknown_reading"
    UNKNOWN_MEMBER = "unknown_member"
    NOT_A_PATIENT_READING = "not_a_patient_reading"
    REJECTED = "rejected"
    ALREADY_CLAIMED = "already_claimed"
    NOT_CLAIMED = "not_claimed"


ADVICE: dict[Refusal, str] = {
    Refusal.UNKNOWN_READING: "This reading is not in your chain's ledger. Reload the list; nothing was changed.",
    Refusal.UNKNOWN_MEMBER: "No such member in your chain. Scan the card again; nothing was changed.",
    Refusal.NOT_A_PATIENT_READING: "This was a control-solution test of the meter. It stays in the meter's "
    "history and cannot become a member's reading.",
    Refusal.REJECTED: "This value cannot be true, so it is kept as evidence only. Measure again.",
    Refusal.ALREADY_CLAIMED: "This reading already belongs to a member. Undo that first if it was wrong.",
    Refusal.NOT_CLAIMED: "This reading belongs to nobody, so there is nothing to undo. Reload the list.",
}
"""What a pharmacist can do about each refusal, in English; `cloud.i18n` translates by the key."""
