"""The pages in a real Chromium: what somebody at the counter does, on a desk's screen and on a telephone."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import Engine

from cloud import live
from cloud.demo import debian
from cloud.demo.servers import free_port
from cloud.ingest import intake
from cloud.ingest.intake import Delivery
from gateway.wire import codec, topics
from gateway.wire.messages import Batch, Visit
from gateway.wire.vocabulary import Kind
from tests.cloud.crm.conftest import PASSWORD, add_task, id_of, keep, reading

CHROMIUM = Path(debian.find("chromium") or "/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = {"width": 1366, "height": 768}
TELEPHONE = {"width": 390, "height": 844}
PAGES = ("/tasks", "/tasks?tab=all", "/members", "/unclaimed", "/gateways")

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="no chromium: apt-get install chromium fonts-noto-cjk"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def address(app) -> Iterator[str]:
    """The application served on loopback."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )
    ready = threading.Event()
    startup = server.startup

    async def tell(*args, **kwargs):
        await startup(*args, **kwargs)
        ready.set()

    server.startup = tell
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """A window on a desk's screen, in Chinese; a script error or a refused script fails the test."""
    made = browser.new_context(viewport=DESK, locale="zh-CN", base_url=address)
    complaints: list[str] = []
    made.on("weberror", lambda error: complaints.append(str(error.error)))
    made.on(
        "console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None
    )
    yield made
    made.close()
    assert complaints == []


