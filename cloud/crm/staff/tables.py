"""Logins and sessions. A session is a row; its token is only ever stored hashed."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
    true,
)

from cloud.db import metadata

staff = Table(
    "staff",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("login", Text, nullable=False),
    Column("password_hash", Text, nullable=False),  # argon2id
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("org_unit_id", Text, nullable=False),  # they see this unit and everything below it
    Column("language", Text, nullable=False, server_default="zh"),
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("failed_logins", Integer, nullable=False, server_default="0"),
    Column("locked_until", DateTime(timezone=True)),
    PrimaryKeyConstraint("chain_id", "id"),
    UniqueConstraint("login"),
    ForeignKeyConstraint(("chain_id", "org_unit_id"), ("org_units.chain_id", "org_units.id")),
    CheckConstraint(
        "role IN ('clerk', 'specialist', 'store_manager', 'area_manager', 'head_office', 'field_engineer')",
        name="role",
    ),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),  # sha256 of the cookie
    Column("chain_id", Text, nullable=False),
    Column("staff_id", Uuid, nullable=False),
    Column("csrf", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(("chain_id", "staff_id"), ("staff.chain_id", "staff.id"), ondelete="CASCADE"),
)
