"""The dock screen in a real Chromium: it changes by itself, a scanner can always type, and everything fits."""

from decimal import Decimal

import pytest
from playwright.sync_api import Browser, expect

from gateway.clinical import Severity, library
from gateway.wire.messages import Answer, Asked, Found
from gateway.wire.vocabulary import Kind
from tests.gateway.readings import reading
from tests.gateway.screen.browsing import COUNTER, NARROW, SIDEWAYS, SMALL_TARGETS, arrived, live, looking, scan
from tests.gateway.screen.counter import SLOTS, Counter, Served
from tests.gateway.screen.scenes import SCENES, TIGHT, TWO, average, opened, rest, sugar, taken


def test_a_customer_scans_measures_and_leaves(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        scan(page, "M0001042")
        expect(page.locator("#visitor")).to_have_text("1042")
        expect(page.locator("#code")).to_have_value("")
        expect(page.locator("#code")).to_be_focused()

        measured = served.do(lambda: sugar(counter, "12.3"))
        expect(page.locator(".digits")).to_have_text("12.3")
        expect(page.locator(".figure .word")).to_contain_text("偏高")
        digits_px = page.locator(".digits").evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
        assert digits_px >= 96
        expect(page.locator(".fate")).to_contain_text("待上传")
        served.do(lambda: counter.board.received([measured.id]))
        expect(page.locator(".fate")).to_contain_text("已上传")

        page.get_by_role("button", name="结束").click()
        expect(page.locator("#visitor")).to_have_count(0)
        expect(page.locator(".digits")).to_have_count(0)
        expect(page.locator("#code")).to_be_focused()


def test_a_member_code_is_typed(browser: Browser, served: Served):
    with looking(browser, served) as page:
        page.locator("#code").fill("m0001042")
        page.get_by_role("button", name="确定").click()
        expect(page.locator("#visitor")).to_have_text("1042")
        expect(page.locator("#code")).to_be_focused()


def test_a_customer_without_a_card_gives_the_phone_tail_and_is_confirmed(browser: Browser, served: Served):
    served.counter.found = (Found.SOME, TWO)
    with looking(browser, served) as page:
        scan(page, "1042")
        expect(page.locator("#who")).to_contain_text("张** · 女 · 1950年代生")
        expect(page.locator("#visitor")).to_have_count(0)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(page.locator("#who-2")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#visitor")).to_have_text("1042")
        expect(page.locator("#who")).to_have_count(0)
    visit = served.do(served.counter.visit)
    assert visit.code == TWO[1].code


def test_nobody_is_opened_who_is_not_confirmed(browser: Browser, served: Served):
    served.counter.found = (Found.SOME, TWO)
    with looking(browser, served) as page:
        scan(page, "1042")
        page.locator("#who-none").click()
        expect(page.locator("#who")).to_have_count(0)
        expect(page.locator("#visitor")).to_have_count(0)


def test_with_the_cloud_away_a_phone_tail_opens_a_visit_to_claim_later(browser: Browser, served: Served):
    with looking(browser, served) as page:
        scan(page, "1042")
        expect(page.locator("#visitor")).to_have_text("1042")
        expect(page.locator(".visit")).to_contain_text("云端无法查询，结果稍后认领")


def test_the_value_clears_after_a_minute(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        served.do(lambda: counter.board.saved(reading(Kind.BLOOD_PRESSURE)))
        expect(page.locator(".digits")).to_have_text("142/91")
        served.do(lambda: counter.later(seconds=60))
        expect(page.locator(".digits")).to_have_count(0)
        expect(page.locator(".tiles li")).to_have_count(1)


def test_without_a_gateway_the_page_itself_clears_the_value(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served, clocked=True) as page:
        served.do(lambda: counter.board.saved(reading(Kind.BLOOD_PRESSURE)))
        expect(page.locator(".digits")).to_have_text("142/91")
        expect(page.locator("#away")).to_be_hidden()
        page.clock.fast_forward(41_000)  # and the gateway says nothing
        expect(page.locator(".digits")).to_have_count(0)
        expect(page.locator("#away")).to_be_visible()
        served.do(counter.board.changed)
        expect(page.locator("#away")).to_be_hidden()
        expect(page.locator(".digits")).to_have_text("142/91")


def test_with_the_cloud_down_staff_see_what_waits(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        expect(page.locator("#upload")).to_have_text("已上传")
        counter.unsent = 3
        served.do(lambda: counter.board.link("down"))
        expect(page.locator("#upload")).to_have_text("待上传 3")
        expect(page.locator(".lights")).to_contain_text("云端 离线")


def test_a_wrong_scan_is_explained_and_the_next_one_is_not_appended_to_it(browser: Browser, served: Served):
    with looking(browser, served) as page:
        scan(page, "??")
        expect(page.locator("#answer")).to_contain_text("这不是会员码")
        scan(page, "M0001042")
        expect(page.locator("#visitor")).to_have_text("1042")
        expect(page.locator("#answer")).to_be_empty()


def test_a_scan_is_never_lost_whatever_was_touched_last(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        scan(page, "M0001042")
        served.do(lambda: sugar(counter, "8.4"))
        for last in ("#close-visit", "#choice-fasting", "#to-slip", "#language"):
            page.locator(last).focus()
            scan(page, "M0002077")
            expect(page.locator("#visitor")).to_have_text("2077")
            expect(page.locator("#code")).to_be_focused()
            scan(page, "M0001042")
            expect(page.locator("#visitor")).to_have_text("1042")
            served.do(lambda: sugar(counter, "8.4"))
            expect(page.locator("#choice-fasting")).to_be_visible()
    assert counter.answers == []  # the scanner's Enter pressed none of the buttons


def test_a_scan_on_another_page_opens_the_visit_and_leads_back_to_the_dock(browser: Browser, served: Served):
    with looking(browser, served, "/meters") as page:
        scan(page, "M0001042")
        arrived(page, "/dock")
        expect(page.locator("#visitor")).to_have_text("1042")


def test_two_scans_in_one_breath_are_taken_in_their_order(browser: Browser, served: Served):
    with looking(browser, served) as page:
        scan(page, "M0001042")
        scan(page, "M0002077")
        expect(page.locator("#visitor")).to_have_text("2077")
    visit = served.do(served.counter.visit)
    assert visit.code == "M0002077"


@pytest.mark.parametrize("name", SCENES | TIGHT)
def test_every_scene_fits_the_counter_and_the_hand_and_every_target_a_finger(
    browser: Browser, served: Served, name: str
):
    address, scene = (SCENES | TIGHT)[name]
    served.do(lambda: scene(served.counter))
    with looking(browser, served, f"{address}?lang=zh_CN") as page:
        for language in ("zh-CN", "en"):
            assert page.locator("html").get_attribute("lang") == language
            assert not page.evaluate(SIDEWAYS)
            assert page.evaluate(SMALL_TARGETS) == []
            if address != "/meters":  # a list is as long as it is
                assert page.evaluate("document.documentElement.scrollHeight") <= COUNTER[1]
            page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
            assert not page.evaluate(SIDEWAYS)
            assert page.evaluate(SMALL_TARGETS) == []
            page.set_viewport_size({"width": COUNTER[0], "height": COUNTER[1]})
            page.goto(f"{served.url}{address}?lang=en")
            live(page)


@pytest.mark.parametrize("size", [COUNTER, NARROW])
@pytest.mark.parametrize("kind", [Kind.BLOOD_PRESSURE, Kind.LIPID_PANEL])
def test_the_longest_values_and_a_full_row_of_tiles_fit(
    browser: Browser, served: Served, size: tuple[int, int], kind: Kind
):
    counter = served.counter
    for _ in range(9):
        served.do(lambda: counter.board.saved(reading()))
    # A higher one would be an emergency, and that is a scene of its own.
    longest = {"systolic_mmhg": Decimal(219), "diastolic_mmhg": Decimal(139), "pulse_per_min": Decimal(108)}
    changes = {"values": longest} if kind is Kind.BLOOD_PRESSURE else {}
    served.do(lambda: counter.visits.open("counter-1", "M0001042", counter.now, id=reading().id))
    served.do(lambda: counter.board.saved(reading(kind, visit=counter.visit(), **changes)))
    with looking(browser, served, size=size) as page:
        expect(page.locator(".digits").first).to_be_visible()
        assert not page.evaluate(SIDEWAYS)
        assert page.evaluate(SMALL_TARGETS) == []
        if size == COUNTER:
            assert page.evaluate("document.documentElement.scrollHeight") <= COUNTER[1]


CARDS = {
    "P-BP-CRISIS": (
        Kind.BLOOD_PRESSURE,
        {"systolic_mmhg": 232, "diastolic_mmhg": 141},
        ("severe_headache", "vomiting"),
    ),
    "P-BP-LOW": (Kind.BLOOD_PRESSURE, {"systolic_mmhg": 84, "diastolic_mmhg": 50}, ("syncope", "cold_sweat")),
    "P-PULSE": (
        Kind.BLOOD_PRESSURE,
        {"systolic_mmhg": 118, "diastolic_mmhg": 76, "pulse_per_min": 162},
        ("syncope", "dyspnoea_cannot_lie_flat"),
    ),
    "P-HYPO-AWAKE": (Kind.GLUCOSE, {"glucose_mmol_l": "2.4"}, ()),
    "P-HYPO-UNCONSCIOUS": (Kind.GLUCOSE, {"glucose_mmol_l": "3.8"}, ("conscious_change", "cannot_swallow")),
    "P-HYPER-CRISIS": (Kind.GLUCOSE, {"glucose_mmol_l": "21.4"}, ("vomiting", "deep_breathing", "dehydration")),
    "P-PANCREATITIS": (Kind.LIPID_PANEL, {"triglyceride_mmol_l": "12.40"}, ("abdominal_pain", "muscle_pain")),
    "P-STROKE": (Kind.GLUCOSE, {"glucose_mmol_l": "5.2"}, ("facial_droop", "limb_weakness", "speech_trouble")),
    "P-CHEST-PAIN": (Kind.GLUCOSE, {"glucose_mmol_l": "5.2"}, ("chest_pain_10min", "muscle_pain")),
}
"""Every card that an emergency can show: what was measured, and what was stated."""


@pytest.mark.parametrize("card", CARDS)
def test_every_first_aid_card_is_seen_whole_also_beside_a_refused_scan(
    browser: Browser, served: Served, card: str
):
    counter = served.counter
    kind, values, signs = CARDS[card]
    served.do(lambda: opened(counter))
    one = served.do(lambda: taken(counter, kind, values={name: Decimal(it) for name, it in values.items()}))
    said = Answer(id=one.id, reading=one.id, what=Asked.SYMPTOMS, values=signs, at=counter.now, slot="counter-1")
    served.do(lambda: counter.board.answered(said))
    assert served.do(lambda: counter.board.counter("counter-1").first_aid.card.id) == card
    for language in ("zh_CN", "en"):
        with looking(browser, served, f"/dock?lang={language}") as page:
            expect(page.locator(".card")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollHeight") <= COUNTER[1]
            scan(page, "!!")
            expect(page.locator("#answer")).not_to_be_empty()
            assert page.evaluate("document.documentElement.scrollHeight") <= COUNTER[1]
            page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
            assert not page.evaluate(SIDEWAYS)


def test_every_emergency_has_its_card_among_those_that_were_looked_at():
    assert set(CARDS) == {rule.protocol for rule in library() if rule.severity is Severity.EMERGENCY}


def test_why_a_scan_was_refused_goes_by_itself(browser: Browser, served: Served):
    with looking(browser, served, clocked=True) as page:
        page.clock.resume()
        scan(page, "!!")
        expect(page.locator("#answer")).to_contain_text("这不是会员码")
        page.clock.fast_forward(16_000)
        expect(page.locator("#answer")).to_be_empty()


@pytest.mark.parametrize("size", [COUNTER, NARROW], ids=["counter", "narrow"])
@pytest.mark.parametrize("scene", [average, rest], ids=["mean", "asked"])
def test_a_giant_value_is_drawn_within_its_own_field(
    browser: Browser, served: Served, scene, size: tuple[int, int]
):
    served.do(lambda: scene(served.counter))
    with looking(browser, served, size=size, clocked=True) as page:
        field, value = page.locator("#value .figure").bounding_box(), page.locator("#value .digits")
        assert field is not None
        below = {**field, "y": field["y"] + field["height"], "height": 30}
        drawn = page.screenshot(clip=below)
        value.evaluate("it => it.style.visibility = 'hidden'")
        assert page.screenshot(clip=below) == drawn
        words = page.locator("#value .meaning").bounding_box()
        assert words is not None
        value.evaluate("it => it.style.visibility = ''")
        drawn = page.screenshot(clip=words)
        value.evaluate("it => it.style.visibility = 'hidden'")
        assert page.screenshot(clip=words) == drawn


def test_the_screen_comes_back_by_itself_after_the_gateway_restarted(browser: Browser):
    with Served(Counter(SLOTS[:1])) as served:
        page = browser.new_page()
        page.goto(f"{served.url}/dock")
        live(page)
    expect(page.locator("#away")).to_be_visible()
    with Served(Counter(SLOTS[:1]), served.port) as again:
        expect(page.locator("#away")).to_be_hidden()
        again.do(lambda: again.counter.board.saved(reading()))
        expect(page.locator(".digits")).to_have_text("6.2")
        page.close()
