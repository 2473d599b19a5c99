"""The rating page in a real Chromium; skipped by name without Playwright or Chromium.

Set FALSEPROMISE_PICTURES to a folder to keep pictures of the page.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from falsepromise.preference.ballots import read_votes
from falsepromise.preference.pairs import Pair

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow

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


def begin(page, server, name="ann"):
    page.goto(server.url)
    page.fill("#name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair:not([hidden])")


def press(page, key):
    """Press a key on a pair that has been looked at and read: the page takes no answer at once."""
    page.wait_for_timeout(450)
    if key in "1234":
        page.keyboard.press("r")
    page.keyboard.press(key)


def counted(page, text):
    playwright.expect(page.locator("#count")).to_have_text(f"{text} rated")


def picture(page, name):
    folder = os.environ.get("FALSEPROMISE_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.fixture
def watched(watch):
    """A new page, and the list of all that may not happen on it."""
    return watch("http://127.0.0.1:")


def test_rating_by_keyboard_with_undo_reload_and_two_tabs(watched, serving, tmp_path):
    page, wrong = watched
    with serving(tmp_path / "r.sqlite", make(4)) as server:
        begin(page, server)
        counted(page, "0 of 4")
        press(page, "1")
        counted(page, "1 of 4")
        page.keyboard.press("1")  # at once: nobody has read the new pair
        press(page, "3")
        counted(page, "2 of 4")
        press(page, "u")
        counted(page, "1 of 4")
        page.reload()
        counted(page, "1 of 4")
        other = page.context.new_page()
        begin(other, server)
        press(page, "2")
        counted(page, "2 of 4")
        press(other, "1")  # on the pair that the first tab has just rated
        other.wait_for_selector("#problem:not([hidden])")
        assert "Another tab has rated since then" in other.inner_text("#problem")
        counted(other, "2 of 4")
        for done in (3, 4):
            page.wait_for_timeout(450)
            page.keyboard.press("r")
            page.click("[data-choice=tie]")
            counted(page, f"{done} of 4")
        page.wait_for_selector("#done:not([hidden])")
        assert page.is_hidden("[data-choice=tie]")
        press(page, "u")
        counted(page, "3 of 4")
        page.click("#help")
        assert "Grammatical correctness" in page.inner_text("#reminder")
        assert not wrong
    assert len(read_votes(tmp_path / "r.sqlite")) == 3


HOSTILE = [
    "<script>document.title = 'taken'; alert(1)</script>",
    "<img src=x onerror=alert(1)><svg onload=alert(1)><iframe src=//evil.example></iframe>",
    "[link](javascript:alert(1)) <javascript:alert(1)> ![p](http://evil.example/x.png) http://evil.example",
    "<style>body{display:none}</style><p style='position:fixed;inset:0'>over all</p><link rel=stylesheet href=//evil>",
    "</div></section></main><footer id=choices>1</footer><form action=//evil.example><input name=name>",
    "| left | right |\n| :--- | ---: |\n| <b onclick=alert(1)>1</b> | 2 |",
    '```html" onmouseover="alert(1)\n<script>alert(2)</script>\n```',
    "\u202eright to left\u202c \u200f שלום \x00\x07 \ud83c\udf4e \ufffe",
    "[a]: javascript:alert(1)\n\n[a] &lt;script&gt;alert(3)&lt;/script&gt; &#60;img src=x onerror=alert(4)&#62;",
    "x" * 50_000 + "\n" + "> " * 500 + "deep\n" + "*" * 5_000,
]


def test_hostile_replies_are_shown_and_do_nothing(watched, serving, tmp_path):
    page, wrong = watched
    pairs = [
        Pair(f"a/b/{i}", str(i), HOSTILE[i - 1], "a", "b", text, f"plain {i} {HOSTILE[-i]}")
        for i, text in enumerate(HOSTILE)
    ]
    with serving(tmp_path / "r.sqlite", pairs) as server:
        begin(page, server)
        for done in range(len(pairs)):
            counted(page, f"{done} of {len(pairs)}")
            assert page.title() == "Which answer is better?"
            assert page.locator(".text :is(script, img, svg, iframe, style, link, form, input, a, object)").count() == 0
            assert page.locator(".text [style], .text [onclick], .text [onerror]").count() == 0
            assert page.locator("footer").count() == 1
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
            picture(page, f"hostile-{done}")
            press(page, "2")
        page.wait_for_selector("#done:not([hidden])")
        assert not wrong
    assert len(read_votes(tmp_path / "r.sqlite")) == len(pairs)


LONG = "\n\n".join(f"Paragraph {i} of an answer that goes on for several screens." for i in range(60))


def test_no_vote_by_accident(watched, serving, tmp_path):
    page, wrong = watched
    page.set_viewport_size({"width": 1280, "height": 700})
    pairs = [Pair(f"a/b/{i}", str(i), "Which?", "a", "b", f"left {LONG}", f"right {LONG}") for i in range(3)]
    with serving(tmp_path / "r.sqlite", pairs, both_bad=True) as server:
        begin(page, server)
        page.wait_for_timeout(450)
        gate = page.locator("#gate")
        playwright.expect(gate).to_be_visible()
        page.keyboard.press("1")
        assert page.locator("[data-choice=first]").is_disabled(), "both answers are longer than the screen"
        for _ in range(20):
            page.keyboard.press("Space")
        playwright.expect(gate).to_be_hidden()  # scrolled to both ends, by Space, which rates nothing
        counted(page, "0 of 3")
        page.dblclick("[data-choice=second]")
        counted(page, "1 of 3")
        page.wait_for_timeout(450)
        counted(page, "1 of 3")
        assert page.evaluate("document.activeElement.id") == "pair", "no button keeps the focus"
        page.keyboard.press("Enter")
        page.keyboard.press("Space")
        page.wait_for_timeout(100)
        counted(page, "1 of 3")
        assert page.inner_text("#said") == "Stored: Answer 2 is better."
        page.click("#untoast")
        counted(page, "0 of 3")
        page.wait_for_timeout(450)
        page.click("#read")
        page.fill("#note", "Neither <b>helps</b>, 1 and 2")
        page.keyboard.press("1")  # in the note
        page.click("[data-choice=bad]")
        counted(page, "1 of 3")
        assert page.input_value("#note") == ""
        assert not wrong
    (vote,) = read_votes(tmp_path / "r.sqlite")
    assert (vote["choice"], vote["both"], vote["note"]) == ("tie", "bad", "Neither <b>helps</b>, 1 and 21")


def test_both_are_bad_is_offered_by_option_alone(browser, serving, tmp_path):
    with serving(tmp_path / "r.sqlite", make(1)) as server:
        page = browser.new_page()
        begin(page, server)
        assert page.is_hidden("[data-choice=bad]")
        press(page, "4")
        page.wait_for_timeout(100)
        counted(page, "0 of 1")


def test_the_organisers_page_and_its_export(watched, serving, tmp_path):
    page, wrong = watched
    pairs = [Pair(f"a/b/{i}", str(i), HOSTILE[i], "model <a>", "b", HOSTILE[i], "other") for i in range(6)]
    with serving(tmp_path / "r.sqlite", pairs) as server:
        for i, pair in enumerate(pairs):
            for rater in ("ann", "<b>bob"):
                side = dict(server.ballots.order(rater))[pair.item]
                place = "first" if (side == "left") == (i < 5 or rater == "ann") else "second"
                server.ballots.vote(rater, pair.item, place, 12.0, "<script>alert(1)</script>")
        page.goto(server.overview)
        text = page.inner_text("main")
        assert "12 ratings; 6 pairs have two or more, on 5 of them all agree (Fleiss' kappa" in text
        assert "To discuss: 1" in text
        assert "<b>bob: b – <script>alert(1)</script>" in text
        assert "ann\t6 of 6\t6\t0\t0\t83%\t12 s" in text
        assert page.locator("main :is(script, img, svg, iframe, form, b b)").count() == 0
        with page.expect_download() as download:
            page.click("text=Export the votes")
        lines = Path(download.value.path()).read_text().splitlines()
        assert [json.loads(line)["choice"] for line in lines] == [vote["choice"] for vote in server.ballots.votes()]
        page.goto(server.url.replace(server.token, server.organisers_token[:-1] + "x"))
        assert "no such page" in page.inner_text("body")
        wrong[:] = [problem for problem in wrong if "404" not in problem]
        assert not wrong


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_screen_reader_finds_its_way(browser, serving, tmp_path, width, scheme):
    """axe-core, all its rules, on each state of both pages."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    pairs = [Pair("a/b/0", "0", f"# Title\n\n{LONG}", "a", "b", f"## Answer\n\n{LEFT}", f"# A\n\n### B\n\n{LONG}")]
    with serving(tmp_path / "r.sqlite", pairs, both_bad=True) as server:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)

        def check():
            found = axe.run(page).response["violations"]
            assert not found, [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]

        page.goto(server.url)
        check()
        begin(page, server)
        page.click("#help")
        check()
        press(page, "4")
        page.wait_for_selector("#done:not([hidden])")
        check()
        side = dict(server.ballots.order("bob"))["a/b/0"]
        server.ballots.vote("bob", "a/b/0", "first" if side == "left" else "second")
        page.goto(server.overview)
        check()