def sign_in(context: BrowserContext, login: str = "manager") -> Page:
    """A page of somebody signed in through the form."""
    page = context.new_page()
    page.goto("/login")
    page.fill("[name=login]", login)
    page.fill("[name=password]", PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.wait_for_url("**/tasks")
    return page


def test_a_task_is_claimed_with_the_keyboard_and_resolved(context):
    page = sign_in(context)
    row = page.locator(f"#task-{id_of('task_n')}")
    expect(row).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(row).to_be_focused()
    page.keyboard.press("c")
    expect(row.get_by_role("link", name="去处理")).to_be_visible()
    row.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tasks/{id_of('task_n')}")
    expect(page.get_by_text("168/102").first).to_be_visible()
    page.get_by_text("已接通：同意到店或就医").click()
    page.get_by_role("button", name="保存结果").click()
    page.wait_for_url("**/tasks")
    expect(row).to_have_count(0)


def test_a_new_task_and_a_claim_of_somebody_else_appear_by_themselves(context, engine: Engine, as_):
    page = sign_in(context)
    expect(page.locator("tr.row")).to_have_count(2)
    with engine.begin() as connection:
        add_task(connection, "fresh", about="bp9")
    expect(page.locator(f"#task-{id_of('fresh')}")).to_be_visible()
    as_("clerk").post(f"/tasks/{id_of('fresh')}/claim")
    expect(page.locator(f"#task-{id_of('fresh')}")).to_contain_text("李小敏")


def test_a_refused_claim_is_told_in_the_page(context, as_):
    page = sign_in(context)
    page.route("**/events", lambda route: route.abort())  # this page does not hear of it in time
    page.reload()
    as_("clerk").post(f"/tasks/{id_of('task_n')}/claim")
    page.locator(f"#task-{id_of('task_n')}").get_by_role("button", name="领取").click()
    expect(page.locator("#notice")).to_contain_text("同事已领取")


def test_the_trend_charts_are_drawn(context):
    page = sign_in(context)
    page.goto(f"/members/{id_of('张桂兰')}")
    expect(page.locator(".chart[data-drawn]")).to_have_count(4)
    painted = page.evaluate(
        """() => [...document.querySelectorAll('.chart canvas')].map((canvas) => {
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const colours = new Set();
            for (let i = 0; i < pixels.length; i += 4)
                if (pixels[i + 3]) colours.add(`${pixels[i]},${pixels[i + 1]},${pixels[i + 2]}`);
            return colours.size;
        })"""
    )
    assert len(painted) == 4
    assert min(painted) > 8
    box = page.locator("#chart-blood_pressure").bounding_box()
    assert box["width"] > 300
    assert box["height"] > 200


def test_a_reading_is_claimed_for_a_person_and_taken_back(context):
    page = sign_in(context)
    page.goto("/unclaimed")
    for name in ("free_n", "free_n2"):
        page.check(f"#pick-{id_of(name)}")
    page.get_by_role("button", name="为所选读数认领会员").click()
    page.fill("main [name=asked]", "5678")
    page.get_by_role("button", name="查找").click()
    page.get_by_role("button", name="确认是刘建国").click()
    page.wait_for_url("**/unclaimed")
    expect(page.get_by_role("button", name="撤销")).to_have_count(2)
    page.get_by_role("button", name="撤销").first.click()
    expect(page.locator(".pick tbody tr")).to_have_count(1)


def test_every_form_of_every_page_may_be_sent(context):
    page = sign_in(context)
    page.goto("/members")
    page.fill("[name=asked]", "5678")
    page.get_by_role("button", name="查找").click()
    expect(page.locator(".people a")).to_have_count(2)
    page.locator(".people a").last.click()
    page.get_by_role("button", name="显示号码以拨打").click()
    expect(page.locator(".phone")).to_contain_text("13812345678")
    page.goto(f"/tasks/{id_of('task_n')}")
    page.get_by_role("button", name="领取", exact=True).click()
    expect(page.get_by_role("button", name="放回待领取")).to_be_visible()
    page.get_by_role("button", name="放回待领取").click()
    page.wait_for_url("**/tasks")
    page.goto(f"/tasks/{id_of('task_n')}")
    page.get_by_role("button", name="明天 09:00").click()
    page.wait_for_url("**/tasks")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("link", name="Worklist")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")


def test_filters_survive_the_back_button(context):
    page = sign_in(context)
    page.get_by_role("link", name="全部").click()
    page.wait_for_url("**tab=all**")
    page.select_option("[name=severity]", "4")
    page.wait_for_url("**severity=4**")
    expect(page.locator("tr.row")).to_have_count(1)
    page.locator("tr.row .c-task a").click()
    page.wait_for_url("**/tasks/*")
    page.go_back()
    page.wait_for_url("**severity=4**")
    expect(page.locator("[name=severity]")).to_have_value("4")


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("width", [1280, 1440])
def test_a_desk_never_scrolls_sideways_in_either_language(context, engine: Engine, width):
    at = datetime.now(UTC) - timedelta(hours=1)
    with engine.begin() as connection:
        keep(connection, "kang", "n01", "张桂兰", reading("asked", Kind.GLUCOSE, at, {"glucose_mmol_l": "7.2"}))
    page = sign_in(context)
    page.set_viewport_size({"width": width, "height": 900})
    for language in ("English", "中文"):
        page.get_by_role("button", name=language).click()
        for path in (*PAGES, f"/tasks/{id_of('task_n')}", f"/members/{id_of('张桂兰')}"):
            page.goto(path)
            assert sideways(page) <= 0, (language, path)


def test_one_call_that_settles_two_tasks_is_recorded_once_and_said(context, engine: Engine):
    with engine.begin() as connection:
        add_task(connection, "second", about="glucose9", rule="GL-015")
    page = sign_in(context)
    page.goto(f"/tasks/{id_of('task_n')}")
    page.locator(f"[name=also][value='{id_of('second')}']").check()
    page.get_by_text("无人接听").click()
    page.get_by_role("button", name="保存结果").click()
    page.wait_for_url("**/tasks")
    expect(page.locator("#notice")).to_contain_text("已保存。 移出列表，明天自动回来")
    expect(page.locator("tr.row")).to_have_count(1)  # the emergency of somebody unknown
    page.get_by_role("button", name="关闭").click()
    expect(page.locator("#notice .notice")).to_have_count(0)


def test_a_telephone_shows_cards_and_never_scrolls_sideways(context):
    page = sign_in(context)
    page.set_viewport_size(TELEPHONE)
    for path in (*PAGES, f"/tasks/{id_of('task_n')}", f"/members/{id_of('张桂兰')}"):
        page.goto(path)
        assert sideways(page) <= 0, path
    page.goto("/tasks")
    expect(page.locator("table thead")).to_be_hidden()
    expect(page.get_by_label("级别")).to_be_visible()  # a filter whose visible label has no room still has a name
    heights = page.locator(".c-act button").evaluate_all("all => all.map((one) => one.offsetHeight)")
    assert heights
    assert min(heights) >= 44


def test_a_members_page_shows_a_reading_taken_in_another_store_by_itself(context, engine: Engine):
    page = sign_in(context)
    page.goto(f"/members/{id_of('张桂兰')}")
    expect(page.locator("#readings")).not_to_contain_text("612")
    at = datetime.now(UTC)
    taken = reading("away", Kind.URIC_ACID, at, {"urate_umol_l": "612"})
    taken = msgspec.structs.replace(
        taken, visit=Visit(id=id_of("visit"), code="M10001", slot="counter", opened=at - timedelta(minutes=1))
    )
    batch = Batch(id=id_of("batch"), gateway="gw-s01", sent=at, readings=(taken,))
    with engine.begin() as connection:
        intake.accept(
            connection, [Delivery(topic=topics.batch("gw-s01", batch.id), payload=codec.encode(batch))], at
        )
    expect(page.locator("#readings")).to_contain_text("612")
    expect(page.locator("#chart-uric_acid[data-drawn]")).to_be_visible()


def test_a_page_that_refreshes_all_day_gives_its_charts_back(context, engine: Engine):
    page = sign_in(context)
    page.goto(f"/members/{id_of('张桂兰')}")
    expect(page.locator(".chart[data-drawn]")).to_have_count(4)
    page.evaluate("window.first = echarts.getInstanceByDom(document.querySelector('.chart'))")
    with page.expect_response(f"**/members/{id_of('张桂兰')}"), engine.begin() as connection:
        live.announce(connection, chain_id="kang", store_ids=["n01"], what="reading")
    page.wait_for_function("window.first.isDisposed()")
    expect(page.locator(".chart[data-drawn]")).to_have_count(4)


def test_one_touch_says_when_a_glucose_was_taken(context, engine: Engine):
    with engine.begin() as connection:
        at = datetime.now(UTC) - timedelta(hours=1)
        asked = reading("asked", Kind.GLUCOSE, at, {"glucose_mmol_l": "7.2"})
        keep(connection, "kang", "n01", "刘建国", asked)
    page = sign_in(context)
    page.goto(f"/members/{id_of('刘建国')}")
    page.locator(f"#meal-{id_of('asked')}").get_by_role("button", name="空腹").click()
    expect(page.locator("#readings tbody tr")).to_contain_text("血糖 · 空腹")
    expect(page.locator("#chart-glucose[data-drawn]")).to_be_visible()
    page.get_by_text("店员补充").click()
    page.locator(f"#meal-{id_of('asked')}").get_by_role("button", name="随机").click()
    expect(page.locator("#readings tbody tr")).to_contain_text("血糖 · 随机")
    page.goto("/unclaimed")
    page.check(f"#pick-{id_of('free_n2')}")
    page.locator(f"#meal-{id_of('free_n')}").get_by_role("button", name="餐前").click()
    expect(page.locator(f"#reading-{id_of('free_n')} .meal")).to_have_text("餐前")
    expect(page.locator(f"#pick-{id_of('free_n2')}")).to_be_checked()


def test_choices_survive_a_refresh(context, engine: Engine):
    page = sign_in(context)
    page.goto("/unclaimed")
    page.check(f"#pick-{id_of('free_n')}")
    with page.expect_response("**/unclaimed"), engine.begin() as connection:
        add_task(connection, "fresh", about="bp9")
        live.announce(connection, chain_id="kang", store_ids=["n01"], what="reading")
    expect(page.locator(f"#pick-{id_of('free_n')}")).to_be_checked()
