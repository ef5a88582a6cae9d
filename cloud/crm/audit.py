"""Who looked at whom: one row per view, in the transaction that reads, so a view that was sent was recorded.

It records that somebody looked and on which page, never what they saw.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Uuid, column, exists, func, insert, literal, select, values
from sqlalchemy import Text as SqlText

from cloud.crm.access import Reader
from cloud.crm.members.tables import member_views

LIST_AGAIN_AFTER = timedelta(hours=1)
"""A list that refreshes itself shows the same people all day: one row an hour says as much as a row a minute."""


def saw(connection: Connection, reader: Reader, member_id: UUID, page: str) -> None:
    """Records that `reader` opened `member_id` on `page`."""
    connection.execute(
        insert(member_views).values(
            chain_id=reader.chain_id, member_id=member_id, staff_id=reader.staff_id, page=page
        )
    )


def saw_listed(
    connection: Connection, reader: Reader, member_ids: Iterable[UUID], page: str, now: datetime
) -> None:
    """Records members shown in a list, each at most once an hour for this reader and page."""
    shown = sorted(set(member_ids))
    if not shown:
        return
    listed = values(column("member_id", Uuid), name="listed").data([(member_id,) for member_id in shown])
    recent = exists().where(
        member_views.c.chain_id == reader.chain_id,
        member_views.c.member_id == listed.c.member_id,
        member_views.c.staff_id == reader.staff_id,
        member_views.c.page == page,
        member_views.c.at > now - LIST_AGAIN_AFTER,
    )
    connection.execute(
        insert(member_views).from_select(
            ["chain_id", "member_id", "staff_id", "page", "at"],
            select(
                literal(reader.chain_id, SqlText),
                listed.c.member_id,
                literal(reader.staff_id, Uuid),
                literal(page, SqlText),
                func.now(),
            ).where(~recent),
        )
    )
