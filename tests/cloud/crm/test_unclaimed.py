"""Unclaimed readings: given to a member, taken back, and never guessed."""

from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Engine, select

from cloud.crm.unclaimed import service
from cloud.ledger.tables import attributions, readings, work
from gateway.lookup import tail_only
from gateway.wire.messages import Visit
from gateway.wire.vocabulary import Kind
from tests.cloud.crm.conftest import id_of, keep, reading


def owner(engine: Engine, name: str):
    """Whose reading it is now."""
    with engine.connect() as connection:
        return connection.execute(select(readings.c.member_id).where(readings.c.id == id_of(name))).scalar_one()


def test_several_readings_are_claimed_for_the_confirmed_person_and_taken_back(as_, engine):
    clerk = as_("clerk")
    both = [str(id_of("free_n")), str(id_of("free_n2"))]
    page = clerk.post("/unclaimed/find", reading=both, asked="5678").text
    assert "张桂兰" in page  # two people share this phone: both are listed, none is chosen
    assert "刘建国" in page
    assert clerk.post("/unclaimed/claim", reading=both, member=str(id_of("刘建国"))).status_code == 303
    assert owner(engine, "free_n") == owner(engine, "free_n2") == id_of("刘建国")
    assert "刘建国" in clerk.get("/unclaimed").text
    assert clerk.post(f"/unclaimed/{id_of('free_n')}/undo", back="/unclaimed").status_code == 303
    assert owner(engine, "free_n") is None
    with engine.connect() as connection:
        how = connection.execute(select(attributions.c.how).where(attributions.c.reading_id == id_of("free_n")))
        assert list(how.scalars()) == ["claim", "undo"]
        assert {row.reader for row in connection.execute(select(work))} == {"assess", "project"}


def test_a_phone_tail_given_at_the_dock_helps_staff_to_find_the_person(as_, engine):
    without_card = Visit(id=id_of("visit"), code=tail_only("5678"), slot="1", opened=datetime.now(UTC))
    measured = reading("tail", Kind.GLUCOSE, datetime.now(UTC), {"glucose_mmol_l": "6.1"})
    with engine.begin() as connection:
        keep(connection, "kang", "n01", None, msgspec.structs.replace(measured, visit=without_card))
    page = as_("clerk").get("/unclaimed").text
    assert "手机尾号 5678" in page
    assert page.count("手机尾号") == 1


def test_somebody_elses_reading_is_not_taken_over(as_, engine):
    as_("clerk").api("/api/v1/unclaimed/claim", reading_ids=[str(id_of("free_n"))], member_id=str(id_of("张桂兰")))
    again = as_("clerk2").api(
        "/api/v1/unclaimed/claim", reading_ids=[str(id_of("free_n"))], member_id=str(id_of("刘建国"))
    )
    assert again.status_code == 409
    assert owner(engine, "free_n") == id_of("张桂兰")


def test_all_or_none(as_, engine):
    ids = [str(id_of("free_n")), str(id_of("free_s"))]  # the second is another store's
    answer = as_("clerk").api("/api/v1/unclaimed/claim", reading_ids=ids, member_id=str(id_of("张桂兰")))
    assert answer.status_code == 404
    assert owner(engine, "free_n") is None


def test_another_stores_member_cannot_be_given_a_reading(as_, engine):
    answer = as_("clerk").api(
        "/api/v1/unclaimed/claim", reading_ids=[str(id_of("free_n"))], member_id=str(id_of("杨秀英"))
    )
    assert answer.status_code == 404
    assert owner(engine, "free_n") is None


def test_the_area_sees_what_both_its_stores_have(as_):
    ids = {row["id"] for row in as_("head").get("/api/v1/unclaimed").json()["readings"]}
    assert ids == {str(id_of(name)) for name in ("free_n", "free_n2", "free_s")}
    ids = {row["id"] for row in as_("area").get("/api/v1/unclaimed").json()["readings"]}
    assert ids == {str(id_of(name)) for name in ("free_n", "free_n2")}


def test_a_members_reading_taken_in_another_store_is_on_their_page(as_, engine):
    with engine.begin() as connection:
        keep(
            connection,
            "kang",
            "s01",
            "张桂兰",
            reading("away", Kind.URIC_ACID, datetime.now(UTC), {"urate_umol_l": "612"}),
        )
    assert "612" in as_("clerk").get(f"/members/{id_of('张桂兰')}").text
    assert as_("other_store").get(f"/api/v1/members/{id_of('张桂兰')}/readings").status_code == 404


def test_more_than_a_screen_of_readings_says_that_more_wait(as_, engine):
    clerk = as_("clerk")
    assert '<span class="count">2</span>' in clerk.get("/unclaimed").text
    assert clerk.get("/api/v1/unclaimed").json()["more"] is False
    with engine.begin() as connection:
        for number in range(service.LIST_LIMIT):
            at = datetime.now(UTC) - timedelta(minutes=number)
            keep(
                connection, "kang", "n01", None,
                reading(f"crowd{number}", Kind.URIC_ACID, at, {"urate_umol_l": "401"}),
            )  # fmt: skip
    page = clerk.get("/unclaimed").text
    assert f'<span class="count">{service.LIST_LIMIT}+</span>' in page
    assert page.count('name="reading"') == 2 * service.LIST_LIMIT  # a box and a button each
    assert clerk.get("/api/v1/unclaimed").json()["more"] is True


def test_claiming_without_choosing_is_told_as_that(as_):
    answer = as_("clerk").post("/unclaimed/find")
    assert answer.status_code == 422
    assert "没有选择读数" in answer.text


def test_a_search_opened_again_by_its_address_leads_to_its_page(as_):
    clerk = as_("clerk")
    for address, page in (("/unclaimed/find", "/unclaimed"), ("/members/search", "/members")):
        answer = clerk.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, page)
