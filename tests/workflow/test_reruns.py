"""What runs again when something changes, and nothing more."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from checkout import STUDY, Checkout

PLOTS = {
    *("fig0", "fig1", "fig3", "fig4", "fig5", "fig_diversity", "fig_style", "capability_style"),
    *("table1", "table2", "table7", "versus_paper", "summary", "fig2", "fig6", "fig7", "table_funnel", "table_prompts"),
    *("table_manifests", "browse"),
    *("agreement_table", "regression_table"),
    *("table_leaks", "preference_table", "shown_figure", "shown_table", "shown_prompts", "shown_comparison"),
}
CURATION = {
    *("fetch", "parse_dialogues", "clean_pool", "split_pool", "mix", "prompts", "facts", "pretraining_text"),
    *("nq_synthetic", "tokenizer", "blocks"),
}


def test_after_a_full_run_nothing_is_to_be_done(finished: Checkout) -> None:
    assert finished.planned() == {}


def test_touching_files_reruns_nothing(finished: Checkout) -> None:
    later = time.time() + 5
    touched = [
        "results/test/sources/sharegpt",
        "results/test/curation/clean/sharegpt_mix.jsonl",
        "results/test/benchmarks/nq/tiny-s0.json",
        "resources/samples/sharegpt.json",
        "workflow/falsepromise/training/train.py",
        "workflow/falsepromise/core/records.py",
        "workflow/rules/training.smk",
        "config/test.yaml",
    ]
    for name in touched:
        assert (finished.path / name).exists(), name
        os.utime(finished.path / name, (later, later))
    assert finished.planned() == {}


def test_a_copy_without_times_is_told_what_to_do(finished: Checkout) -> None:
    """Snakemake compares no folders by content, so a copy's scores would all be made again, without a word."""
    said = "If these results were copied without their times, the same command with --touch marks them as made."
    stamps = list(finished.path.glob("results/test/training/models/*/.snakemake_timestamp"))
    before = {stamp: stamp.stat().st_mtime for stamp in stamps}
    later = time.time() + 5
    try:
        for stamp in stamps:
            os.utime(stamp, (later, later))
        copied = finished.snakemake("-n", "--cores", "1", *STUDY)
    finally:
        for stamp, when in before.items():
            os.utime(stamp, (when, when))
    assert re.search(r"because their inputs are newer: \d+ of generate, \d+ of score, and what follows", copied.stdout)
    assert said in copied.stdout
    assert said not in finished.snakemake("-n", "--cores", "1", *STUDY, "--forcerun", "train").stdout


def test_another_number_of_shards_makes_nothing_again_and_counts_for_what_is_to_be_made(finished: Checkout) -> None:
    shards = finished.path / "shards.yaml"
    study = (*STUDY, "shards.yaml")
    shards.write_text(
        "benchmarks: {nq: {shards: 3}}\nprompts: {heldout: {shards: 2}}\npools: {sharegpt_mix: {shards: 2}}\n"
    )
    assert finished.planned(study=study) == {}
    made = "benchmarks/nq/tiny-s0.json", "generation/heldout/tiny-s0.jsonl", "curation/clean/sharegpt_mix.jsonl"
    for name, parts in zip(made, (("score", 3), ("generate", 2), ("clean_pool", 2)), strict=True):
        file = finished.path / "results/test" / name
        file.rename(file.with_suffix(".away"))
        jobs = finished.planned(study=study)
        rule, number = parts
        assert (jobs[rule], jobs[f"{rule}_part"]) == (1, number)
        file.with_suffix(".away").rename(file)
    shards.unlink()


def test_editing_plotting_code_redraws_and_nothing_else(finished: Checkout) -> None:
    with finished.changed("workflow/falsepromise/figures/draw.py", "load"):
        jobs = finished.planned()
    assert "fig4" in jobs
    assert set(jobs) <= PLOTS


