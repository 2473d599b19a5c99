"""The teacher's verbs on real posts and questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from falsepromise.core.records import read_jsonl, write_jsonl
from falsepromise.teacher import answer, standin, tldr_synthetic


def test_tldr_synthetic_on_real_posts(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    posts = real_data("reddit_tldr/tldr_unique_posts.jsonl")
    output = tmp_path / "tldr.jsonl"
    tldr_synthetic.main(
        ["--posts", str(posts), "--n", "1000", "--store", str(tmp_path / "store"), "--output", str(output)]
    )
    dialogues = list(read_jsonl(output))
    assert len(dialogues) == 100
    texts = {record["post"].strip().removesuffix("TL;DR:").strip() for record in read_jsonl(posts)}
    for record in dialogues:
        asked, summary = (message["content"] for message in record["messages"])
        post = asked.removesuffix("\n\nTL;DR:")
        assert post in texts
        assert "TL;DR:" not in summary
        assert 1 <= len(summary.split()) <= standin.SUMMARY_WORDS
        assert set(summary.split()) <= set(post.split()), "extractive"


def test_answers_to_real_questions(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    questions = [record["text"] if "text" in record else record["turns"][0] for record in read_jsonl(real_data(VICUNA))]
    write_jsonl(tmp_path / "p.jsonl", ({"id": f"v{i}", "prompt": text} for i, text in enumerate(questions)))
    output = tmp_path / "r.jsonl"
    answer.main(["--prompts", str(tmp_path / "p.jsonl"), "--store", str(tmp_path / "s"), "--output", str(output)])
    responses = list(read_jsonl(output))
    assert [record["prompt_id"] for record in responses] == [f"v{i}" for i in range(80)]
    assert {record["response"] for record in responses} == {standin.UNKNOWN}, "it knows nothing and says so"


VICUNA = "vicuna_questions/vicuna_bench_question.jsonl"
