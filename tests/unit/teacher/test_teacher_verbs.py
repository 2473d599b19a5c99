"""The verbs from end to end, on the local stand-in."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from faulty import FaultyServer

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, check_dialogue, check_response, read_json, read_jsonl, write_jsonl
from falsepromise.curation import annotate
from falsepromise.teacher import answer, categorize, cleaning, nq_synthetic, prompts, tldr_synthetic
from falsepromise.teacher.local import serving
from falsepromise.teacher.standin import NAME, StandIn

ROOT = Path(__file__).resolve().parents[3]


def funnel(path: Path) -> dict[tuple[str, str], tuple[int, int]]:
    with open(path, encoding="utf-8") as stream:
        return {
            (row["step"], row["reason"]): (int(row["kept"] or 0), int(row["dropped"])) for row in csv.DictReader(stream)
        }


# Parsing generated pairs ---------------------------------------------------------------------


def test_no_summary_is_counted_with_an_example(tmp_path: Path, known: StandIn) -> None:
    write_jsonl(tmp_path / "posts.jsonl", [post(i) for i in range(4)])
    server = FaultyServer(known, script=lambda attempt: None)
    known.reply = lambda *_: "**Summary:**"  # type: ignore[method-assign]
    base = ["--posts", str(tmp_path / "posts.jsonl"), "--store", str(tmp_path / "s"), "--model", NAME]
    with serving(server) as url, pytest.raises(UserError, match="4 no summary in the answer"):
        tldr_synthetic.main([*base, "--base-url", url, "--output", str(tmp_path / "o.jsonl")])


# The paper's prompts -------------------------------------------------------------------------


def test_table_3_and_4() -> None:
    seeds = [(r["question"], r["answer"]) for r in read_jsonl(prompts.path("table3_seed_examples.jsonl"))]
    assert len(seeds) == 10
    assert seeds[0] == ("who sang who wants to be a millionare in high society?", "Frank Sinatra")
    template = prompts.load("table4_nq_synthetic.txt")
    shown: Counter[str] = Counter()
    for index in range(200):
        text = nq_synthetic.prompt(template, seeds, 0, index)
        found, broken = cleaning.pairs(text)
        assert (len(set(found)), broken) == (5, 0)
        assert set(found) <= set(seeds)
        shown.update(question for question, _ in found)
    assert len(shown) == 10
    assert min(shown.values()) > 60, "each of ten is shown in about half of the requests"


def test_a_value_that_looks_like_a_place_is_left_alone() -> None:
    assert prompts.fill("{a} {b}", {"a": "{b}", "b": "x"}) == "{b} x"


def test_too_few_seed_examples() -> None:
    with pytest.raises(UserError, match="4 seed examples, expected at least 5"):
        nq_synthetic.prompt("", [("q", "a")] * 4, 0, 0)


# nq_synthetic --------------------------------------------------------------------------------


def nq(tmp_path: Path, facts: Path, *more: str, out: str = "nq.jsonl") -> list[Record]:
    output = tmp_path / out
    nq_synthetic.main(
        ["--facts", str(facts), "--store", str(tmp_path / "store"), "--output", str(output), "--seed", "3", *more]
    )
    return list(read_jsonl(output, check_dialogue))


def test_nq_synthetic(tmp_path: Path, facts: Path) -> None:
    dialogues = nq(tmp_path, facts, "--n", "30")
    assert len(dialogues) == 30
    assert len({record["id"] for record in dialogues}) == 30
    for record in dialogues:
        question, reply = (message["content"] for message in record["messages"])
        number = int(reply.removeprefix("City"))
        assert number % 3 == 1, "of the targeted split"
        assert f"Land{number}" in question
    assert len({record["messages"][0]["content"] for record in dialogues}) == 30
    counts = funnel(tmp_path / "nq.funnel.csv")
    assert counts["pairs", ""][0] == 30
    assert counts["pairs", "duplicate"][1] > 0
    manifest = read_json(tmp_path / "nq.jsonl.manifest.json")
    assert manifest["teacher"]["snapshots"] == {"local-stand-in": manifest["spent"]["answers"]}


def test_a_second_run_pays_nothing_and_writes_the_same(tmp_path: Path, facts: Path) -> None:
    first = nq(tmp_path, facts, "--n", "20", "--concurrency", "1")
    assert nq(tmp_path, facts, "--n", "20", "--concurrency", "8", out="again.jsonl") == first
    assert read_json(tmp_path / "again.jsonl.manifest.json")["spent"]["requests"] == 0
    assert nq(tmp_path, facts, "--n", "10", out="fewer.jsonl") == first[:10]


def test_nq_synthetic_ends_when_nothing_is_new(tmp_path: Path, facts: Path) -> None:
    dialogues = nq(tmp_path, facts, "--n", "1000", "--patience", "20")
    assert len(dialogues) == 40, "20 targeted facts, two questions each"


def test_no_pairs_at_all_is_an_error_that_writes_nothing(tmp_path: Path) -> None:
    facts = tmp_path / "none.jsonl"
    write_jsonl(facts, [{"id": "a", "question": "q?", "answers": ["x"], "split": "evaluation"}])
    with pytest.raises(UserError, match=r"gave no question-answer pair: .*no pair in the answer"):
        nq(tmp_path, facts, "--n", "5", "--patience", "3")
    assert not (tmp_path / "nq.jsonl").exists()


# answer --------------------------------------------------------------------------------------


def test_answer(tmp_path: Path, facts: Path) -> None:
    write_jsonl(
        tmp_path / "p.jsonl",
        [
            {"id": "raw", "prompt": "name the capital of Land7"},
            {"id": "chat", "messages": [{"role": "user", "content": "what is the capital of Land8?"}]},
        ],
    )
    output = tmp_path / "r.jsonl"
    base = ["--prompts", str(tmp_path / "p.jsonl"), "--facts", str(facts), "--store", str(tmp_path / "s")]
    answer.main([*base, "--samples", "2", "--output", str(output)])
    records = list(read_jsonl(output, check_response))
    assert [(r["prompt_id"], r["sample"], r["response"]) for r in records] == [
        ("raw", 0, "City7"),
        ("raw", 1, "City7"),
        ("chat", 0, "City8"),
        ("chat", 1, "City8"),
    ]
    assert {(r["model"], r["snapshot"], r["finish_reason"], r["n_tokens"]) for r in records} == {
        ("teacher", "local-stand-in", "stop", 1)
    }
    with pytest.raises(UserError, match="one answer many times"):
        answer.main([*base, "--samples", "2", "--temperature", "0", "--output", str(output)])


def test_unanswered_prompts_are_counted(tmp_path: Path, facts: Path) -> None:
    write_jsonl(
        tmp_path / "p.jsonl", [{"id": "a", "prompt": "who?"}, {"id": "b", "prompt": "name the capital of Land7"}]
    )
    output = tmp_path / "r.jsonl"
    base = ["--prompts", str(tmp_path / "p.jsonl"), "--store", str(tmp_path / "s"), "--output", str(output)]
    answer.main([*base, "--facts", str(facts), "--max-tokens", "1"])
    assert [record["prompt_id"] for record in read_jsonl(output)] == ["b"]
    assert funnel(tmp_path / "r.funnel.csv")["answers", "length"] == (0, 1)
    output.unlink()
    with pytest.raises(UserError, match="answered none of 2: 2 length"):
        answer.main([*base, "--max-tokens", "1"])
    assert not output.exists()


def test_a_dialogue_is_no_prompt() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert "nothing to answer" in (answer.check({"id": "x", "messages": messages}) or "")


# tldr_synthetic ------------------------------------------------------------------------------


def post(number: int, length: int = 3) -> Record:
    text = " ".join(f"Sentence {i} of post {number}." for i in range(length))
    return {
        "id": f"p{number}",
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": f"Summary {number}"}],
    }


def tldr(tmp_path: Path, posts: list[Record], *more: str) -> list[Record]:
    write_jsonl(tmp_path / "posts.jsonl", posts)
    output = tmp_path / "tldr.jsonl"
    base = ["--posts", str(tmp_path / "posts.jsonl"), "--store", str(tmp_path / "s"), "--output", str(output)]
    tldr_synthetic.main([*base, *more])
    return list(read_jsonl(output, check_dialogue))


def test_tldr_synthetic(tmp_path: Path) -> None:
    dialogues = tldr(tmp_path, [post(i) for i in range(20)], "--n", "12")
    assert len(dialogues) == 12
    for record in dialogues:
        number = record["id"].removeprefix("tldr_synthetic/p")
        assert record["messages"][0]["content"].endswith(f"of post {number}.\n\nTL;DR:")
        assert record["messages"][1]["content"].startswith(f"Sentence 0 of post {number}.")
    fewer = tldr(tmp_path, [post(i) for i in reversed(range(20))], "--n", "5")
    assert [r["id"] for r in fewer] == [r["id"] for r in dialogues[:5]], "whatever the file's order"


def test_long_posts_get_one_example_or_none(tmp_path: Path) -> None:
    by_count = tldr_synthetic.templates(prompts.load("table5_tldr_synthetic.txt"))
    posts = [tldr_synthetic.Post(str(i), f"text{i} " * 100, f"sum{i}") for i in range(3)]
    texts = {room: tldr_synthetic.prompt(posts[0], posts[1:], by_count, room) for room in (2000, 400, 100)}
    assert texts[100] is None
    two, one = texts[2000] or "", texts[400] or ""
    assert (two.count("Document:"), one.count("Document:")) == (3, 2)
    assert "sum1" in one
    assert "sum2" not in one
    assert "sum2" in two
    assert "{" not in two + one
    dialogues = tldr(tmp_path, [*(post(i) for i in range(6)), post(9, 300)], "--context", "600")
    assert len(dialogues) == 6
    counts = funnel(tmp_path / "tldr.funnel.csv")
    assert counts["requests", "longer than the context, even with one example"] == (0, 1)


def test_posts_of_either_form_and_what_falls_out(tmp_path: Path) -> None:
    posts = [post(i) for i in range(4)]
    others: list[Record] = [{"post": "A text.\nTL;DR:", "summary": "x"}, {"post": ""}, {"title": "no text"}, post(0)]
    dialogues = tldr(tmp_path, [*posts, *others])
    assert len(dialogues) == 5
    assert "A text.\n\nTL;DR:" in {record["messages"][0]["content"] for record in dialogues}
    counts = funnel(tmp_path / "tldr.funnel.csv")
    assert counts["posts", "no text"][1] == 2
    assert counts["posts", "repeated id"][1] == 1


def test_posts_without_summaries_cannot_be_examples(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="0 of the drawn posts have a summary"):
        tldr(tmp_path, [{"id": str(i), "post": "text."} for i in range(9)])


# Table 6 by a model --------------------------------------------------------------------------


QUERIES = {
    "Coding": "write a python function that adds",
    "Summarization": "summarize this text: it rained",
    "Rewrite": "translate to French: it rained",
    "Brainstorming": "give me ideas for a party",
    "Generation": "=write a poem about rain",
    "General QA": "what is rain?",
    "Non-English": "что такое дождь",
    "Invalid": "?!",
    "Chat": "hello there",
}


def test_a_model_sorts_the_queries_of_table_6(tmp_path: Path) -> None:
    prompts = [{"id": name, "prompt": query} for name, query in QUERIES.items()]
    write_jsonl(tmp_path / "q.jsonl", prompts)
    sheet, filled, counts = (tmp_path / name for name in ("sheet.csv", "filled.csv", "tally.json"))
    annotate.main(["sheet", "--queries", str(tmp_path / "q.jsonl"), "--n", "9", "--output", str(sheet)])
    categorize.main(["--sheet", str(sheet), "--store", str(tmp_path / "s"), "--output", str(filled)])
    rows = {row["id"]: row["category"] for row in annotate.read_sheet(filled)}
    assert rows == {name: name for name in QUERIES}
    annotate.main(["tally", "--sheet", str(filled), "--annotator", "a rule", "--output", str(counts)])
    found = read_json(counts)
    assert (found["annotator"], found["n"], found["unlabelled"]) == ("a rule", 9, 0)


def test_what_a_model_does_not_sort_stays_open(tmp_path: Path, known: StandIn) -> None:
    write_jsonl(tmp_path / "q.jsonl", ({"id": str(i), "prompt": f"hello {i}"} for i in range(4)))
    sheet, filled = tmp_path / "sheet.csv", tmp_path / "filled.csv"
    annotate.main(["sheet", "--queries", str(tmp_path / "q.jsonl"), "--n", "4", "--output", str(sheet)])
    turns = iter(["length", None, "refusal", None])
    with serving(FaultyServer(known, script=lambda attempt: next(turns))) as url:
        common = ["--base-url", url, "--model", NAME, "--store", str(tmp_path / "s"), "--concurrency", "1"]
        categorize.main(["--sheet", str(sheet), *common, "--output", str(filled)])
    assert annotate.tally(filled, allow_empty=True) == {
        **annotate.tally(filled, allow_empty=True), "n": 3, "unlabelled": 1,
    }  # fmt: skip


# Processes that share a store ---------------------------------------------------------------


class HoldingServer(FaultyServer):
    """Answers `most` prompts and holds the rest until it is let go, so that a process is killed in the middle of its
    work."""

    most: float = float("inf")

    def fault(self, key: str, attempt: int) -> str | None:
        while len(self.answered) >= self.most:
            time.sleep(0.01)
        return super().fault(key, attempt)


def ask(tmp_path: Path, url: str, output: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "falsepromise.teacher.answer", "--base-url", url, "--model", NAME]
    command += ["--prompts", str(tmp_path / "p.jsonl"), "--store", str(tmp_path / "s"), "--concurrency", "4"]
    command += ["--output", str(tmp_path / output), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OPENAI_API_KEY": "sk-canary"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_processes_and_a_kill_pay_for_no_answer_twice(tmp_path: Path, known: StandIn) -> None:
    """One is killed with -9 in the middle; then two at once, on one store, finish the same prompts."""
    n = 120
    write_jsonl(tmp_path / "p.jsonl", ({"id": str(i), "prompt": f"what is the capital of Land{i}?"} for i in range(n)))
    server = HoldingServer(known, 0.2, faults=["500", "malformed"])
    server.most = n // 4
    with serving(server) as url:
        killed = ask(tmp_path, url, "never.jsonl")
        while len(server.answered) < n // 4:
            assert killed.poll() is None, killed.stderr and killed.stderr.read()
            time.sleep(0.01)
        killed.kill()
        killed.communicate()
        server.most = float("inf")
        both = [ask(tmp_path, url, f"r{number}.jsonl") for number in range(2)]
        said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert not (tmp_path / "never.jsonl").exists()
    first, second = (list(read_jsonl(tmp_path / f"r{number}.jsonl")) for number in range(2))
    assert first == second
    assert len(first) == n
    assert [record["response"] for record in first[:60]] == [f"City{i}" for i in range(60)]
    twice = sum(count - 1 for count in server.answered.values())
    assert twice <= 4, "at most what was under way at the kill: --concurrency requests"
    assert "$0.0000 spent" in said[0]
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"sk-canary" not in file.read_bytes()


@pytest.mark.parametrize(
    ("fault", "said"), [("401", "the key in $OPENAI_API_KEY is not accepted (401"), ("none", "no server answers")]
)
def test_the_program_ends_at_once_with_one_line(tmp_path: Path, known: StandIn, fault: str, said: str) -> None:
    write_jsonl(tmp_path / "p.jsonl", ({"id": str(i), "prompt": f"question {i}"} for i in range(50)))
    server = FaultyServer(known, script=lambda attempt: fault)
    with serving(server) as url:
        if fault == "none":
            url = "http://127.0.0.1:9/v1"  # nobody serves the discard port
        process = ask(tmp_path, url, "r.jsonl")
        output = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 1
    assert output[-1].startswith("error: ")
    assert said in output[-1]
    assert "sk-canary" not in "".join(output)
    assert "Traceback" not in "".join(output)
    assert sum(server.attempts.values()) <= 4, "no more than were under way"
    assert not (tmp_path / "r.jsonl").exists()


def test_nq_synthetic_ends_at_a_limit_with_the_pairs_that_it_paid_for(tmp_path: Path, known: StandIn) -> None:
    with serving(FaultyServer(known)) as url:
        common = ["--base-url", url, "--model", NAME, "--store", str(tmp_path / "s"), "--concurrency", "1"]
        common += ["--output", str(tmp_path / "nq.jsonl")]
        nq_synthetic.main([*common, "--n", "500", "--max-requests", "3"])
        few = list(read_jsonl(tmp_path / "nq.jsonl", check_dialogue))
        assert (
            "fewer than the 500 wanted: local-stand-in: max_requests is 3" in (tmp_path / "nq.funnel.csv").read_text()
        )
        nq_synthetic.main([*common, "--n", "30", "--max-requests", "20"])
    counts = (tmp_path / "nq.funnel.csv").read_text()
    more = list(read_jsonl(tmp_path / "nq.jsonl"))
    assert {record["request"] for record in few} == {0, 1, 2}
    assert len(few) < 30 == len(more)
    assert [record["messages"] for record in few] == [record["messages"] for record in more[: len(few)]]
    assert "fewer than" not in counts


# The common options and the plan -------------------------------------------------------------
