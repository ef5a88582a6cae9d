"""The only place that decides who sees what: a reader, the rows in scope, and how much of a person is shown.

Every query that can see a member starts from a SELECT made here; services add to it and never replace it. Scope
follows the member's store, not who wrote a row. What is outside a scope does not exist: it is "not found".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, and_, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.stores.tables import org_units
from cloud.crm.tasks.tables import tasks
from cloud.ledger.tables import readings


class Role(StrEnum):
    """What somebody is employed as; the same words as `staff.role`."""

    CLERK = "clerk"
    SPECIALIST = "specialist"
    STORE_MANAGER = "store_manager"
    AREA_MANAGER = "area_manager"
    HEAD_OFFICE = "head_office"
    FIELD_ENGINEER = "field_engineer"


class Action(StrEnum):
    """What a reader may be allowed to do. Few on purpose: a long list of permissions is one nobody can check."""

    CARE = "care"  # see members, readings and tasks of the scope, and work on them
    SEE_NAMES = "see_names"
    REVEAL_PHONE = "reveal_phone"  # one number at a time, recorded
    SEE_VIEWERS = "see_viewers"  # who looked at a member
    RELEASE_OTHERS = "release_others"  # put a colleague's task back into the pool
    SEE_FLEET = "see_fleet"


ALLOWED: Mapping[Role, frozenset[Action]] = {
    Role.CLERK: frozenset({Action.CARE, Action.SEE_NAMES}),
    Role.SPECIALIST: frozenset({Action.CARE, Action.SEE_NAMES, Action.REVEAL_PHONE}),
    Role.STORE_MANAGER: frozenset(Action),
    # Those who steer many stores need the figures and not the names.
    Role.AREA_MANAGER: frozenset({Action.CARE, Action.SEE_VIEWERS, Action.RELEASE_OTHERS, Action.SEE_FLEET}),
    Role.HEAD_OFFICE: frozenset({Action.CARE, Action.SEE_VIEWERS, Action.RELEASE_OTHERS, Action.SEE_FLEET}),
    Role.FIELD_ENGINEER: frozenset({Action.SEE_FLEET}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who is asking, and the part of the organisation tree they see."""

    chain_id: str
    staff_id: UUID
    name: str
    role: Role
    org_unit_id: str
    scope: str  # path of their unit: a store is in scope when its path begins with this
    language: str

    def may(self, action: Action) -> bool:
        """Whether this reader's role allows `action`."""
        return action in ALLOWED[self.role]


class NotAllowed(Exception):
    """The reader's role has no such action, whatever the row."""


def require(reader: Reader, action: Action) -> None:
    """Raises NotAllowed unless the role allows `action`."""
    if not reader.may(action):
        raise NotAllowed(action)


# --- scope: SELECTs that already see only what the reader may --------------------------------------------------


def stores_of(reader: Reader) -> Select[Any]:
    """The stores in scope, by name."""
    return (
        select(org_units.c.id, org_units.c.name, org_units.c.path)
        .where(
            org_units.c.chain_id == reader.chain_id,
            org_units.c.kind == "store",
            org_units.c.path.startswith(reader.scope, autoescape=True),
        )
        .order_by(org_units.c.path)
    )


def store_ids(connection: Connection, reader: Reader) -> list[str]:
    """Ids of the stores in scope."""
    return [row.id for row in connection.execute(stores_of(reader))]


