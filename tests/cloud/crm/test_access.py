"""Who sees what, route by route: generated from the application's routes, so a new route is covered on its own."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import Engine, delete, select

from cloud import live
from cloud.crm.access import ALLOWED, Action, Role, masked_name, masked_phone
from cloud.crm.members.tables import member_views
from cloud.crm.tasks.tables import task_events, tasks
from cloud.crm.web import COOKIE
from cloud.ledger.tables import readings
from tests.cloud.crm.conftest import MEMBERS, PHONES, STAFF, add_task, id_of

OPEN_TO_ALL = {"/login", "/login/language", "/healthz", "/metrics"}
"""Routes that answer without a session; everything else has to refuse."""
IDS = {"task_id": "task_n", "member_id": "张桂兰", "reading_id": "free_n"}
CARE_ROLES = [login for login, (*_, role, _name) in STAFF.items() if Action.CARE in ALLOWED[Role(role)]]
STRANGERS = ["other_store", "other_area", "other_chain", "other_chain_store"]
FORMS = {
    "/tasks/{task_id}/snooze": {"until": "1h"},
    "/tasks/{task_id}/resolve": {"outcome": "no_answer"},
    "/members/search": {"asked": "5678"},
    "/unclaimed/find": {"reading": str(id_of("free_n")), "asked": "5678"},
    "/unclaimed/claim": {"reading": str(id_of("free_n")), "member": str(id_of("张桂兰"))},
    "/readings/{reading_id}/meal": {"meal": "fasting"},
    "/language": {"language": "zh"},
}
BODIES = {
    "/api/v1/tasks/{task_id}/snooze": {"until": "2036-01-01T00:00:00Z"},
    "/api/v1/tasks/{task_id}/resolve": {"outcome": "no_answer"},
    "/api/v1/members/search": {"asked": "5678"},
    "/api/v1/unclaimed/claim": {"reading_ids": [str(id_of("free_n"))], "member_id": str(id_of("张桂兰"))},
}


def endpoints(app: FastAPI) -> list[APIRoute]:
    """Every route that is not a file."""

    def walk(parent):
        for route in parent:
            if isinstance(route, APIRoute):
                yield route
            elif hasattr(route, "original_router"):  # a router included by reference
                yield from walk(route.original_router.routes)

    return list(walk(app.routes))


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of each."""
    found = [(method, route.path) for route in endpoints(app) for method in sorted(route.methods - {"HEAD"})]
    assert len(found) > 25, found
    return found


def filled(path: str) -> str:
    """`path` with the ids of the northern store's task, member and reading."""
    return re.sub(r"\{(\w+)\}", lambda match: str(id_of(IDS[match[1]])), path)


def ask(person, method: str, path: str):
    """Calls a route as its page or program would."""
    where = filled(path)
    if path == "/events":
        return asyncio.run(first_news(person))
    if method == "GET":
        return person.get(where)
    if path.startswith("/api/"):
        return person.api(where, **BODIES.get(path, {}))
    return person.post(where, **FORMS.get(path, {}))


@dataclass
class Stream:
    """One open `/events`, driven as a server does: a client that waits for the whole answer never gets it."""

    app: FastAPI
    token: str
    status_code: int = 0
    text: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self):
        since = f"since={self.app.state.hub.position}".encode()
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "GET", "scheme": "http", "path": "/events", "raw_path": b"/events", "query_string": since,
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("testserver", 80),
            "headers": [(b"host", b"testserver"), (b"cookie", f"{COOKIE}={self.token}".encode())],
        }  # fmt: skip
        self.task = asyncio.create_task(self.app(scope, asyncio.Event().wait, self.send))
        await self.until("")
        return self

    async def __aexit__(self, *_error):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def send(self, message):
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.status_code, self.headers = message["status"], message["headers"]
        else:
            self.text += message["body"].decode()
        self.grown.set()

    async def until(self, words: str):
        """Waits for the answer to begin and to hold `words`."""
        async with asyncio.timeout(20):
            while not self.status_code or words not in self.text:
                await self.grown.wait()
                self.grown.clear()


async def first_news(person) -> Stream:
    """What `/events` begins with for this person."""
    async with Stream(person.client.app, person.client.cookies[COOKIE]) as stream:
        return stream


def test_without_a_session_every_route_refuses(app, visitor):
    for method, path in routes(app):
        if path in OPEN_TO_ALL:
            continue
        answer = visitor.request(method, filled(path), follow_redirects=False)
        if path.startswith("/api/"):
            assert answer.status_code in (401, 422), (method, path)
        else:
            assert answer.status_code in (303, 422), (method, path)
            assert answer.headers.get("location", "/login") == "/login"


