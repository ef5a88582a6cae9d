"""Working on tasks: claiming, putting off, results and their consequences."""

import threading
from datetime import UTC, datetime, timedelta
from html import unescape
from importlib import resources
from uuid import uuid4

import msgspec
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select, update

from cloud import config
from cloud.crm.app import create_app
from cloud.crm.tasks.outcomes import CLOSED_BY_ITSELF, OUTCOMES, Effect, offered
from cloud.crm.tasks.raising import Reason, answer, withdraw
from cloud.crm.tasks.tables import task_events, tasks
from cloud.i18n import Translator
from cloud.ledger import answers
from cloud.ledger.answers import NewAnswer
from gateway.clinical import library
from gateway.wire import codec
from gateway.wire.messages import Answer, Asked
from tests.cloud.crm.conftest import PASSWORD, add_task, id_of


def task(engine: Engine, name: str = "task_n"):
    """The task's row."""
    with engine.connect() as connection:
        return connection.execute(select(tasks).where(tasks.c.id == id_of(name))).one()


def steps(engine: Engine, name: str = "task_n") -> list[str]:
    """What happened to the task, in order."""
    with engine.connect() as connection:
        query = select(task_events.c.what).where(task_events.c.task_id == id_of(name))
        return list(connection.execute(query.order_by(task_events.c.seq)).scalars())


