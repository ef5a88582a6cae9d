"""What must have come of a trade, compared with the ledger: every reading once, nobody else's, its time honest.

A measurement is known by its meter's address and its values: no meter ever measures the same twice here.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, Engine, Text, select

from cloud.ledger.tables import readings
from gateway.wire import codec
from gateway.wire.messages import Reading, TimeQuality
from gateway.wire.vocabulary import KINDS, Kind
from hil_tests.trade.shop import SLOTS
from hil_tests.trade.telling import Telling

Name: TypeAlias = tuple[str, str, tuple[tuple[str, Decimal], ...]]
"""Address, kind and sorted values."""

NOT_TOLD_BY_ALL = frozenset({"mean_arterial_mmhg", "pulse_per_min"})
BELIEVED = frozenset({TimeQuality.DEVICE, TimeQuality.CORRECTED, TimeQuality.GATEWAY})
EARLY_WITHIN, LATE_WITHIN = timedelta(seconds=62), timedelta(seconds=3)
"""Of a believed time: without seconds it is up to a minute early. Late, by more than it says itself, it would be
in the next customer's visit; two busy cores take a moment to compare a clock."""
CUT_OFF_WITHIN = timedelta(seconds=5)
"""What came so shortly before a kill may come out of the journal: it is of whoever stood there when the meter was
first talked to, not of who came meanwhile."""
DIED_BEFORE, DIED_AFTER = timedelta(seconds=0.5), timedelta(seconds=1)
"""BlueZ notices within milliseconds that a gateway is dead, and a live one has journalled what it was told within
some tens; two busy cores may take longer for either."""
AT_ONCE = len(SLOTS)
"""One customer measures at each counter: no kill interrupts more."""


class Excuse(StrEnum):
    """Why a reading may be missing."""

    KILLED = "gateway killed"
    LINE_LOST = "line lost"


class Fault(StrEnum):
    """What must not be of a reading that arrived."""

    WRONG_MEMBER = "wrong member"
    VISIT_UNKNOWN = "visit unknown"
    WRONG_TIME = "wrong time"


class Heard(Protocol):
    """What the gateway wrote down."""

    def has(self, address: str, frame: bytes) -> bool:
        """See `journal.Journal`."""


NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Stay:
    """A customer at a counter, with a card or (None) without, from scanning it to the next."""

    member: UUID | None
    since: datetime
    left: datetime = NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Who measured what, with which meter, when. `telling` is None where the meter can be asked again."""

    name: Name
    driver: str
    stay: Stay
    at: datetime
    until: datetime  # it was over
    telling: Telling | None

    @property
    def member(self) -> UUID | None:
        """Whose card."""
        return self.stay.member

    def excuse(self, kills: Sequence[datetime], heard: Heard) -> Excuse | None:
        """Why it may be missing: its meter told it once, and nobody can have heard all of it."""
        telling = self.telling
        if telling is None or telling.held() or heard.has(self.name[0], telling.frame):
            return None
        if telling.said is None:
            return Excuse.LINE_LOST if telling.line_lost else None
        earliest, latest = telling.said - DIED_BEFORE, telling.said + DIED_AFTER
        return Excuse.KILLED if any(earliest <= kill <= latest for kill in kills) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found. `holds` is the promise; `unclaimed` is where the gateway could not be sure, and said so."""

    measured: int
    in_ledger: int
    lost: dict[str, int]  # by driver
    kills: int
    links_lost: int
    excused: dict[str, int]  # by excuse: told once, while the gateway was killed or the line went
    told_to_nobody: dict[str, int]  # the same, by driver
    doubled: int
    from_nowhere: int
    wrong_member: int
    visit_unknown: int  # it came while a customer with a card stood there, and the gateway did not know
    claimed: int
    unclaimed: dict[str, int]  # of those measured with a card, by reason
    unclaimed_of: dict[str, dict[str, int]]  # the same, by reason and driver
    came_too_late: int  # of the same: the customer had left, and nobody could be asked
    believed_too_early: int  # before the gateway's clock was to be believed
    dishonest_time: int  # believed, and wrong by more than it may
    times_before: dict[str, int]  # by quality, before the gateway knew what year it was
    times_after: dict[str, int]
    times_off_s: dict[
        str, tuple[float, float]
    ]  # of those believed: the earliest, and the latest for its `early_s`
    by_driver: dict[str, int]
    evidence: tuple[str, ...]  # a line for each thing that went wrong, all of it virtual
    excuses: tuple[str, ...]  # a line for each that was excused

    @property
    def holds(self) -> bool:
        """Whether every reading arrived once, nobody's is somebody else's, and no time was made up."""
        wrong = (
            self.lost
            or self.doubled
            or self.from_nowhere
            or self.wrong_member
            or self.visit_unknown
            or self.believed_too_early
            or self.dishonest_time
            or self.excused.get(Excuse.KILLED, 0) > self.kills * AT_ONCE
            or self.excused.get(Excuse.LINE_LOST, 0) > self.links_lost
        )
        return not wrong and self.measured > 0 and any(quality in BELIEVED for quality in self.times_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A reading in the ledger."""

    name: Name
    gateway: str
    member: UUID | None
    why: str
    reading: Reading


def name_of(address: str, kind: Kind, values: dict[str, Decimal]) -> Name:
    """A measurement's name, by what every meter of its kind tells."""
    told = [
        (quantity, values[quantity].normalize())
        for quantity in KINDS[kind].quantities
        if quantity in values and quantity not in NOT_TOLD_BY_ALL
    ]
    return address, str(kind), tuple(told)


def absent(engine: Engine, used: Iterable[Used]) -> list[Used]:
    """Which are not in the ledger yet."""
    with engine.connect() as connection:
        there = {row.name for row in _rows(connection)}
    return [one for one in used if one.name not in there]


def compare(
    engine: Engine,
    used: list[Used],
    *,
    kills: Sequence[datetime],
    links_lost: int,
    heard: Heard,
    first_trusted_at: datetime,
    real: str,
) -> Verdict:
    """The verdict. Until `first_trusted_at`, by the true clock, the gateway's was wrong and it knew. Nobody here
    knows what the gateway `real` was told."""
    with engine.connect() as connection:
        rows = [row for row in _rows(connection) if row.gateway != real]
    expected = {one.name: one for one in used}
    found = Counter(row.name for row in rows)
    before = [row for row in rows if row.reading.time.received < first_trusted_at]
    after = [row for row in rows if row.reading.time.received >= first_trusted_at]
    known = [(row, expected[row.name]) for row in rows if row.name in expected]
    faults = [
        (fault, row, one)
        for row, one in known
        for fault in faults_of(row, one, kills=kills, jumped=first_trusted_at)
    ]
    counted = Counter(fault for fault, *_ in faults)
    nobodys = [(row, one) for row, one in known if one.member and row.member is None]
    unclaimed = [(_why(row), one) for row, one in nobodys]
    absences = [(one, one.excuse(kills, heard)) for name, one in expected.items() if name not in found]
    return Verdict(
        measured=len(expected),
        in_ledger=len(rows),
        lost=_by_driver(one for one, excuse in absences if excuse is None),
        kills=len(kills),
        links_lost=links_lost,
        excused=dict(Counter(str(excuse) for _, excuse in absences if excuse)),
        told_to_nobody=_by_driver(one for one, excuse in absences if excuse),
        doubled=sum(count - 1 for count in found.values()),
        from_nowhere=sum(name not in expected for name in found),
        wrong_member=counted[Fault.WRONG_MEMBER],
        visit_unknown=counted[Fault.VISIT_UNKNOWN],
        claimed=sum(row.member is not None for row, _ in known),
        unclaimed=dict(Counter(why for why, _ in unclaimed)),
        unclaimed_of={
            reason: _by_driver(one for why, one in unclaimed if why == reason) for reason in dict(unclaimed)
        },
        came_too_late=sum(row.reading.time.received >= one.stay.left for row, one in nobodys),
        believed_too_early=sum(row.reading.time.quality in BELIEVED for row in before),
        dishonest_time=counted[Fault.WRONG_TIME],
        times_before=_by_quality(before),
        times_after=_by_quality(after),
        times_off_s=_off(known),
        by_driver=_by_driver(expected.values()),
        evidence=(
            *(f"lost {one.driver} {_fate(one, kills)}" for one, excuse in absences if excuse is None),
            *(f"{fault} {one.driver} used {one.at:%T.%f}: {_told(row)}" for fault, row, one in faults),
            *(f"doubled {row.reading.driver}: {_told(row)}" for row in rows if found[row.name] > 1),
            *(f"from nowhere {row.reading.driver}: {_told(row)}" for row in rows if row.name not in expected),
        ),
        excuses=tuple(f"{excuse}: {one.driver} {_fate(one, kills)}" for one, excuse in absences if excuse),
    )


def faults_of(row: Row, one: Used, *, kills: Sequence[datetime], jumped: datetime) -> Iterator[Fault]:
    """What is wrong with `row`, which is what came of `one`; the gateway's clock `jumped` to the truth once."""
    time, stay = row.reading.time, one.stay
    if row.member not in (None, one.member):
        yield Fault.WRONG_MEMBER
    there = stay.member is not None and stay.since <= time.received < stay.left
    known_since_then = not stay.since <= jumped <= time.received
    cut_off = any(time.received <= kill <= time.received + CUT_OFF_WITHIN for kill in kills)
    if there and known_since_then and not cut_off and row.reading.visit is None:
        yield Fault.VISIT_UNKNOWN
    latest = one.until + LATE_WITHIN + timedelta(seconds=time.early_s)
    if time.quality in BELIEVED and not one.at - EARLY_WITHIN <= time.at <= latest:
        yield Fault.WRONG_TIME


def _off(known: Iterable[tuple[Row, Used]]) -> dict[str, tuple[float, float]]:
    off: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row, one in known:
        time = row.reading.time
        if time.quality in BELIEVED:
            late_s = (time.at - one.at).total_seconds()
            off[str(time.quality)].append((late_s, late_s - time.early_s))
    return {
        quality: (round(min(at for at, _ in offs), 2), round(max(earliest for _, earliest in offs), 2))
        for quality, offs in off.items()
    }


def _fate(one: Used, kills: Sequence[datetime]) -> str:
    telling = one.telling
    if telling is None:
        return f"used {one.at:%T.%f}, can be asked again"
    said = "never said"
    if telling.said:
        kill_s = min(((kill - telling.said).total_seconds() for kill in kills), key=abs, default=math.inf)
        said = f"said {telling.said:%T.%f}, nearest kill {kill_s:+.3f} s"
    return f"used {one.at:%T.%f}, {said}{', still held' if telling.held() else ''}: {telling.frame.hex()}"


def _told(row: Row) -> str:
    time, visit = row.reading.time, row.reading.visit
    opened = f"{visit.opened:%T.%f}" if visit else "none"
    return (
        f"key {row.reading.record_key} of {row.reading.conversation}, at {time.at:%F %T.%f} {time.quality}"
        f" -{time.early_s:g} s, received {time.received:%T.%f}, meter {time.device}, visit {opened}"
    )


def told_by(engine: Engine, gateway: str) -> dict[str, int]:
    """What `gateway` brought, by driver."""
    with engine.connect() as connection:
        brought = [row.reading.driver for row in _rows(connection) if row.gateway == gateway]
    return dict(sorted(Counter(brought).items()))


def _why(row: Row) -> str:
    return row.why or ("no_visit" if row.reading.visit is None else "undecided")


def _by_driver(used: Iterable[Used]) -> dict[str, int]:
    return dict(sorted(Counter(one.driver for one in used).items()))


def _by_quality(rows: Iterable[Row]) -> dict[str, int]:
    return dict(Counter(str(row.reading.time.quality) for row in rows))


def _rows(connection: Connection) -> Iterator[Row]:
    columns = (readings.c.gateway_id, readings.c.member_id, readings.c.first_why, readings.c.body.cast(Text))
    for gateway, member, why, text in connection.execute(select(*columns)):
        one = codec.decode_reading(text.encode())
        name = name_of(one.device.address, one.kind, one.values)
        yield Row(name=name, gateway=gateway, member=member, why=why or "", reading=one)
