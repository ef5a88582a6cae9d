"""A virtual meter that forgets: it tells what it kept to whoever listens, and the confirmation is the receipt.

What a record's bytes are is each meter's own; the radio is `bumble_meter`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from gateway.simulators.meter import Outgoing, VirtualMeter


class Kept(Protocol):
    """A record as it waits."""

    def measurement(self) -> bytes:
        """What is indicated."""


R = TypeVar("R", bound=Kept)


@dataclass(kw_only=True)
class DeliversOnce(VirtualMeter, Generic[R]):
    """Indicates `records` on `measured_on`, oldest first, and keeps those that were not confirmed."""

    measured_on: ClassVar[str]
    records: list[R] = field(default_factory=list)

    def write(self, channel: str, data: bytes, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter; there is nothing to write to."""
        raise NotImplementedError

    def on_subscribed(self, subscribed: frozenset[str]) -> Iterator[Outgoing]:
        """See VirtualMeter."""
        if self.measured_on in subscribed:
            for record in list(self.records):
                for _ in range(2 if self.faults.duplicate else 1):
                    yield Outgoing(self.measured_on, record.measurement(), indicate=True)

    def on_confirmed(self, sent: Outgoing) -> None:
        """See VirtualMeter."""
        self.records = [record for record in self.records if record.measurement() != sent.data]
