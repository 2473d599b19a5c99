"""Multiple choice: MMLU by letters (5 shots), and any questions by their choices' texts.

A model folder is scored by log-likelihood through lm-eval; a chat endpoint, which has none, by the
letter that it answers with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from falsepromise.benchmarks import data
from falsepromise.benchmarks.matching import first_letter
from falsepromise.benchmarks.model import EngineModel, ModelUnderTest
from falsepromise.benchmarks.outcome import Options, Outcome, ask, draw, failures, means, usable
from falsepromise.core.errors import UserError
from falsepromise.core.records import Record
from falsepromise.core.statistics import bootstrap

SHOTS = 5
BY_ANSWER = "scored by the letter answered: the endpoint gives no log-probabilities"


def multiple_choice(model: ModelUnderTest, options: Options) -> Outcome:
    """Questions of a JSONL file `{"question", "choices", "answer": index}`, 0-shot."""
    records = data.read(options.data, data.check_choices)
    records, limits = draw(records, options.limit, options.seed)
    if not model.likelihoods:
        texts = [f"Question: {r['question'].strip()}\n{_lettered(r['choices'])}\nAnswer:" for r in records]
        return _by_answer(model, options, [{**r, "prompt": t} for r, t in zip(records, texts, strict=True)], limits)
    from falsepromise.benchmarks import harness

    kept = [{key: record[key] for key in ("question", "choices", "answer")} for record in records]
    task = harness.build("falsepromise_multiple_choice", {"test": kept})
    lm = harness.EngineLM(_local(model), options.turn_tokens)
    samples, document = harness.evaluate(lm, [task])
    rows = samples["falsepromise_multiple_choice"]
    items = [
        {"id": record["id"], "acc": float(row["acc"]), "acc_norm": float(row["acc_norm"])}
        for record, row in zip(records, rows, strict=True)
    ]
    return Outcome(
        items,
        means(items, ("acc", "acc_norm"), options.seed),
        [*limits, *_truncated(lm)],
        {"shots": 0, "scoring": "choices' texts"},
        beside={"lm_eval.json": document},
    )


def mmlu(model: ModelUnderTest, options: Options) -> Outcome:
    """MMLU's folder of CSV files. `acc` is over questions, `acc_macro` over subjects, `subjects` each."""
    questions: list[Record] = []
    shots: dict[str, list[Record]] = {}
    for subject in data.mmlu_subjects(options.data, options.more.get("subjects") or ()):
        shots[subject] = data.read_mmlu(options.data / "dev" / f"{subject}_dev.csv")[:SHOTS]
        rows = data.read_mmlu(options.data / "test" / f"{subject}_test.csv")
        questions += [{"id": f"{subject}/{i}", "subject": subject, **row} for i, row in enumerate(rows)]
    questions, limits = draw(questions, options.limit, options.seed)
    if not model.likelihoods:
        texts = [{**q, "prompt": mmlu_prompt(q["subject"], shots[q["subject"]], q)} for q in questions]
        outcome = _by_answer(model, options, texts, limits)
    else:
        outcome = _mmlu_by_likelihood(model, options, questions, shots, limits)
    subjects = {q["id"]: q["subject"] for q in questions}
    groups: dict[str, list[float]] = {}
    for item in outcome.items:
        groups.setdefault(subjects[item["id"]], []).append(item["acc"])
    outcome.metrics["acc_macro"] = macro(groups, options.seed)
    outcome.extra["subjects"] = {
        subject: means([{"acc": value} for value in values], ["acc"], options.seed)["acc"]
        for subject, values in groups.items()
    }
    outcome.config["shots"] = SHOTS
    return outcome


