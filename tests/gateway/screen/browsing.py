"""How tests and pictures look at the dock screen in a real Chromium, without a race.

What is waited for is always something that only the new page, or the new state, has: an address, then the first
picture the gateway sent (`data-html`); never a time, and never `wait_for_function`, which the page's own policy
forbids.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect

from tests.gateway.screen.counter import Served

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
COUNTER, NARROW = (1024, 600), (390, 844)
SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SMALL_TARGETS = """[...document.querySelectorAll('a, button, input:not([type=hidden]), summary')]
    .filter(one => one.getBoundingClientRect().height < 44).map(one => one.outerHTML)"""
WITHIN_MS = 20_000
"""On a machine that does something else as well."""

expect.set_options(timeout=WITHIN_MS)


@contextmanager
def looking(
    browser: Browser,
    served: Served,
    address: str = "/dock",
    size: tuple[int, int] = COUNTER,
    *,
    clocked: bool = False,
) -> Iterator[Page]:
    """A page on this counter; a script that failed, or one that the page's policy stopped, fails the test.

    `clocked`: the page's own clock stands still until `page.clock` is told to go on.
    """
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN")
    context.set_default_timeout(WITHIN_MS)
    page = context.new_page()
    if clocked:
        page.clock.install(time=0)
        page.clock.pause_at(1000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
    try:
        page.goto(served.url + address)
        live(page)
        yield page
    finally:
        context.close()
    assert faults == []


def live(page: Page) -> None:
    """The gateway's first picture is on the page: its script runs, and hears."""
    page.wait_for_selector("#board[data-html]")


def follow(page: Page, link: str, address: str) -> None:
    """Touches a link and waits for its page."""
    page.locator(link).click()
    arrived(page, address)


def arrived(page: Page, address: str) -> None:
    """The page at `address` is there and live."""
    page.wait_for_url(f"**{address}*")
    live(page)


def scan(page: Page, code: str) -> None:
    """A scanner: it types wherever the cursor is, and ends with Enter."""
    page.keyboard.type(code)
    page.keyboard.press("Enter")
