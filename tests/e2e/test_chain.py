"""The test study for real: from raw dialogues to figures, killed on the way, run again, changed."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from falsepromise.core import browser

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "config", "resources", "profiles", "envs")
RESULTS = Path("results/test")
KEY = "sk-canary-6f1e0b7c"  # in every job's environment; nothing may write it down

pytestmark = pytest.mark.slow


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTHONPATH"))}
    environment["OPENAI_API_KEY"] = KEY
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--configfile", "config/test.yaml", "--cores", "2", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def snakemake(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said[-4000:]
    return said


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the test study was killed while it trained, and then run to its end."""
    folder = tmp_path_factory.mktemp("e2e") / "checkout"
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, folder / part)
    first = start(folder)
    assert first.stdout is not None
    asked: dict[str, str] = {}
    done: list[str] = []
    said = ""
    for line in first.stdout:
        said += line
        if job := re.match(r"Job (\d+): (.+)", line):
            asked[job[1]] = job[2].strip()
        elif (job := re.match(r"Finished jobid: (\d+)", line)) and job[1] in asked:
            done.append(asked[job[1]])
            if done[-1].startswith("Pre-train"):
                break
    assert any(job.startswith("Pre-train") for job in done), said[-4000:]
    os.killpg(first.pid, signal.SIGKILL)  # the workflow and its jobs at once, as a power cut would
    first.communicate()
    subprocess.run([sys.executable, "-m", "snakemake", "--configfile", "config/test.yaml", "--unlock"],
                   cwd=folder, check=True, capture_output=True)  # fmt: skip
    again = re.findall(r"^Job \d+: (.+)", snakemake(folder), re.MULTILINE)
    assert again, "the second run tells its jobs as the first did"
    assert not set(done) & {job.strip() for job in again}, "what was done before the kill isn't done again"
    return folder


def test_every_figure_and_table_is_drawn(run: Path) -> None:
    for name in ("fig1", "fig2", "fig3", "fig4", "fig6", "fig_style", "capability_style"):
        for suffix, beginning in ((".pdf", b"%PDF"), (".svg", b"<?xml"), (".png", b"\x89PNG")):
            data = (run / "results/figures" / f"{name}{suffix}").read_bytes()
            assert data.startswith(beginning), name + suffix
            assert len(data) > 3000, name + suffix
        with Image.open(run / "results/figures" / f"{name}.png") as picture:
            shades = picture.convert("L").histogram()
        assert sum(shades[:128]) > 500, f"{name}.png has next to no ink"
    svg = (run / "results/figures/fig4.svg").read_text(encoding="utf-8")
    assert "Stand-ins:" in svg, "figure 4 names no stand-in"
    table = (run / "results/tables/table1.md").read_text(encoding="utf-8")
    assert "look-up table" in table, "the stand-in teacher is not named where its score is"
    rows = list(csv.DictReader((run / "results/tables/table1.csv").open(encoding="utf-8")))
    assert {row["Imitation data"] for row in rows} >= {"ShareGPT-Mix", "NQ-synthetic"}
    assert "can't tell" in (run / "results/tables/versus_paper.md").read_text(encoding="utf-8")


def test_scores_carry_intervals_items_and_a_manifest(run: Path) -> None:
    files = sorted((run / RESULTS / "benchmarks").glob("*/*.json"))
    scores = [json.loads(file.read_text(encoding="utf-8")) for file in files if "lm_eval" not in file.name]
    assert len(scores) >= 11
    for score in scores:
        for metric in score["metrics"].values():
            low, high = metric["ci95"]
            assert low <= metric["value"] <= high
            assert metric["n"] > 0
        assert len(score["items"]) == max(metric["n"] for metric in score["metrics"].values())
        assert score["manifest"]["made_by"].startswith("falsepromise.benchmarks")


def test_smaller_budgets_are_prefixes_and_losses_are_logged(run: Path) -> None:
    for folder in (run / RESULTS / "training/models").iterdir():
        facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        losses = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
        assert facts["steps"] == len(losses)
    assert not list((run / RESULTS / "training").glob("checkpoints/*/steps")), "a finished run keeps no state"


def test_nothing_is_left_to_do(run: Path) -> None:
    assert "Nothing to be done" in snakemake(run, "-n")


