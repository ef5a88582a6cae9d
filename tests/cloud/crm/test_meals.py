"""A glucose whose meter did not say when it was taken: staff ask, and it is judged and charted again."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from cloud.crm.tasks.tables import tasks
from cloud.ingest.assess import assess
from cloud.ledger.tables import meal_corrections, readings, work
from gateway.clinical import library
from gateway.wire.vocabulary import Kind, Meal
from tests.cloud.crm.conftest import id_of, keep, reading


def measured(engine: Engine, name: str, value: str, *, meal: Meal = Meal.UNKNOWN, member: str | None = "刘建国"):
    """A glucose at the northern counter, an hour ago."""
    at = datetime.now(UTC) - timedelta(hours=1)
    with engine.begin() as connection:
        keep(
            connection,
            "kang",
            "n01",
            member,
            reading(name, Kind.GLUCOSE, at, {"glucose_mmol_l": value}, meal=meal),
        )
    return f"/readings/{id_of(name)}/meal"


def judged(engine: Engine) -> dict[str, str]:
    """The ingest's turn: what it was left to look at; then every task of 刘建国 by its rule."""
    with engine.begin() as connection:
        for row in connection.execute(select(work).where(work.c.reader == "assess").order_by(work.c.id)):
            assess(
                connection, row.chain_id, row.reading_ids, now=datetime.now(UTC), rules=library(), production=False
            )
        query = select(tasks.c.rule_id, tasks.c.status).where(tasks.c.member_id == id_of("刘建国"))
        return dict(connection.execute(query).all())


def meal_of(engine: Engine, name: str) -> tuple[str, str | None]:
    """Today's meal, and the one in the body as it came."""
    with engine.connect() as connection:
        query = select(readings.c.meal, readings.c.body["meal"].astext).where(readings.c.id == id_of(name))
        return tuple(connection.execute(query).one())


def test_a_meal_stated_later_makes_the_rules_judge_again(as_, engine):
    path = measured(engine, "high", "16.8")
    clerk = as_("clerk")
    assert "测量时机？" in clerk.get(f"/members/{id_of('刘建国')}").text
    assert clerk.post(path, meal="random").status_code == 303
    assert "GL-012" not in judged(engine)
    assert clerk.post(path, meal="fasting", back="/tasks").headers["location"] == "/tasks"
    assert judged(engine)["GL-012"] == "ready"
    assert meal_of(engine, "high")[0] == "fasting"
    assert meal_of(engine, "high")[1] in (None, "unknown")
    assert clerk.post(path, meal="post_meal_2h").status_code == 303  # the customer remembers better
    assert judged(engine)["GL-012"] == "cancelled"
    closed = clerk.get("/api/v1/tasks?tab=all&shown=closed").json()["tasks"]
    ended = {row["rule_id"]: row["ended"] for row in closed}
    assert ended["GL-012"] == "已撤回：读数的情况有更正，规则不再成立"


def test_who_said_it_and_what_was_there_before_is_kept(as_, engine):
    path = measured(engine, "high", "7.2")
    as_("clerk").post(path, meal="fasting")
    as_("clerk").post(path, meal="fasting")  # a double click
    as_("manager").post(path, meal="random")
    with engine.connect() as connection:
        c = meal_corrections.c
        rows = connection.execute(select(c.by_staff, c.was, c.meal).order_by(c.seq)).all()
        told = connection.execute(select(work.c.reader)).scalars().all()
    assert rows == [(id_of("clerk"), "unknown", "fasting"), (id_of("manager"), "fasting", "random")]
    assert sorted(told) == ["assess", "assess", "project", "project"]


def series(page: str) -> dict[str, list[float]]:
    """The glucose chart's series by name."""
    (data,) = re.findall(r'data-chart="chart-glucose">(.*?)</script>', page)
    return {one["name"]: [point["value"][1] for point in one["data"]] for one in json.loads(data)["series"]}


def test_the_point_moves_to_the_series_of_its_meal(as_, engine):
    path, page = measured(engine, "high", "7.2"), f"/members/{id_of('刘建国')}"
    clerk = as_("clerk")
    assert series(clerk.get(page).text) == {"随机或未标注": [7.2]}
    clerk.post(path, meal="fasting")
    assert series(clerk.get(page).text) == {"空腹": [7.2]}


def test_what_the_meter_said_is_not_asked_again(as_, engine):
    measured(engine, "known", "6.1", meal=Meal.FASTING)
    assert "测量时机？" not in as_("clerk").get(f"/members/{id_of('刘建国')}").text


def test_an_unclaimed_reading_and_a_task_ask_too(as_, engine):
    clerk = as_("clerk")
    ask = f'action="/readings/{id_of("free_n")}/meal"'
    assert ask in clerk.get("/unclaimed").text
    assert ask in clerk.get(f"/tasks/{id_of('task_emergency')}").text
    assert clerk.post(f"/readings/{id_of('free_n')}/meal", meal="pre_meal", back="/unclaimed").status_code == 303
    assert meal_of(engine, "free_n")[0] == "pre_meal"


@pytest.mark.parametrize(
    ("name", "meal", "status"),
    [("bp0", "fasting", 409), ("free_n", "bedtime", 422), ("free_n", "unknown", 422), ("free_s", "fasting", 404)],
)
def test_what_cannot_be_is_refused(as_, engine, name, meal, status):
    before = meal_of(engine, name)
    assert as_("clerk").post(f"/readings/{id_of(name)}/meal", meal=meal).status_code == status
    assert meal_of(engine, name) == before


@pytest.mark.parametrize("login", ["other_store", "other_area", "other_chain"])
def test_another_stores_reading_is_not_there(as_, engine, login):
    path = measured(engine, "high", "7.2")
    assert as_(login).post(path, meal="fasting").status_code == 404
    assert as_("engineer").post(path, meal="fasting").status_code == 403
    assert meal_of(engine, "high")[0] == "unknown"


def test_nobody_is_told_on_target_before_the_meal_is_known(as_, engine):
    path = measured(engine, "seven", "7.2")
    clerk, page = as_("clerk"), f"/members/{id_of('刘建国')}"
    assert "达标" not in clerk.get(page).text
    clerk.post(path, meal="post_meal_2h")
    assert "达标" in clerk.get(page).text
