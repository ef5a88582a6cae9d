"""Signing in, staying signed in, and requests that were not made from one's own page."""

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select, update

from cloud.crm.staff import service
from cloud.crm.staff.tables import sessions, staff
from cloud.crm.web import COOKIE, local_path
from tests.cloud.crm.conftest import PASSWORD, id_of
from tests.cloud.crm.test_access import FORMS, OPEN_TO_ALL, filled, routes


def sign_in(client: TestClient, password: str = PASSWORD, login: str = "clerk"):
    """Sends the sign-in form."""
    return client.post("/login", data={"login": login, "password": password}, follow_redirects=False)


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(visitor, engine):
    cookie = sign_in(visitor).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    token = visitor.cookies[COOKIE]
    with engine.connect() as connection:
        stored = connection.execute(select(sessions.c.token_hash)).scalars().all()
    assert all(token.encode() not in bytes(hashed) for hashed in stored)


def test_a_weak_hash_is_renewed_at_the_next_sign_in(visitor, engine, monkeypatch):
    monkeypatch.setattr(service, "_hasher", PasswordHasher())
    assert sign_in(visitor).status_code == 303
    with engine.connect() as connection:
        renewed = connection.execute(select(staff.c.password_hash).where(staff.c.login == "clerk")).scalar_one()
    assert renewed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert sign_in(visitor).status_code == 303


def test_signing_in_again_ends_the_old_session(visitor):
    sign_in(visitor)
    old = visitor.cookies[COOKIE]
    sign_in(visitor)
    assert visitor.cookies[COOKIE] != old
    visitor.cookies.set(COOKIE, old)
    assert visitor.get("/api/v1/me").status_code == 401


def test_a_wrong_name_and_a_wrong_password_are_told_alike(visitor):
    wrong = sign_in(visitor, "nonsense")
    nobody = sign_in(visitor, "nonsense", login="clerx")
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.text.replace("clerk", "") == nobody.text.replace("clerx", "")


def test_guessing_locks_the_account_for_a_while(visitor, engine):
    for _ in range(service.MAX_FAILED - 1):
        assert sign_in(visitor, "nonsense").status_code == 401
    assert sign_in(visitor, "nonsense").status_code == 429
    assert sign_in(visitor).status_code == 429  # the right password does not help while it is locked
    with engine.begin() as connection:
        connection.execute(update(staff).values(locked_until=datetime.now(UTC) - timedelta(seconds=1)))
    assert sign_in(visitor).status_code == 303


def test_signing_out_ends_the_session_on_the_server(as_, engine):
    person = as_("clerk")
    token = person.client.cookies[COOKIE]
    assert person.post("/logout").status_code == 303
    person.client.cookies.set(COOKIE, token)
    assert person.get("/api/v1/me").status_code == 401


def test_a_session_ends_when_idle_at_the_end_of_the_shift_and_when_somebody_leaves(as_, engine):
    for change in (
        update(sessions).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)),
        update(sessions).values(created_at=datetime.now(UTC) - service.ABSOLUTE),
        update(staff).where(staff.c.id == id_of("clerk")).values(active=False),
    ):
        person = as_("clerk")
        assert person.get("/tasks").status_code == 200
        with engine.begin() as connection:
            connection.execute(change)
        assert person.get("/tasks").headers["location"] == "/login"


def test_a_page_refreshing_itself_does_not_keep_a_session_alive(as_, engine: Engine):
    person = as_("clerk")
    nearly_over = datetime.now(UTC) + timedelta(minutes=2)

    def expires() -> datetime:
        with engine.connect() as connection:
            return connection.execute(select(func.max(sessions.c.expires_at))).scalar_one()

    with engine.begin() as connection:
        connection.execute(update(sessions).values(expires_at=nearly_over))
    person.get("/tasks", **{"X-Kangdock-Passive": "1"})
    assert expires() == nearly_over
    person.get("/tasks")
    assert expires() > nearly_over


def test_every_unsafe_route_needs_the_sessions_token(app, as_):
    person = as_("manager")
    for method, path in routes(app):
        if method == "GET" or path in OPEN_TO_ALL:
            continue
        where = filled(path)
        for token in ("", "somebody-elses"):
            if path.startswith("/api/"):
                answer = person.client.post(where, json={}, headers={"X-CSRF-Token": token})
            else:
                answer = person.client.post(where, data={**FORMS.get(path, {}), "csrf": token})
            assert answer.status_code == 403, (path, answer.status_code)


def test_every_unsafe_route_refuses_other_sites(app, as_):
    person = as_("manager")
    for method, path in routes(app):
        if method == "GET":
            continue
        for header in ("Origin", "Referer"):
            answer = person.client.post(
                filled(path),
                data={"csrf": person.csrf},
                headers={header: "https://evil.example/page", "X-CSRF-Token": person.csrf},
            )
            assert answer.status_code == 403, (path, header, answer.status_code)


def test_a_form_leads_nowhere_else(as_):
    person = as_("clerk")
    assert person.post("/language", language="en", back="https://evil.example/").headers["location"] == "/"
    assert person.post("/language", language="en", back="//evil.example/").headers["location"] == "/"


@pytest.mark.parametrize("to", ["//x", "/\\x", "http://x/", "x", "", "/a\nb", "javascript:alert(1)"])
def test_only_paths_of_this_site_are_gone_back_to(to):
    assert local_path(to, "/tasks") == "/tasks"


def test_the_language_stays_with_the_person(as_):
    person = as_("clerk")
    assert "工作台" in person.get("/tasks").text
    person.post("/language", language="en", back="/tasks")
    assert "Worklist" in person.get("/tasks").text
    assert '<html lang="en">' in as_("clerk").get("/tasks").text


def test_no_page_is_kept_by_the_browser_and_no_inline_script_runs(as_):
    answer = as_("clerk").get("/tasks")
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
