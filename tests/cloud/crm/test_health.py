"""/healthz and /metrics of the CRM: right by name and value, and cheap however often they are asked."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, event, func, insert, select, text

from cloud.crm.health import COUNT_AGAIN_S, Vitals
from cloud.crm.tasks.tables import tasks
from cloud.ledger.tables import dead_letters, readings
from cloud.live import Hub
from gateway.wire.vocabulary import Kind
from tests.cloud.crm.conftest import keep, reading


def metrics(visitor) -> dict[str, float]:
    """Every sample without labels, by name."""
    families = text_string_to_metric_families(visitor.get("/metrics").text)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_every_figure_has_its_name_and_its_value(visitor, engine: Engine):
    with engine.begin() as connection:
        connection.execute(
            insert(dead_letters).values(topic="t", error="not_json", detail="", payload=b"x", digest=b"x")
        )
        connection.execute(
            text("INSERT INTO work (reader, chain_id, reading_ids, created_at) VALUES "
                 "('assess', 'kang', '{}', now() - interval '90 seconds'), ('project', 'kang', '{}', now())")
        )  # fmt: skip
        stored = connection.execute(select(func.count()).select_from(readings)).scalar_one()
        raised = connection.execute(select(func.count()).select_from(tasks)).scalar_one()
    assert stored > 80
    found = metrics(visitor)
    assert 90 <= found.pop("kangdock_backlog_age_s") < 150
    assert found == {
        "kangdock_up": 1,
        "kangdock_pages_listening": 0,
        "kangdock_readings": stored,
        "kangdock_tasks": raised,
        "kangdock_dead_letters": 1,
        "kangdock_backlog": 2,
    }
    health = visitor.get("/healthz").json()
    assert (health["status"], health["readings"], health["tasks"], health["dead_letters"]) == (
        "ok",
        stored,
        raised,
        1,
    )


def test_requests_are_timed_by_route_and_never_by_address(visitor, as_):
    as_("clerk").get("/tasks")
    families = {family.name: family for family in text_string_to_metric_families(visitor.get("/metrics").text)}
    counted = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["kangdock_request_seconds"].samples
        if sample.name.endswith("_count")
    }
    assert counted["POST", "/login", "303"] == 1
    assert counted["GET", "/tasks", "200"] == 1


def test_the_ledger_is_counted_once_however_many_ask(engine: Engine, database: str):
    counted: list[str] = []
    event.listen(
        engine, "before_cursor_execute", lambda *call: counted.append(call[2]) if "count(" in call[2] else 0
    )
    clock = [0.0]
    vitals = Vitals(engine, Hub(database), clock=lambda: clock[0])
    before = vitals.read().readings
    with engine.begin() as connection:
        keep(
            connection, "kang", "n01", None,
            reading("new", Kind.URIC_ACID, datetime.now(UTC), {"urate_umol_l": "401"}),
        )  # fmt: skip
    clock[0] += COUNT_AGAIN_S - 1
    assert [vitals.read().readings for _ in range(5)] == [before] * 5
    assert sum("FROM readings" in statement for statement in counted) == 1
    clock[0] += 1
    assert vitals.read().readings == before + 1


def test_a_ledger_too_large_to_count_is_no_failing_database(engine: Engine, database: str):
    clock = [0.0]
    vitals = Vitals(engine, Hub(database), clock=lambda: clock[0])
    known = vitals.read()
    clock[0] += COUNT_AGAIN_S
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE readings RENAME TO away"))
    assert vitals.read() == known
    assert known.status == "ok"
