"""What may be posted from the dock screen, over HTTP: answers, clocks, visits, and what is refused in words."""

from datetime import timedelta
from typing import Any

import pytest

from gateway.screen.who import CHOSEN_WITHIN, Who
from gateway.wire.messages import Asked, Found
from tests.gateway.readings import NOON
from tests.gateway.screen.counter import Counter
from tests.gateway.screen.scenes import TWO, by_phone, emergency, meters, opened, slip, sugar, symptoms

JSON = {"Accept": "application/json"}


def post(counter: Counter, path: str, **form: Any) -> tuple[int, str]:
    answer = counter.client().post(path, data=form, headers=JSON)
    return answer.status_code, answer.json().get("message", "")


def about(counter: Counter, slot: str = "counter-1") -> str:
    return str(counter.board.counter(slot).asked.reading_id)


def test_a_phone_tail_opens_nothing_before_somebody_is_chosen():
    counter = Counter()
    counter.found = (Found.SOME, TWO)
    assert post(counter, "/visits", code="１０４２")[0] == 200
    assert counter.visit() is None
    page = counter.client().get("/dock").text
    assert "手机尾号 1042：请核对是哪一位" in page
    assert "张** · 女 · 1950年代生" in page
    assert "张**" not in counter.client().get("/dock?slot=counter-2").text
    assert post(counter, "/visits", code=TWO[1].code)[0] == 200
    assert counter.visit().code == TWO[1].code
    page = counter.client().get("/dock").text
    assert '手机尾号 <b id="visitor">1042</b>' in page
    assert "张**" not in page


def test_candidates_nobody_chose_from_are_gone_after_half_a_minute():
    counter = Counter()
    by_phone(counter)
    counter.later(seconds=30)
    assert "张**" not in counter.client().get("/dock").text


def test_a_candidates_code_is_for_the_customer_it_was_asked_for():
    counter = Counter()
    by_phone(counter)
    elsewhere = post(counter, "/visits", code=TWO[0].code, slot="counter-2")
    assert elsewhere == (409, "这次选择已结束。请重新输入手机尾号。")
    counter.later(seconds=39)
    assert post(counter, "/visits", code=TWO[0].code)[0] == 200
    opened_first = counter.visit().id
    assert post(counter, "/visits", code=TWO[0].code)[0] == 200  # touched twice
    assert counter.visit().id == opened_first
    counter.later(seconds=1)
    assert post(counter, "/visits", code="M0002077")[0] == 200
    for code in (TWO[0].code, TWO[1].code):
        assert post(counter, "/visits", code=code)[0] == 409
    assert counter.visit().code == "M0002077"


@pytest.mark.parametrize("later_s", [40, 86400, -3600])
def test_a_candidates_code_kept_on_an_old_page_opens_nothing(later_s: int):
    counter = Counter()
    by_phone(counter)
    counter.later(seconds=later_s)
    assert post(counter, "/visits", code=TWO[0].code)[0] == 409
    assert counter.visit() is None


def test_of_those_who_were_not_chosen_nothing_is_remembered():
    who = Who()
    who.found("one", "1042", TWO, NOON)
    who.found("two", "1042", TWO, NOON + timedelta(seconds=30))
    who.expire(NOON + CHOSEN_WITHIN)
    assert [who.may_choose(slot, TWO[0].code, NOON + CHOSEN_WITHIN) for slot in ("one", "two")] == [False, True]
    assert list(who._choosing) == ["two"]


def test_none_of_the_candidates_is_an_answer():
    counter = Counter()
    by_phone(counter)
    assert post(counter, "/visits/nobody", slot="counter-1")[0] == 200
    assert "张**" not in counter.client().get("/dock").text
    assert counter.visit() is None


def test_with_the_cloud_away_a_phone_tail_is_kept_as_evidence():
    counter = Counter()
    assert post(counter, "/visits", code="1042")[0] == 200
    assert counter.visit().code == "TAIL-1042"
    page = counter.client().get("/dock").text
    assert '手机尾号 <b id="visitor">1042</b>' in page
    assert "云端无法查询，结果稍后认领" in page


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        (Found.NOBODY, 404, "没有找到"),
        (Found.TOO_MANY, 409, "有多位会员"),
        (Found.TOO_OFTEN, 429, "查询过于频繁"),
        (Found.SOME, 404, "没有找到"),
    ],
)
def test_a_phone_tail_that_finds_nobody_is_explained(found: Found, status: int, said: str):
    counter = Counter()
    counter.found = (found, ())
    told = post(counter, "/visits", code="1042")
    assert told[0] == status
    assert said in told[1]
    assert counter.visit() is None


def test_an_answer_is_kept_with_its_visit_and_its_slot():
    counter = Counter()
    opened(counter)
    sugar(counter, "8.4")
    visit = counter.visit()
    status, _ = post(counter, "/answers", reading=about(counter), what="meal", value="post_meal_2h")
    assert status == 200
    (said,) = counter.answers
    assert (said.what, said.values, said.visit, said.slot) == (
        Asked.MEAL,
        ("post_meal_2h",),
        visit.id,
        "counter-1",
    )


