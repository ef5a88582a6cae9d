"""Members as the ingest and the ledger need them: by card code, and where they are cared for; many at a time.

What staff may see of a member is `service`'s, through `cloud.crm.access`. Nothing here returns a name.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY

from cloud.crm.members.tables import dock_candidates, members
from gateway.wire.messages import CANDIDATE, TAIL_ONLY


def by_code(connection: Connection, chain_id: str, codes: Collection[str]) -> Mapping[str, list[UUID]]:
    """The members of the chain with these card codes, exactly as scanned, or shown at a dock under such a code.

    The end of a phone number is nobody's code, whatever is printed on a card.
    """
    found: defaultdict[str, list[UUID]] = defaultdict(list)
    asked = [code for code in codes if not code.startswith(TAIL_ONLY)]
    if asked:
        for code, member_id in connection.execute(_BY_CODE, {"chain_id": chain_id, "codes": asked}):
            found[code].append(member_id)
    confirmed = [code for code in asked if code.startswith(CANDIDATE)]
    if confirmed:
        for code, member_id in connection.execute(_BY_CANDIDATE, {"chain_id": chain_id, "codes": confirmed}):
            found[code].append(member_id)
    return found


def homes(connection: Connection, chain_id: str, member_ids: Collection[UUID]) -> set[str]:
    """The stores that care for these members; none for who is not in the chain."""
    if not member_ids:
        return set()
    return set(connection.scalars(_HOMES, {"chain_id": chain_id, "ids": list(member_ids)}))


# One array parameter whatever their number: one plan.
_OF_CHAIN = members.c.chain_id == bindparam("chain_id")
_BY_CODE = select(members.c.code, members.c.id).where(
    _OF_CHAIN, members.c.code == any_(bindparam("codes", type_=ARRAY(Text)))
)
_BY_CANDIDATE = select(dock_candidates.c.code, dock_candidates.c.member_id).where(
    dock_candidates.c.chain_id == bindparam("chain_id"),
    dock_candidates.c.code == any_(bindparam("codes", type_=ARRAY(Text))),
)
_HOMES = (
    select(members.c.store_id)
    .distinct()
    .where(_OF_CHAIN, members.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
)