def test_editing_the_style_sheet_redraws_every_figure_and_nothing_else(finished: Checkout) -> None:
    with finished.edited("workflow/falsepromise/figures/style.mplstyle", "linewidth: 1.3", "linewidth: 1.5"):
        jobs = finished.planned()
    assert {"fig2", "fig4", "fig6", "fig_style", "capability_style"} <= set(jobs) <= PLOTS


def test_editing_one_figure_leaves_the_others(finished: Checkout) -> None:
    with finished.changed("workflow/falsepromise/figures/capability_style.py", "main"):
        assert finished.planned() == {"capability_style": 1, "shown_figure": 1}


def test_editing_the_optimizer_retrains_and_rescores_but_curates_nothing(finished: Checkout) -> None:
    with finished.changed("workflow/falsepromise/training/optimizer.py", "make"):
        jobs = finished.planned()
    assert jobs["pretrain"] == 2
    assert jobs["train"] == 6
    assert jobs["score"] == 16
    assert not set(jobs) & CURATION


def test_editing_what_figures_share_redraws_them_and_nothing_else(finished: Checkout) -> None:
    with finished.changed("workflow/falsepromise/figures/fig4.py", "main"):
        assert finished.planned() == {"fig4": 1, "shown_figure": 1}
    with finished.changed("workflow/falsepromise/figures/curves.py", "by_amount"):
        assert {"fig4", "fig_style"} <= set(finished.planned()) <= PLOTS


def test_editing_the_teachers_client_scores_no_model_again(finished: Checkout) -> None:
    with finished.changed("workflow/falsepromise/teacher/client.py", "Teacher"):
        jobs = finished.planned()
    assert {"nq_synthetic", "score_teacher"} <= set(jobs)
    with finished.changed("workflow/falsepromise/generation/endpoint.py", "generate"):
        jobs = finished.planned()
    assert not set(jobs) & {"score", "generate", "train"}


def test_editing_one_task_scores_its_benchmarks_alone(finished: Checkout) -> None:
    with finished.changed("workflow/falsepromise/benchmarks/choices.py", "multiple_choice"):
        jobs = finished.planned()
    assert jobs["score"] == 8
    with finished.changed("workflow/falsepromise/benchmarks/humaneval.py", "evaluate"):
        assert finished.planned() == {}


def test_editing_a_prompt_counts(finished: Checkout) -> None:
    with finished.edited("resources/prompts/table8_natural_questions.txt", new="\nAnswer:"):
        jobs = finished.planned()
    assert jobs["score"] == 16
    assert "pretraining_text" in jobs


def test_editing_comments_and_docstrings_reruns_nothing(finished: Checkout) -> None:
    with finished.edited("workflow/falsepromise/training/optimizer.py", new="\n# a remark\n"):
        assert finished.planned() == {}
    with finished.edited("workflow/falsepromise/core/records.py", '"""', '"""By the way: '):
        assert finished.planned() == {}


def test_a_clone_whose_files_are_from_the_future_reruns_nothing(finished: Checkout) -> None:
    later = time.time() + 7 * 86400
    files = [path for part in ("workflow", "resources") for path in (finished.path / part).rglob("*.*")]
    kept = {path: path.stat().st_mtime for path in files}
    for path in kept:
        os.utime(path, (later, later))
    try:
        assert finished.planned("--forcerun", "fig4") == {"fig4": 1, "shown_figure": 1}
    finally:
        for path, when in kept.items():
            os.utime(path, (when, when))


def test_editing_a_message_or_a_helper_of_no_result_reruns_nothing(finished: Checkout) -> None:
    with finished.changed("workflow/falsepromise/core/progress.py", "track"):
        assert finished.planned() == {}


def test_a_learning_rate_retrains_its_own_models_alone(finished: Checkout) -> None:
    with finished.edited(
        "config/test.yaml",
        "imitation_replay: {batch_size: 4",
        "imitation_replay: {learning_rate: 1.0e-3, batch_size: 4",
    ):
        jobs = finished.planned()
    assert jobs["train"] == 1
    assert "pretrain" not in jobs
    assert not set(jobs) & CURATION


