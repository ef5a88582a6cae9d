"""`python -m tests.gateway.screen.pictures [FOLDER [LANGUAGE]]`: the pictures of gateway/README.md, in Chinese.

With a FOLDER it takes every scene, wide and narrow, for whoever wants to look at them before calling one done.
"""

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.gateway.screen.browsing import CHROMIUM, COUNTER, FLAGS, NARROW, looking
from tests.gateway.screen.counter import Counter, Served
from tests.gateway.screen.scenes import SCENES, TIGHT

PICTURES = Path(__file__).resolve().parents[3] / "gateway" / "screen" / "pictures"
ALL = SCENES | TIGHT
IN_README = {"counter": tuple(SCENES), "narrow": ("meal", "rest", "symptoms", "emergency", "slip")}
"""What the README shows, by size."""


def main(folder: Path | None, language: str) -> int:
    """Takes them, each at a counter of its own."""
    wanted = IN_README if folder is None else {"counter": tuple(ALL), "narrow": tuple(ALL)}
    into = folder or PICTURES
    into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for size, pixels in (("counter", COUNTER), ("narrow", NARROW)):
            for name in wanted[size]:
                _take(browser, name, pixels, into / f"{name}-{size}.png", language)
        browser.close()
    return 0


def _take(browser: Browser, name: str, pixels: tuple[int, int], path: Path, language: str) -> None:
    address, scene = ALL[name]
    counter = Counter(language=language)
    counter.board.link("up")
    counter.board.transport("ble", "ok")
    scene(counter)
    with Served(counter) as served, looking(browser, served, address, pixels, clocked=True) as page:
        page.screenshot(path=path, full_page=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None, sys.argv[2] if len(sys.argv) > 2 else "zh_CN"))
