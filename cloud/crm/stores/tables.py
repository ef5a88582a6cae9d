"""The organisation tree: a chain, its areas, their stores."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, PrimaryKeyConstraint, Table, Text, true

from cloud.db import metadata

org_units = Table(
    "org_units",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("path", Text, nullable=False),  # "/kang/north/n01/": a prefix is a subtree
    Column("name", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=true()),
    PrimaryKeyConstraint("chain_id", "id"),
    CheckConstraint("kind IN ('chain', 'area', 'store')", name="kind"),
    Index("uq_org_units_path", "path", unique=True, postgresql_ops={"path": "text_pattern_ops"}),
)
