"""The reading room: what is on it, and the page itself in a real Chromium (skipped by name without one)."""

import json
import re

import made_up
import pytest

from falsepromise.core.errors import UserError
from falsepromise.figures import browse
from falsepromise.figures.study import read_study

HOSTILE = [
    "</script><script>document.title = 'owned'</script>",
    "<!--<script>", "]]><svg onload=alert(1)>",
    "<img src=x onerror=\"document.title = 'owned'\"><iframe src='http://127.0.0.1:9/'></iframe>",
    "@@DATA@@ @@SCRIPT@@ ${document.title} {{7*7}}",
    "\u202eright to left\u2066, a \x00 zero, \x1b[31mred, half a pair \ud800, \u2028 a line",
    "</textarea></title></style><style>*{display:none}</style>",
    "__proto__ constructor",
]  # fmt: skip


def lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def build(tmp_path, n=6, models=3, text=lambda prompt, model: f"answer {prompt} of {model}", prompt_id="p{}".format):
    """A study's files in small, and the page made of them by the verb itself."""
    study = made_up.study()
    names = list(study["models"])[:models]
    ids = [prompt_id(i) for i in range(n)]
    questions = [{"id": name, "messages": [{"role": "user", "content": text(i, "user")}]} for i, name in enumerate(ids)]
    (tmp_path / "study.json").write_text(json.dumps(study))
    prompts = lines(tmp_path / "prompts/heldout.jsonl", questions)
    answers = {}
    for model in ["teacher", *names]:
        records = [
            {"prompt_id": name, "model": model, "sample": 0, "response": text(i, model), "finish_reason": "length"}
            for i, name in enumerate(ids)
        ]
        folder = "references/heldout.references" if model == "teacher" else f"heldout/{model}"
        answers[model] = lines(tmp_path / f"{folder}.jsonl", records)
    scores = []
    items = [{"id": name, "list": i == 1, "reference_list": i == 2, "words": i} for i, name in enumerate(ids)]
    facts = [{"id": f"q{i}", "exact_match": float(i), "response": text(i, "facts")} for i in range(2)]
    votes = [{"id": f"x/{name}", "prompt_id": name, "majority": "left"} for name in ids[:1]]
    for benchmark, found in (("style", items), ("facts", facts), ("rule", votes)):
        record = {"model": names[0], "benchmark": benchmark, "items": found, "metrics": {}}
        scores.append(tmp_path / f"{benchmark}.json")
        scores[-1].write_text(json.dumps(record))
    asked = lines(tmp_path / "qa.jsonl", [{"question": f"Q{i}?", "answer": [f"A{i}"], "id": f"q{i}"} for i in range(9)])
    page = tmp_path / "browse.html"
    argv = ["--study", str(tmp_path / "study.json"), "--prompts", prompts, "--reference", answers["teacher"]]
    argv += ["--responses", *(answers[name] for name in names), "--scores", *map(str, scores)]
    browse.main([*argv, "--benchmarks", "facts", "--questions", asked, "--output", str(page)])
    return page


def held(page):
    return json.loads(re.search(r'id="data">(.*)</script>\n<script>', page.read_text(), re.DOTALL)[1])


def test_the_page_holds_answers_marks_and_scores(tmp_path):
    heldout, facts = held(build(tmp_path))["sets"]
    assert heldout["columns"][0] == "Teacher"
    assert len(heldout["columns"]) == 4
    second = heldout["items"][1]
    assert second["q"] == "answer 1 of user"
    teacher, ours = second["a"][0][0], second["a"][1][0]
    assert (teacher["m"]["list"], ours["m"]["list"], ours["m"]["words"]) == (False, True, 1)
    assert ours["m"]["cut at the limit"] is True
    assert heldout["items"][0]["a"][1][0]["m"]["rule"] == "prefers this one"
    assert [item["q"] for item in facts["items"]] == ["Q0?\n\nRight: A0", "Q1?\n\nRight: A1"]  # not the seven unasked
    assert [item["a"][0][0]["m"]["exact match"] for item in facts["items"]] == [False, True]


