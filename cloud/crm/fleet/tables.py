"""Gateways: the cloud, not the gateway, knows which store one stands in."""

from sqlalchemy import Boolean, Column, DateTime, ForeignKeyConstraint, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from cloud.db import metadata

gateways = Table(
    "gateways",
    metadata,
    Column("id", Text, primary_key=True),  # globally unique: it is the MQTT login and the topic
    Column("chain_id", Text, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("online", Boolean),
    Column("last_heard_at", DateTime(timezone=True)),
    Column("status", JSONB),  # the last wire Status
    ForeignKeyConstraint(("chain_id", "store_id"), ("org_units.chain_id", "org_units.id")),
    Index("ix_gateways_store", "chain_id", "store_id"),
)
