"""What `assess` has to know before it can judge: readings under lock, their history and tasks, in bulk.

A fixed number of statements whatever the number of readings. It decides nothing; members come from
`cloud.crm.members.persons`. A task is read together with the reading it is about, in one join over both tables:
this is the one place outside the CRM that reads a table of its own.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Uuid, and_, any_, bindparam, cast, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from cloud.crm.tasks.raising import OPEN
from cloud.crm.tasks.tables import tasks
from cloud.ledger.tables import readings
from gateway.clinical import Measurement, vocabulary
from gateway.wire.messages import Purpose, Quality, TimeQuality
from gateway.wire.vocabulary import Kind, Meal, OffScale

_LOCKS = "kangdock assess member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One reading under lock. `measurement` is None where it must not be judged (control, rejected)."""

    id: UUID
    store_id: str
    device_key: str
    conversation: str
    kind: Kind
    owner_id: UUID | None
    taken_at: datetime
    stored_at: datetime
    time_trusted: bool
    values: Mapping[str, Decimal | OffScale]
    measurement: Measurement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTask:
    """A task that bears on a case, with the values of the reading it is about."""

    id: UUID
    member_id: UUID | None
    reading_id: UUID | None
    rules: frozenset[str]
    rule_id: str
    severity: int
    action: str
    status: str
    raised_at: datetime
    taken_at: datetime | None
    values: Mapping[str, Decimal | OffScale]

    @property
    def open(self) -> bool:
        """Whether somebody still has to act on it."""
        return self.status in OPEN


def lock_readings(connection: Connection, chain_id: str, reading_ids: Collection[UUID]) -> list[Case]:
    """These readings, oldest first, locked until the commit so that none changes its owner meanwhile."""
    rows = connection.execute(
        select(*_READING, readings.c.body["conversation"].astext.label("conversation"))
        .where(readings.c.chain_id == chain_id, readings.c.id == _any("ids", reading_ids))
        .order_by(readings.c.id)  # one order for all: workers wait for each other instead of deadlocking
        .with_for_update(key_share=True)
    )
    return sorted((_case(row) for row in rows), key=lambda case: (case.taken_at, case.id))


def with_symptoms(cases: Iterable[Case], symptoms: Mapping[UUID, frozenset[str]]) -> list[Case]:
    """`cases` with what was asked about them at the dock."""
    return [
        replace(case, measurement=replace(case.measurement, symptoms=symptoms[case.id]))
        if case.measurement is not None and case.id in symptoms
        else case
        for case in cases
    ]


def lock_members(connection: Connection, chain_id: str, member_ids: Collection[UUID]) -> None:
    """Waits until no other worker judges these members, and keeps others waiting until the commit.

    Taken after all reading locks and in one order, so that two workers cannot deadlock.
    """
    if not member_ids:
        return
    keys = sorted(_lock_key(chain_id, member_id) for member_id in member_ids)
    turn = func.unnest(cast(keys, ARRAY(BigInteger))).column_valued("turn")
    connection.execute(select(func.pg_advisory_xact_lock(turn)))


def load_tasks(
    connection: Connection,
    chain_id: str,
    reading_ids: Collection[UUID],
    member_ids: Collection[UUID],
    since: datetime,
) -> list[KnownTask]:
    """Every task about these readings, and those of these members that were raised since."""
    t = tasks.c
    rows = connection.execute(
        select(
            t.id,
            t.member_id,
            t.reading_id,
            t.rule_id,
            t.other_rules,
            t.severity,
            t.action,
            t.status,
            t.raised_at,
            *_VALUES,
        )
        .add_columns(readings.c.taken_at)
        .select_from(
            tasks.outerjoin(readings, and_(readings.c.chain_id == t.chain_id, readings.c.id == t.reading_id))
        )
        .where(
            t.chain_id == chain_id,
            or_(
                t.reading_id == _any("reading_ids", reading_ids),
                and_(t.member_id == _any("member_ids", member_ids), t.raised_at >= since),
            ),
        )
    )
    return [
        KnownTask(
            id=row.id,
            member_id=row.member_id,
            reading_id=row.reading_id,
            rules=frozenset((row.rule_id, *row.other_rules)),
            rule_id=row.rule_id,
            severity=row.severity,
            action=row.action,
            status=row.status,
            raised_at=row.raised_at,
            taken_at=row.taken_at,
            values=_values(row),
        )
        for row in rows
    ]


def load_history(
    connection: Connection, chain_id: str, cases: Sequence[Case]
) -> dict[tuple[UUID, Kind], list[Measurement]]:
    """Earlier measurements of the cases' owners, as far back as a derived fact looks; untrusted times left out."""
    windows = []
    for kind in Kind:
        taken = [c.taken_at for c in cases if c.kind is kind and c.owner_id is not None]
        lookback = vocabulary().lookback(kind)
        if taken and lookback > timedelta(0):
            first, last = min(taken) - lookback, max(taken)
            windows.append(and_(readings.c.kind == kind.value, readings.c.taken_at.between(first, last)))
    if not windows:
        return {}
    owners = {case.owner_id for case in cases if case.owner_id is not None}
    found: dict[tuple[UUID, Kind], list[Measurement]] = {}
    for row in connection.execute(
        select(*_READING).where(
            readings.c.chain_id == chain_id,
            readings.c.member_id == _any("owners", owners),
            or_(*windows),
            readings.c.time_quality != TimeQuality.UNTRUSTED.value,
        )
    ):
        measurement = _case_measurement(row, _values(row))
        if measurement is not None:
            found.setdefault((row.member_id, measurement.kind), []).append(measurement)
    return found


_VALUES = (
    readings.c.body["values"].label("numbers"),
    readings.c.body["off_scale"].label("off_scale"),
)
_READING = (
    readings.c.id,
    readings.c.store_id,
    readings.c.device_key,
    readings.c.kind,
    readings.c.purpose,
    readings.c.quality,
    readings.c.meal,
    readings.c.member_id,
    readings.c.taken_at,
    readings.c.stored_at,
    readings.c.time_quality,
    *_VALUES,
)


def _case(row: Any) -> Case:
    values = _values(row)
    return Case(
        id=row.id,
        store_id=row.store_id,
        device_key=row.device_key,
        conversation=row.conversation,
        kind=Kind(row.kind),
        owner_id=row.member_id,
        taken_at=row.taken_at,
        stored_at=row.stored_at,
        time_trusted=row.time_quality != TimeQuality.UNTRUSTED,
        values=values,
        measurement=_case_measurement(row, values),
    )


def _case_measurement(row: Any, values: Mapping[str, Decimal | OffScale]) -> Measurement | None:
    if row.purpose != Purpose.PATIENT or row.quality == Quality.REJECTED:
        return None
    return Measurement(kind=Kind(row.kind), taken_at=row.taken_at, values=values, meal=Meal(row.meal))


def _values(row: Any) -> dict[str, Decimal | OffScale]:
    # The codec writes a decimal as a string, and leaves an empty table out.
    numbers: dict[str, Decimal | OffScale] = {name: Decimal(value) for name, value in (row.numbers or {}).items()}
    return numbers | {name: OffScale(value) for name, value in (row.off_scale or {}).items()}


def _lock_key(chain_id: str, member_id: UUID) -> int:
    digest = hashlib.blake2b(f"{_LOCKS}/{chain_id}/{member_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _any(name: str, ids: Iterable[UUID]) -> Any:
    """One array parameter whatever the number of ids: one plan."""
    return any_(bindparam(name, list(ids), ARRAY(Uuid)))
