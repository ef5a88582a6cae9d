"""`python -m cloud`: everything a person or a service manager starts in the cloud.

Each feature brings its own commands; this only composes them and explains settings that cannot work and a database
that is not there. `serve` and `ingest` start without one and wait for it: machines come up in any order.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from cloud import config, db, logs
from cloud.config import ConfigError
from cloud.crm import app, chain_file
from cloud.crm.members import list_file
from cloud.ingest import commands as ingest
from cloud.ingest import rules_cli

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status, 2 for settings that cannot work, 1 when the database did not."""
    parser = argparse.ArgumentParser(prog="python -m cloud", description="Kangdock's cloud")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    migrate = subparsers.add_parser("migrate", help="brings the database to the newest schema")
    migrate.set_defaults(run=_migrate)
    chain_file.commands(subparsers)
    list_file.commands(subparsers)
    app.commands(subparsers)
    ingest.commands(subparsers)
    rules_cli.commands(subparsers)
    arguments = parser.parse_args(argv)
    logs.configure()
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        print(f"These settings cannot work; nothing was started:\n{error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever was reading (`| head`) has seen enough; what Python still wants to flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OperationalError as error:
        # What is said of a connection names the host and the reason, and no row.
        why = " ".join(str(error.orig).split()) if _no_connection(error) else type(error.orig).__name__
        print(f"The database does not answer, nothing was changed. DATABASE_URL: {why}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        log.exception("command.failed")
        print(
            f"The database refused ({_class(error)}). Is its schema the newest? `migrate` makes it so.",
            file=sys.stderr,
        )
        return 1
    return status


def _no_connection(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) is None


def _class(error: SQLAlchemyError) -> str:
    return type(getattr(error, "orig", None) or error).__name__


def _migrate(_arguments: argparse.Namespace) -> int:
    db.migrate(db.engine(config.load().database_url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