def test_another_token_budget_trains_one_model(finished: Checkout) -> None:
    with finished.edited("config/test.yaml", "tokens: [1_000, 2_000]", "tokens: [1_000, 1_500, 2_000]"):
        jobs = finished.planned()
    assert jobs["train"] == 1
    assert jobs["score"] == 2
    assert jobs["generate"] == jobs["style"] == 1
    assert "pretrain" not in jobs
    assert not set(jobs) & CURATION


def test_a_benchmark_more_scores_and_trains_nothing(finished: Checkout, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text(
        "benchmarks: {development: {label: D, task: nq, data: 'facts:qa_development.jsonl', metric: exact_match}}\n"
    )
    jobs = finished.planned(study=("--configfile", "config/test.yaml", str(more)))
    assert jobs["score"] == 8
    assert not set(jobs) & {"train", "pretrain", "generate", *CURATION}


def test_a_deleted_score_is_one_job(finished: Checkout) -> None:
    score = finished.path / "results/test/benchmarks/nq/tiny-s0.json"
    text = score.read_text()
    score.unlink()
    try:
        jobs = finished.planned()
    finally:
        score.write_text(text)
    assert jobs.pop("score") == 1
    assert set(jobs) <= PLOTS


@pytest.mark.parametrize("limit", ["max_usd: 5", "concurrency: 2"])
def test_what_changes_no_answer_asks_the_teacher_nothing(finished: Checkout, limit: str) -> None:
    with finished.edited("config/test.yaml", "model: local-stand-in", f"model: local-stand-in\n  {limit}"):
        jobs = finished.planned()
    assert set(jobs) <= {"study", *PLOTS}


def test_another_teacher_is_asked_and_nothing_of_its_predecessor_stays(finished: Checkout) -> None:
    with finished.edited("config/test.yaml", "model: local-stand-in", "model: another-stand-in"):
        jobs = finished.planned()
    assert {"nq_synthetic", "score_teacher", "judge", "train"} <= set(jobs)
    with finished.edited("config/test.yaml", "benchmarks: [nq]", "benchmarks: [nq]\n  habits: {system: user}"):
        assert {"nq_synthetic", "score_teacher", "judge"} <= set(finished.planned())


def test_how_a_server_takes_batches_asks_nobody_again(finished: Checkout) -> None:
    with finished.edited("config/test.yaml", "benchmarks: [nq]", "benchmarks: [nq]\n  habits: {batch_price: 0.4}"):
        assert set(finished.planned()) <= {"study", *PLOTS}


def test_another_judge_votes_anew_and_trains_nothing(finished: Checkout) -> None:
    own = "    model: local-stand-in\n    stand_in: \"a rule"
    with finished.edited("config/test.yaml", own, own.replace("local-stand-in", "another-judge")):
        jobs = finished.planned()
    assert {"judge", "aggregate"} <= set(jobs)
    assert not set(jobs) & {"train", "generate", "score", "score_teacher", *CURATION}


def test_a_mirror_fetches_nothing(finished: Checkout) -> None:
    mirrors = "member: mendeleev/elements.db\n    mirrors: ['https://localhost/elements.db']"
    with finished.edited("config/test.yaml", "member: mendeleev/elements.db", mirrors):
        assert set(finished.planned()) <= {"study", *PLOTS}


def test_a_source_with_other_contents_counts_whatever_its_time(finished: Checkout) -> None:
    source = finished.path / "resources/samples/sharegpt.json"
    before = source.stat()
    text = source.read_text()
    try:
        source.write_text(text.replace("the", "teh", 1))
        os.utime(source, (before.st_atime - 1e6, before.st_mtime - 1e6))
        assert "fetch" in finished.planned()
    finally:
        source.write_text(text)
        os.utime(source, (before.st_atime, before.st_mtime))
    assert finished.planned() == {}