def test_two_people_cannot_claim_one_task(as_, engine):
    people = [as_("clerk"), as_("clerk2"), as_("specialist"), as_("manager")]
    barrier = threading.Barrier(len(people))
    answers: list[int] = []

    def claim(person):
        barrier.wait(timeout=10)
        answers.append(person.api(f"/api/v1/tasks/{id_of('task_n')}/claim").status_code)

    threads = [threading.Thread(target=claim, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(answers) == [200, 409, 409, 409]
    assert steps(engine) == ["raised", "claimed"]


def test_a_claimed_task_is_worked_on_by_its_owner_only(as_, engine):
    as_("clerk").post(f"/tasks/{id_of('task_n')}/claim")
    other = as_("clerk2")
    for step, form in (
        ("claim", {}),
        ("release", {}),
        ("snooze", {"until": "1h"}),
        ("resolve", {"outcome": "unwell"}),
    ):
        assert other.post(f"/tasks/{id_of('task_n')}/{step}", **form).status_code == 409, step
    assert task(engine).owner_staff_id == id_of("clerk")


def test_a_manager_puts_a_colleagues_task_back(as_, engine):
    as_("clerk").post(f"/tasks/{id_of('task_n')}/claim")
    assert as_("manager").post(f"/tasks/{id_of('task_n')}/release").status_code == 303
    assert (task(engine).owner_staff_id, task(engine).status) == (None, "ready")
    assert steps(engine) == ["raised", "claimed", "released"]


def test_a_task_put_off_leaves_the_list_and_comes_back_by_itself(as_, engine):
    clerk = as_("clerk")
    clerk.post(f"/tasks/{id_of('task_n')}/snooze", until="1h")
    assert str(id_of("task_n")) not in clerk.get("/tasks").text
    assert str(id_of("task_n")) in clerk.get("/tasks?tab=all").text
    with engine.begin() as connection:
        connection.execute(update(tasks).values(snooze_until=datetime.now(UTC) - timedelta(seconds=1)))
    assert str(id_of("task_n")) in clerk.get("/tasks").text


def test_an_emergency_cannot_be_put_off(as_, engine):
    clerk = as_("clerk")
    path = f"/tasks/{id_of('task_emergency')}"
    assert clerk.post(f"{path}/snooze", until="1h").status_code == 422
    assert clerk.post(f"{path}/resolve", outcome="no_answer").status_code == 303
    assert task(engine, "task_emergency").snooze_until is None
    assert str(id_of("task_emergency")) in clerk.get("/tasks").text


@pytest.mark.parametrize("code", list(OUTCOMES))
def test_every_result_has_the_consequence_it_says(as_, engine, code):
    person = as_("specialist")
    person.post(f"/tasks/{id_of('task_n')}/resolve", outcome=code, note="谢谢")
    row = task(engine)
    match OUTCOMES[code].effect:
        case Effect.CLOSE:
            assert (row.status, row.outcome, row.owner_staff_id) == ("completed", code, id_of("specialist"))
            assert row.closed_at is not None
        case Effect.LATER:
            assert row.status == "in-progress"
            assert row.snooze_until - datetime.now(UTC) > OUTCOMES[code].after - timedelta(minutes=1)
        case Effect.HAND_OVER:
            assert (row.status, row.owner_staff_id, row.performer_role) == ("ready", None, "pharmacist")
            assert row.due_at <= datetime.now(UTC) + timedelta(hours=2)
    with engine.connect() as connection:
        detail = connection.execute(
            select(task_events.c.detail).order_by(task_events.c.seq.desc()).limit(1)
        ).scalar_one()
    assert (detail["outcome"], detail["note"]) == (code, "谢谢")


def test_a_result_is_mandatory_and_coded(as_, engine):
    clerk = as_("clerk")
    for outcome in ("", "done", "x" * 100):
        assert clerk.post(f"/tasks/{id_of('task_n')}/resolve", outcome=outcome).status_code == 422
    assert task(engine).status == "ready"


def test_a_closed_task_stays_closed(as_, engine):
    clerk = as_("clerk")
    path = f"/tasks/{id_of('task_n')}"
    clerk.post(f"{path}/resolve", outcome="agreed_to_visit")
    assert clerk.post(f"{path}/claim").status_code == 409
    assert clerk.post(f"{path}/resolve", outcome="no_answer").status_code == 409
    closed = clerk.get("/tasks?tab=all&shown=closed").text
    assert "同意到店或就医 <small>" in closed  # and when
    assert '<th scope="col">处理结果</th>' in closed
    assert "到期</th>" not in closed


def test_the_last_contact_is_shown_on_the_members_next_task(as_, engine):
    as_("clerk").post(f"/tasks/{id_of('task_n')}/resolve", outcome="agreed_to_visit")
    with engine.begin() as connection:
        add_task(connection, "next", about="bp9")
    (found,) = [
        row for row in as_("clerk").get("/api/v1/tasks").json()["tasks"] if row["id"] == str(id_of("next"))
    ]
    assert found["last_contact"]["outcome"] == "agreed_to_visit"


def test_the_worst_and_the_most_overdue_come_first(as_, engine):
    now = datetime.now(UTC)
    with engine.begin() as connection:
        add_task(connection, "late", about="bp9", due=now - timedelta(hours=3))
        add_task(connection, "later", about="bp18", due=now - timedelta(hours=5))
        add_task(connection, "mild", about="bp27", severity=2, due=now - timedelta(days=2))
    listed = [row["id"] for row in as_("clerk").get("/api/v1/tasks").json()["tasks"]]
    wanted = ["task_emergency", "later", "late", "task_n", "mild"]
    assert listed == [str(id_of(name)) for name in wanted]
    assert len(as_("clerk").get("/api/v1/tasks?tab=overdue").json()["tasks"]) == 3


def test_a_long_list_has_pages(as_, engine):
    with engine.begin() as connection:
        for number in range(60):
            add_task(connection, f"many{number}", about="bp9", severity=2)
    clerk = as_("clerk")
    first = clerk.get("/api/v1/tasks?tab=all&severity=2").json()
    second = clerk.get("/api/v1/tasks?tab=all&severity=2&page=2").json()
    assert (first["total"], first["pages"], len(first["tasks"]), len(second["tasks"])) == (60, 2, 50, 10)
    assert not {row["id"] for row in first["tasks"]} & {row["id"] for row in second["tasks"]}
    beyond = clerk.get("/api/v1/tasks?tab=all&severity=2&page=9999").json()
    assert (beyond["page"], beyond["tasks"]) == (2, second["tasks"])  # the list got shorter while somebody read it
    assert 'page=1"' in clerk.get("/tasks?tab=all&severity=2&page=9999").text


def test_a_task_says_why_and_what_to_say(as_):
    page = as_("clerk").get(f"/tasks/{id_of('task_emergency')}").text
    for words in ("2.7", "危急", "GL-002", "怎么说", "先做这几步", "不能替代医生"):
        assert words in page
    assert "168/102" in as_("clerk").get(f"/tasks/{id_of('task_n')}").text


def test_a_task_shows_what_the_customer_said_at_the_dock(as_, engine):
    clerk, path = as_("clerk"), f"/tasks/{id_of('task_n')}"
    assert "检测台问到" not in clerk.get(path).text
    said = Answer(
        id=uuid4(),
        reading=task(engine).reading_id,
        what=Asked.SYMPTOMS,
        values=("severe_headache", "vomiting"),
        at=datetime.now(UTC),
        slot="1",
    )
    for answered, shown in (
        (said, "头痛得厉害、呕吐"),
        (msgspec.structs.replace(said, id=uuid4(), values=()), "没有危险症状"),
    ):
        with engine.begin() as connection:
            new = NewAnswer(store_id="n01", gateway_id="gw-n01", answer=answered, body=codec.encode(answered))
            assert answers.insert_once(connection, "kang", [new]) == [0]
        assert shown in clerk.get(path).text


@pytest.mark.parametrize("reason", list(Reason))
def test_a_task_that_ended_by_itself_says_why(as_, engine, reason):
    with engine.begin() as connection:
        if reason is Reason.MEASURED_AGAIN:  # a high repeat: done as asked, and the system has no result to give
            answer(connection, "kang", {id_of("task_n"): id_of("bp9")}, datetime.now(UTC), outcome=None)
        else:
            withdraw(connection, "kang", {id_of("task_n"): reason}, datetime.now(UTC))
    clerk = as_("clerk")
    for words in (Translator("zh")(CLOSED_BY_ITSELF[reason]), CLOSED_BY_ITSELF[reason]):
        for path in (f"/tasks/{id_of('task_n')}", "/tasks?tab=all&shown=closed", f"/members/{id_of('张桂兰')}"):
            page = unescape(clerk.get(path).text)
            assert words in page, (path, words)
            assert sum(CLOSED_BY_ITSELF[other] in page for other in Reason if other is not reason) == 0
        clerk.post("/language", language="en")


def test_a_result_of_staff_is_told_as_theirs(as_, engine):
    with engine.begin() as connection:
        answer(connection, "kang", {id_of("task_n"): id_of("bp9")}, datetime.now(UTC), outcome="remeasured_normal")
    assert "复测" in as_("clerk").get(f"/api/v1/tasks/{id_of('task_n')}").json()["ended"]


def test_the_chains_own_rules_give_a_task_its_words(database, tmp_path):
    for file in resources.files("gateway.clinical").joinpath("library").iterdir():
        if file.name.endswith(".toml"):
            content = file.read_text("utf-8")
            for key in ('name = { zh = "', 'say.zh = "'):
                content = content.replace(key, f"{key}本店：")
            (tmp_path / file.name).write_text(content, "utf-8")
    own = next(rule for rule in library(tmp_path) if rule.id == "GL-002")
    settings = config.load({"DATABASE_URL": database, "KANGDOCK_MODE": "demo", "KANGDOCK_RULES": str(tmp_path)})
    app = create_app(settings)
    with app.state.engine.begin() as connection:
        add_task(connection, "own", about="glucose9", rule=own.id)
    client = TestClient(app)
    client.post("/login", data={"login": "clerk", "password": PASSWORD})
    page = unescape(client.get(f"/tasks/{id_of('own')}").text)
    assert own.name.zh.startswith("本店：")
    assert own.name.zh in page
    assert own.say.zh in page
    assert page.count("本店：") >= 2
    app.state.engine.dispose()


def test_hospital_is_offered_where_it_is_meant():
    assert "sent_to_hospital" in {outcome.code for outcome in offered(4)}
    assert "sent_to_hospital" not in {outcome.code for outcome in offered(2)}


def test_one_call_settles_several_tasks_of_a_member(as_, engine):
    with engine.begin() as connection:
        add_task(connection, "second", about="glucose9", rule="GL-015")
        add_task(connection, "colleagues", about="bp9")
        add_task(connection, "neighbours", member="刘建国", about=None)
    as_("clerk2").post(f"/tasks/{id_of('colleagues')}/claim")
    specialist, path = as_("specialist"), f"/tasks/{id_of('task_n')}"
    page = specialist.get(path).text
    for name in ("second", "colleagues"):
        assert str(id_of(name)) in page
    assert str(id_of("neighbours")) not in page
    for wrong, status in (("colleagues", 409), ("neighbours", 422), ("task_s", 404)):
        answer = specialist.post(
            f"{path}/resolve", outcome="no_answer", also=[str(id_of("second")), str(id_of(wrong))]
        )
        assert answer.status_code == status, wrong
        assert task(engine).status == task(engine, "second").status == "ready"
    specialist.post(f"{path}/resolve", outcome="no_answer", note="午休", also=[str(id_of("second"))])
    for name in ("task_n", "second"):
        assert steps(engine, name)[-1] == "snoozed"
        assert task(engine, name).owner_staff_id == id_of("specialist")
    assert task(engine, "colleagues").snooze_until is None


def test_a_members_page_shows_every_open_task_and_hides_the_earlier_ones_behind_one_touch(as_, engine):
    clerk, page = as_("clerk"), f"/members/{id_of('张桂兰')}"
    with engine.begin() as connection:
        for number in range(8):
            add_task(connection, f"open{number}", about="bp9")
    clerk.post(f"/tasks/{id_of('task_n')}/resolve", outcome="seen_by_doctor")
    at_once, later = clerk.get(page).text.split('<details id="earlier">')
    assert all(str(id_of(f"open{number}")) in at_once for number in range(8))
    assert str(id_of("task_n")) in later
    assert "更早的 1 项任务" in later


def test_a_member_without_a_reading_still_has_tasks(as_, engine):
    with engine.begin() as connection:
        add_task(connection, "bare", member="刘建国", about=None)
    page = as_("clerk").get(f"/members/{id_of('刘建国')}").text
    assert "还没有读数" in page
    assert str(id_of("bare")) in page


def test_a_task_shows_the_trend_and_the_last_contact_of_its_member_alone(as_, engine):
    clerk = as_("clerk")
    page = clerk.get(f"/tasks/{id_of('task_n')}").text
    assert 'data-chart="chart-blood_pressure"' in page
    assert "chart-glucose" not in page
    assert "上次联系" not in page
    with engine.begin() as connection:
        add_task(connection, "before", about="bp9")
        add_task(connection, "guest", member="杨秀英", about="bp_south")
    clerk.post(f"/tasks/{id_of('before')}/resolve", outcome="wrong_number")
    page = clerk.get(f"/tasks/{id_of('task_n')}").text
    assert "上次联系" in page
    assert "空号" in page
    for name in ("task_emergency", "guest"):  # of nobody known, and of another store's member
        assert "data-chart" not in clerk.get(f"/tasks/{id_of(name)}").text


def test_an_emergency_says_what_to_do_before_why_and_asks_whose_it_is(as_):
    clerk, path = as_("clerk"), f"/tasks/{id_of('task_emergency')}"
    page = clerk.get(path).text
    assert page.index("先做这几步") < page.index(">原因<") < page.index("怎么说")
    assert page.count("先做这几步") == 1
    found = clerk.post("/unclaimed/find", reading=str(id_of("free_n")))
    assert f'name="reading" value="{id_of("free_n")}"' in page
    assert "这是谁的？" in found.text
    assert "这是谁的？" not in clerk.get(f"/tasks/{id_of('task_n')}").text  # somebody's
