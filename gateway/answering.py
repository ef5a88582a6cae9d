"""What staff touch on the dock screen becomes an answer, if it is one to what lies on the counter. Pure.

What is asked is `gateway.counter`'s; that an answer is on disk before the screen says so is `gateway.app`'s.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gateway.clinical import words
from gateway.counter import MEALS, Counter
from gateway.whose import known
from gateway.wire.messages import SOMEBODY_ELSE, VISITOR, Answer, Asked
from gateway.wire.vocabulary import Kind


class BadAnswer(ValueError):
    """No answer to anything asked here: the reading is gone from the counter, or the words are not ours."""


def answer(
    counter: Counter,
    reading_id: UUID,
    what: Asked,
    values: Iterable[str],
    *,
    id: UUID,
    at: datetime,
    staff: str = "",
) -> Answer:
    """The answer to keep. Also one that was given before may be given again, otherwise. Raises BadAnswer."""
    judged = next((one for one in counter.readings if one.reading.id == reading_id), None)
    if judged is None:
        raise BadAnswer("reading")
    said = tuple(dict.fromkeys(values))
    match what:
        case Asked.MEAL:
            fits = judged.reading.kind is Kind.GLUCOSE and len(said) == 1 and said[0] in MEALS
        case Asked.SYMPTOMS:
            fits = words().symptoms.keys() >= set(said)
        case Asked.FIRST_AID:
            fits = len(said) == 1 and said[0] in {finding.rule.id for finding in judged.findings}
        case Asked.WHOSE:
            fits = known(counter.visit) and len(said) == 1 and said[0] in (VISITOR, SOMEBODY_ELSE)
            said = (*said, counter.visit.code if counter.visit else "")
    if not fits:
        raise BadAnswer(what.value)
    evidence = counter.visit if what is Asked.WHOSE else judged.reading.visit
    return Answer(
        id=id,
        reading=reading_id,
        what=what,
        values=said,
        at=at,
        slot=counter.slot,
        staff=staff or (evidence.staff if evidence else ""),
        visit=evidence.id if evidence else None,
    )
