"""Who the end of a phone number may be, for a dock whose customer has no card: few, masked, counted and recorded.

A phone number is not an identity: families share one. So nobody is linked here; staff ask "is that you?", and a
visit opened with a candidate's code is decided on like any other. Who may be shown is `cloud.crm.access`'s.
"""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select

from cloud.crm.access import masked_name, members_near
from cloud.crm.fleet.registry import Place
from cloud.crm.members.tables import dock_candidates, dock_lookups, members
from gateway.wire.messages import CANDIDATE, Ask, Candidate, Found, Told

SHOWN_AT_MOST = 5
"""One screen, one look. Of 2000 members of a store hardly three share four digits."""
OFTEN = ((timedelta(minutes=1), 10), (timedelta(days=1), 300))
"""A busy counter asks a few dozen times a day; who goes through all ten thousand tails needs a month of days."""
CODE_BYTES = 8
"""Not to be guessed, and short enough for a code: sixteen letters at most."""


def look_up(
    connection: Connection, place: Place, ask: Ask, now: datetime, *, chance: Callable[[int], bytes]
) -> Told | None:
    """Answers `ask` of a gateway that stands at `place`, in the caller's transaction; None if it was answered.

    Recorded before it is answered: what was asked (not the number), by whom, and every member who was shown.
    """
    _one_at_a_time(connection, ask)
    if connection.execute(_known(place, ask)).first() is not None:
        return None
    if _too_often(connection, ask.gateway, now):
        return Told(ask=ask.id, found=Found.TOO_OFTEN)
    rows = _members(connection, place, ask.tail)
    found = Found.TOO_MANY if len(rows) > SHOWN_AT_MOST else Found.SOME if rows else Found.NOBODY
    shown = rows if found is Found.SOME else []
    connection.execute(
        insert(dock_lookups).values(
            chain_id=place.chain_id,
            id=ask.id,
            store_id=place.store_id,
            gateway_id=ask.gateway,
            slot=ask.slot,
            staff=ask.staff,
            found=found.value,
            at=now,
        )
    )
    codes = [_code(chance, ask.tail) for _ in shown]
    if shown:
        connection.execute(
            insert(dock_candidates),
            [
                {"chain_id": place.chain_id, "code": code, "lookup_id": ask.id, "member_id": row.id}
                for code, row in zip(codes, shown, strict=True)
            ],
        )
    return Told(
        ask=ask.id,
        found=found,
        candidates=tuple(
            Candidate(
                code=code,
                name=masked_name(row.name),
                sex=row.sex,
                born=None if row.birth_date is None else row.birth_date.year // 10 * 10,
            )
            for code, row in zip(codes, shown, strict=True)
        ),
    )


def _one_at_a_time(connection: Connection, ask: Ask) -> None:
    # Two processes counting the same gateway's questions at once would both find room for one more.
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"lookup {ask.gateway}", 0))))


def _known(place: Place, ask: Ask) -> Any:
    return select(dock_lookups.c.id).where(dock_lookups.c.chain_id == place.chain_id, dock_lookups.c.id == ask.id)


def _too_often(connection: Connection, gateway: str, now: datetime) -> bool:
    return any(
        connection.execute(
            select(func.count())
            .select_from(dock_lookups)
            .where(dock_lookups.c.gateway_id == gateway, dock_lookups.c.at > now - within)
        ).scalar_one()
        >= times
        for within, times in OFTEN
    )


def _members(connection: Connection, place: Place, tail: str) -> list[Any]:
    """At most one more than may be shown. Where the whole area has too many, the store's own are tried."""
    query = (
        members_near(place.chain_id, place.store_id)
        .where(func.right(members.c.phone, len(tail)) == tail)
        .order_by(members.c.store_id != place.store_id, members.c.id)
    )
    rows = [*connection.execute(query.limit(SHOWN_AT_MOST + 1))]
    own = [row for row in rows if row.store_id == place.store_id]
    return own if len(rows) > SHOWN_AT_MOST and 0 < len(own) <= SHOWN_AT_MOST else rows


def _code(chance: Callable[[int], bytes], tail: str) -> str:
    """Q-...-1234: the screen shows a code's last letters, and these the customer knows."""
    return f"{CANDIDATE}{base64.b32encode(chance(CODE_BYTES)).decode().rstrip('=')}-{tail}"
