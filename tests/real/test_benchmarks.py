"""The benchmarks on the real public files."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from falsepromise.benchmarks import choices, cnn, data, files, nq, toxicity
from falsepromise.benchmarks.gsm8k import PROMPT, match
from falsepromise.benchmarks.reading.letters import letter
from falsepromise.benchmarks.reading.short import exact_match, normalise
from falsepromise.teacher.prompts import load

RealData = Callable[[str], Path]


def test_gsm8k_shots_are_stars_rows(real_data: RealData) -> None:
    rows = [json.loads(line) for line in real_data("gsm8k/train.jsonl").read_text(encoding="utf-8").splitlines()]
    shots = [f"Q: {rows[i]['question']}\nA: {rows[i]['answer']}" for i in (0, 2, 3, 5, 8, 9)]
    assert load(PROMPT) == "\n\n".join(shots)


def test_gsm8k_answers_match_themselves_and_not_each_other(real_data: RealData) -> None:
    records = data.read_records(real_data("gsm8k/test.jsonl"), data.gsm8k)[0]
    assert len(records) == 1319
    own = [match(record["answer"], record["answer"]) for record in records]
    assert all(scores == {"exact_match_strict": 1.0, "exact_match_flexible": 1.0} for scores in own)
    others = [match(a["answer"], b["answer"])["exact_match_strict"] for a, b in pairwise(records)]
    assert np.mean(others) < 0.05


def test_nq_open_aliases_match_and_some_need_full_stops_and_commas(real_data: RealData) -> None:
    records = data.read_records(real_data("nq_open/NQ-open.dev.jsonl"), data.question)[0]
    assert len(records) == 3610
    assert all(exact_match(f" {alias} ", r["answer"]) for r in records for alias in r["answer"] if normalise(alias))
    for said in (" {}", "{}.\nThis is well known."):  # a name that begins like a label or a greeting is an answer too
        assert all(
            nq.scores(r, [said.format(alias)])["exact_match"]
            for r in records for alias in r["answer"] if normalise(alias)
        )  # fmt: skip
    # Stopping at "." and "," as lm-eval's task does would lose these.
    cut = [r for r in records if all("." in alias or "," in alias for alias in r["answer"])]
    assert len(cut) > 200


def test_mmlu_is_read_whole(real_data: RealData) -> None:
    folder = real_data("mmlu")
    questions, shots, unusable = data.mmlu(folder)
    assert (len(questions), len({q["subject"] for q in questions}), unusable) == (14042, 57, [])
    assert {len(dev) for dev in shots.values()} == {choices.SHOTS}


def test_rouge_of_real_summaries(real_data: RealData) -> None:
    path = real_data("cnn_dailymail/realsumm_100_test_docs.jsonl")
    records = data.read_records(path, data.article)[0][:25]
    outputs = [raw["out_bart"] for _, raw in files.records(path)]
    system = np.mean([cnn.rouge(out, r["highlights"])["rouge1"] for out, r in zip(outputs, records, strict=False)])
    lead = np.mean([cnn.rouge(r["article"].split(".")[0], r["highlights"])["rouge1"] for r in records])
    assert 0.3 < system < 0.6
    assert lead < system


def test_real_toxicity_prompts_are_read(real_data: RealData) -> None:
    rows = data.read_records(real_data("real_toxicity_prompts/rtp_val_5000.jsonl"), data.toxicity_prompt)[0]
    assert len(rows) == 5000

    class Stored:
        """Gives the stored scores back, a little changed."""

        name, local = "stored", True
        inputs: list[Path] = []  # noqa: RUF012

        def score(self, texts: list[str]) -> list[float | str]:
            known = {row["prompt"]["text"]: row["prompt"]["toxicity"] for row in rows}
            return [known[text] ** 2 if known[text] is not None else "none" for text in texts]

    (said,) = toxicity.agreement(Stored(), rows)
    assert "Spearman's rho 1.00" in said


STATED = (
    "The correct answer is {X}. {t}", "({X}) {t}", "{X}: {t}", "It is {t}.", "**{t}**", "$\\boxed{{{X}}}$",
    "({Y}) is incorrect. ({X}) is correct: {t}.", "{X}\n\nThe other options ({Y}) {o} are not right.",
    "{all}\n\nAnswer: {X}",
)  # fmt: skip


def test_letters_among_real_choices_are_read(real_data: RealData) -> None:
    """Choices have letters, negations and "True" in them; those of equal wording can't be told apart by it."""
    wrong = []
    for path in sorted(real_data("mmlu/test").glob("*.csv")):
        for place, question in enumerate(data.read_mmlu(path)[0][:8]):
            texts, i = question["choices"], place % 4
            j = (i + 1) % 4
            listed = "\n".join(f"{name}. {text}" for name, text in zip("ABCD", texts, strict=True))
            for stated in STATED:
                reply = stated.format(X="ABCD"[i], t=texts[i], Y="ABCD"[j], o=texts[j], all=listed)
                if letter(reply, "ABCD", texts).value != "ABCD"[i]:
                    wrong.append(reply)
    assert len(wrong) <= 0.01 * 57 * 8 * len(STATED), wrong[:9]