def test_several_raters_at_once(browser, serving, tmp_path):
    with serving(tmp_path / "r.sqlite", make(3)) as server:
        pages = [browser.new_page() for _ in range(2)]
        for page, name in zip(pages, ("Ann Ö. <b>", "bob"), strict=True):
            begin(page, server, name)
        for page in pages * 2:
            press(page, "1")
            playwright.expect(page.locator("#count")).not_to_have_text("0 of 3 rated")
        for page in pages:
            counted(page, "2 of 3")
        assert pages[0].inner_text("#who") == "Ann Ö. <b>"
        pages[0].click("#who")
        begin(pages[0], server, "bob")
        counted(pages[0], "2 of 3")
    votes = read_votes(tmp_path / "r.sqlite")
    assert sorted(vote["rater"] for vote in votes) == ["Ann Ö. <b>"] * 2 + ["bob"] * 2


def test_a_kill_in_the_middle_loses_and_doubles_nothing(watched, tmp_path):
    page, _ = watched
    for name, records in {
        "p": [{"id": str(i), "messages": [{"role": "user", "content": f"Question {i}"}]} for i in range(5)],
        "o": [{"prompt_id": str(i), "model": "ours", "response": f"ours {i}"} for i in range(5)],
        "t": [{"prompt_id": str(i), "model": "theirs", "response": f"theirs {i}"} for i in range(5)],
    }.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    files = ["--prompts", "p.jsonl", "--responses", "o.jsonl", "--reference", "t.jsonl", "--database", "r.sqlite"]
    command = [sys.executable, "-m", "falsepromise.preference.rate"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}

    def serve():
        return subprocess.Popen(
            [*command, *files, "--no-browser"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )

    server = serve()
    try:
        page.goto(server.stdout.readline().strip())
        page.fill("#name", "ann")
        page.keyboard.press("Enter")
        for done in (1, 2):
            page.wait_for_selector("#pair:not([hidden])")
            press(page, "1")
            counted(page, f"{done} of 5")
        following = page.inner_text("#first")
        server.kill()
        server.wait()
        press(page, "2")
        page.wait_for_selector("#problem:not([hidden])")
        assert "Not stored" in page.inner_text("#problem")
        server.stdout.close()
        server = serve()
        page.goto(server.stdout.readline().strip())
        page.wait_for_selector("#welcome:not([hidden])")  # another port is another session
        page.fill("#name", "ann")
        page.keyboard.press("Enter")
        counted(page, "2 of 5")
        assert page.inner_text("#first") == following
        press(page, "3")
        counted(page, "3 of 5")
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    subprocess.run(
        [*command, "--database", "r.sqlite", "--export", "v.jsonl"], cwd=tmp_path, env=environment, check=True
    )
    votes = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert len({vote["item"] for vote in votes}) == len(votes) == 3


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(browser, serving, tmp_path):
    with serving(tmp_path / "r.sqlite", make(3)) as server:
        page = browser.new_page()
        begin(page, server)
        press(page, "1")
        counted(page, "1 of 3")
        port, token = server.server_address[1], server.token
    press(page, "2")
    page.wait_for_selector("#problem:not([hidden])")
    assert "Not stored" in page.inner_text("#problem")
    with serving(tmp_path / "r.sqlite", make(3), port=port, token=token):
        press(page, "2")
        counted(page, "2 of 3")
        assert page.is_hidden("#problem")
    assert len(read_votes(tmp_path / "r.sqlite")) == 2


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("desk", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "light"), ("phone-dark", 390, "dark")],
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
        assert (first["y"] < second["y"]) == (width == 390)
        ground = page.evaluate("getComputedStyle(document.querySelector('section.card')).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
