"""What must have come of a trade, compared with the ledger: every reading once, nobody else's, its time honest.

A measurement is known by its meter's address and its values: no meter ever measures the same twice here.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Engine, Text, select

from cloud.ledger.tables import readings
from gateway.wire import codec
from gateway.wire.messages import TimeQuality
from gateway.wire.vocabulary import KINDS, Kind

Name = tuple[str, str, tuple[tuple[str, Decimal], ...]]
"""Address, kind and sorted values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A customer measured: with which meter, what, with whose card (None: without one), by which clock."""

    name: Name
    driver: str
    member: UUID | None
    at: datetime
    clock_trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found. `holds` is the promise; `unclaimed` is where the gateway could not be sure, and said so."""

    measured: int
    in_ledger: int
    lost: dict[str, int]  # by driver
    doubled: int
    from_nowhere: int
    wrong_member: int
    unclaimed: int  # of those measured with a card
    dishonest_time: int  # believed although the gateway's clock was not to be believed when it arrived
    times: dict[str, int]

    @property
    def holds(self) -> bool:
        """Whether every reading arrived once, nobody's is somebody else's, and no time was made up."""
        return not (self.lost or self.doubled or self.from_nowhere or self.wrong_member or self.dishonest_time)


def name_of(address: str, kind: Kind, values: dict[str, Decimal]) -> Name:
    """A measurement's name, by what every meter of its kind tells."""
    return (
        address,
        str(kind),
        tuple(
            (q, values[q].normalize()) for q in KINDS[kind].quantities if q in values and q != "mean_arterial_mmhg"
        ),
    )


def missing(engine: Engine, used: Iterable[Used]) -> int:
    """How many are not in the ledger yet."""
    with engine.connect() as connection:
        there = {name for name, _, _, _ in _rows(connection)}
    return len({one.name for one in used} - there)


def compare(engine: Engine, used: list[Used], first_trusted_at: datetime) -> Verdict:
    """The verdict. Until `first_trusted_at`, by the true clock, the gateway's was wrong and it knew."""
    with engine.connect() as connection:
        rows = list(_rows(connection))
    expected = {one.name: one for one in used}
    found = Counter(name for name, _, _, _ in rows)
    times = Counter(str(quality) for _, _, quality, _ in rows)
    return Verdict(
        measured=len(expected),
        in_ledger=len(rows),
        lost=dict(Counter(one.driver for name, one in expected.items() if name not in found)),
        doubled=sum(count - 1 for count in found.values()),
        from_nowhere=sum(name not in expected for name in found),
        wrong_member=sum(
            member not in (None, expected[name].member) for name, member, _, _ in rows if name in expected
        ),
        unclaimed=sum(
            member is None and expected[name].member is not None for name, member, _, _ in rows if name in expected
        ),
        dishonest_time=sum(
            quality is not TimeQuality.UNTRUSTED for _, _, quality, received in rows if received < first_trusted_at
        ),
        times=dict(times),
    )


def _rows(connection: object) -> Iterable[tuple[Name, UUID | None, TimeQuality, datetime]]:
    body = readings.c.body.cast(Text)
    for member, text in connection.execute(select(readings.c.member_id, body)):  # type: ignore[attr-defined]
        one = codec.decode_reading(text.encode())
        yield (
            name_of(one.device.address, one.kind, one.values),
            member,
            one.time.quality,
            one.time.received,
        )
