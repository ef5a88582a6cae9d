"""`python -m cloud.demo.pictures [FOLDER]`: takes the README's pictures of a running demo, in Chinese.

With a FOLDER it takes every page, wide and narrow, for whoever wants to look at them before calling one done.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from cloud.demo.debian import find

CLOUD, DOCK = "http://127.0.0.1:8000", "http://127.0.0.1:8101"
WIDE, NARROW, COUNTER = (1366, 768), (390, 844), (1024, 600)
PICTURES = Path(__file__).parent / "pictures"
A_VALUE_WITHIN_MS = 60_000
"""Virtual customers dock a meter every few seconds; a value stays on the screen for a minute."""
PAGES = ("/tasks", "/tasks?tab=all", "/members", "/unclaimed", "/gateways", "/login")


def main(folder: Path | None) -> int:
    """Takes them; the demo must be running."""
    with _browser() as browser:
        if folder is None:
            _dock(browser, COUNTER, PICTURES / "dock.png")
            _worklist(browser, PICTURES / "worklist.png")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            for name, size in (("wide", WIDE), ("narrow", NARROW)):
                _every_page(browser, size, folder, name)
            _dock(browser, COUNTER, folder / "dock-counter.png")
            _dock(browser, NARROW, folder / "dock-narrow.png")
    return 0


@contextmanager
def _browser() -> Iterator[Browser]:
    flags = (
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find("chromium"), args=list(flags))
        yield browser
        browser.close()


def _dock(browser: Browser, size: tuple[int, int], path: Path) -> None:
    page = _open(browser, size)
    page.goto(f"{DOCK}/dock")
    page.wait_for_selector(".digits", timeout=A_VALUE_WITHIN_MS)
    page.screenshot(path=path)


def _worklist(browser: Browser, path: Path) -> None:
    page = _signed_in(browser, WIDE)
    page.goto(f"{CLOUD}/tasks")
    page.wait_for_load_state("load")
    page.screenshot(path=path)


def _every_page(browser: Browser, size: tuple[int, int], folder: Path, name: str) -> None:
    page = _signed_in(browser, size)
    for address in PAGES:
        page.goto(CLOUD + address)
        _shot(page, folder, address, name)
    page.goto(f"{CLOUD}/tasks?tab=all")
    page.goto(CLOUD + _first_link(page, "/tasks/"))
    _shot(page, folder, "task", name)
    page.goto(CLOUD + _first_link(page, "/members/"))
    _shot(page, folder, "member", name)


def _first_link(page: Page, start: str) -> str:
    return page.locator(f"main a[href^='{start}']").first.get_attribute("href") or start


def _shot(page: Page, folder: Path, what: str, size: str) -> None:
    page.wait_for_load_state("load")
    page.wait_for_timeout(800)  # charts draw themselves in
    page.screenshot(
        path=folder / f"{what.strip('/').replace('?', '-').replace('=', '-')}-{size}.png", full_page=True
    )


def _signed_in(browser: Browser, size: tuple[int, int]) -> Page:
    page = _open(browser, size)
    page.goto(f"{CLOUD}/login")
    page.fill("input[name=login]", "specialist")
    page.fill("input[name=password]", "kangdock-demo")
    page.press("input[name=password]", "Enter")
    page.wait_for_url("**/tasks**")
    return page


def _open(browser: Browser, size: tuple[int, int]) -> Page:
    width, height = size
    return browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN").new_page()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
