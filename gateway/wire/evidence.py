"""Whether a reading was taken inside a visit: the one rule for the counter's questions and the cloud's decision.

Whose the visit is, and what follows from it, only the cloud decides (`cloud.ingest.attribution`).
"""

from datetime import timedelta

from gateway.wire.messages import Reading, Visit


def inside(reading: Reading, visit: Visit) -> bool:
    """Whether `reading` was certainly taken while `visit` was open, as far as its time can be believed.

    A meter that shows whole minutes may have measured up to a minute before `time.at`: then the customer before
    this one stood there. No grace before the opening, either: that customer's reading may still be on its way.
    """
    earliest = reading.time.at - timedelta(seconds=reading.time.early_s)
    return visit.opened <= earliest and (visit.closed is None or reading.time.at <= visit.closed)
