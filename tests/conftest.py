"""Servers shared by the whole run. Each test that asks for `database` gets a fresh, migrated one of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from cloud import db
from cloud.demo import debian
from cloud.demo.servers import Broker, Postgres

_numbers = itertools.count(1)


def pytest_configure() -> None:
    """On a machine where libatomic had to be unpacked, Playwright's Node finds it. No test is a matter of time."""
    debian.lend_libraries()
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL whose database `template` is migrated."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template")
        migrated = db.engine(server.database("template"))
        db.migrate(migrated)
        migrated.dispose()
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty, migrated database."""
    name = f"t{next(_numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template")
    yield postgres.database(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on `database`."""
    made = db.engine(database)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Mosquitto."""
    with Broker(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture
def golden() -> Path:
    """The folder of golden wire messages."""
    return Path(__file__).parent / "gateway" / "wire" / "golden"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Counts and names every skipped test with its reason: nothing is skipped silently."""
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section(f"{len(skipped)} skipped")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
