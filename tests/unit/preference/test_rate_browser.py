"""The rating page in a real Chromium; skipped by name without Playwright or Chromium.

Set FALSEPROMISE_PICTURES to a folder to keep pictures of the page.
"""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from falsepromise.preference.ballots import read_votes
from falsepromise.preference.pairs import Pair

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

LEFT = """A hash map stores **pairs** of keys and values.

1. The key is hashed.
2. The hash picks a bucket.

```python
def lookup(table, key):
    return table[hash(key) % len(table)]  # a rather long line that a phone has to scroll sideways
```

| operation | average |
| --- | --- |
| find | O(1) |

In short, it is fast on average.
"""
RIGHT = "It keeps things in a list and looks through it, `O(n)`.\n\n- simple\n- slow\n"


def make(n, reply=LEFT):
    texts = [(LEFT, RIGHT), (RIGHT, reply), ("short", "also short")]
    return [
        Pair(f"ours/theirs/{i}", str(i), "How does a hash map work?", "ours", "theirs", *texts[i % 3]) for i in range(n)
    ]


@pytest.fixture
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with contextlib.closing(opened):
            yield opened


def begin(page, server, name="ann"):
    page.goto(server.url)
    page.fill("#name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair:not([hidden])")


def picture(page, name):
    folder = os.environ.get("FALSEPROMISE_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_rating_by_keyboard_with_undo_reload_and_two_tabs(browser, serving, nasty, tmp_path):
    with serving(tmp_path / "r.sqlite", make(4, nasty)) as server:
        requests, violations = [], []
        context = browser.new_context()
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: violations.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: violations.append(f"a dialog: {dialog.message}"))
        begin(page, server)

        def counted(n):
            playwright.expect(page.locator("#count")).to_have_text(f"{n} of 4 rated")

        counted(0)
        page.keyboard.press("1")
        counted(1)
        page.keyboard.press("3")
        counted(2)
        page.keyboard.press("u")
        counted(1)
        page.reload()
        counted(1)
        other = context.new_page()
        begin(other, server)
        page.keyboard.press("2")
        counted(2)
        other.keyboard.press("1")  # on the pair that the first tab has just rated
        other.wait_for_selector("#problem:not([hidden])")
        assert "the rating made there stands" in other.inner_text("#problem")
        for done in (3, 4):
            page.click("[data-choice=tie]")
            counted(done)
        page.wait_for_selector("#done:not([hidden])")
        assert page.is_hidden("[data-choice=tie]")
        assert not violations
        assert all(url.startswith(server.url) for url in requests)
        context.close()
    assert len(read_votes(tmp_path / "r.sqlite")) == 4


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(browser, serving, tmp_path):
    with serving(tmp_path / "r.sqlite", make(3)) as server:
        page = browser.new_page()
        begin(page, server)
        page.keyboard.press("1")
        playwright.expect(page.locator("#count")).to_have_text("1 of 3 rated")
        port, token = server.server_address[1], server.token
    page.keyboard.press("2")
    page.wait_for_selector("#problem:not([hidden])")
    assert "Not stored" in page.inner_text("#problem")
    with serving(tmp_path / "r.sqlite", make(3), port=port, token=token):
        page.keyboard.press("2")
        playwright.expect(page.locator("#count")).to_have_text("2 of 3 rated")
        assert page.is_hidden("#problem")
    assert len(read_votes(tmp_path / "r.sqlite")) == 2


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("desk", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "light")]
)
def test_how_it_looks(browser, serving, tmp_path, name, width, scheme):
    with serving(tmp_path / "r.sqlite", make(1)) as server:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.goto(server.url)
        picture(page, f"{name}-welcome")
        begin(page, server)
        picture(page, name)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        first, second = (page.locator(f"[aria-label='Answer {n}']").bounding_box() for n in (1, 2))
        assert first["width"] == second["width"], "neither answer gets more room"
        assert (first["y"] < second["y"]) == (name == "phone")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
