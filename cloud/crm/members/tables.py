"""Members, and the record of everyone who looked at one."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from cloud.db import metadata

members = Table(
    "members",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("code", Text, nullable=False),  # on the member's card, as a barcode and in digits
    Column("name", Text, nullable=False),
    Column("sex", Text, nullable=False, server_default="unknown"),  # FHIR administrative gender
    Column("birth_date", Date),
    Column("phone", Text),  # never an identity: families share one
    Column("store_id", Text, nullable=False),  # where they are cared for; scope follows it
    Column("specialist_id", Uuid),  # their own chronic-care specialist
    Column("conditions", ARRAY(Text), nullable=False, server_default="{}"),  # htn, dm, dyslipidaemia, gout ...
    Column("medications", ARRAY(Text), nullable=False, server_default="{}"),  # classes: insulin, sulfonylurea ...
    Column("pregnant_or_lactating", Boolean, nullable=False, server_default=false()),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("chain_id", "id"),
    UniqueConstraint("chain_id", "code"),
    ForeignKeyConstraint(("chain_id", "store_id"), ("org_units.chain_id", "org_units.id")),
    CheckConstraint("sex IN ('male', 'female', 'other', 'unknown')", name="sex"),
    Index("ix_members_store", "chain_id", "store_id"),
    Index("ix_members_phone", "chain_id", "phone"),
    Index("ix_members_phone_tail", "chain_id", text('"right"(phone, 4)')),  # asked for at a dock
)

member_views = Table(
    # Append only: who saw whose record, when and on which page (FHIR AuditEvent).
    "member_views",
    metadata,
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("chain_id", Text, nullable=False),
    Column("member_id", Uuid, nullable=False),
    Column("staff_id", Uuid, nullable=False),
    Column("page", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("chain_id", "member_id", "seq"),
)

dock_lookups = Table(
    # Append only: a dock asked who the end of a phone number may be. The number itself is not kept.
    "dock_lookups",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),  # the gateway's question
    Column("store_id", Text, nullable=False),
    Column("gateway_id", Text, nullable=False),
    Column("slot", Text, nullable=False),
    Column("staff", Text, nullable=False),  # as typed at the dock, may be empty
    Column("found", Text, nullable=False),  # some, nobody, too_many
    Column("at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("chain_id", "id"),
    Index("ix_dock_lookups_gateway", "gateway_id", "at"),
)

dock_candidates = Table(
    # Append only: whom it was shown, each under a code made for that question. A visit opened with it is theirs.
    "dock_candidates",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("lookup_id", Uuid, nullable=False),
    Column("member_id", Uuid, nullable=False),
    PrimaryKeyConstraint("chain_id", "code"),
    ForeignKeyConstraint(("chain_id", "lookup_id"), ("dock_lookups.chain_id", "dock_lookups.id")),
    ForeignKeyConstraint(("chain_id", "member_id"), ("members.chain_id", "members.id")),
    Index("ix_dock_candidates_member", "chain_id", "member_id"),
)
