"""What the outbox hands out: a batch as it is sent, a reading as it is held, and the figures of the whole.

How they are kept is `outbox`'s.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from gateway.buffer.schema import unseal
from gateway.buffer.times import moment
from gateway.wire import codec
from gateway.wire.messages import Answer, Outcome, Reading


class HeldState(StrEnum):
    """How far a reading has come."""

    SAVED = "saved"  # on this disk
    RECEIVED = "received"  # in the cloud's ledger
    SET_ASIDE = "set_aside"  # the cloud keeps it for a person to look at


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A reading this store has seen lately."""

    reading: Reading
    state: HeldState
    saved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBatch:
    """A batch as it is sent: always the same until it is settled. `payload` are the wire's bytes, made of the
    readings as they were saved, so a gateway that was rolled back still delivers what its successor wrote."""

    id: UUID
    sent: datetime
    payload: bytes

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Those of its readings that this version can decode."""
        _, readings = codec.decode_batch(self.payload)
        return tuple(reading for reading in readings if isinstance(reading, Reading))

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Those of its answers that this version can decode."""
        envelope, _ = codec.decode_batch(self.payload)
        return tuple(answer for answer in codec.decode_answers(envelope) if isinstance(answer, Answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """What the dock screen, /metrics and the status message tell. `damaged` counts damaged files on this disk and
    single readings that could not be read back."""

    unsent: int
    oldest_unsent_at: datetime | None
    disk_free_mb: int
    journal_bytes: int
    damaged: int


def held(body: bytes, saved_us: int, outcome: str | None) -> Held | None:
    """A row and its batch's outcome as the screen sees it; None for what this software cannot read."""
    payload = unseal(body)
    if payload is None:
        return None  # `next_batch` moves it aside and counts it
    try:
        reading = codec.decode_reading(payload)
    except codec.Undecodable:
        return None  # saved by newer software: sent as it is, but not to be shown by this one
    match outcome:
        case None:
            state = HeldState.SAVED
        case Outcome.SET_ASIDE.value:
            state = HeldState.SET_ASIDE
        case _:
            state = HeldState.RECEIVED
    return Held(reading=reading, state=state, saved_at=moment(saved_us))