@pytest.mark.parametrize("login", STRANGERS)
def test_staff_of_another_store_or_chain_get_nothing(app, as_, login):
    person = as_(login)
    names = [name for name, row in MEMBERS.items() if row[1] == "n01"]
    secret = [*names, *(masked_name(name) for name in names), "M10001", "M10002", "建国路店", str(id_of("free_n"))]
    for method, path in routes(app):
        if path in ("/logout", *OPEN_TO_ALL):
            continue
        answer = ask(person, method, path)
        if "{" in path or path.endswith("/claim") or (method, path) == ("POST", "/unclaimed/find"):
            assert answer.status_code == 404, (login, method, path, answer.status_code)
        else:
            assert answer.status_code < 400, (login, method, path, answer.text[:300])
        for word in secret:
            assert word not in answer.text, (login, method, path, word)


def test_the_stream_of_news_tells_everybody_of_their_own_stores_and_of_no_others(app, as_, engine):
    tokens = {login: as_(login).client.cookies[COOKIE] for login in STAFF}

    async def play():
        async with app.state.hub as hub, AsyncExitStack() as stack:
            await asyncio.wait_for(hub.connected.wait(), 20)
            streams = {
                login: await stack.enter_async_context(Stream(app, token)) for login, token in tokens.items()
            }
            with engine.begin() as connection:
                live.announce(connection, chain_id="kang", store_ids=["n01"], what="task")
            for chain, stores in (("kang", ["n01", "s01"]), ("yi", ["e01"])):
                with engine.begin() as connection:
                    live.announce(connection, chain_id=chain, store_ids=stores, what="claim")
            for stream in streams.values():
                await stream.until("event: claim")
            return {login: "event: task" in stream.text for login, stream in streams.items()}

    told = asyncio.run(play())
    assert told == {login: login not in STRANGERS for login in STAFF}


def test_what_is_out_of_scope_looks_exactly_like_what_does_not_exist(as_):
    person = as_("other_store")
    for path in ("/tasks/{}", "/members/{}", "/api/v1/tasks/{}", "/api/v1/members/{}"):
        theirs = person.get(path.format(id_of("task_n" if "tasks" in path else "张桂兰")))
        nothing = person.get(path.format(id_of("nobody")))
        assert (theirs.status_code, theirs.text) == (nothing.status_code, nothing.text) == (404, theirs.text)


@pytest.mark.parametrize("login", [login for login in STAFF if login not in STRANGERS])
def test_own_store_is_served_as_far_as_the_role_goes(app, as_, login):
    person = as_(login)
    role = Role(STAFF[login][2])
    for method, path in routes(app):
        if method != "GET" or path in OPEN_TO_ALL:
            continue
        answer = ask(person, method, path)
        fleet = "gateways" in path
        allowed = role in ALLOWED and (
            path in ("/", "/api/v1/me", "/events") or (Action.SEE_FLEET if fleet else Action.CARE) in ALLOWED[role]
        )
        assert (answer.status_code < 400) == allowed, (login, path, answer.status_code)
        if not allowed:
            assert answer.status_code == 403


def test_who_only_looks_after_gateways_can_do_nothing_to_members_readings_and_tasks(app, as_, engine):
    engineer = as_("engineer")
    with engine.connect() as connection:
        before = [connection.execute(select(table)).all() for table in (tasks, readings, task_events)]
    done = []
    for method, path in routes(app):
        if method == "GET" or path in ("/language", "/logout", *OPEN_TO_ALL):
            continue
        answer = ask(engineer, method, path)
        assert answer.status_code == 403, (path, answer.status_code)
        done.append(path)
    assert len(done) > 15
    with engine.connect() as connection:
        assert [connection.execute(select(table)).all() for table in (tasks, readings, task_events)] == before
    assert views(engine, "张桂兰") == []


@pytest.mark.parametrize("login", list(STAFF))
def test_no_answer_holds_a_whole_phone_number(app, as_, login):
    person = as_(login)
    for method, path in routes(app):
        if path.endswith("/phone") or path == "/logout":
            continue
        answer = ask(person, method, path)
        for phone in PHONES:
            assert phone not in answer.text, (login, method, path)
            assert phone not in str(answer.headers)


def test_a_number_is_shown_only_to_those_who_call_and_only_on_asking(as_, engine):
    path = f"/members/{id_of('张桂兰')}/phone"
    assert as_("clerk").post(path).status_code == 403
    assert as_("head").post(path).status_code == 403
    assert as_("other_store").post(path).status_code == 404
    answer = as_("specialist").post(path)
    assert "13812345678" in answer.text
    assert ("specialist", "phone") in views(engine, "张桂兰")


def test_those_who_steer_many_stores_see_stars_for_names(as_):
    for login in ("area", "head"):
        page = as_(login).get("/tasks?tab=all").text
        assert "张桂兰" not in page
        assert "张**" in page
        found = as_(login).api("/api/v1/members/search", asked="桂兰")
        assert found.json()["members"] == []  # a name cannot be found out by searching for it


