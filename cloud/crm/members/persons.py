"""Members as the clinical rules see them, many at a time: age, sex, conditions, home store. Never a name."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY

from cloud.crm.members.tables import members
from cloud.crm.readings import person_of
from cloud.i18n import SHOWN_ZONE
from gateway.clinical import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member as the rules see them, and the store that cares for them."""

    id: UUID
    store_id: str
    person: Person | None


def known(
    connection: Connection, chain_id: str, member_ids: Collection[UUID], now: datetime
) -> dict[UUID, Member]:
    """These members by id, as old as they are at `now`; who is not in the chain is left out."""
    if not member_ids:
        return {}
    today = now.astimezone(SHOWN_ZONE).date()
    rows = connection.execute(_KNOWN, {"chain_id": chain_id, "ids": list(member_ids)})
    return {row.id: Member(id=row.id, store_id=row.store_id, person=person_of(row, today)) for row in rows}


_KNOWN = select(members).where(
    members.c.chain_id == bindparam("chain_id"), members.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))
)
