"""Meters as the ingest meets them: whose they are, and a note of where each was last seen; many at a time."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Text, any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from cloud.crm.devices.tables import devices
from gateway.wire.messages import Device

LAST_SEEN_RESOLUTION = timedelta(minutes=1)
"""A busy meter's row is not rewritten with every reading: when it was last seen is true to the minute."""


class Known(NamedTuple):
    """A meter as it is known already."""

    store_id: str
    owner_member_id: UUID | None
    last_seen_at: datetime


def known(connection: Connection, chain_id: str, keys: Collection[str]) -> dict[str, Known]:
    """Those of these meters that the chain knows, by key."""
    rows = connection.execute(_KNOWN, {"chain_id": chain_id, "keys": list(keys)})
    return {row.key: Known(row.store_id, row.owner_member_id, row.last_seen_at) for row in rows}


def seen(
    connection: Connection,
    chain_id: str,
    before: Mapping[str, Known],
    sightings: Iterable[tuple[Device, str]],
    now: datetime,
) -> None:
    """Notes that each meter was in the store beside it; `before` is what `known` said of them."""
    newest = {device.key: (device, store_id) for device, store_id in sightings}
    rows = [
        {
            "chain_id": chain_id,
            "key": key,
            "maker": device.maker,
            "model": device.model,
            "serial": device.serial,
            "store_id": store_id,
            "now": now,
        }
        for key, (device, store_id) in sorted(newest.items())  # one order for all ingests: no deadlock
        if (old := before.get(key)) is None
        or old.store_id != store_id
        or now - old.last_seen_at > LAST_SEEN_RESOLUTION
    ]
    if rows:
        connection.execute(_SEEN, rows)


_KNOWN = select(devices.c.key, devices.c.store_id, devices.c.owner_member_id, devices.c.last_seen_at).where(
    devices.c.chain_id == bindparam("chain_id"), devices.c.key == any_(bindparam("keys", type_=ARRAY(Text)))
)
_SEEN = text("""
    INSERT INTO devices (chain_id, key, maker, model, serial, store_id, first_seen_at, last_seen_at)
    VALUES (:chain_id, :key, :maker, :model, :serial, :store_id, :now, :now)
    ON CONFLICT (chain_id, key) DO UPDATE SET
        maker = COALESCE(NULLIF(EXCLUDED.maker, ''), devices.maker),
        model = COALESCE(NULLIF(EXCLUDED.model, ''), devices.model),
        serial = COALESCE(NULLIF(EXCLUDED.serial, ''), devices.serial),
        store_id = EXCLUDED.store_id,
        last_seen_at = EXCLUDED.last_seen_at
""")
