"""Stores by name, for the pages and filters of other features, and the tree they stand in."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from cloud.crm.access import Reader, stores_of
from cloud.crm.stores.tables import org_units


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store in scope."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A chain, an area or a store. `path` holds the ids from the chain down: "/kang/north/n01/"."""

    id: str
    kind: str
    path: str
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


def units(connection: Connection, chain_id: str) -> dict[str, Unit]:
    """The whole tree of a chain, by id."""
    columns = (org_units.c.id, org_units.c.kind, org_units.c.path, org_units.c.name)
    rows = connection.execute(select(*columns).where(org_units.c.chain_id == chain_id)).mappings()
    return {row["id"]: Unit(**row) for row in rows}


def put_units(connection: Connection, chain_id: str, put: Collection[Unit]) -> None:
    """Adds these units, or changes the name and the place of those that are there."""
    statement = insert(org_units)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["chain_id", "id"],
            set_={"name": statement.excluded.name, "path": statement.excluded.path},
        ),
        [{"chain_id": chain_id, "id": u.id, "kind": u.kind, "path": u.path, "name": u.name} for u in put],
    )
