"""The dock screen over HTTP: what is shown, who may post, and what bad input is answered."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from gateway.health import Health
from gateway.uplink import LinkState
from gateway.wire.messages import Quality, Status
from gateway.wire.vocabulary import Kind, Meal, OffScale
from tests.gateway.readings import reading
from tests.gateway.screen.counter import SLOTS, Counter
from tests.gateway.screen.scenes import whose

JSON = {"Accept": "application/json"}


def page(counter: Counter, query: str = "") -> str:
    answer = counter.client().get(f"/dock{query}")
    assert answer.status_code == 200
    return answer.text


def scan(counter: Counter, code: str = "M0001042", slot: str = "counter-1") -> None:
    answer = counter.client().post("/visits", data={"code": code, "slot": slot}, headers=JSON)
    assert answer.status_code == 200, answer.text


def test_the_front_door_leads_to_the_dock():
    assert "请先扫会员卡，再检测" in Counter().client().get("/").text


def test_a_reading_shows_value_unit_word_arrow_meal_and_fate():
    counter = Counter()
    counter.board.saved(reading(values={"glucose_mmol_l": Decimal("12.3")}, meal=Meal.FASTING))
    html = page(counter)
    for shown in ("12.3", "mmol/L", "偏高", "↑", "血糖 · 空腹", "已保存", "待上传", "未关联会员", "Acme G1"):
        assert shown in html


def test_a_blood_pressure_is_one_figure_under_its_graver_verdict():
    counter = Counter()
    values = {"systolic_mmhg": Decimal(118), "diastolic_mmhg": Decimal(124), "pulse_per_min": Decimal(76)}
    counter.board.saved(reading(Kind.BLOOD_PRESSURE, values=values))
    html = page(counter)
    assert "118/124" in html.replace('<i class="slash">/</i>', "/")
    assert "危急" in html
    assert "脉搏" in html


def test_hi_stays_hi():
    counter = Counter()
    counter.board.saved(reading(values={}, off_scale={"glucose_mmol_l": OffScale.HI}))
    assert ">HI<" in page(counter)


def test_a_lipid_panel_shows_all_four():
    counter = Counter()
    counter.board.saved(reading(Kind.LIPID_PANEL))
    html = page(counter)
    for value in ("5.82", "1.71", "1.12", "3.92"):
        assert value in html


def test_a_number_that_cannot_be_right_is_not_judged():
    counter = Counter()
    counter.board.saved(reading(values={"glucose_mmol_l": Decimal("61.0")}, quality=Quality.REJECTED))
    html = page(counter)
    assert "数值不可能正确" in html
    assert 'class="word"' not in html


def test_an_old_record_says_from_which_day_it_is():
    counter = Counter()
    counter.board.saved(reading(at=counter.now - timedelta(days=3)))
    assert "2026-11-18 12:00" in page(counter)


def test_a_scan_opens_a_visit_and_shows_only_the_end_of_the_code():
    counter = Counter()
    scan(counter, "ｍ０００１０４２ ")
    html = page(counter)
    assert '<b id="visitor">1042</b>' in html
    assert "M0001042" not in html
    assert counter.visits.at("counter-1", counter.now).code == "M0001042"
    assert counter.visits.at("counter-2", counter.now) is None


def test_closing_a_visit_twice_is_harmless():
    counter = Counter()
    scan(counter)
    first = counter.client().post("/visits/close", data={"slot": "counter-1"}, headers=JSON).json()
    again = counter.client().post("/visits/close", data={"slot": "counter-1"}, headers=JSON).json()
    assert first["visit"]
    assert again == {"visit": None}


def test_without_scripts_the_forms_lead_back_to_the_page():
    counter = Counter()
    answer = counter.client().post(
        "/visits", data={"code": "M1042", "slot": "counter-2"}, headers={"Accept": "text/html"}
    )
    assert answer.history[0].status_code == 303
    assert '<b id="visitor">42</b>' in answer.text


def test_unlinked_readings_are_tiles_without_their_value():
    counter = Counter()
    counter.board.saved(reading(values={"glucose_mmol_l": Decimal("7.7")}))
    html = page(counter, "?slot=counter-2")
    assert "待认领" in html
    assert "7.7" not in html


def test_the_state_of_the_line_is_in_words():
    counter = Counter()
    assert "✓" not in page(counter).split('id="upload"')[0]
    assert "已上传" in page(counter)
    counter.unsent = 7
    counter.board.link("down")
    counter.board.transport("ble", "absent")
    html = page(counter)
    assert "待上传 7" in html
    assert "云端 离线" in html
    assert "蓝牙 未接入" in html


def test_the_language_switch_lasts():
    client = Counter().client()
    assert "Scan the member&#39;s card" in client.get("/dock?lang=en").text
    assert "Scan the member&#39;s card" in client.get("/dock").text
    assert "请扫会员卡" in client.get("/dock?lang=zh_CN").text


def test_a_value_of_the_visit_that_is_not_the_visitors_says_that_it_is_linked_to_nobody():
    counter = Counter()
    whose(counter)
    counter.later(seconds=30)
    measured = counter.board.counter("counter-1").asked.reading_id
    for word, linked in (("", False), ("visitor", True), ("somebody_else", False)):
        if word:
            form = {"reading": str(measured), "what": "whose", "value": word, "visit": str(counter.visit().id)}
            assert counter.client().post("/answers", data=form).status_code == 200
        assert ("未关联会员" not in page(counter)) is linked


def test_state_is_json_with_exact_decimals_and_no_code():
    counter = Counter()
    scan(counter)
    visit = counter.visits.at("counter-1", counter.now)
    counter.board.saved(reading(values={"glucose_mmol_l": Decimal("6.20")}, visit=visit))
    body = counter.client().get("/state?slot=counter-1").text
    state = json.loads(body)
    assert state["last"]["values"] == {"glucose_mmol_l": "6.20"}
    assert state["visit"]["code_tail"] == "1042"
    assert "M0001042" not in body


def test_healthz_and_metrics_speak():
    counter = Counter()
    counter.unsent = 3
    health = counter.client().get("/healthz").json()
    wanted = {"status", "unsent", "oldest_unsent_s", "disk_free_mb", "clock_trusted", "transports", "version"}
    assert wanted <= health.keys()
    assert health["unsent"] == 3
    counter.board.saved(reading())
    metrics = counter.client().get("/metrics").text
    assert "kangdock_gateway_unsent_readings 3.0" in metrics
    assert "kangdock_gateway_saved_readings_total 1.0" in metrics
    assert "kangdock_gateway_received_readings_total 0.0" in metrics
    assert "# TYPE kangdock_gateway_saved_readings_total counter" in metrics
    assert "# TYPE kangdock_gateway_unsent_readings gauge" in metrics


def test_a_monitor_that_only_looks_at_the_status_code_sees_a_gateway_that_can_keep_nothing():
    counter = Counter()
    for free_mb, link, code, word in (
        (1000, LinkState.UP, 200, "ok"),
        (1000, LinkState.REFUSED, 200, "degraded"),
        (255, LinkState.UP, 503, "failing"),
    ):
        counter.disk_free_mb = free_mb
        counter.board.link(link)
        answer = counter.client().get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (code, word)


@pytest.mark.parametrize(
    ("transports", "word"),
    [
        ({}, "ok"),
        ({"ble": "ok", "serial": "silent"}, "ok"),
        ({"ble": "absent", "serial": "ok"}, "degraded"),
        ({"ble": "absent", "serial": "failed"}, "failing"),
    ],
)
def test_a_gateway_that_hears_no_meter_at_all_is_failing(transports: dict[str, str], word: str):
    assert Health(status=Status(gateway="gw-1", online=True, transports=transports), link="up").word == word


def test_the_space_of_a_chinese_keyboard_is_a_space():
    counter = Counter()
    form = {"code": "M0001042", "staff": "李\u3000雷 "}
    assert counter.client().post("/visits", data=form, headers=JSON).status_code == 200
    assert counter.visits.at("counter-1", counter.now).staff == "李 雷"


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/visits", {"code": "", "slot": "counter-1"}, 422),
        ("/visits", {"slot": "counter-1"}, 422),
        ("/visits", {"code": "会员", "slot": "counter-1"}, 422),
        ("/visits", {"code": "A" * 64}, 422),
        ("/visits", {"code": "M0001042", "staff": "\0"}, 422),
        ("/visits", {"code": "M0001042", "staff": "李\x1b[2J"}, 422),
        ("/visits", {"code": "M0001042", "staff": "李" * 33}, 422),
        ("/visits", {"code": "M0001042", "slot": "kitchen"}, 404),
        ("/visits", {"code": "A" * 5000}, 413),
        ("/visits/close", {"slot": "kitchen"}, 404),
    ],
)
def test_bad_input_is_answered_in_words_a_pharmacist_can_act_on(path: str, form: dict[str, str], status: int):
    counter = Counter()
    answer = counter.client().post(path, data=form, headers=JSON)
    assert answer.status_code == status
    assert any("一" <= letter <= "鿿" for letter in answer.json()["message"])
    assert counter.visits.at("counter-1", counter.now) is None
    shown = counter.client().post(path, data=form, headers={"Accept": "text/html"})
    assert shown.status_code == status
    assert "返回检测台" in shown.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/visits", 405), ("POST", "/dock", 405)]
)
def test_what_is_not_there_is_said_kindly(method: str, path: str, status: int):
    answer = Counter().client().request(method, path, headers=JSON, content=b"")
    assert answer.status_code == status
    assert answer.json() == {"message": "这里没有内容，请返回检测台。"}


def test_a_body_that_is_no_form_is_refused():
    client = Counter().client()
    assert client.post("/visits", json={"code": "M0001042"}, headers=JSON).status_code == 415
    assert client.post("/visits", content=iter([b"code=M1042"]), headers=JSON).status_code == 411


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
    ],
)
def test_another_page_in_the_same_browser_cannot_open_a_visit(headers: dict[str, str]):
    counter = Counter()
    answer = counter.client().post("/visits", data={"code": "M0001042"}, headers=JSON | headers)
    assert answer.status_code == 403
    assert counter.visits.at("counter-1", counter.now) is None


def test_the_stores_own_page_may_post():
    headers = JSON | {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8101"}
    assert Counter().client().post("/visits", data={"code": "M1042"}, headers=headers).status_code == 200


def test_a_foreign_name_for_this_machine_is_refused():
    answer = Counter().client().get("/dock", headers={"Host": "evil.example:8101"})
    assert answer.status_code == 421


def test_no_other_page_can_frame_the_dock():
    policy = Counter().client().get("/dock").headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy


def test_one_slot_needs_no_choice_and_two_are_offered():
    assert "2号检测台" in page(Counter())
    assert 'class="slots"' not in page(Counter(SLOTS[:1]))