def views(engine: Engine, member: str) -> list[tuple[str, str]]:
    """(login, page) of everyone who looked at `member`."""
    logins = {id_of(login): login for login in STAFF}
    with engine.connect() as connection:
        rows = connection.execute(
            select(member_views).where(member_views.c.member_id == id_of(member)).order_by(member_views.c.seq)
        )
        return [(logins[row.staff_id], row.page) for row in rows]


def shown_in(text: str, owned: dict[str, set[str]]) -> Iterable[str]:
    """Members of whom an answer shows anything: name, card, id, or one of their readings."""
    for name, (_chain, _store, code, *_) in MEMBERS.items():
        marks = {name, masked_name(name), code, str(id_of(name))} | owned[name]
        if any(mark in text for mark in marks):
            yield name


@pytest.mark.parametrize("about", ["free_n", "bp0", "glucose0"])
def test_whatever_route_shows_a_member_records_the_view(app, as_, engine, monkeypatch, about):
    """Also where the reading has an owner already, and where a task is about another store's member."""
    person = as_("manager")
    as_("clerk").post("/unclaimed/claim", reading=str(id_of("free_n2")), member=str(id_of("刘建国")))
    with engine.begin() as connection:
        add_task(connection, "task_guest", member="杨秀英", about="bp_south", rule="BP-001", severity=4)
        owned = {name: set() for name in MEMBERS}
        by_id = {id_of(name): name for name in MEMBERS}
        for row in connection.execute(select(readings.c.id, readings.c.member_id)):
            if row.member_id:
                owned[by_id[row.member_id]].add(str(row.id))
    monkeypatch.setitem(IDS, "reading_id", about)
    for path in ("/unclaimed/find", "/unclaimed/claim"):
        monkeypatch.setitem(FORMS, path, FORMS[path] | {"reading": str(id_of(about))})
    showing = set()
    extra = [("GET", "/tasks?tab=all"), ("GET", f"/tasks/{id_of('task_guest')}")]
    asked = [pair for pair in routes(app) if pair[1] != "/logout"] + extra
    # Those that read first, while the task is open and the reading still belongs to whom it did.
    for method, path in sorted(asked, key=lambda pair: pair[0] != "GET"):
        with engine.begin() as connection:
            connection.execute(delete(member_views))
        answer = ask(person, method, path)
        for name in shown_in(answer.text, owned):
            seen = views(engine, name)
            assert {login for login, _ in seen} == {"manager"}, (method, path, name)
            showing.add(path)
    assert {"/unclaimed", "/tasks", "/members/search", "/members/{member_id}", "/tasks/{task_id}"} <= showing


def test_the_records_say_on_which_page(as_, engine):
    clerk = as_("clerk")
    clerk.get(f"/members/{id_of('张桂兰')}")
    clerk.get(f"/tasks/{id_of('task_n')}")
    clerk.get(f"/api/v1/members/{id_of('张桂兰')}")
    clerk.get(f"/api/v1/members/{id_of('张桂兰')}/readings")
    clerk.post("/members/search", asked="5678")
    clerk.get("/tasks")
    seen = views(engine, "张桂兰")
    assert {page for login, page in seen if login == "clerk"} == {"member", "task", "readings", "search", "tasks"}
    assert ("clerk", "search") in views(engine, "刘建国")  # who was only listed was seen as well
    assert views(engine, "杨秀英") == []


def test_a_list_that_refreshes_itself_is_one_view_an_hour(as_, engine):
    clerk = as_("clerk")
    for _ in range(4):
        clerk.get("/tasks", **{"X-Kangdock-Passive": "1"})
    assert views(engine, "张桂兰").count(("clerk", "tasks")) == 1


def test_a_refused_view_is_no_view(as_, engine):
    as_("other_store").get(f"/members/{id_of('张桂兰')}")
    as_("engineer").get(f"/members/{id_of('张桂兰')}")
    assert views(engine, "张桂兰") == []


def test_managers_see_who_looked_and_clerks_do_not(as_):
    path = f"/members/{id_of('张桂兰')}"
    as_("clerk").get(path)
    assert "李小敏" in as_("manager").get(path).text
    assert "谁查看过" not in as_("clerk2").get(path).text


def test_masks_hide_the_middle_and_short_numbers_wholly():
    assert masked_phone("13812345678") == "138****5678"
    assert masked_phone("12345") == "*****"
    assert masked_phone(None) == ""
    assert masked_name("欧阳修") == "欧**"
    assert masked_name("李") == "李*"


def test_the_clock_of_a_view_is_the_servers(as_, engine):
    before = datetime.now(UTC)
    as_("clerk").get(f"/members/{id_of('张桂兰')}")
    with engine.connect() as connection:
        at = connection.execute(select(member_views.c.at)).scalars().first()
    assert before <= at <= datetime.now(UTC)
