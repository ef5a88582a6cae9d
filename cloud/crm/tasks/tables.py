"""Tasks in FHIR Task's words, and every step of their life."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from cloud.db import metadata

tasks = Table(
    "tasks",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("member_id", Uuid),  # null: an emergency of someone in the store whom nobody has claimed yet
    Column("reading_id", Uuid),  # what it is about (FHIR Task.focus)
    Column("rule_id", Text, nullable=False),
    Column("rule_version", Text, nullable=False),
    Column("other_rules", JSONB, nullable=False, server_default="[]"),  # also fired on the same reading
    Column("severity", Integer, nullable=False),  # 4 emergency, 3 urgent, 2 attention, 1 info
    Column("action", Text, nullable=False),
    Column("performer_role", Text, nullable=False),  # nearest_staff, chronic_specialist, pharmacist ...
    Column("status", Text, nullable=False, server_default="ready"),
    Column("owner_staff_id", Uuid),  # null: in the pool
    Column("raised_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("snooze_until", DateTime(timezone=True)),
    Column("outcome", Text),
    Column("closed_at", DateTime(timezone=True)),
    Column("dedupe_key", Text, nullable=False),
    PrimaryKeyConstraint("chain_id", "id"),
    UniqueConstraint("chain_id", "dedupe_key"),
    ForeignKeyConstraint(("chain_id", "member_id"), ("members.chain_id", "members.id")),
    ForeignKeyConstraint(("chain_id", "reading_id"), ("readings.chain_id", "readings.id")),
    CheckConstraint("status IN ('ready', 'in-progress', 'completed', 'cancelled')", name="status"),
    Index(
        "ix_tasks_open",
        "chain_id",
        "store_id",
        text("severity DESC"),
        "due_at",
        postgresql_where=text("status IN ('ready', 'in-progress')"),
    ),
    Index("ix_tasks_member", "chain_id", "member_id", "rule_id", "raised_at"),
    Index("ix_tasks_reading", "chain_id", "reading_id"),
)

task_events = Table(
    "task_events",
    metadata,
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("chain_id", Text, nullable=False),
    Column("task_id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("by_staff", Uuid),  # null: the system
    Column("what", Text, nullable=False),  # raised, claimed, released, snoozed, woken, resolved, withdrawn
    Column("detail", JSONB, nullable=False, server_default="{}"),
    PrimaryKeyConstraint("chain_id", "task_id", "seq"),
    ForeignKeyConstraint(("chain_id", "task_id"), ("tasks.chain_id", "tasks.id")),
)
