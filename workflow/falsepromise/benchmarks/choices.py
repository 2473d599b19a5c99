"""Score multiple choice: MMLU by letters (5 shots), and other questions by their choices' texts.

A model folder is scored by log-likelihood through lm-eval; a chat endpoint, which has none, by the
letter that it answers with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from falsepromise.benchmarks import data
from falsepromise.benchmarks.model import ModelUnderTest
from falsepromise.benchmarks.outcome import Options, Outcome, ask, bounded, draw, failures, means, readings, usable
from falsepromise.benchmarks.reading.letters import letter
from falsepromise.core.records import Record
from falsepromise.statistics.intervals import bootstrap, mean_metric, partition

SHOTS = 5
BY_ANSWER = "scored by the letter answered: the endpoint gives no log-probabilities"


def multiple_choice(model: ModelUnderTest, options: Options) -> Outcome:
    """Questions of a file `{"question", "choices", "answer": index}`, 0-shot.

    Questions with the same `item`, as one with several draws of wrong choices, are one item: the mean of what they got.
    A chat endpoint is asked the first of them.
    """
    records, unusable = data.read_records(options.data, data.choices)
    drawn, limits = draw(list(dict.fromkeys(map(item_of, records))), options.limit, options.seed)
    kept = frozenset(drawn)
    records = [record for record in records if item_of(record) in kept]
    limits += unusable
    if not model.likelihoods:
        firsts = {item_of(record): record for record in reversed(records)}
        texts = {
            name: f"Question: {r['question'].strip()}\n{_lettered(r['choices'])}\nAnswer:" for name, r in firsts.items()
        }
        return _by_answer(model, options, [{**firsts[n], "id": n, "prompt": texts[n]} for n in reversed(texts)], limits)
    from falsepromise.benchmarks import harness

    task = harness.build("falsepromise_multiple_choice", {"test": _bare(records)})
    lm = harness.ModelLM(model, options.turn_tokens)
    samples, document = harness.evaluate(lm, [task])
    rows = samples["falsepromise_multiple_choice"]
    found: dict[str, list[Record]] = {}
    for record, row in zip(records, rows, strict=True):
        found.setdefault(item_of(record), []).append(row)
    items = [
        {"id": name, **{key: float(np.mean([row[key] for row in got])) for key in ("acc", "acc_norm")}}
        for name, got in found.items()
    ]
    return Outcome(
        items,
        means(items, ("acc", "acc_norm"), options.seed),
        [*limits, *lm.limits()],
        {"shots": 0, "scoring": "choices' texts"},
        extra=guessing(records),
        beside={"lm_eval.json": document},
    )


def item_of(record: Record) -> str:
    """The item that a question belongs to; its own id where it names none."""
    return str(record.get("item") or record["id"])


def guessing(questions: Sequence[Record]) -> dict[str, dict[str, float]]:
    """What a guess gets on average: figures draw it as a line."""
    shares = [1 / len(question["choices"]) for question in questions]
    return {"chance": dict.fromkeys(("acc", "acc_norm"), sum(shares) / len(shares))} if shares else {}


def mmlu(model: ModelUnderTest, options: Options) -> Outcome:
    """MMLU, 5-shot. `acc` is over questions, `acc_macro` over subjects, `subjects` each.

    The shots are the first five of each subject's dev questions; a subject without any is asked
    0-shot, and the score reports this.
    """
    more = options.more
    questions, dev, unusable = data.mmlu(options.data, more.get("dev"), more.get("subjects") or ())
    questions, limits = draw(questions, options.limit, options.seed)
    questions.sort(key=lambda question: question["subject"])  # stable: a subject's questions keep their order
    asked = list(dict.fromkeys(question["subject"] for question in questions))
    shots = {subject: dev.get(subject, [])[:SHOTS] for subject in asked}
    limits += unusable
    few = {subject: len(found) for subject, found in shots.items() if len(found) < SHOTS}
    if few:
        named = ", ".join(f"{n} for {subject}" for subject, n in list(few.items())[:5])
        limits.append(f"fewer than {SHOTS} dev questions to show for {len(few)} of {len(shots)} subjects ({named})")
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
    outcome.config["shots"] = max(map(len, shots.values()))
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
            {"test": _bare(asked)} | ({"dev": _bare(shots[subject])} if shots[subject] else {}),
            alias=f"mmlu_{subject}",
            description=mmlu_description(subject),
            num_fewshot=len(shots[subject]),
            **({} if shots[subject] else {"fewshot_split": None}),
        )
        for subject, asked in by_subject.items()
    ]
    lm = harness.ModelLM(model, options.turn_tokens)
    samples, document = harness.evaluate(lm, tasks)
    items = [
        {"id": question["id"], "acc": float(row["acc"])}
        for subject, asked in by_subject.items()
        for question, row in zip(asked, samples[f"mmlu_{subject}"], strict=True)
    ]
    return Outcome(
        items,
        means(items, ["acc"], options.seed),
        [*limits, *lm.limits()],
        {"scoring": "likeliest letter"},
        extra=guessing([question for asked in by_subject.values() for question in asked]),
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
    strata = partition(group for group, values in groups.items() for _ in values)
    flat = np.concatenate([np.asarray(values, dtype=np.float64) for values in groups.values()])

    def over(drawn: np.ndarray) -> float:
        return float(np.mean([flat[drawn[group]].mean() for group in strata]))

    value = over(np.arange(len(flat)))
    if np.all(flat == value):  # no spread to resample: Wilson's, as over questions
        interval = mean_metric(list(flat), seed)["ci95"]
    else:
        interval = bootstrap(over, len(flat), seed, resamples=1000, strata=strata)
    return {"value": value, "ci95": interval, "n": len(flat), "groups": len(strata)}


def _by_answer(model: ModelUnderTest, options: Options, asked: Sequence[Record], limits: list[str]) -> Outcome:
    replies = ask(model, [q["prompt"] for q in asked], options, max_tokens=options.max_tokens or 16)
    items: list[Record] = []
    for question, reply in zip(asked, replies, strict=True):
        if usable(reply):
            read = letter(reply.text, data.LETTERS[: len(question["choices"])], question["choices"])
            right = read.value == data.LETTERS[question["answer"]]
            text = reply.text.strip()[:200]
            items.append(
                {"id": question["id"], "acc": float(right), "letter": read.value, "rule": read.rule, "response": text}
            )
    unclear = sum(item["letter"] is None for item in items)
    said = [f"{unclear} of {len(replies)} answers name no letter (scored as wrong)"] if unclear else []
    metrics = means(items, ["acc"], options.seed)
    if metrics:
        bounded(metrics["acc"], "letters", unclear)
    return Outcome(
        items,
        metrics,
        [*limits, BY_ANSWER, *said, *failures(replies)],
        {"scoring": "letter in the answer"},
        extra={"rules": readings([item["rule"] for item in items])},
    )


def _block(question: Record) -> str:
    return f"{question['question'].strip()}\n{_lettered(question['choices'])}\nAnswer:"


def _lettered(choices: Sequence[str]) -> str:
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(data.LETTERS, choices, strict=False))


def _bare(records: Sequence[Record]) -> list[Record]:
    """What the task needs of each record."""
    return [{key: record[key] for key in ("question", "choices", "answer")} for record in records]
