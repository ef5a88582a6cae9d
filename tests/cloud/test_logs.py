"""What the logs say when a row is refused, and what the command line says when it cannot work."""

import io
import logging

import pytest
from sqlalchemy import Engine, insert, text

from cloud import db, logs
from cloud.__main__ import main
from cloud.crm.members.tables import members
from cloud.demo.servers import free_port
from tests.cloud import chains
from tests.cloud.chains import CHAIN, CODES, STORE, STRANGER, WANG

PHONE, NAME = "13812345678", "Wang Xiaoming"


@pytest.fixture
def logged() -> io.StringIO:
    """Everything logged anywhere, as the processes write it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.Discreet(logs.FORMAT))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def test_a_refused_rows_phone_number_is_nowhere_in_the_log(engine: Engine, logged: io.StringIO) -> None:
    chains.found(engine)
    row = {"chain_id": CHAIN, "id": WANG, "code": CODES[WANG], "name": NAME, "store_id": STORE, "phone": PHONE}
    refused = (
        lambda c: c.execute(insert(members), row),  # its DETAIL quotes the key
        # ... and here the whole row.
        lambda c: c.execute(insert(members), row | {"id": STRANGER, "code": "M9", "sex": PHONE}),
        lambda c: c.execute(text("SELECT CAST(:phone AS uuid)"), {"phone": PHONE}),
    )
    for number, work in enumerate(refused):
        try:
            with db.begin(engine) as connection:
                work(connection)
        except Exception as error:
            logging.getLogger("a.feature").exception("feature.failed number=%d", number)
            assert "DETAIL" in str(error) or "SQL" in str(error)  # there was something to keep out
        else:
            raise AssertionError(number)
    said = logged.getvalue()
    assert PHONE not in said
    assert NAME not in said
    assert CODES[WANG] not in said
    assert said.count("feature.failed") == len(refused)
    assert "psycopg.errors.UniqueViolation" in said
    assert "at tests/cloud/test_logs.py:" in said


def test_whole_traceback_left_by_another_handler_is_not_written(logged: io.StringIO) -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "event", None, None)
    try:
        raise ExceptionGroup(PHONE, [ValueError(PHONE)]) from KeyError(PHONE)
    except ExceptionGroup as error:
        record.exc_info = (type(error), error, error.__traceback__)
    logging.Formatter().format(record)
    assert PHONE in (record.exc_text or "")
    said = logs.Discreet(logs.FORMAT).format(record)
    assert PHONE not in said
    assert "builtins.ValueError" in said
    assert "builtins.KeyError" in said


@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["dead-letters", "list"],
        ["dead-letters", "show", "1"],
        ["dead-letters", "replay", "--all"],
        ["work", "release"],
        ["series", "rebuild"],
    ],
)
def test_a_command_without_a_database_says_so_in_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres:hidden@127.0.0.1:{port}/none")
    monkeypatch.setenv("INFLUXDB_URL", "http://127.0.0.1:1")
    assert main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "DATABASE_URL" in line
    assert str(port) in line
    assert "hidden" not in line


def test_a_database_without_our_tables_is_told_apart(
    postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    assert main(["dead-letters", "list"]) == 1
    assert "migrate" in capsys.readouterr().err
