"""Stores by name, for the pages and filters of other features."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from cloud.crm.access import Reader, stores_of
from cloud.crm.stores.tables import org_units


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store in scope."""

    id: str
    name: str


def in_scope(connection: Connection, reader: Reader) -> list[Store]:
    """The stores the reader sees, in the order of the tree."""
    return [Store(id=row.id, name=row.name) for row in connection.execute(stores_of(reader))]


def store_names(connection: Connection, chain_id: str, store_ids: set[str]) -> dict[str, str]:
    """Names of these units of one chain: where something happened is said even across scopes."""
    if not store_ids:
        return {}
    rows = connection.execute(
        select(org_units.c.id, org_units.c.name).where(
            org_units.c.chain_id == chain_id, org_units.c.id.in_(store_ids)
        )
    )
    return {row.id: row.name for row in rows}
