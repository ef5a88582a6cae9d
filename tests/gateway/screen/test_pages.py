"""The meters and the slip in a real Chromium: words, one touch, paper, and a code to take along."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.gateway.screen.browsing import COUNTER, NARROW, arrived, follow, looking
from tests.gateway.screen.counter import Counter, Served
from tests.gateway.screen.scenes import average, meters, opened, pressure, slip, slip_of_everything, sugar

MM_PER_POINT = 25.4 / 72


def test_the_meters_are_one_touch_away_and_say_what_ails_them(browser: Browser, served: Served):
    served.do(lambda: meters(served.counter))
    with looking(browser, served) as page:
        expect(page.locator("#to-meters .count")).to_have_text("3")
        follow(page, "#to-meters", "/meters")
        cards = page.locator(".meter")
        expect(cards).to_have_count(4)
        expect(cards.filter(has_text="YE680A")).to_contain_text("9 %，请更换")
        expect(cards.filter(has_text="CardioChek")).to_contain_text("试条已用过、不匹配或没有插好。")
        expect(cards.filter(has_text="CardioChek")).to_contain_text("请换一条本机专用的新试条")
        expect(cards.filter(has_text="Accusure 740")).to_contain_text("准确")


def test_what_a_meter_is_proven_by_unfolds_and_a_thin_proof_is_marked(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: meters(counter))
    with looking(browser, served, "/meters") as page:
        expect(page.locator("details")).to_have_count(4)
        proof = page.locator("details.unproven")
        expect(proof).to_have_count(1)
        expect(proof.locator("summary")).to_contain_text("尚未完全验证：请与仪器屏幕核对每个数值")
        proof.locator("summary").click()
        expect(proof.locator("p")).to_have_text(
            "已用公开的真机数据或厂家示例核对，结果一致。 尚不确定：部分检测项目"
        )
        served.do(
            lambda: served.counter.meters.noted("AA:01", {"battery_percent": "87"}, None, served.counter.now)
        )
        served.do(served.counter.board.changed)
        expect(page.locator(".meters")).to_contain_text("87 %")
        expect(proof.locator("p")).to_be_visible()  # a change does not fold it again
    with looking(browser, served, "/meters?lang=en") as page:
        proof = page.locator(".meter").filter(has_text="安稳+Air").locator("details")
        proof.locator("summary").click()
        expect(proof.locator("p")).to_contain_text("Not certain: results out of its memory, setting its clock")


def test_staff_set_a_meters_clock(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: meters(counter))
    with looking(browser, served, "/meters") as page:
        card = page.locator(".meter").filter(has_text="安稳+Air")
        expect(card).to_contain_text("慢 3天 1小时")
        card.get_by_role("button", name="校准时钟").click()
        expect(card).to_contain_text("请放上仪器，读取时自动校时。")
        expect(page.get_by_role("button", name="校准时钟")).to_have_count(0)
        assert served.do(lambda: counter.meters.clock_asked("AA:03"))
        served.do(lambda: counter.meters.noted("AA:03", {"clock_set": "2026-11-21T12:00:00"}, None, counter.now))
        served.do(counter.board.changed)
        expect(card).to_contain_text("刚刚已校准")


def test_a_customer_takes_the_result_along_and_the_next_one_does_not_see_it(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: slip(counter))
    with looking(browser, served) as page:
        follow(page, "#to-slip", "/slip")
        paper = page.locator("#paper")
        expect(paper.locator("section")).to_have_count(5)
        expect(paper.locator("section").first).to_contain_text("144/91 mmHg 偏高↑")
        expect(paper).to_contain_text("不能替代医生诊断")
        expect(page.locator("#qr svg")).to_be_visible()
        assert "1042" not in page.locator("main").inner_text()
        served.do(lambda: counter.visits.close("counter-1", counter.now))
        served.do(counter.board.changed)
        expect(paper).to_have_count(0)
        expect(page.locator("#qr")).to_have_count(0)
        expect(page.locator("main")).to_contain_text("没有可打印的结果")


def test_a_slip_holds_only_what_its_own_visitor_measured(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: sugar(counter, "15.5", visit=None))  # nobody's, a moment before the visit was opened
    served.do(lambda: opened(counter))
    served.do(lambda: opened(counter, "M0002077", "counter-2"))
    served.do(lambda: pressure(counter, 118, 76))
    served.do(lambda: sugar(counter, "5.1", slot="counter-2"))
    with looking(browser, served, "/slip?slot=counter-1") as page:
        expect(page.locator("#paper section")).to_have_count(1)
        expect(page.locator("#paper")).to_contain_text("118/76")


def test_the_slip_is_one_sheet_as_wide_as_the_roll_and_as_long_as_it_needs(browser: Browser, served: Served):
    served.do(lambda: slip(served.counter))
    with looking(browser, served, "/slip") as page:
        sheet = page.pdf(prefer_css_page_size=True)
        boxes = re.findall(rb"/MediaBox ?\[ ?0 0 ([\d.]+) ([\d.]+) ?\]", sheet)
        assert len(boxes) == 1
        width_mm, height_mm = (float(points) * MM_PER_POINT for points in boxes[0])
        paper_mm = page.locator("#paper").evaluate("one => one.scrollHeight") * 25.4 / 96
    assert abs(width_mm - 80) < 1
    assert paper_mm <= height_mm < paper_mm + 15


@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("size", [COUNTER, NARROW], ids=["counter", "narrow"])
def test_nothing_on_the_slip_is_cut_off_at_its_edge(
    browser: Browser, served: Served, language: str, size: tuple[int, int]
):
    served.do(lambda: slip_of_everything(served.counter))
    with looking(browser, served, f"/slip?lang={language}", size) as page:
        paper = page.locator("#paper")
        expect(paper.locator("section")).to_have_count(6)
        right = paper.evaluate(
            "it => it.getBoundingClientRect().right - parseFloat(getComputedStyle(it).paddingRight)"
        )
        edges = "all => all.map(it => it.getBoundingClientRect().right)"
        assert max(paper.locator("section *").evaluate_all(edges)) <= right + 0.5


def test_a_title_is_not_said_twice_on_the_slip():
    counter = Counter(language="en")
    average(counter)
    html = counter.client().get("/slip").text
    assert html.count("lood pressure") == 1 + 3


def test_the_print_button_prints(browser: Browser, served: Served):
    served.do(lambda: slip(served.counter))
    with looking(browser, served) as page:
        page.add_init_script("window.print = () => document.body.setAttribute('data-printed', 'yes')")
        follow(page, "#to-slip", "/slip")
        page.locator("#print").click()
        expect(page.locator("body[data-printed=yes]")).to_have_count(1)


def test_back_from_the_slip_by_keyboard(browser: Browser, served: Served):
    served.do(lambda: slip(served.counter))
    with looking(browser, served, "/slip?slot=counter-1") as page:
        page.locator("#to-dock").focus()
        page.keyboard.press("Enter")
        arrived(page, "/dock?slot=counter-1")
        expect(page.locator("#visitor")).to_have_text("1042")


def test_a_slip_nobody_touches_gives_the_screen_back_to_the_dock(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: slip(counter))
    with looking(browser, served, "/slip?slot=counter-1", clocked=True) as page:
        page.clock.fast_forward(35_000)
        page.keyboard.press("Shift")
        served.do(lambda: sugar(counter, "7.1"))
        expect(page.locator("#paper section")).to_have_count(6)
        page.clock.fast_forward(35_000)
        expect(page.locator("#paper section")).to_have_count(6)
        page.clock.fast_forward(30_000)
        arrived(page, "/dock?slot=counter-1")
