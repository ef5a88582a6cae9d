"""What meters are called, for the pages of other features."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from cloud.crm.devices.tables import devices


def names_of(connection: Connection, chain_id: str, keys: Collection[str]) -> dict[str, str]:
    """Maker and model of those of these meters that said them, by key."""
    if not keys:
        return {}
    rows = connection.execute(
        select(devices.c.key, devices.c.maker, devices.c.model).where(
            devices.c.chain_id == chain_id, devices.c.key.in_(keys)
        )
    )
    named = {row.key: " ".join(part for part in (row.maker, row.model) if part) for row in rows}
    return {key: name for key, name in named.items() if name}
