"""Whatever is sent to the API is answered by a model of the OpenAPI document, and never by a 5xx."""

import os

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cloud import config
from cloud.crm.app import create_app
from cloud.demo.servers import free_port
from tests.cloud.crm.conftest import id_of
from tests.cloud.crm.test_access import FORMS, endpoints, filled

EXAMPLES = int(os.environ.get("KANGDOCK_SCHEMA_EXAMPLES", "10"))
"""Per endpoint: enough for every kind of wrong value in half a minute; more on request."""
ASKING = ("manager", "specialist", "engineer", "other_chain")
"""In scope with every right, with some, without any, and in another chain."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


OPERATIONS = sorted(
    (f"{method.upper()} {path}", mode)
    for path, item in create_app(config.load({"DATABASE_URL": "postgresql://nobody@127.0.0.1/none"}))
    .openapi()["paths"]
    .items()
    for method, operation in item.items()
    for mode in ("positive", "negative")
    if mode == "positive" or operation.keys() & {"parameters", "requestBody"}  # else nothing can be wrong
)
KNOWN = {"task_id": "task_n", "member_id": "张桂兰", "reading_id": "free_n"}


@pytest.mark.parametrize(("label", "mode"), OPERATIONS)
def test_nothing_sent_to_the_api_breaks_it(app, as_, label, mode):
    people = {login: as_(login) for login in ASKING}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    operation = schema[label.split(" ")[1]][label.split(" ")[0]]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def answered(data):
        try:
            case = data.draw(operation.as_strategy(generation_mode=GenerationMode(mode)))
        except Unsatisfiable:
            return
        for name, known in KNOWN.items():
            # Some of the generated ids are somebody's, or nothing behind the id would be reached.
            if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                case.path_parameters[name] = str(id_of(known))
        person = people[data.draw(st.sampled_from(ASKING))]
        headers = {"X-CSRF-Token": person.csrf}
        case.call_and_validate(headers=headers, cookies=dict(person.client.cookies), checks=CHECKS)

    answered()


def test_every_answer_of_the_api_has_a_model(app):
    document = app.openapi()
    paths = {path: item for path, item in document["paths"].items() if path.startswith("/api/")}
    assert len(paths) >= 12
    for path, item in paths.items():
        for method, operation in item.items():
            assert operation["responses"]["200"]["content"]["application/json"]["schema"], (method, path)
            for status in ("401", "403", "404", "409", "422"):
                assert "application/problem+json" in operation["responses"][status]["content"], (method, path)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/tasks/{}/resolve", {"outcome": "no_answer", "note": "x" * 1001}),
        ("/tasks/not-an-id/claim", {}),
        ("/members/search", {"asked": "%"}),
        ("/members/search", {"asked": "x" * 5000}),
        ("/unclaimed/find", {}),
        ("/language", {"language": "x" * 900}),
    ],
)
def test_a_form_filled_in_wrongly_is_answered_in_words(as_, path, form):
    told_in_words(as_("clerk").post(path.format(id_of("task_n")), **form))


FREE_TEXT = {"back", "note", "asked", "login", "password"}
"""Fields in which "nonsense" may well be what somebody meant."""


def test_no_form_takes_nonsense_in_any_of_its_fields(app, as_):
    clerk, tried = as_("clerk"), set()
    for method, path, fields in forms(app):
        for name in fields:
            right = FORMS.get(path, {})
            for wrong in ("\x00", "nonsense"):
                if (name == "password") or (name in FREE_TEXT and wrong == "nonsense"):
                    continue
                answer = clerk.client.request(
                    method, filled(path), data={"csrf": clerk.csrf, **right, name: wrong}, follow_redirects=False
                )
                told_in_words(answer, path, name)
                tried.add((path, name))
    assert {
        ("/language", "language"),
        ("/login/language", "language"),
        ("/readings/{reading_id}/meal", "meal"),
    } <= tried
    assert len(tried) > 15, tried


def forms(app):
    """(method, path, names of the fields) of every page that takes a form."""
    for route in endpoints(app):
        for method in route.methods - {"GET", "HEAD"}:
            if not route.path.startswith("/api/"):
                yield method, route.path, [param.name for param in route.dependant.body_params]


def told_in_words(answer, *what):
    """Refused, and what to do next is said."""
    assert 400 <= answer.status_code < 500, (what, answer.status_code)
    assert "下一步怎么做" in answer.text, what
    assert "Traceback" not in answer.text


def test_the_wrong_language_is_refused_before_signing_in_as_well(visitor):
    told_in_words(visitor.post("/login/language", data={"language": "fr"}, follow_redirects=False))


def test_too_much_is_refused_before_it_is_read(as_):
    answer = as_("clerk").post("/members/search", asked="x" * 100_000)
    assert answer.status_code == 413


def test_wrong_filters_are_answered_in_words(as_):
    clerk = as_("clerk")
    for query in ("tab=nonsense", "page=0", "page=99999999999999999999", "severity=9", "shown=x", "store=%00"):
        answer = clerk.get(f"/tasks?{query}")
        assert 400 <= answer.status_code < 500, query
        assert "下一步怎么做" in answer.text


def test_a_mistake_of_the_program_shows_no_stack(app, as_, monkeypatch):
    person = as_("clerk")
    monkeypatch.setattr("cloud.crm.tasks.service.worklist", lambda *_: 1 / 0)
    answer = person.get("/tasks")
    assert answer.status_code == 500
    assert "程序出错了" in answer.text
    assert "ZeroDivisionError" not in answer.text
    notice = person.get("/tasks", **{"HX-Request": "true"})
    assert notice.headers["HX-Retarget"] == "#notice"
    problem = person.get("/api/v1/tasks")
    assert problem.headers["content-type"] == "application/problem+json"


def test_without_a_database_people_are_told_what_is_safe():
    app = create_app(config.load({"DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none"}))
    client = TestClient(app, raise_server_exceptions=False)
    health = client.get("/healthz")
    assert (health.status_code, health.json()["status"], health.json()["readings"]) == (503, "failing", None)
    client.cookies.set("kangdock_session", "anything")
    page = client.get("/tasks")
    assert page.status_code == 503
    assert "每条读数都保存在门店网关的磁盘上" in page.text
    assert client.get("/metrics").status_code == 200
