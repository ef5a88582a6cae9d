"""A Chromium for the whole run of these tests, and a counter on a real port for each of them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.gateway.screen.browsing import CHROMIUM, FLAGS
from tests.gateway.screen.counter import Counter, Served


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def served() -> Iterator[Served]:
    counter = Counter()
    counter.board.link("up")
    counter.board.transport("ble", "ok")
    with Served(counter) as served:
        yield served