def _in_scope(reader: Reader, chain_id: ColumnElement[str], store_id: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(
        chain_id == reader.chain_id,
        store_id.in_(stores_of(reader).order_by(None).with_only_columns(org_units.c.id)),
    )


def members_of(reader: Reader) -> Select[Any]:
    """Members cared for in the scope. Not for showing: `present` makes what may be shown."""
    require(reader, Action.CARE)
    return select(members).where(_in_scope(reader, members.c.chain_id, members.c.store_id))


def members_near(chain_id: str, store_id: str) -> Select[Any]:
    """Members whom the dock of this store may be asked about: cared for there, or elsewhere in the same area."""
    here, area = org_units.alias("here"), org_units.alias("area")
    near = (
        select(org_units.c.id)
        .join(area, and_(area.c.kind == "area", func.starts_with(org_units.c.path, area.c.path)))
        .join(here, and_(here.c.id == store_id, func.starts_with(here.c.path, area.c.path)))
        .where(*(unit.c.chain_id == chain_id for unit in (org_units, area, here)))
    )
    return select(members).where(
        members.c.chain_id == chain_id, or_(members.c.store_id == store_id, members.c.store_id.in_(near))
    )


def member_ids_of(reader: Reader) -> Select[Any]:
    """The ids alone, for `IN`."""
    return members_of(reader).with_only_columns(members.c.id)


def tasks_of(reader: Reader) -> Select[Any]:
    """Tasks that wait in the stores in scope: the worklist."""
    require(reader, Action.CARE)
    return select(tasks).where(_in_scope(reader, tasks.c.chain_id, tasks.c.store_id))


def tasks_seen_by(reader: Reader) -> Select[Any]:
    """Those, and tasks about members in scope wherever they wait. For one task or one member: it has no index."""
    require(reader, Action.CARE)
    return select(tasks).where(
        tasks.c.chain_id == reader.chain_id,
        or_(
            _in_scope(reader, tasks.c.chain_id, tasks.c.store_id),
            tasks.c.member_id.in_(member_ids_of(reader)),
        ),
    )


def readings_of(reader: Reader) -> Select[Any]:
    """Readings of members in scope, wherever measured, and readings nobody owns that were measured in scope."""
    require(reader, Action.CARE)
    return select(readings).where(
        readings.c.chain_id == reader.chain_id,
        or_(
            readings.c.member_id.in_(member_ids_of(reader)),
            and_(readings.c.member_id.is_(None), _in_scope(reader, readings.c.chain_id, readings.c.store_id)),
        ),
    )


def focuses_of(reader: Reader) -> Select[Any]:
    """Readings that a task in scope is about: whoever must act on a task may see its reading."""
    focuses = tasks_seen_by(reader).with_only_columns(tasks.c.reading_id)
    return select(readings).where(readings.c.chain_id == reader.chain_id, readings.c.id.in_(focuses))


def gateways_of(reader: Reader) -> Select[Any]:
    """Gateways of the stores in scope."""
    require(reader, Action.SEE_FLEET)
    return select(gateways).where(_in_scope(reader, gateways.c.chain_id, gateways.c.store_id))


# --- masking: the one serializer of a person -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A member as this reader may see them. Templates and the API know members only in this shape."""

    id: UUID
    code: str
    name: str
    sex: str
    age: int | None
    phone: str
    store_id: str
    conditions: tuple[str, ...]


def present(reader: Reader, row: Any, today: date) -> Person:
    """`row` of `members_of`, masked for `reader`. The phone is always masked; `reveal_phone` is a separate act."""
    return Person(
        id=row.id,
        code=row.code,
        name=row.name if reader.may(Action.SEE_NAMES) else masked_name(row.name),
        sex=row.sex,
        age=age_on(row.birth_date, today),
        phone=masked_phone(row.phone),
        store_id=row.store_id,
        conditions=tuple(row.conditions),
    )


def masked_phone(phone: str | None) -> str:
    """138****1234; a number too short to hide the middle of shows nothing but its length in stars."""
    if not phone:
        return ""
    return f"{phone[:3]}****{phone[-4:]}" if len(phone) >= 11 else "*" * len(phone)


def masked_name(name: str) -> str:
    """张**: the first character and as many stars as were hidden."""
    return name[:1] + "*" * max(1, len(name) - 1)


def age_on(birth_date: date | None, today: date) -> int | None:
    """Whole years."""
    if birth_date is None:
        return None
    return today.year - birth_date.year - ((today.month, today.day) < (birth_date.month, birth_date.day))