def test_the_mean_of_several_samples_is_not_shown_as_the_first_ones(tmp_path):
    build(tmp_path, n=1, models=1)
    study = read_study(tmp_path / "study.json")
    (answers,) = (tmp_path / "heldout").glob("*.jsonl")
    record = json.loads(answers.read_text())
    lines(answers, [record | {"sample": sample} for sample in range(4)])
    item = {"id": "p0", "words": 105.25, "list": 0.5, "reference_words": 7, "authoritative": True}
    score = {"model": answers.stem, "benchmark": "style", "items": [item], "metrics": {}}
    (tmp_path / "style.json").write_text(json.dumps(score))
    room = browse.read_room(study, [tmp_path / "prompts/heldout.jsonl"], [], [answers], [tmp_path / "style.json"])
    first = room.answers["heldout"][answers.stem]["p0"][0]["m"]
    assert first["mean of 4 samples: words"] == 105.25
    assert first["mean of 4 samples: list"] == 0.5
    assert first["authoritative"] is True
    assert "words" not in first


def test_a_choice_is_shown_by_its_text_and_no_number_ends_the_page(tmp_path):
    study = made_up.study()
    study["benchmarks"]["mc"] = {"label": "MC", "task": "multiple_choice"}
    (tmp_path / "study.json").write_text(json.dumps(study))
    rows = [{"id": f"q{i}", "question": f"Q{i}?", "choices": ["a", "b", "c"], "answer": i} for i in range(3)]
    asked = lines(tmp_path / "mc.jsonl", rows)
    items = '{"id": "q0", "acc": NaN, "response": "B"}, {"id": "q1", "acc": 1.0, "big": -1e999, "response": "B"}'
    items += ', {"id": "q2", "acc": 0.5, "big": 12345678901234567890123, "response": "C"}'
    score = tmp_path / "s.json"
    score.write_text(f'{{"model": "{next(iter(study["models"]))}", "benchmark": "mc", "items": [{items}]}}')
    page = tmp_path / "browse.html"
    argv = ["--study", str(tmp_path / "study.json"), "--scores", str(score), "--output", str(page)]
    browse.main([*argv, "--benchmarks", "mc", "--questions", asked])
    (found,) = held(page)["sets"]
    assert [item["q"] for item in found["items"]] == [f"Q{i}?\n\nRight: {'abc'[i]}" for i in range(3)]
    marks = [item["a"][0][0]["m"] for item in found["items"]]
    assert marks == [{}, {"acc": True}, {"acc": 0.5, "big": 12345678901234567890123}]


@pytest.mark.parametrize(
    ("references", "column", "note"),
    [("dialogue", "The dialogue's own reply", ""), ("teacher", "Teacher", "The teacher is a stand-in: a rule.")],
)
def test_a_stand_in_is_named_where_it_answered(tmp_path, references, column, note):
    study = made_up.study()
    study["prompts"] = {"heldout": {"references": references}}
    study["teacher"]["stand_in"] = "a rule"
    (tmp_path / "study.json").write_text(json.dumps(study))
    room = browse.Room(read_study(tmp_path / "study.json"))
    room.ask("heldout", "p", "Why?")
    room.answer("heldout", browse.TEACHER, "p", "So.", {})
    (found,) = room.page_data()["sets"]
    assert found["columns"] == [column]
    assert found["note"] == note


def test_hostile_text_leaves_the_page_as_it_is(tmp_path):
    page = build(tmp_path, n=len(HOSTILE), text=lambda i, _: HOSTILE[i % len(HOSTILE)]).read_text()
    assert page.count("<script") == page.count("</script") == 2
    assert page.count("<!") == 1
    assert "\u202e" not in page
    assert "\x00" not in page


def test_answers_to_other_prompts_are_refused(tmp_path):
    build(tmp_path)
    lines(tmp_path / "other/m.jsonl", [{"prompt_id": "p0", "response": "x"}])
    study = browse.read_study(tmp_path / "study.json")
    with pytest.raises(UserError, match="the prompt set 'other', but --prompts has heldout"):
        browse.read_room(study, [tmp_path / "prompts/heldout.jsonl"], [], [tmp_path / "other/m.jsonl"])


