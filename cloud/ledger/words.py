"""The closed sets of the ledger's words: who reads it, how a reading got its owner, why an owner is refused.

Pure, so that `cloud.ingest.attribution` may use them; what they do is `store`'s.
"""

from enum import StrEnum

from cloud.i18n import N_


class Reader(StrEnum):
    """Who reads the ledger after it has changed."""

    ASSESS = "assess"  # judges by the rules and raises tasks
    PROJECT = "project"  # writes the time series


class How(StrEnum):
    """How a reading got the owner it has."""

    VISIT = "visit"  # taken inside an open visit
    OWNER = "owner"  # taken with the member's own meter
    CLAIM = "claim"  # staff said so
    DOCK = "dock"  # staff said so at the dock, with the customer before them
    UNDO = "undo"  # staff took it back; it is nobody's again
    UNDECIDED = "undecided"  # there was evidence, and `why` says what was wrong with it


class Refusal(StrEnum):
    """Why a reading cannot be changed as somebody asked."""

    UNKNOWN_READING = "unknown_reading"
    UNKNOWN_MEMBER = "unknown_member"
    NOT_A_PATIENT_READING = "not_a_patient_reading"
    REJECTED = "rejected"
    ALREADY_CLAIMED = "already_claimed"
    NOT_CLAIMED = "not_claimed"
    HAS_NO_MEAL = "has_no_meal"


ADVICE: dict[Refusal, str] = {
    Refusal.UNKNOWN_READING: N_("This reading is not in the ledger."),
    Refusal.UNKNOWN_MEMBER: N_("There is no such member."),
    Refusal.NOT_A_PATIENT_READING: N_("This was a control-solution test of the meter, not a person's reading."),
    Refusal.REJECTED: N_("This value cannot be true, so it is kept as evidence only. Measure again."),
    Refusal.ALREADY_CLAIMED: N_("This reading already belongs to somebody else. Undo that first if it was wrong."),
    Refusal.NOT_CLAIMED: N_("This reading belongs to nobody, so there is nothing to undo."),
    Refusal.HAS_NO_MEAL: N_("Only a glucose reading is fasting or after a meal."),
}
"""What a pharmacist reads about each refusal: a msgid, its own English."""
