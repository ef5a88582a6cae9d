"""The one way to PostgreSQL: an engine, the metadata every table hangs on, and who owns a transaction.

PostgreSQL is the only dialect. A transaction is opened by whoever owns the unit of work (`begin`), and everything
below takes a `Connection` and never commits. Tables live with the feature that owns them (`*/tables.py`); Alembic
finds them all through `all_tables()`.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import msgspec
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

TABLE_MODULES = (
    "cloud.ledger.tables",
    "cloud.crm.stores.tables",
    "cloud.crm.staff.tables",
    "cloud.crm.members.tables",
    "cloud.crm.devices.tables",
    "cloud.crm.tasks.tables",
    "cloud.crm.fleet.tables",
)
"""Every module that defines tables; a new feature adds its line here and a migration."""

CONNECT_TIMEOUT_S = 5
"""A PostgreSQL that is there answers at once; one that is not must not hold a page or a command for minutes."""
STATEMENT_TIMEOUT_MS = 15_000
"""No page or worker waits longer than this for one statement; a longer one is a bug to see, not to sit through."""


def all_tables() -> MetaData:
    """The metadata with every table loaded."""
    for name in TABLE_MODULES:
        importlib.import_module(name)
    return metadata


def engine(url: str, *, pool_size: int = 8) -> Engine:
    """An engine for `url` (postgresql://...); JSON numbers come back as Decimal, times as aware UTC."""
    made = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # else the words of every error hold the row: names, phone numbers, values
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=_load_json,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS}",
        },
    )

    @event.listens_for(made, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.prepare_threshold = 3

    return made


@contextmanager
def begin(of: Engine) -> Iterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    with of.begin() as connection:
        yield connection


def now() -> datetime:
    """The present, UTC. Taken once at the edge and passed down."""
    return datetime.now(UTC)


_json = msgspec.json.Decoder(float_hook=Decimal)


def _load_json(text: str | bytes) -> Any:
    return _json.decode(text)


def migrate(of: Engine) -> None:
    """Brings the schema to the newest revision; two processes at once take turns."""
    config = _alembic()
    with of.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(815)"))
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")


def _alembic() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def new_revision(of: Engine, message: str, *, number: str) -> None:
    """Writes migration `number` from the difference between the declared tables and the database behind `of`."""
    config = _alembic()
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    with of.connect() as connection:
        config.attributes["connection"] = connection
        alembic.command.revision(config, message=message, autogenerate=True, rev_id=number)
