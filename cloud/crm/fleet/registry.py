"""Gateways as the ingest needs them: where each stands, and what it said last; many at a time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Text, any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from cloud.crm.fleet.tables import gateways


class Place(NamedTuple):
    """Where a gateway stands."""

    chain_id: str
    store_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A status as it came. `itself`: the gateway's own fresh word, not its will and not a retained one."""

    gateway: str
    online: bool
    itself: bool
    body: str
    arrived: datetime


def places(connection: Connection, names: Collection[str]) -> dict[str, Place]:
    """Where those of these gateways stand that are registered."""
    if not names:
        return {}
    rows = connection.execute(_PLACES, {"names": list(names)})
    return {row.id: Place(row.chain_id, row.store_id) for row in rows}


def register(connection: Connection, chain_id: str, stores: Mapping[str, str]) -> None:
    """Says in which store each of these gateways stands; the caller knows that they are the chain's."""
    if stores:
        statement = insert(gateways)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={"store_id": statement.excluded.store_id}),
            [{"id": name, "chain_id": chain_id, "store_id": store_id} for name, store_id in stores.items()],
        )


def heard(connection: Connection, newest: Collection[Heard]) -> None:
    """Keeps each gateway's status, unless a later one is kept already: two writers may commit in either order.

    Later is what arrived later. A status's own `at` cannot say so: a will has none, and a gateway that has just
    started may have no clock yet.
    """
    if newest:
        connection.execute(
            _HEARD,
            [
                {
                    "gateway": one.gateway,
                    "online": one.online,
                    "status": one.body,
                    "itself": one.itself,
                    "arrived": one.arrived,
                }
                for one in sorted(newest, key=lambda one: one.gateway)  # one order for all ingests: no deadlock
            ],
        )


_PLACES = select(gateways.c.id, gateways.c.chain_id, gateways.c.store_id).where(
    gateways.c.id == any_(bindparam("names", type_=ARRAY(Text)))
)
_HEARD = text("""
    UPDATE gateways SET online = :online,
        status = CAST(:status AS jsonb) || jsonb_build_object('arrived', CAST(:arrived AS timestamptz)),
        last_heard_at = CASE WHEN :itself THEN CAST(:arrived AS timestamptz) ELSE last_heard_at END
    WHERE id = :gateway
        AND COALESCE(CAST(status->>'arrived' AS timestamptz), '-infinity') <= CAST(:arrived AS timestamptz)
""")
