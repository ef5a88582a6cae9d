"""Moments as the outbox file keeps them: whole microseconds since 1970, UTC.

Which clock to ask is the caller's.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(at: datetime) -> int:
    """`at`, which carries an offset, in microseconds."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at_us: int) -> datetime:
    """The UTC moment of `microseconds`."""
    return _EPOCH + at_us * _MICROSECOND
