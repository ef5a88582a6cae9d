"""What Alembic runs: every table's metadata against the connection it is handed."""

from alembic import context

from cloud.db import all_tables, engine


def _run() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    made = engine(context.config.get_main_option("sqlalchemy.url") or "")
    with made.connect() as connection:
        _migrate(connection)


def _migrate(connection: object) -> None:
    context.configure(connection=connection, target_metadata=all_tables(), compare_type=True)  # type: ignore[arg-type]
    with context.begin_transaction():
        context.run_migrations()


_run()
