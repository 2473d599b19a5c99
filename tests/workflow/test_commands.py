"""The command lines that users know from other workflows, the linter and the formatter."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from checkout import ROOT, STUDY, Checkout
from snakemake.scheduling.job_scheduler import JobScheduler


def test_forcerun_runs_a_rule_and_what_follows(finished: Checkout) -> None:
    jobs = finished.planned("--forcerun", "style")
    assert jobs["style"] == 7
    assert "table2" in jobs
    assert not set(jobs) & {"train", "score", "generate"}


def test_until_stops_at_a_rule(checkout: Checkout) -> None:
    jobs = checkout.planned("--until", "clean_pool")
    assert set(jobs) == {"fetch", "parse_dialogues", "clean_pool"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("results/figures/fig44.pdf",), "results/figures/fig44.pdf; did you mean results/figures/fig4.pdf?"),
        (("results/tables/tabel1.csv",), "results/tables/tabel1.csv; did you mean results/tables/table1.csv?"),
        (("results/test/training/models/tiny-mix-2k-s0",), "did you mean results/test/training/models/tiny-shareg"),
        (("figure4",), "figure4; did you mean fig4?"),
        (("--forcerun", "trian"), "trian; did you mean train?"),
        (("--until", "qqq"), "qqq; snakemake --list-target-rules and --summary list it all"),
    ],
)
def test_a_mistyped_target_is_one_line(finished: Checkout, words: tuple[str, ...], said: str) -> None:
    """Snakemake said that no rule makes it, or which files a rule of the workflow lacked."""
    done = finished.snakemake("-n", "--cores", "1", *words, *STUDY)
    assert done.returncode != 0
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line or "Exception" in line]
    assert len(errors) == 1
    assert errors[0].startswith("error: nothing in this study makes ")
    assert said in errors[0]


def test_dag_and_rulegraph_are_graphs(finished: Checkout) -> None:
    for option in ("--dag", "--rulegraph"):
        done = finished.snakemake(option, "dot", *STUDY)
        assert done.returncode == 0, done.stderr
        assert done.stdout.lstrip().startswith("digraph")
        assert "train" in done.stdout


def test_report_is_written(finished: Checkout) -> None:
    done = finished.snakemake("--report", "results/report.html", *STUDY)
    assert done.returncode == 0, done.stderr
    page = (finished.path / "results/report.html").read_text(encoding="utf-8")
    assert "benchmarks by amount and by base model" in page


def test_the_report_opens_with_what_was_found_and_survives_what_is_missing(finished: Checkout) -> None:
    """A hostile title is text, verdicts and figure 0 come first, a lost figure is named with the end of its log."""
    root = finished.path
    claims = [{"title": "Style <b>rises</b>", "place": "4.4", "verdict": "supported", "comparisons": 3}]
    found, lost = root / "results/test/tables/versus_paper.json", root / "results/test/figures/fig_style.svg"
    before, svg = found.read_bytes(), lost.read_bytes()
    log = root / "logs/test/figures/fig_style.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("working\nerror: no room on the disk <i>\n", encoding="utf-8")
    pdf = lost.with_suffix(".pdf").read_bytes()
    figure = root / "results/test/figures/fig0.svg"
    small = figure.read_bytes()
    large = b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<!-- as large as a real one -->" * 5000 + b"</svg>"
    try:
        figure.write_bytes(large)
        found.write_text(json.dumps({"study": "test", "claims": claims}), encoding="utf-8")
        lost.unlink()
        lost.with_suffix(".pdf").unlink()
        title = "`a link <javascript:alert(1)>`__ </script><script>alert(2)</script> |x|"
        done = finished.snakemake("--report=results/report.html", *STUDY, "--config", f"title={title}")
        assert done.returncode == 0, done.stderr
        page = (root / "results/report.html").read_text(encoding="utf-8")
    finally:
        found.write_bytes(before)
        lost.write_bytes(svg)
        lost.with_suffix(".pdf").write_bytes(pdf)
        figure.write_bytes(small)
        log.unlink()
    assert "</script><script>alert(2)" not in page
    text = re.search(r'id="workflow-desc">(.*?)</script>', page, re.DOTALL)[1]  # type: ignore[index]
    opening = json.loads(text[text.index('"') : text.rindex('"') + 1])
    assert not re.search(r"<a[^>]*javascript:alert|<script>alert", opening)
    wanted = ("data:image/svg+xml;base64,", "✓ supported", "Style &lt;b&gt;rises", "fig_style.pdf",
              "error: no room on the disk &lt;i&gt;", "test/browse.html", "95 % interval")  # fmt: skip
    places = [opening.index(part) for part in wanted]
    assert places == sorted(places)
    assert "System Message" not in opening, "docutils refuses nothing"
    data = re.search(r'base64,([^"]*)"', opening)
    assert data
    assert base64.b64decode("".join(data[1].split())) == large


def test_lint_is_clean(checkout: Checkout) -> None:
    done = checkout.snakemake("--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_formatted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow/Snakefile", "workflow/rules"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_papers_dry_run_is_quick_and_complete(checkout: Checkout) -> None:
    # Processor time: other tests share the machine.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = checkout.planned(study=("--configfile", "config/paper.yaml"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert jobs["weights"] == 3  # GPT-2 1.5B, LLaMA 7B and 13B
    assert jobs["train"] == 12  # 6 amounts, 2 more sizes, 2 targeted mixtures at 2 sizes
    assert jobs["score"] == 15 * 6
    assert jobs["score_teacher"] == 6
    assert jobs["nq_synthetic"] == jobs["tldr_synthetic"] == jobs["answer"] == 1
    assert jobs["judge"] == 8
    assert {"fig1", "fig3", "fig4", "fig5", "table1", "table2", "table7", "versus_paper"} <= set(jobs)
    assert seconds < 10, f"{seconds:.1f} s"


@pytest.mark.parametrize(
    ("studies", "trained", "asked"),
    [
        (("laptop",), 6, False),
        (("laptop", "laptop_hour"), 2, False),
        (("one_gpu",), 10, True),
        (("paper",), 12, True),
        (("paper", "today"), 12, True),
        (("paper_small",), 3, False),
    ],
)
def test_a_fresh_clone_lacks_a_key_at_most(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, studies: tuple[str, ...], trained: int, asked: bool
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    files = [f"config/{name}.yaml" for name in studies]
    done = checkout.snakemake("-n", "--cores", "1", "--configfile", *files)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^train +{trained}$", done.stdout + done.stderr, re.MULTILINE)
    missing = (done.stdout + done.stderr).partition("Missing for this run:")[2]
    lines = [line for line in missing.splitlines() if line.startswith("  - ") and "disk:" not in line]
    assert len(lines) == asked
    assert all("OPENAI_API_KEY" in line for line in lines)


def test_a_dry_run_says_what_its_jobs_take(checkout: Checkout) -> None:
    study = yaml.safe_load((checkout.path / "config/laptop.yaml").read_text(encoding="utf-8"))
    study["bases"]["smollm2-135m-instruct"]["parameters"] = 10**15  # no disk has room for them
    (checkout.path / "config/large.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    done = checkout.snakemake("-n", "--cores", "2", "--configfile", "config/large.yaml")
    assert "  - disk: about " in done.stdout
    assert re.search(r"^Time: about [\d.]+ h on 2 free CPU cores", done.stdout, re.MULTILINE)


def test_a_dry_run_names_jobs_that_slurm_would_never_start(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition of two hours and four GPUs a node, by a sinfo that prints it."""
    for name, line in {"sinfo": "main*|2:00:00|32|64000|gpu:a100:4", "scontrol": "", "sacctmgr": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{line}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said = checkout.snakemake("--profile", "slurm", "results/figures/fig4.pdf", "-n").stdout
    assert "SLURM would never start 8 of train: requests 8 GPUs a node, partition 'main' has 4 GPUs a node" in said
    assert said.count("of train: requests") == 3  # GPUs, memory, minutes: the largest request of each
    assert "Would be faster:" in said


def test_the_slurm_profile_takes_the_papers_study(checkout: Checkout) -> None:
    done = checkout.snakemake("--profile", "slurm", "results/figures/fig4.pdf", "-n")
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert "Fine-tune llama-13b-sharegpt_mix-150M-s0 (8 GPUs" in text
    assert "Fine-tune gpt2-1.5b-sharegpt_mix-150M-s0 (1 GPUs" in text
    assert "Draw results/paper/figures/fig4.pdf" in text


def test_the_slurm_profile_without_slurm_is_one_line(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("bash", "sh", "which"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = checkout.snakemake("--profile", "slurm", "--configfile", "config/test.yaml", "--until", "clean_pool")
    assert done.returncode != 0
    assert "error: no SLURM here (squeue is not found)" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_quickstart_is_what_a_bare_call_runs(checkout: Checkout) -> None:
    jobs = checkout.planned(study=())
    assert "pretrain" not in jobs  # the bases are inputs
    assert jobs["train"] == 14
    assert jobs["fig4"] == 1


def test_snakemake_still_has_the_rate_limiter_that_is_turned_off() -> None:
    assert "job_rate_limiter" in JobScheduler.schedule.__code__.co_names
