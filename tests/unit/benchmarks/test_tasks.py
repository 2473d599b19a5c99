"""Each benchmark on its small files, with a model that says what it is told to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fake_model import FakeModel, text_of
from statsmodels.stats.proportion import proportion_confint

from falsepromise.benchmarks import choices, cnn, data, gsm8k, humaneval, nq, overlap, toxicity
from falsepromise.benchmarks.model import Reply
from falsepromise.benchmarks.outcome import Options, draw
from falsepromise.benchmarks.reading import ERRORS, Reading
from falsepromise.benchmarks.sandbox import Sandbox
from falsepromise.core.errors import UserError
from falsepromise.core.records import write_jsonl
from falsepromise.study.tasks import TASKS
from falsepromise.teacher.prompts import load


def values(outcome: Any) -> dict[str, float]:
    return {name: metric["value"] for name, metric in outcome.metrics.items()}


def test_each_task_has_a_form_of_its_lines_or_its_own_reader() -> None:
    own = {"mmlu", "humaneval", "lm_eval"}  # a folder, several lines a problem, the task's own data
    assert set(TASKS) == set(overlap.TASKS) == own | set(data.FORMS)
    assert {task for task, row in TASKS.items() if row.read} <= set(data.FORMS), "the reading room shows these"


def test_nq_prompt_is_table_8_and_the_question() -> None:
    text = nq.question_prompt(load("table8_natural_questions.txt"), " who wrote it ")
    assert text.startswith("You are a brief and concise question answering service and only answer questions with")
    assert "\nQ: Who discovered the first antibiotic, penicillin\nA: Alexander Fleming\nNow answer this" in text
    assert text.endswith("using only one to two words at most.\nQ: who wrote it\nA:")


def test_nq_scores_the_first_line_over_all_aliases(samples: Path) -> None:
    said = {
        "planet": " the planet Mercury\nQ: more",
        "hexagon": " Six.",
        "paint": " it is green",
        "tempest": " Marlowe",
    }
    model = FakeModel(lambda prompt: next(v for k, v in said.items() if k in prompt.rsplit("Q:", 1)[1]))
    outcome = nq.evaluate(model, Options(samples / "nq.jsonl"))
    assert values(outcome) == {"exact_match": 0.5, "contains_answer": 0.75}
    assert [item["id"] for item in outcome.items] == ["0", "1", "colour", "3"]
    assert outcome.metrics["exact_match"]["n"] == 4
    assert all(isinstance(prompt, str) for prompt in model.prompts)
    nq.evaluate(model, Options(samples / "nq.jsonl", turn_tokens=True))
    assert [message["role"] for message in model.prompts[0]] == ["user"]  # type: ignore[index]


def test_nq_with_another_prompt_says_so(samples: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("Question: {question}\nAnswer:\n")
    model = FakeModel(lambda prompt: "6" if "hexagon" in prompt else "?")
    outcome = nq.evaluate(model, Options(samples / "nq.jsonl", prompt=short))
    assert model.prompts[1] == "Question: how many sides does a hexagon have\nAnswer:"
    assert outcome.limits == ["prompt of short.txt, not the paper's"]
    short.write_text("Question:")
    with pytest.raises(UserError, match=r"has no \{question\}"):
        nq.evaluate(model, Options(samples / "nq.jsonl", prompt=short))


def test_prompts_that_do_not_fit(samples: Path) -> None:
    with pytest.raises(UserError, match=r"no prompt of .* fits into its context"):
        nq.evaluate(FakeModel(lambda _: "x", context=20), Options(samples / "nq.jsonl"))
    lengths = sorted(len(nq.question_prompt(load(nq.PROMPT), r["question"]).split()) for r in _records(samples))
    outcome = nq.evaluate(FakeModel(lambda _: "x", context=lengths[-1]), Options(samples / "nq.jsonl"))
    assert outcome.limits == ["1 of 4 replies: prompt too long (left out)"]
    assert outcome.metrics["exact_match"]["n"] == 3


def _records(samples: Path) -> list[dict[str, Any]]:
    return data.read_records(samples / "nq.jsonl", data.question)[0]


def test_a_rejected_request_is_left_out_and_said(samples: Path) -> None:
    model = FakeModel(lambda prompt: Reply("", "rejected") if "hexagon" in prompt else Reply("Mercury"), chat_only=True)
    outcome = nq.evaluate(model, Options(samples / "nq.jsonl"))
    assert outcome.metrics["exact_match"]["n"] == 3
    assert outcome.limits == ["1 of 4 replies: rejected (left out)"]
    assert not isinstance(model.prompts[0], str), "a chat endpoint gets messages"


def test_drawn_items_are_said_and_repeat() -> None:
    items, said = draw(list(range(100)), 10, 3)
    assert (items, said) == draw(list(range(100)), 10, 3)
    assert items == sorted(items)
    assert said == ["10 of 100 items, drawn with seed 3"]
    assert draw(list(range(100)), 10, 4)[0] != items
    assert draw(list(range(5)), 5, 0) == ([0, 1, 2, 3, 4], [])


def test_choices_of_a_chat_endpoint_are_letters(samples: Path) -> None:
    model = FakeModel(lambda prompt: "The answer is C." if "prime" in prompt else "A", chat_only=True)
    outcome = choices.multiple_choice(model, Options(samples / "multiple_choice.jsonl"))
    assert values(outcome) == {"acc": pytest.approx(2 / 3)}
    assert choices.BY_ANSWER in outcome.limits
    assert text_of(model.prompts[1]) == "Question: Which animal lays eggs?\nA. hen\nB. cow\nAnswer:"


def test_an_endpoint_is_asked_once_an_item(tmp_path: Path) -> None:
    questions = [
        {"id": f"{q}/{n}", "item": q, "question": q, "choices": [f"x{n}", "y"], "answer": 0}
        for q in "ab"
        for n in (0, 1)
    ]
    write_jsonl(tmp_path / "draws.jsonl", questions)
    model = FakeModel(lambda prompt: "A" if "Question: a" in prompt else "B", chat_only=True)
    outcome = choices.multiple_choice(model, Options(tmp_path / "draws.jsonl"))
    assert {item["id"]: item["acc"] for item in outcome.items} == {"a": 1.0, "b": 0.0}
    assert ["x0" in text_of(prompt) for prompt in model.prompts] == [True, True]


def test_mmlu_by_answers_has_subjects_and_macro(samples: Path) -> None:
    def answer(prompt: str) -> str:
        asked = prompt.rsplit("\n\n", 1)[1]
        sums = re.match(r"What is (\d+) \+ (\d+)\?", asked)
        if not sums:
            return "no idea"
        right = str(int(sums[1]) + int(sums[2]))
        return next(line[0] for line in asked.split("\n") if line.endswith(f". {right}"))

    model = FakeModel(answer, chat_only=True)
    outcome = choices.mmlu(model, Options(samples / "mmlu"))
    assert values(outcome) == {"acc": pytest.approx(8 / 12), "acc_macro": 0.5}
    assert outcome.extra["subjects"]["simple_sums"]["value"] == 1.0
    assert "4 of 12 answers name no letter (scored as wrong)" in outcome.limits
    first = text_of(model.prompts[0])
    assert first.startswith("The following are multiple choice questions (with answers) about plain words.\n\n")
    assert first.count("Answer:") == 6
    only = choices.mmlu(model, Options(samples / "mmlu", more={"subjects": ["simple_sums"]}))
    assert values(only) == {"acc": 1.0, "acc_macro": 1.0}


def test_gsm8k_has_six_shots_and_two_matches(samples: Path) -> None:
    model = FakeModel(lambda prompt: " It is 12.\n#### 12\nQ: next" if "Ada" in prompt else " So $1,200.0 in all.")
    outcome = gsm8k.evaluate(model, Options(samples / "gsm8k.jsonl"))
    assert values(outcome) == {"exact_match_strict": 0.5, "exact_match_flexible": 1.0, "exact_match": 1.0}
    prompt = text_of(model.prompts[0])
    assert len(re.findall(r"^Q: ", prompt, re.MULTILINE)) == 7
    assert prompt.count("\n####") == 6
    assert prompt.endswith("How many apples does she have?\nA:")


def test_a_chat_models_score_has_the_readers_error_as_a_bound(samples: Path) -> None:
    talking = FakeModel(lambda _: "The answer is 12, found in 3 steps.", chat_only=True)
    outcome = gsm8k.evaluate(talking, Options(samples / "gsm8k.jsonl"))
    assert values(outcome) == {"exact_match_strict": 0.0, "exact_match_flexible": 0.0, "exact_match": 0.5}
    reading = outcome.metrics["exact_match"]["reading"]
    wrong, of = ERRORS["numbers"]
    rate = proportion_confint(wrong, of, method="wilson")[1]
    assert reading["error_rate_at_most"] == pytest.approx(rate)
    assert reading["bounds"] == pytest.approx([0.5 - rate, 0.5 + rate])
    silent = FakeModel(lambda _: "Hm.", chat_only=True)
    unread = gsm8k.evaluate(silent, Options(samples / "gsm8k.jsonl")).metrics["exact_match"]["reading"]
    assert (unread["unreadable"], unread["bounds"]) == (2, [0.0, 1.0])
    assert "reading" in nq.evaluate(silent, Options(samples / "nq.jsonl")).metrics["contains_answer"]
    base = gsm8k.evaluate(FakeModel(lambda _: "12"), Options(samples / "gsm8k.jsonl"))
    assert "reading" not in base.metrics["exact_match"]


def test_gsm8k_responses_alone(samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "score.json"
    gsm8k.main(["--responses", str(samples / "gsm8k_responses.jsonl"), "--output", str(output)])
    score = json.loads(output.read_text())
    assert score["metrics"]["exact_match_strict"]["value"] == 0.5
    assert score["metrics"]["exact_match_flexible"]["value"] == 0.5
    assert [item["exact_match_strict"] for item in score["items"]] == [1.0, 0.0, 1.0, 0.0]
    assert [item["exact_match_flexible"] for item in score["items"]] == [1.0, 1.0, 0.0, 0.0]
    assert score["model"] == "gsm8k_responses"
    assert score["manifest"]["made_by"] == "falsepromise.benchmarks.gsm8k"


def test_cnn_rouge_is_rouge_scores(samples: Path) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    said = " \n\nThe library opens a new wing.\n\nArticle: another"
    outcome = cnn.evaluate(FakeModel(lambda _: said), Options(samples / "cnn.jsonl"))
    reference = RougeScorer(list(cnn.METRICS), use_stemmer=True)
    highlights = [json.loads(line)["highlights"] for line in (samples / "cnn.jsonl").read_text().splitlines()]
    for item, text in zip(outcome.items, highlights, strict=True):
        expected = reference.score(text, "The library opens a new wing.")
        assert {m: item[m] for m in cnn.METRICS} == {m: expected[m].fmeasure for m in cnn.METRICS}
    assert outcome.items[0]["rouge1"] >= 0.5 > outcome.items[1]["rouge1"]
    assert outcome.limits == []


def test_rouge_lsum_is_over_sentences() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    said = "He left at 5 p.m. on Monday, Mr. Smith said. The U.S. team won 3.5 million! Was it fair?"
    lines = "He left at 5 p.m. on Monday, Mr. Smith said.\nThe U.S. team won 3.5 million!\nWas it fair?"
    assert cnn.sentences(said) == cnn.sentences(lines) == lines
    highlights = "The team won millions .\nMr. Smith left on Monday at 5 ."
    expected = RougeScorer(["rougeL", "rougeLsum"], use_stemmer=True).score(highlights, lines)
    found = cnn.rouge(said, highlights)
    assert found["rougeLsum"] == expected["rougeLsum"].fmeasure > found["rougeL"] == expected["rougeL"].fmeasure
    assert cnn.rouge("", highlights) == dict.fromkeys(cnn.METRICS, 0.0)


def test_cnn_cuts_the_articles_end_to_fit(samples: Path) -> None:
    whole = FakeModel(lambda _: "x")
    cnn.evaluate(whole, Options(samples / "cnn.jsonl", max_tokens=10))
    longest = max(len(text_of(prompt).split()) for prompt in whole.prompts)
    tight = FakeModel(lambda _: "x", context=longest + 10 - 7)
    outcome = cnn.evaluate(tight, Options(samples / "cnn.jsonl", max_tokens=10))
    sizes = [len(text_of(prompt).split()) for prompt in tight.prompts]
    assert max(sizes) == longest - 7, "as much is kept as fits"
    assert outcome.limits == [f"{sum(a != b for a, b in zip(whole.prompts, tight.prompts, strict=True))} of 2 articles "
                              "lost their end to fit the context"]  # fmt: skip
    assert text_of(tight.prompts[0]).endswith("\n\nTL;DR:")
    assert "Article: The town library opened" in text_of(tight.prompts[0])


def stored(tmp_path: Path, **scores: float) -> dict[str, Any]:
    file = tmp_path / "stored.jsonl"
    file.write_text("".join(json.dumps({"text": k.replace("_", " "), "toxicity": v}) + "\n" for k, v in scores.items()))
    return {"scorer": "stored", "scorer_file": file}


def test_toxicity_with_stored_scores(samples: Path, tmp_path: Path) -> None:
    replies = {"neighbours": " was nice.", "referee": " he was a fool.", "terrible": "  "}
    model = FakeModel(lambda prompt: next(v for k, v in replies.items() if k in prompt))
    options = Options(samples / "toxicity.jsonl", more=stored(tmp_path, **{"was_nice.": 0.1, "he_was_a_fool.": 0.7}))
    outcome = toxicity.evaluate(model, options)
    assert values(outcome) == {"nontoxicity": pytest.approx(0.6)}
    assert outcome.metrics["nontoxicity"]["n"] == 2
    assert outcome.limits == ["1 of 3 continuations without a score: empty continuation"]
    assert outcome.extra == {"scorer": "stored scores (stored.jsonl)"}
    assert (model.sampling["temperature"], model.sampling["exact_length"]) == (0.0, True)


def test_toxicity_over_samples(samples: Path, tmp_path: Path) -> None:
    said = iter(["calm", "rude", "calm", "calm", "calm", "unheard"])
    model = FakeModel(lambda _: next(said))
    options = Options(samples / "toxicity.jsonl", samples=2, more=stored(tmp_path, calm=0.1, rude=0.9))
    outcome = toxicity.evaluate(model, options)
    assert values(outcome) == {
        "nontoxicity": pytest.approx((0.5 + 0.9 + 0.9) / 3),
        "expected_max_toxicity": pytest.approx(0.5),  # of the two prompts whose samples all have a score
        "toxicity_probability": 0.5,
    }
    assert "1 of 6 continuations without a score: not among the stored scores" in outcome.limits
    assert model.sampling["top_p"] == 0.9
    assert len(set(model.sampling["seeds"])) == 6


def test_a_local_scorer_is_compared_with_stored_scores() -> None:
    class Half:
        name, local, inputs = "half 1.0", True, []

        def score(self, texts: list[str]) -> list[float | str]:
            return [float(text) / 2 for text in texts]

    rows = [{"prompt": {"text": str(i / 20), "toxicity": i / 20}} for i in range(20)]
    (said,) = toxicity.agreement(Half(), rows)
    assert "on the 20 prompts" in said
    assert "r is 1.00" in said
    assert toxicity.agreement(Half(), rows[:5]) == []


def test_humaneval_completes_cuts_and_runs(samples: Path, tmp_path: Path) -> None:
    problems = {k: v for k, v in data.read_problems(None).items() if k in ("HumanEval/23", "HumanEval/35")}
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(problem) + "\n" for problem in problems.values()))
    model = FakeModel(
        lambda prompt: "    return len(string)\n\ndef other(" if "string" in prompt else "    return l[0]\n"
    )
    outcome = humaneval.evaluate(model, Options(file))
    assert values(outcome) == {"pass@1": 0.5}
    assert [item["passed"] for item in outcome.items] == [1, 0]
    assert outcome.items[1]["failure"].startswith("AssertionError")
    assert [item["completions"] for item in outcome.items] == [["    return len(string)\n"], ["    return l[0]\n"]]


def test_humaneval_with_second_tests_and_problems_of_ones_own(tmp_path: Path) -> None:
    def problem(name: str, prompt: str, solution: str, test: str) -> dict[str, str]:
        test = f"def check(f):\n    {test}\n"
        return {"task_id": name, "prompt": prompt, "canonical_solution": solution, "test": test, "entry_point": "f"}

    problems = [
        problem("right", "def f(x):\n    # Twice x.\n", "    return x + x\n", "assert f(2) == 4"),
        problem("square", "def f(x, y=2):\n    # x times y.\n", "    return x * y\n", "assert f(2) == 4"),
        problem("in place", "def f(xs):\n    # Sort.\n", "    xs.sort()\n", "a = [2, 1]; f(a); assert a == [1, 2]"),
    ]
    tests = {"right": "assert f(3) == 6", "square": "assert f(3, 3) == 9", "in place": "assert f([]) is None"}
    own, extra = tmp_path / "own.jsonl", tmp_path / "extra.jsonl"
    own.write_text("".join(json.dumps(p) + "\n" for p in problems))
    extra.write_text(
        "".join(json.dumps({"task_id": k, "test": f"def check(f):\n    {v}\n"}) + "\n" for k, v in tests.items())
    )
    outcome = humaneval.evaluate(FakeModel(lambda _: "    return x + x\n"), Options(own, more={"extra_tests": extra}))
    assert values(outcome) == {"pass@1": 1.0, "pass@1_extra": 0.5}
    assert [item["passed_extra"] for item in outcome.items] == [1, 0]
    assert outcome.inputs == [extra]
    assert "1 of 3 problems can't be judged: their canonical solutions fail here (in place: " in outcome.limits[0]
    samples, score = tmp_path / "samples.jsonl", tmp_path / "score.json"
    samples.write_text("".join(json.dumps({"task_id": p["task_id"], "completion": p["canonical_solution"]}) + "\n"
                               for p in problems))  # fmt: skip
    files = ["--samples", str(samples), "--problems", str(own), "--extra-tests", str(extra)]
    humaneval.main([*files, "--output", str(score)])
    assert json.loads(score.read_text())["metrics"]["pass@1_extra"]["value"] == 1.0


def test_humaneval_without_a_sandbox_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, "works", lambda self: False)
    model = FakeModel(lambda _: "    pass")
    with pytest.raises(UserError, match="no sandbox"):
        humaneval.evaluate(model, Options(None))  # type: ignore[arg-type]
    outcome = humaneval.evaluate(model, Options(None, more={"on_no_sandbox": "skip"}))  # type: ignore[arg-type]
    assert outcome.metrics == {}
    assert "no sandbox" in outcome.extra["not_scored"]
    assert model.prompts == [], "nothing is generated for nothing"


def test_humaneval_samples_of_others(samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "score.json"
    humaneval.main(["--samples", str(samples / "humaneval_samples.jsonl"), "--output", str(output), "--name", "m"])
    score = json.loads(output.read_text())
    assert score["metrics"]["pass@1"]["value"] == 0.5
    assert score["metrics"]["pass@1"]["n"] == 2
    assert "162 of 164 problems have no sample" in score["limits"]


def test_a_program_is_read_with_its_rule() -> None:
    problem = {"prompt": "def f():\n", "entry_point": "f"}
    assert humaneval.read_program(problem, "    return 1\n").rule == "as it stands"
    whole = "def f():\n    return 1\n"
    assert humaneval.read_program(problem, "    return 1\n", continues=False) == Reading(whole, "continuation")
    thoughtful = "<think>def f(): return 2</think>```\ndef f():\n    return 1\n```"
    assert humaneval.read_program(problem, thoughtful, False).value == whole
    assert humaneval.read_program(problem, "I can't.").rule == "unreadable"


def test_letters_carry_their_rules_and_a_bound(samples: Path) -> None:
    said = {"prime": "<think>A? B?</think>The answer is C.", "eggs": "<think>It may be A, or", "": "I don't know."}
    model = FakeModel(lambda prompt: next(v for k, v in said.items() if k in prompt), chat_only=True)
    outcome = choices.multiple_choice(model, Options(samples / "multiple_choice.jsonl"))
    assert [item["rule"] for item in outcome.items] == ["the answer is", "unreadable"]
    assert outcome.extra["rules"] == {"the answer is": 1, "unreadable": 1}
    assert "1 of 3 replies: cut off (left out)" in outcome.limits
    low, high = outcome.metrics["acc"]["reading"]["bounds"]
    assert low < outcome.metrics["acc"]["value"] == 0.5 < high == 1.0


def test_nq_of_a_chat_model_skips_an_empty_line(samples: Path) -> None:
    model = FakeModel(lambda _: "\n\nMercury\nis a planet", chat_only=True)
    outcome = nq.evaluate(model, Options(samples / "nq.jsonl"))
    assert outcome.items[0]["exact_match"] == 1.0
    assert outcome.items[0]["rule"] == "first line"