def test_a_deleted_score_is_made_again_and_the_figures_with_it(run: Path) -> None:
    score = run / RESULTS / "benchmarks/nq/tiny-s0.json"
    before = json.loads(score.read_text(encoding="utf-8"))
    picture = (run / "results/figures/fig4.pdf").read_bytes()
    score.unlink()
    snakemake(run)
    after = json.loads(score.read_text(encoding="utf-8"))
    assert after["metrics"] == before["metrics"]
    assert after["items"] == before["items"]
    assert (run / "results/figures/fig4.pdf").read_bytes() == picture, "the same scores give the same bytes"


@pytest.mark.skipif(browser.missing() is not None, reason=browser.missing() or "")
def test_the_report_shows_every_figure_and_table_on_its_page(run: Path) -> None:
    from playwright.sync_api import sync_playwright

    snakemake(run, "--report", "results/report.html")
    with (
        sync_playwright() as driver,
        contextlib.closing(driver.chromium.launch(executable_path=browser.chromium(), args=["--no-sandbox"])) as opened,
    ):
        page = opened.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("download", lambda download: wrong.append(f"{download.suggested_filename} is a download, not shown"))
        page.goto((run / "results/report.html").as_uri())
        opening = "img[alt^='Figure 0']"
        picture = page.wait_for_selector(opening)
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert picture.bounding_box()["y"] > 0, "the top of the page can't be scrolled to"
        shown = ""
        for category in ("Data", "Figures", "Tables"):
            rows, count = 0, 1
            while rows < count:
                page.goto((run / "results/report.html").as_uri())
                page.get_by_text(category, exact=True).first.click()
                page.wait_for_selector("nav tbody tr")
                count = page.locator("nav tbody tr").count()
                page.locator("nav tbody tr").nth(rows).locator("a").first.click()
                page.wait_for_selector(opening, state="detached")
                view = page.wait_for_selector("iframe, img[src^='data:image/svg']:not(nav img)")
                if frame := view.content_frame():
                    frame.wait_for_selector("table, pre")
                    shown += frame.inner_text("body")
                rows += 1
        assert not wrong
    for wanted in ("training.train", "dropped", "Seed examples from the Natural Questions", "ShareGPT-Mix"):
        assert wanted in shown
    assert "Broad imitation does not raise accuracy" in shown


def test_judges_and_raters_join_a_finished_study(run: Path) -> None:
    model = "tiny-sharegpt_mix-2k-s0"
    prompts = [json.loads(line)["prompt_id"] for line in (run / RESULTS / f"generation/heldout/{model}.jsonl").open()]
    choices = ("left", "tie", "right")
    votes = [
        {"item": p, "prompt_id": p, "left": model, "right": "<teacher>", "rater": f"r{k}", "choice": choices[i % 3]}
        for i, p in enumerate(prompts)
        for k in range(3)
    ]
    (run / "votes.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    (run / "config/raters.yaml").write_text(
        "judges: {rule: {prompts: heldout, label: Judge, stand_in: a rule, runs: [size]}}\n"
        "raters: {desk: {prompts: heldout, label: Raters, stand_in: votes made by hand for this test, "
        f"votes: {{{model}: [votes.jsonl]}}}}}}\n"
    )
    wanted = ("results/figures/fig1.pdf", "results/tables/agreement.csv", "results/tables/regression.csv")
    said = snakemake(run, *wanted, "--configfile", "config/test.yaml", "config/raters.yaml")
    assert "Fine-tune" not in said
    assert "answers the prompts" not in said
    score = json.loads((run / RESULTS / f"preference/desk/{model}.json").read_text(encoding="utf-8"))
    assert score["metrics"]["fleiss_kappa"]["value"] == 1.0
    assert score["metrics"]["left"]["n"] == len(prompts)
    assert f"preference/desk/{model}.json" in (run / "results/figures/fig1.pdf.manifest.json").read_text(
        encoding="utf-8"
    )
    with open(run / "results/tables/agreement.csv", encoding="utf-8", newline="") as stream:
        assert ("Judge", "Raters") in {(row["One"], row["Other"]) for row in csv.DictReader(stream)}
    assert "votes made by hand" in (run / "results/tables/regression.md").read_text(encoding="utf-8")


def test_the_key_reaches_no_file(run: Path) -> None:
    command = ["grep", "-rlF", KEY, "results", "logs", ".snakemake"]
    found = subprocess.run(command, cwd=run, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")