def _mmlu_by_likelihood(
    model: ModelUnderTest,
    options: Options,
    questions: Sequence[Record],
    shots: Mapping[str, list[Record]],
    limits: list[str],
) -> Outcome:
    from falsepromise.benchmarks import harness

    by_subject: dict[str, list[Record]] = {}
    for question in questions:
        by_subject.setdefault(question["subject"], []).append(question)
    tasks = [
        harness.build(
            "falsepromise_mmlu",
            {"dev": shots[subject], "test": [{k: q[k] for k in ("question", "choices", "answer")} for q in asked]},
            alias=f"mmlu_{subject}",
            description=mmlu_description(subject),
        )
        for subject, asked in by_subject.items()
    ]
    lm = harness.EngineLM(_local(model), options.turn_tokens)
    samples, document = harness.evaluate(lm, tasks)
    items = [
        {"id": question["id"], "acc": float(row["acc"])}
        for subject, asked in by_subject.items()
        for question, row in zip(asked, samples[f"mmlu_{subject}"], strict=True)
    ]
    return Outcome(
        items,
        means(items, ["acc"], options.seed),
        [*limits, *_truncated(lm)],
        {"scoring": "likeliest letter"},
        beside={"lm_eval.json": document},
    )


def mmlu_description(subject: str) -> str:
    """The line that opens each subject's prompt."""
    name = subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about {name}.\n\n"


def mmlu_prompt(subject: str, shots: Sequence[Record], question: Record) -> str:
    """The conventional prompt as one text: what lm-eval makes of `tasks/falsepromise_mmlu.yaml`."""
    blocks = [f"{_block(shot)} {data.LETTERS[shot['answer']]}\n\n" for shot in shots]
    return mmlu_description(subject) + "".join(blocks) + _block(question)


def macro(groups: Mapping[str, Sequence[float]], seed: int) -> dict[str, Any]:
    """The mean of the groups' means; its bootstrap draws items within each group."""
    arrays = [np.asarray(values) for values in groups.values()]
    n = sum(map(len, arrays))
    value = float(np.mean([array.mean() for array in arrays]))
    rng = np.random.default_rng(seed)

    def drawn(_: np.ndarray) -> float:
        return float(np.mean([array[rng.integers(0, len(array), len(array))].mean() for array in arrays]))

    interval = bootstrap(drawn, n, seed, resamples=1000) if n > 1 else [value, value]
    if np.all(np.concatenate(arrays) == value):  # no spread to resample: Wilson's, as over questions
        interval = means([{"acc": v} for array in arrays for v in array], ["acc"], seed)["acc"]["ci95"]
    return {"value": value, "ci95": interval, "n": n, "groups": len(arrays)}


def _by_answer(model: ModelUnderTest, options: Options, asked: Sequence[Record], limits: list[str]) -> Outcome:
    replies = ask(model, [q["prompt"] for q in asked], options, max_tokens=options.max_tokens or 16, stop=())
    items, unclear = [], 0
    for question, reply in zip(asked, replies, strict=True):
        if usable(reply):
            letter = first_letter(reply.text, data.LETTERS[: len(question["choices"])])
            unclear += letter is None
            right = letter == data.LETTERS[question["answer"]]
            items.append({"id": question["id"], "acc": float(right), "response": reply.text.strip()[:200]})
    said = [f"{unclear} of {len(replies)} answers name no letter (scored as wrong)"] if unclear else []
    config = {"scoring": "letter in the answer"}
    return Outcome(items, means(items, ["acc"], options.seed), [*limits, BY_ANSWER, *said, *failures(replies)], config)


def _block(question: Record) -> str:
    return f"{question['question'].strip()}\n{_lettered(question['choices'])}\nAnswer:"


def _lettered(choices: Sequence[str]) -> str:
    if len(choices) > len(data.LETTERS):
        raise UserError(f"a question has {len(choices)} choices; at most {len(data.LETTERS)} can be lettered")
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(data.LETTERS, choices, strict=False))


def _truncated(lm: Any) -> list[str]:
    if not lm.truncated:
        return []
    return [f"{lm.truncated} choices' contexts were cut at their beginning to fit {lm.max_length} tokens"]


def _local(model: ModelUnderTest) -> EngineModel:
    if not isinstance(model, EngineModel):
        raise UserError(f"{model.name}: log-likelihoods through lm-eval need a model folder")
    return model
