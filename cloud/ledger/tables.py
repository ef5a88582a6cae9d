"""The ledger's tables. `chain_id` leads every key, so the ledger can be partitioned or distributed later."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from cloud.db import metadata

readings = Table(
    "readings",
    metadata,
    Column("chain_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("gateway_id", Text, nullable=False),
    Column("device_key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("purpose", Text, nullable=False),  # patient, control
    Column("quality", Text, nullable=False),  # plausible, flagged, rejected
    Column("meal", Text, nullable=False),  # a correction by staff changes this column; body keeps the original
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Column("time_quality", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),  # by the gateway
    Column("stored_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("member_id", Uuid),  # null: waits unclaimed. Today's owner.
    Column("first_how", Text),  # how the ingest decided: visit, owner, undecided; null: nothing to decide
    Column("first_why", Text),  # the evidence, in one machine word
    Column("visit_code", Text),  # evidence: what was scanned or typed at the slot
    Column("body", JSON, nullable=False),  # the wire Reading, to the letter as it came (JSONB would rewrite it)
    PrimaryKeyConstraint("chain_id", "id"),
    Index("ix_readings_member", "chain_id", "member_id", "kind", "taken_at"),
    Index(
        "ix_readings_unclaimed",
        "chain_id",
        "store_id",
        "taken_at",
        postgresql_where=text("member_id IS NULL AND purpose = 'patient'"),
    ),
)

attributions = Table(
    # Append only: each row says who a reading belongs to from then on, how that was decided and by whom. The
    # ingest's own decision is on the reading's row and moves here, first of all, when somebody changes it: most
    # readings are decided once, and a second row and index entry for each were a fifth of the intake (measured).
    "attributions",
    metadata,
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("chain_id", Text, nullable=False),
    Column("reading_id", Uuid, nullable=False),
    Column("member_id", Uuid),  # null: nobody (an undo, or never decided)
    Column("how", Text, nullable=False),  # visit, owner, claim, dock, undo
    Column("why", Text, nullable=False, server_default=""),  # the evidence, in one machine word
    Column("by_staff", Uuid),  # null: the system
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("chain_id", "reading_id", "seq"),
    Index("ix_attributions_by_staff", "chain_id", "at", postgresql_where=text("by_staff IS NOT NULL")),
)

meal_corrections = Table(
    # Append only: what staff learned by asking, when a meter did not say whether a glucose was fasting. The body
    # keeps what the meter said, `readings.meal` is today's.
    "meal_corrections",
    metadata,
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("chain_id", Text, nullable=False),
    Column("reading_id", Uuid, nullable=False),
    Column("was", Text, nullable=False),
    Column("meal", Text, nullable=False),
    Column("by_staff", Uuid),  # in the CRM
    Column("by_answer", Uuid),  # at the dock
    Column("at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("chain_id", "reading_id", "seq"),
    CheckConstraint("(by_staff IS NULL) <> (by_answer IS NULL)", name="by_somebody"),
)

answers = Table(
    # Append only: what people said at a dock. Without a foreign key: an answer may come before its reading.
    "answers",
    metadata,
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("chain_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("gateway_id", Text, nullable=False),
    Column("reading_id", Uuid, nullable=False),
    Column("what", Text, nullable=False),  # meal, symptoms, first_aid, whose
    Column("body", JSON, nullable=False),  # the wire Answer, to the letter as it came
    Column("stored_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("applied_at", DateTime(timezone=True)),  # null: its reading is not here yet
    PrimaryKeyConstraint("chain_id", "id"),
    Index("ix_answers_reading", "chain_id", "reading_id", "seq"),
    Index("ix_answers_waiting", "stored_at", postgresql_where=text("applied_at IS NULL")),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("gateway_id", Text),
    Column("batch_id", Uuid),
    Column("error", Text, nullable=False),  # class: oversized, not_json, malformed, unknown_gateway ...
    Column("detail", Text, nullable=False),  # never a value, a name or a code: field paths and sizes only
    Column("payload", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # sha256(topic + payload): a resend is one letter
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("replayed_at", DateTime(timezone=True)),
    Index("ix_dead_letters_waiting", "received_at", postgresql_where=text("replayed_at IS NULL")),
)

work = Table(
    # What the re-runnable readers still have to look at, one row per intake transaction or change of owner.
    "work",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("reader", Text, nullable=False),  # assess, project
    Column("chain_id", Text, nullable=False),
    Column("reading_ids", ARRAY(Uuid), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column(
        "due_at", DateTime(timezone=True), nullable=False, server_default=text("now()")
    ),  # put off by a failure
    Column("last_error", Text),  # the class of the exception, never its words
    Column("parked_at", DateTime(timezone=True)),  # given up on until a person releases it
    Index("ix_work_reader", "reader", "id", postgresql_where=text("parked_at IS NULL")),
)