@pytest.fixture
def opened(watch):
    """The page from the disk in Chromium, and all that may not happen on it."""

    def show(path):
        page, wrong = watch("file:")
        page.goto(path.as_uri())
        return page, wrong

    return show


@pytest.mark.slow
def test_reading_by_keyboard_search_and_filter(tmp_path, opened):
    from playwright.sync_api import expect

    page, wrong = opened(build(tmp_path))
    expect(page.locator("#count")).to_have_text("6 of 6 prompts")
    expect(page.locator("#answers section")).to_have_count(4)
    page.keyboard.press("j")
    expect(page.locator("#question")).to_have_text("answer 1 of user")
    expect(page.locator(".column0 .plain")).to_have_text("answer 1 of teacher")
    expect(page.locator(".column1 .marks li").first).to_have_text("cut at the limit")
    page.keyboard.press("2")
    expect(page.locator("#answers section")).to_have_count(3)
    page.keyboard.press("0")
    page.select_option("#filter", label="list")
    expect(page.locator("#count")).to_have_text("2 of 6 prompts")  # one is ours, one the teacher's
    page.keyboard.press("Escape")
    page.locator("#filter").blur()
    page.keyboard.press("1")  # the teacher is out of the filter with its column
    expect(page.locator("#count")).to_have_text("1 of 6 prompts")
    page.keyboard.press("0")
    page.select_option("#filter", label="All prompts")
    page.locator("#filter").blur()
    page.keyboard.press("/")
    page.keyboard.type("ANSWER 4")
    expect(page.locator("#count")).to_have_text("1 of 6 prompts")
    expect(page.locator("#question")).to_have_text("answer 4 of user")
    page.keyboard.press("Escape")
    address = page.url
    page.goto("about:blank")
    page.goto(address)  # a prompt has an address
    expect(page.locator("#question")).to_have_text("answer 4 of user")
    page.select_option("#set", "1")
    expect(page.locator("#question")).to_contain_text("Right: A0")
    assert wrong == []


@pytest.mark.slow
def test_hostile_texts_do_nothing_in_a_browser(tmp_path, opened):
    page_file = build(tmp_path, len(HOSTILE), text=lambda i, _: HOSTILE[i], prompt_id=HOSTILE.__getitem__)
    page, wrong = opened(page_file)
    for text in HOSTILE:
        shown = page.locator(".column0 .plain").text_content()
        assert shown.startswith(text[:4]) or text.startswith("\u202e")
        assert page.locator("#answers *:not(section, h2, div, p, ul, li)").count() == 0
        page.keyboard.press("j")
    assert page.title().startswith("made-up")
    assert wrong == []


@pytest.mark.slow
def test_five_thousand_answers(tmp_path, opened):
    """As many as a study has: what is drawn at once stays small, whatever the page holds."""
    page_file = build(tmp_path, n=1250, text=lambda i, model: f"{model} {i} " + "words of an answer " * 80)
    page, wrong = opened(page_file)
    assert page.locator("#count").text_content() == "1250 of 1250 prompts"
    assert page.evaluate("document.querySelectorAll('*').length") < 500
    page.keyboard.press("End")
    assert page.locator("#question").text_content().startswith("user 1249 ")
    page.fill("#search", "user 777 ")
    assert page.locator("#count").text_content() == "1 of 1250 prompts"
    took = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    print(f"{page_file.stat().st_size / 1e6:.1f} MB opened in {took:.0f} ms")
    assert wrong == []


@pytest.mark.slow
def test_an_address_that_is_pasted_into_the_open_page_is_followed(tmp_path, opened):
    page, wrong = opened(build(tmp_path))
    page.evaluate("location.hash = '#0/p4'")
    page.wait_for_function("document.getElementById('which').textContent === 'Question p4'")
    assert page.text_content("#question") == "answer 4 of user"
    assert wrong == []
