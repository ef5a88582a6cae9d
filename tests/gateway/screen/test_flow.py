"""What staff are asked at the counter, visit by visit, in a real Chromium."""

import re
from datetime import timedelta

from playwright.sync_api import Browser, expect

from gateway.wire.messages import Asked
from tests.gateway.screen.browsing import live, looking, scan
from tests.gateway.screen.counter import Served
from tests.gateway.screen.scenes import (
    opened,
    pressure,
    rest,
    second,
    sugar,
)


def test_a_glucose_asks_for_the_meal_in_one_touch(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        scan(page, "M0001042")
        expect(page.locator("#visitor")).to_be_visible()
        measured = served.do(lambda: sugar(counter, "8.4"))
        expect(page.locator(".digits")).to_have_text("8.4")
        expect(page.locator(".figure .word")).to_have_count(0)  # on target for whom? nobody has said yet
        page.locator("#choice-fasting").click()
        expect(page.locator("#ask")).to_have_count(0)
        expect(page.locator("#value h2")).to_have_text("血糖 · 空腹")
        expect(page.locator(".figure .word")).to_contain_text("偏高 ↑")
        expect(page.locator(".range")).to_have_text("参考 3.9–6.0")
        expect(page.locator("#code")).to_be_focused()
    (answer,) = counter.answers
    assert (answer.reading, answer.what, answer.values) == (measured.id, Asked.MEAL, ("fasting",))


def test_a_meal_touched_by_mistake_is_corrected(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: opened(counter))
    served.do(lambda: sugar(counter, "8.4"))
    with looking(browser, served) as page:
        page.locator("#choice-random").click()
        expect(page.locator("#value h2")).to_have_text("血糖 · 随机")
        page.locator("#amend summary").click()
        page.locator("#amend-fasting").click()
        expect(page.locator("#value h2")).to_have_text("血糖 · 空腹")
        expect(page.locator(".figure .word")).to_contain_text("偏高")
    assert [answer.values for answer in counter.answers] == [("random",), ("fasting",)]


def test_a_doubtful_reading_is_given_to_the_visitor_in_one_touch_and_taken_back(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        scan(page, "M0001042")
        expect(page.locator("#visitor")).to_be_visible()
        measured = served.do(lambda: sugar(counter, "8.4", visit=None))
        expect(page.locator("#ask h2")).to_have_text(re.compile(r"^\S+ \d\d:\d\d，是这位顾客测的吗？$"))
        expect(page.locator(".fate")).to_contain_text("未关联会员")
        page.locator("#choice-visitor").click()
        expect(page.locator("#ask h2")).to_have_text("这次血糖是什么时候测的？")
        expect(page.locator(".fate")).not_to_contain_text("未关联会员")
        page.locator("#choice-fasting").click()
        page.locator("#amend summary").click()
        page.locator("#amend-somebody_else").click()
        expect(page.locator(".fate")).to_contain_text("未关联会员")
        expect(page.locator("#ask")).to_have_count(0)
    first, _, last = counter.answers
    assert {first.reading, last.reading} == {measured.id}
    assert (first.values, last.values) == (("visitor", "M0001042"), ("somebody_else", "M0001042"))


def test_a_high_pressure_rests_is_measured_again_a_third_time_and_averaged(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: rest(counter))
    with looking(browser, served) as page:
        expect(page.locator("#ask h2")).to_have_text("偏高，请先休息再复测")
        expect(page.locator("#left")).to_have_text(re.compile(r"^(5:00|4:\d\d)$"))

        served.do(lambda: counter.later(minutes=5))
        served.do(counter.board.changed)
        expect(page.locator("#ask h2")).to_contain_text("请现在测第2次")

        served.do(lambda: pressure(counter, 138, 88))
        expect(page.locator("#ask h2")).to_contain_text("请现在测第3次")
        expect(page.locator("#ask .detail")).to_contain_text("两次相差超过10")
        expect(page.locator(".rows li")).to_have_count(2)

        served.do(lambda: pressure(counter, 142, 90))
        expect(page.locator("#ask")).to_have_count(0)
        expect(page.locator("#value h2")).to_have_text("平均血压")
        expect(page.locator(".digits")).to_have_text("144/91")
        expect(page.locator(".rows b")).to_have_text(["152/96", "138/88", "142/90"])
        expect(page.locator(".rows .how")).to_contain_text("3次测量的平均值")


def test_a_pressure_measured_before_the_rest_was_over_is_listed_and_not_in_the_mean(
    browser: Browser, served: Served
):
    counter = served.counter
    served.do(lambda: rest(counter))
    served.do(lambda: pressure(counter, 180, 100))
    served.do(lambda: counter.later(minutes=5))
    served.do(lambda: pressure(counter, 148, 92))
    with looking(browser, served) as page:
        expect(page.locator(".digits")).to_have_text("150/94")
        expect(page.locator(".rows b")).to_have_text(["152/96", "180/100", "148/92"])
        expect(page.locator(".rows .left-out")).to_have_count(1)
        expect(page.locator(".rows .left-out")).to_contain_text("180/100")
        expect(page.locator(".rows .left-out")).to_contain_text("未计入")


def test_a_rest_survives_a_reload_of_the_page(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: rest(counter))
    with looking(browser, served) as page:
        until = page.locator("#left").get_attribute("data-until")
        served.do(lambda: counter.later(minutes=3))
        page.reload()
        live(page)
        expect(page.locator("#left")).to_have_attribute("data-until", until)
        expect(page.locator("#left")).to_have_text(re.compile(r"^(2:00|1:\d\d)$"))


def test_the_page_asks_by_itself_what_comes_after_the_rest(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: rest(counter))
    with looking(browser, served) as page:
        expect(page.locator("#left")).to_be_visible()
        served.do(lambda: counter.later(minutes=4, seconds=59))
        page.reload()
        live(page)
        counter.now += timedelta(seconds=1)  # and nobody tells the page
        expect(page.locator("#ask h2")).to_contain_text("请现在测第2次")


def test_a_second_measurement_that_fails_is_told_beside_the_question(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: second(counter))
    with looking(browser, served) as page:
        expect(page.locator("#ask h2")).to_contain_text("请现在测第2次")
        served.do(lambda: counter.board.talking("AA:01", "YE680A"))
        expect(page.locator(".strip")).to_have_text("正在读取 YE680A")
        served.do(lambda: counter.board.ended("AA:01", "lost"))
        expect(page.locator(".strip")).to_contain_text("YE680A：连接中断。")
        expect(page.locator("#ask h2")).to_contain_text("请现在测第2次")


def test_two_customers_at_two_counters_do_not_mix(browser: Browser, served: Served):
    counter = served.counter
    with (
        looking(browser, served, "/dock?slot=counter-1") as one,
        looking(browser, served, "/dock?slot=counter-2") as two,
    ):
        scan(one, "M0001042")
        expect(one.locator("#visitor")).to_have_text("1042")
        scan(two, "M0002077")
        expect(two.locator("#visitor")).to_have_text("2077")
        first = served.do(lambda: sugar(counter, "8.4"))
        other = served.do(lambda: sugar(counter, "5.1", slot="counter-2"))
        expect(one.locator(".digits")).to_have_text("8.4")
        expect(two.locator(".digits")).to_have_text("5.1")
        two.locator("#choice-post_meal_2h").click()
        expect(two.locator("#ask")).to_have_count(0)
        expect(one.locator("#choice-fasting")).to_be_visible()
        one.locator("#choice-fasting").click()
        expect(one.locator("#ask")).to_have_count(0)
        expect(two.locator("#value h2")).to_have_text("血糖 · 餐后2小时")
        one.locator("#close-visit").click()
        expect(one.locator(".digits")).to_have_count(0)
        expect(two.locator(".digits")).to_have_text("5.1")
    said = {answer.reading: (answer.values, answer.slot) for answer in counter.answers}
    assert said == {first.id: (("fasting",), "counter-1"), other.id: (("post_meal_2h",), "counter-2")}


def test_a_whole_visit_by_keyboard_alone(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        scan(page, "M0001042")
        expect(page.locator("#visitor")).to_be_visible()
        served.do(lambda: sugar(counter, "8.4"))
        expect(page.locator("#choice-fasting")).to_be_visible()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#choice-fasting")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#choice-post_meal_2h")).to_be_focused()
        served.do(lambda: counter.board.talking("AA:01", "G1"))  # a change must not take the focus away
        expect(page.locator(".strip")).to_be_visible()
        expect(page.locator("#choice-post_meal_2h")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#value h2")).to_have_text("血糖 · 餐后2小时")
        expect(page.locator("#code")).to_be_focused()
        page.locator("#close-visit").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#visitor")).to_have_count(0)


def test_every_control_of_the_dock_is_reached_with_the_tab_key(browser: Browser, served: Served):
    served.do(lambda: second(served.counter))
    with looking(browser, served) as page:
        page.locator("#language").focus()
        reached = []
        for _ in range(5):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached == ["不舒服？", "to-slip", "close-visit", "code", "确定"]
