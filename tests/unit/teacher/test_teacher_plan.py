"""The plan of a study's requests and their cost, and the options that every verb with a teacher has."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.core.records import write_jsonl
from falsepromise.study.expand import load_files
from falsepromise.study.stages import teacher as settings
from falsepromise.teacher import answer, options, plan

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "gpt-4"], "the local teacher's model is local-stand-in"),
        (["--base-url", "http://h/v1", "--facts", "f"], "--facts is for --base-url local"),
        (["--price-input", "1"], "belong together"),
        (["--base-url", "http://h/v1", "--max-usd", "1"], "without prices"),
        (["--parameter", "temperature"], "expected NAME=JSON"),
        (["--parameter", "model=x"], "the verb sets it itself"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"id": "raw", "prompt": "q"}])
    base = ["--prompts", str(tmp_path / "p.jsonl"), "--store", str(tmp_path), "--output", str(tmp_path / "o.jsonl")]
    with pytest.raises(UserError, match=said):
        answer.main([*base, *arguments])


def test_extra_parameters_are_json_or_text() -> None:
    found = options.extra_parameters(argparse.Namespace(parameter=["top_p=0.5", "reasoning_effort=low", 'stop=["x"]']))
    assert found == {"top_p": 0.5, "reasoning_effort": "low", "stop": ["x"]}


def test_the_plan_of_the_papers_study(capsys: pytest.CaptureFixture[str]) -> None:
    plan.main(["--study", str(ROOT / "config" / "paper.yaml"), "--json"])
    lines = {line["what"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert lines["mixture tldr_synthetic"]["requests"] == 200_000
    assert lines["mixture nq_synthetic"]["requests"] == 600
    assert lines["answers to heldout"]["requests"] == 255 * 2


def test_the_plan_is_a_table_and_says_what_is_over_the_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = tmp_path / "change.yaml"
    change.write_text(
        "teacher: {price_input: 0.5, price_output: 1.5, max_usd: 1, model: m1}\n"
        "judges: {other: {prompts: heldout, label: Other, model: m2, runs: [amount]}}\n"
    )
    plan.main(["--study", str(ROOT / "config" / "paper.yaml"), str(change), "--tokens", "tldr_synthetic=1000,100"])
    out = capsys.readouterr().out
    (row,) = (line for line in out.splitlines() if line.startswith("mixture tldr_synthetic"))
    assert row.split()[2:] == ["m1", "200,000", "200,000,000", "20,000,000", "130.00"]
    assert "is over max_usd, 1" in out
    assert "gpt-4-0613: $226.68 one by one, $113.34 through the batch API; set batch: true for batches" in out
    (row,) = (line for line in out.splitlines() if line.startswith("judge gpt4"))
    assert row.endswith("183.60"), "its own price"
    (row,) = (line for line in out.splitlines() if line.startswith("judge other"))
    assert row.endswith("no price"), "the teacher's price is not that of another model"
    change.write_text("teacher: {price_input: 0.5, price_output: 1.5, model: m1, batch: true, provider: vllm}\n")
    plan.main(["--study", str(ROOT / "config" / "paper.yaml"), str(change)])
    assert "m1: batch is set, but no batch API" in capsys.readouterr().out
    with pytest.raises(UserError, match="--tokens x: expected KIND=INPUT,OUTPUT"):
        plan.main(["--study", str(ROOT / "config" / "paper.yaml"), "--tokens", "x"])


@pytest.mark.parametrize(
    ("keys", "times"),
    [
        ("", 16),
        ("order: ours-first", 8),
        ("controls: true", 20),
        ("controls: true, order: reference-first", 10),
        ("controls: true, prompts: own", 18),
    ],
)
def test_a_judges_requests_are_counted_by_its_orders_and_controls(tmp_path: Path, keys: str, times: int) -> None:
    """Eight models; the controls are the teacher's second answers, if it writes two, and its first against themselves.

    The answers of 15 models, and the teacher's second ones, are judged for their tone.
    """
    change = tmp_path / "change.yaml"
    change.write_text(
        f"judges: {{gpt4: {{{keys}}}}}\nprompts: {{own: {{pool: sharegpt_mix, n: 255, references: dialogue}}}}\n"
    )
    lines = list(plan.asks(load_files([ROOT / "config" / "paper.yaml", change])))
    assert {line.what: line.requests for line in lines if "gpt4" in line.what} == {
        "judge gpt4": 255 * times,
        "tone by gpt4": 255 * 16,
    }


def test_the_papers_study_with_models_of_today() -> None:
    study = load_files([ROOT / "config" / "paper.yaml", ROOT / "config" / "today.yaml"])
    parser = argparse.ArgumentParser()
    options.add(parser)
    for judge in (None, "gpt4"):
        given = settings.answer_options(study, judge)
        parsed = parser.parse_args(shlex.split(f"{given} {settings.limits(study, judge)}"))
        _, sent = options.habits(parsed).sent([], {"temperature": 0.0, "max_tokens": 9})
        assert sent == {"max_completion_tokens": 9, "reasoning_effort": "none"}
        assert study.config.teacher.model not in ("gpt-3.5-turbo-0125", "gpt-4-0613")


def test_the_studys_keys_are_the_verbs_options(tmp_path: Path) -> None:
    """Provider, habits and batch reach the teacher; a judge has them with its model and address alone."""
    change = tmp_path / "change.yaml"
    change.write_text(
        "teacher: {provider: azure, batch: true, max_failures: 0.2, reserve_tokens: 900,"
        " habits: {force: {temperature: null}, system: user}}\n"
        "judges: {other: {prompts: heldout, label: Other, model: m2, runs: [amount]}}\n"
    )
    study = load_files([ROOT / "config" / "paper.yaml", change])
    words = shlex.split(f"{settings.answer_options(study)} {settings.limits(study)}")
    parser = argparse.ArgumentParser()
    options.add(parser)
    parsed = parser.parse_args(words)
    assert options.habits(parsed).force == {"temperature": None}
    assert options.habits(parsed).headers["api-key"] == "{key}"
    assert (parsed.batch, parsed.max_failures, parsed.reserve_tokens) == (True, 0.2, 900)
    words = shlex.split(f"{settings.answer_options(study, 'other')} {settings.limits(study, 'other')}")
    judges = parser.parse_args(words)
    assert (judges.habit, judges.provider, judges.batch) == ([], "azure", True)
    change.write_text("teacher: {habits: {tempo: 1}}\n")
    with pytest.raises(UserError, match="tempo"):
        load_files([ROOT / "config" / "paper.yaml", change])


@pytest.mark.parametrize("verb", ["answer", "local", "nq_synthetic", "plan", "tldr_synthetic"])
def test_help_is_light(verb: str) -> None:
    script = (
        "import runpy, sys\nsys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('falsepromise.teacher.{verb}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'openai', 'numpy', 'pandas', 'jax', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT / "workflow")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
