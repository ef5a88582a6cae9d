"""`python -m cloud`: everything a person or a service manager starts in the cloud.

Each feature brings its own commands; this only composes them and explains settings that cannot work.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from cloud import config, db
from cloud.config import ConfigError
from cloud.crm import app
from cloud.ingest import commands as ingest
from cloud.ingest import rules_cli

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status, 2 for settings that cannot work."""
    parser = argparse.ArgumentParser(prog="python -m cloud", description="Kangdock's cloud")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    migrate = subparsers.add_parser("migrate", help="brings the database to the newest schema")
    migrate.set_defaults(run=_migrate)
    app.commands(subparsers)
    ingest.commands(subparsers)
    rules_cli.commands(subparsers)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr)
    try:
        status: int = arguments.run(arguments)
    except ConfigError as error:
        print(f"These settings cannot work; nothing was started:\n{error}", file=sys.stderr)
        return 2
    return status


def _migrate(_arguments: argparse.Namespace) -> int:
    db.migrate(db.engine(config.load().database_url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
