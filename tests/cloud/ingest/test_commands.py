"""Dead letters on the command line, as an engineer uses it."""

import json
import os
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, select

from cloud import db
from cloud.__main__ import main
from cloud.crm.fleet.tables import gateways
from cloud.health import IngestMetrics
from cloud.ingest import process, worker
from cloud.ingest.intake import Delivery, accept
from cloud.ledger import store
from cloud.ledger.tables import work
from gateway.clinical import library
from gateway.wire import topics
from tests.cloud.chains import CHAIN, GATEWAY, NOW, STORE, batch, reading


@pytest.fixture
def at_home(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)


def set_aside(engine: Engine, *deliveries: Delivery) -> None:
    with db.begin(engine) as connection:
        accept(connection, deliveries, NOW)


def test_letters_are_listed_without_their_content_and_shown_with_it(
    ledger: Engine, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(ledger, Delivery(topic=topics.batch(GATEWAY, reading(1).id), payload=b'{"v":1,"name":"Wang"}'))
    assert main(["dead-letters", "list", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "Wang" not in line
    letter = json.loads(line)
    assert (letter["error"], letter["gateway"]) == ("malformed", GATEWAY)
    assert main(["dead-letters", "show", str(letter["id"])]) == 0
    assert "Wang" in capsys.readouterr().out
    assert main(["dead-letters", "show", "999999"]) == 1


def test_a_new_gateways_letters_are_replayed_once_it_is_registered(
    ledger: Engine, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(ledger, batch([reading(1)], gateway="gw-new"), batch([reading(2)], gateway="gw-new"))
    assert main(["dead-letters", "replay", "--all"]) == 1  # still unknown
    with db.begin(ledger) as connection:
        assert store.counts(connection) == {"readings": 0, "dead_letters": 2}
        connection.execute(gateways.insert().values(id="gw-new", chain_id=CHAIN, store_id=STORE))
    assert main(["dead-letters", "list", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])["id"]
    assert main(["dead-letters", "replay", str(first)]) == 0
    assert main(["dead-letters", "replay", "--all"]) == 0
    with ledger.connect() as connection:
        assert store.counts(connection) == {"readings": 2, "dead_letters": 0}


def test_one_bad_reading_waits_alone_after_its_batch_was_taken(ledger: Engine, at_home: None) -> None:
    sent = batch([reading(1), reading(2)])
    set_aside(ledger, Delivery(topic=sent.topic, payload=sent.payload.replace(b'"6.1"', b'"six"', 1)))
    with ledger.connect() as connection:
        assert store.counts(connection) == {"readings": 1, "dead_letters": 1}
    assert main(["dead-letters", "replay", "--all"]) == 1
    with ledger.connect() as connection:
        assert store.counts(connection) == {"readings": 1, "dead_letters": 1}


def test_a_wrong_setting_is_explained_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://root:secret@db/x")
    monkeypatch.setenv("MQTT_PORT", "many")
    assert main(["ingest"]) == 2
    said = capsys.readouterr().err
    assert "DATABASE_URL" in said
    assert "MQTT_PORT" in said
    assert "secret" not in said


def test_series_cannot_be_rebuilt_without_an_influxdb(
    at_home: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INFLUXDB_URL", raising=False)
    assert main(["series", "rebuild"]) == 1
    assert "INFLUXDB_URL" in capsys.readouterr().err


def test_what_was_given_up_on_is_released(
    ledger: Engine, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with db.begin(ledger) as connection:
        store.enqueue(connection, ["assess", "project"], CHAIN, [reading(1).id])
        connection.execute(work.update().where(work.c.reader == "assess").values(parked_at=NOW, tries=8))
    assert main(["work", "release"]) == 0
    assert capsys.readouterr().out == "1 released\n"
    with ledger.connect() as connection:
        assert connection.execute(select(work.c.parked_at, work.c.tries)).all() == [(None, 0)] * 2
        assert worker.measure(connection, IngestMetrics())["assess"]["parked"] == 0
    assert main(["work", "release"]) == 0
    assert capsys.readouterr().out == "0 released\n"


def test_one_of_two_letters_that_does_not_exist_stops_both(
    ledger: Engine, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(ledger, batch([reading(1)], gateway="gw-new"))
    assert main(["dead-letters", "list"]) == 0
    listed = capsys.readouterr().out
    assert "unknown_gateway" in listed
    assert main(["dead-letters", "replay", listed.split()[0], "999999"]) == 1
    assert "Nothing was changed" in capsys.readouterr().err


def test_a_letter_that_nobody_will_ever_read_is_closed_and_kept(
    ledger: Engine, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    rubbish = Delivery(topic=topics.batch(GATEWAY, reading(1).id), payload=b"\x00\x01")
    set_aside(ledger, rubbish, batch([reading(2)], gateway="gw-new"))
    assert main(["dead-letters", "list"]) == 0
    (number,) = (line.split()[0] for line in capsys.readouterr().out.splitlines() if "not_json" in line)
    assert main(["dead-letters", "close", number, "999999"]) == 1
    assert main(["dead-letters", "close", number]) == 0
    with ledger.connect() as connection:
        assert store.counts(connection)["dead_letters"] == 1
    assert main(["dead-letters", "show", number]) == 0
    set_aside(ledger, rubbish)  # it comes again: somebody has to look again
    with ledger.connect() as connection:
        assert store.counts(connection)["dead_letters"] == 2


def test_production_without_a_signed_rule_is_not_well_and_says_why(ledger: Engine) -> None:
    connected = SimpleNamespace(subscribed=threading.Event(), failed=threading.Event())
    connected.subscribed.set()
    unsigned = [rule for rule in library() if rule.sign_off is None]
    assert unsigned
    for production, status in ((True, "degraded"), (False, "ok")):
        metrics, known = IngestMetrics(), process.rules_known(unsigned, production=production)
        assert known == {"loaded": len(unsigned), "signed": 0, "usable": 0 if production else len(unsigned)}
        state = process.health(ledger, connected, [], metrics, known)
        assert (state["status"], bool(state["advice"])) == (status, production)
        assert metrics.registry.get_sample_value("kangdock_rules", {"state": "signed"}) == 0
        assert metrics.registry.get_sample_value("kangdock_rules", {"state": "loaded"}) == len(unsigned)


def test_a_health_port_that_is_taken_is_explained_by_name(
    at_home: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process.signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("INGEST_HEALTH_PORT", str(taken.getsockname()[1]))
        assert main(["ingest"]) == 2
    assert "INGEST_HEALTH_PORT" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["9" * 25, "-1", "first"])
def test_what_is_no_number_of_a_letter_is_told_before_anything_is_asked(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["show"], ["replay"]):
        with pytest.raises(SystemExit) as ended:
            main(["dead-letters", *command, "--", number])
        assert ended.value.code == 2
        assert "dead-letters list" in capsys.readouterr().err


def test_a_list_may_be_cut_off_by_whoever_reads_it() -> None:
    reader, output = os.pipe()
    os.close(reader)
    listing = [sys.executable, "-m", "cloud", "rules", "list"]
    ended = subprocess.run(listing, stdout=output, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(output)
    assert (ended.returncode, ended.stderr) == (0, "")
