"""Meters seen by any gateway. A meter with an owner is a member's own; all others stand on a counter."""

from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, Table, Text, Uuid, text

from cloud.db import metadata

devices = Table(
    "devices",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("key", Text, nullable=False),  # wire Device.key
    Column("maker", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False, server_default=""),
    Column("serial", Text, nullable=False, server_default=""),
    Column("owner_member_id", Uuid),
    Column("store_id", Text, nullable=False),  # where it was last seen
    Column("first_seen_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("last_seen_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("chain_id", "key"),
)
