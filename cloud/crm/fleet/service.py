"""Gateways in scope: when each was last heard, how much it still holds, whether its clock can be believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from cloud.crm.access import Reader, gateways_of
from cloud.crm.devices import service as devices_service
from cloud.crm.fleet.tables import gateways
from cloud.crm.stores.service import store_names

SILENT_AFTER = timedelta(minutes=15)
"""A gateway reports every minute; a quarter of an hour of opening time without a word is worth a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterView:
    """A meter beside a gateway, and when it last gave a reading there; who told no name is called by the key."""

    key: str
    name: str
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    """One gateway. `state` is online, silent (says online but is not heard), offline or never."""

    id: str
    store_id: str
    store_name: str
    state: str
    last_heard_at: datetime | None
    unsent: int | None
    oldest_unsent_s: int | None
    disk_free_mb: int | None
    clock_trusted: bool | None
    software: str
    transports: dict[str, str]
    meters: list[MeterView]


def gateway_list(connection: Connection, reader: Reader, now: datetime) -> list[GatewayView]:
    """Every gateway in scope, by store."""
    rows = connection.execute(gateways_of(reader).order_by(gateways.c.store_id, gateways.c.id)).all()
    names = store_names(connection, reader.chain_id, {row.store_id for row in rows})
    keys = {key for row in rows for key in (row.status or {}).get("meters") or {}}
    meters = devices_service.names_of(connection, reader.chain_id, keys)
    return [_view(row, names.get(row.store_id, row.store_id), meters, now) for row in rows]


def _view(row: Any, store_name: str, meters: Mapping[str, str], now: datetime) -> GatewayView:
    status = row.status or {}
    return GatewayView(
        id=row.id,
        store_id=row.store_id,
        store_name=store_name,
        state=_state(row, now),
        last_heard_at=row.last_heard_at,
        unsent=_int(status.get("unsent", 0)) if row.status else None,
        oldest_unsent_s=_int(status.get("oldest_unsent_s")),
        disk_free_mb=_int(status.get("disk_free_mb")),
        clock_trusted=bool(status.get("clock_trusted", False)) if row.status else None,
        software=str(status.get("software", "")),
        transports={str(name): str(state) for name, state in (status.get("transports") or {}).items()},
        meters=sorted(
            (
                MeterView(key=key, name=meters.get(key, key), last_seen_at=datetime.fromisoformat(seen))
                for key, seen in (status.get("meters") or {}).items()
            ),
            key=lambda meter: meter.last_seen_at,
            reverse=True,
        ),
    )


def _state(row: Any, now: datetime) -> str:
    if row.last_heard_at is None:
        return "never"
    if not row.online:
        return "offline"
    return "silent" if now - row.last_heard_at > SILENT_AFTER else "online"


def _int(value: Any) -> int | None:
    return None if value is None else int(value)
