"""What can come of a task, as data: each outcome's words and the one consequence it has.

A task never ends in free text. The consequence stands under the button, so that nobody learns it afterwards.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from cloud.crm.tasks.raising import Reason
from cloud.i18n import N_
from gateway.clinical import Severity


class Effect(StrEnum):
    """What an outcome does to its task."""

    CLOSE = "close"
    LATER = "later"  # stays with whoever has it and comes back by itself
    HAND_OVER = "hand_over"  # back to the pool, for a pharmacist


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One button. `label` and `consequence` are msgids."""

    code: str
    effect: Effect
    label: str
    consequence: str
    after: timedelta | None = None  # LATER: comes back then. An emergency does not go away, it stays due.


OUTCOMES: dict[str, Outcome] = {
    outcome.code: outcome
    for outcome in (
        Outcome(
            code="sent_to_hospital",
            effect=Effect.CLOSE,
            label=N_("120 called or taken to hospital"),
            consequence=N_("The task closes; the next reading is judged afresh."),
        ),
        Outcome(
            code="remeasured_normal",
            effect=Effect.CLOSE,
            label=N_("Measured again, no longer in this range"),
            consequence=N_("The task closes; both readings stay on the record."),
        ),
        Outcome(
            code="agreed_to_visit",
            effect=Effect.CLOSE,
            label=N_("Reached: will come to the store or see a doctor"),
            consequence=N_("The task closes; the next reading is judged afresh."),
        ),
        Outcome(
            code="seen_by_doctor",
            effect=Effect.CLOSE,
            label=N_("Reached: has seen a doctor"),
            consequence=N_("The task closes; the next reading is judged afresh."),
        ),
        Outcome(
            code="medication_in_order",
            effect=Effect.CLOSE,
            label=N_("Reached: takes the medicine as prescribed"),
            consequence=N_("The task closes; the next reading is judged afresh."),
        ),
        Outcome(
            code="unwell",
            effect=Effect.HAND_OVER,
            label=N_("Reached: unwell, needs a pharmacist"),
            consequence=N_("Goes back to the pool for a pharmacist and is due within 2 hours."),
            after=timedelta(hours=2),
        ),
        Outcome(
            code="call_later",
            effect=Effect.LATER,
            label=N_("Asked to be called later"),
            consequence=N_("Leaves the list and comes back in 4 hours; an emergency stays."),
            after=timedelta(hours=4),
        ),
        Outcome(
            code="no_answer",
            effect=Effect.LATER,
            label=N_("No answer"),
            consequence=N_("Leaves the list and comes back tomorrow; an emergency stays."),
            after=timedelta(days=1),
        ),
        Outcome(
            code="switched_off",
            effect=Effect.LATER,
            label=N_("Switched off or out of service"),
            consequence=N_("Leaves the list and comes back in 3 days; an emergency stays."),
            after=timedelta(days=3),
        ),
        Outcome(
            code="wrong_number",
            effect=Effect.CLOSE,
            label=N_("Wrong number, or somebody else's"),
            consequence=N_("The task closes; ask for the right number at the next visit."),
        ),
        Outcome(
            code="not_theirs",
            effect=Effect.CLOSE,
            label=N_("Measurement error, or not this person's reading"),
            consequence=N_(
                "The task closes; undo the reading's owner under “Unclaimed” if it is somebody else's."
            ),
        ),
        Outcome(
            code="moved_away",
            effect=Effect.CLOSE,
            label=N_("Moved away or cared for elsewhere"),
            consequence=N_("The task closes; tell head office, so that the member's store is changed."),
        ),
    )
}


CLOSED_BY_ITSELF: dict[Reason, str] = {
    Reason.OWNER_CHANGED: N_("Withdrawn: the reading turned out not to be this person's"),
    Reason.NO_LONGER_TRUE: N_("Withdrawn: what is known of the reading has changed, and the rule no longer holds"),
    Reason.SUPERSEDED: N_("Withdrawn: a more serious task about the same reading took its place"),
    Reason.MEASURED_AGAIN: N_("Done: measured again as asked; the new reading is judged for itself"),
}
"""Why the system ended a task without a result of staff, as msgids."""


def offered(severity: int) -> list[Outcome]:
    """The outcomes a task of this severity can have; going to hospital is asked where it is meant."""
    return [o for o in OUTCOMES.values() if o.code != "sent_to_hospital" or severity >= Severity.URGENT]