def test_an_answer_given_by_mistake_is_given_again():
    counter = Counter()
    opened(counter)
    id = str(sugar(counter, "8.4").id)
    for value in ("post_meal_2h", "fasting"):
        assert post(counter, "/answers", reading=id, what="meal", value=value)[0] == 200
    page = counter.client().get("/dock").text
    assert "血糖 · 空腹" in page


def test_without_scripts_an_answer_leads_back_to_the_dock():
    counter = Counter()
    opened(counter)
    sugar(counter, "8.4")
    form = {"reading": about(counter), "what": "meal", "value": "fasting"}
    answer = counter.client().post("/answers", data=form, headers={"Accept": "text/html"})
    assert answer.history[0].status_code == 303
    assert "血糖 · 空腹" in answer.text


def test_a_value_without_a_visit_is_not_given_to_whoever_came_after_the_page_was_drawn():
    """A finger may come down while the next card is being scanned, on a page that is a moment old."""
    counter = Counter()
    opened(counter)
    sugar(counter, "8.4", visit=None)
    reading, first = about(counter), str(counter.visit().id)
    assert f'name="visit" value="{first}"' in counter.client().get("/dock").text
    opened(counter, "M0002077")
    for visit in (first, "", "nonsense"):
        status, said = post(counter, "/answers", reading=reading, what="whose", value="visitor", visit=visit)
        assert (status, "已经结束" in said) == (409, True)
    second = str(counter.visit().id)
    assert post(counter, "/answers", reading=reading, what="whose", value="visitor", visit=second)[0] == 200
    assert [answer.values for answer in counter.answers] == [("visitor", "M0002077")]


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"what": "meal", "value": "fasting"}, 422, "不是有效的回答"),
        ({"reading": "no-id", "what": "meal", "value": "fasting"}, 422, "不是有效的回答"),
        ({"reading": "ours", "what": "weather", "value": "fasting"}, 422, "不是有效的回答"),
        ({"reading": "ours", "what": "symptoms"}, 422, "不是有效的回答"),
        ({"reading": "ours", "what": "symptoms", "value": "hungry"}, 422, "不是有效的回答"),
        ({"reading": "ours", "what": "meal", "value": "fasting"}, 422, "不是有效的回答"),
        ({"reading": "ours", "what": "symptoms", "value": "", "slot": "counter-2"}, 409, "已经结束"),
        ({"reading": "00000000-0000-0000-0000-000000000000", "what": "meal", "value": "fasting"}, 409, "已经结束"),
        ({"reading": "ours", "what": "symptoms", "value": "", "slot": "kitchen"}, 404, "没有这个检测位"),
    ],
)
def test_what_is_no_answer_is_refused_in_words_and_kept_nowhere(form: dict[str, str], status: int, said: str):
    counter = Counter()
    symptoms(counter)
    form = {name: about(counter) if value == "ours" else value for name, value in form.items()}
    told = post(counter, "/answers", **form)
    assert told[0] == status
    assert said in told[1]
    assert counter.answers == []


def test_what_cannot_be_kept_is_said_at_once():
    counter = Counter()
    opened(counter)
    sugar(counter, "8.4")
    counter.disk_full = True
    status, said = post(counter, "/answers", reading=about(counter), what="meal", value="fasting")
    assert (status, "未保存" in said) == (507, True)
    assert "choice-fasting" in counter.client().get("/dock").text


def test_a_card_is_put_away_only_by_its_own_rule():
    counter = Counter()
    emergency(counter)
    card = counter.board.counter("counter-1").first_aid
    form = {"reading": str(card.reading_id), "what": "first_aid"}
    assert post(counter, "/answers", value="GL-002", **form)[0] == 422
    assert "card-read" in counter.client().get("/dock").text
    assert post(counter, "/answers", value=card.rule.id, **form)[0] == 200
    assert "card-read" not in counter.client().get("/dock").text


def test_a_clock_is_set_only_where_the_meter_can():
    counter = Counter()
    meters(counter)
    assert post(counter, "/meters/clock", meter="AA:03") == (200, "")
    assert counter.meters.clock_asked("AA:03")
    for other in ("AA:01", "nobody", ""):
        status, said = post(counter, "/meters/clock", meter=other)
        assert status == 409
        assert "请在仪器上设置" in said


@pytest.mark.parametrize("path", ["/answers", "/meters/clock", "/visits/close"])
def test_another_page_in_the_same_browser_can_post_nothing(path: str):
    counter = Counter()
    meters(counter)
    headers = JSON | {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    form = {"meter": "AA:03", "what": "meal", "value": "fasting"}
    assert counter.client().post(path, data=form, headers=headers).status_code == 403
    assert not counter.meters.clock_asked("AA:03")


@pytest.mark.parametrize("page", ["/dock", "/meters", "/slip"])
def test_no_page_shows_a_whole_code_or_runs_a_script_of_its_own(page: str):
    counter = Counter()
    slip(counter)
    answer = counter.client().get(page)
    assert answer.status_code == 200
    assert "M0001042" not in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count("<script") == answer.text.count('<script src="/static/')
    assert " style=" not in answer.text
    assert " onclick" not in answer.text


def test_a_page_nobody_knows_has_no_events():
    assert Counter().client().get("/events?page=cellar", headers=JSON).status_code == 404
