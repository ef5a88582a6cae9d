"""The dock screen in a real Chromium: it changes by itself, a scanner can type, and nothing scrolls sideways."""

import shutil
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gateway.wire.vocabulary import Kind
from tests.gateway.readings import reading
from tests.gateway.screen.counter import SLOTS, Counter, Served

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: apt-get install chromium")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SMALL_TARGETS = """[...document.querySelectorAll('a, button, input:not([type=hidden])')]
    .filter(one => one.getBoundingClientRect().height < 44).map(one => one.outerHTML)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def served() -> Iterator[Served]:
    counter = Counter()
    counter.board.link("up")
    counter.board.transport("ble", "ok")
    with Served(counter) as served:
        yield served


def opened(browser: Browser, served: Served, *, width: int = 1024, height: int = 600) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, locale="zh-CN")
    page.goto(f"{served.url}/dock")
    # Not `wait_for_function`: what it evaluates while it waits, the page's own policy forbids.
    page.wait_for_selector("#board[data-html]")
    return page


def test_a_customer_scans_measures_and_leaves(browser: Browser, served: Served):
    page, counter = opened(browser, served), served.counter
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))

    page.keyboard.type("M0001042")  # a scanner types wherever the cursor is
    page.keyboard.press("Enter")
    expect(page.locator("#visitor")).to_have_text("1042")
    expect(page.locator("#code")).to_have_value("")
    expect(page.locator("#code")).to_be_focused()

    visit = served.do(lambda: counter.visits.at("counter-1", counter.now))
    measured = reading(values={"glucose_mmol_l": Decimal("12.3")}, visit=visit)
    served.do(lambda: counter.board.saved(measured))
    expect(page.locator(".digits")).to_have_text("12.3")
    expect(page.locator(".word")).to_contain_text("偏高")
    digits_px = page.locator(".digits").evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
    assert digits_px >= 96
    expect(page.locator(".fate")).to_contain_text("待上传")
    served.do(lambda: counter.board.received([measured.id]))
    expect(page.locator(".fate")).to_contain_text("已上传")

    page.get_by_role("button", name="结束").click()
    expect(page.locator("#visitor")).to_have_count(0)
    expect(page.locator(".digits")).to_have_count(0)
    expect(page.locator("#code")).to_be_focused()
    assert faults == []
    page.close()


def test_the_value_clears_after_a_minute(browser: Browser, served: Served):
    page, counter = opened(browser, served), served.counter
    served.do(lambda: counter.board.saved(reading(Kind.BLOOD_PRESSURE)))
    expect(page.locator(".digits")).to_have_text("142/91")
    served.do(lambda: counter.later(seconds=60))
    expect(page.locator(".digits")).to_have_count(0)
    expect(page.locator(".tiles li")).to_have_count(1)
    page.close()


def test_with_the_cloud_down_staff_see_what_waits(browser: Browser, served: Served):
    page, counter = opened(browser, served), served.counter
    expect(page.locator("#upload")).to_have_text("已上传")
    counter.unsent = 3
    served.do(lambda: counter.board.link("down"))
    expect(page.locator("#upload")).to_have_text("待上传 3")
    expect(page.locator(".lights")).to_contain_text("云端 离线")
    page.close()


def test_a_wrong_scan_is_explained_and_the_next_one_is_not_appended_to_it(browser: Browser, served: Served):
    page = opened(browser, served)
    page.keyboard.type("??")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("这不是会员码")
    page.keyboard.type("M0001042")
    page.keyboard.press("Enter")
    expect(page.locator("#visitor")).to_have_text("1042")
    expect(page.locator("#answer")).to_be_empty()
    page.close()


def test_everything_can_be_done_by_keyboard(browser: Browser, served: Served):
    page = opened(browser, served)
    page.keyboard.type("M0001042")
    page.keyboard.press("Enter")
    expect(page.locator("#visitor")).to_be_visible()
    page.locator("#close-visit").focus()
    served.do(lambda: served.counter.board.talking("AA:01", "G1"))  # a change must not take the focus away
    expect(page.locator("#close-visit")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#visitor")).to_have_count(0)
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1024, 600), (390, 844)])
@pytest.mark.parametrize("kind", [Kind.BLOOD_PRESSURE, Kind.LIPID_PANEL])
def test_no_screen_scrolls_sideways_and_every_target_fits_a_finger(
    browser: Browser, served: Served, width: int, height: int, kind: Kind
):
    counter = served.counter
    for _ in range(9):
        served.do(lambda: counter.board.saved(reading()))
    highest = {"systolic_mmhg": Decimal(286), "diastolic_mmhg": Decimal(186), "pulse_per_min": Decimal(188)}
    changes = {"values": highest} if kind is Kind.BLOOD_PRESSURE else {}
    served.do(lambda: counter.visits.open("counter-1", "M0001042", counter.now, id=reading().id))
    visit = counter.visits.at("counter-1", counter.now)
    served.do(lambda: counter.board.saved(reading(kind, visit=visit, **changes)))
    page = opened(browser, served, width=width, height=height)
    expect(page.locator(".digits").first).to_be_visible()
    assert not page.evaluate(SIDEWAYS)
    assert page.evaluate(SMALL_TARGETS) == []
    if width == 1024:
        assert page.evaluate("document.documentElement.scrollHeight") <= height
    page.close()


def test_the_screen_comes_back_by_itself_after_the_gateway_restarted(browser: Browser):
    counter = Counter(SLOTS[:1])
    with Served(counter) as served:
        page = opened(browser, served)
        port = served.port
    expect(page.locator("#away")).to_be_visible()
    with Served(Counter(SLOTS[:1]), port) as again:
        expect(page.locator("#away")).to_be_hidden(timeout=15_000)
        again.do(lambda: again.counter.board.saved(reading()))
        expect(page.locator(".digits")).to_have_text("6.2")
        page.close()
