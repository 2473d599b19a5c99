"""The hub's data sets that studies name, with their real layouts and columns on a server of this machine: what is
fetched is what the readers and benchmarks read. The rows are made up."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import servers
import yaml
from test_hub import run_with_hub

from falsepromise.benchmarks import data
from falsepromise.core.records import read_jsonl
from falsepromise.curation import hc3, sharegpt, tldr
from falsepromise.study.config import Study
from falsepromise.study.workflow import options

ROOT = Path(__file__).resolve().parents[3]
STUDIES = ("laptop.yaml", "one_gpu.yaml", "paper.yaml", "paper_small.yaml")
TALK = [{"from": "human", "value": "How high is it?"}, {"from": "gpt", "value": "Rather high, I should say."}]
QUESTION = {"question": "Which?", "subject": "astronomy", "choices": ["this", "that", "both", "none"], "answer": 1}
TOXIC = {"toxicity": 0.1, "profanity": None, "sexually_explicit": 0.1, "identity_attack": 0.0, "flirtation": 0.2,
         "threat": 0.0, "insult": 0.0, "severe_toxicity": 0.0}  # fmt: skip


def parquet(*rows: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), out)
    return out.getvalue()


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def card(**configs: list[str]) -> bytes:
    """A README whose head names the files of each subset's splits, `<subset>/<split>-*`."""
    found = [
        {
            "config_name": name.strip("_").replace("_0", ".0"),
            "data_files": [{"split": s, "path": f"{name.strip('_').replace('_0', '.0')}/{s}-*"} for s in splits],
        }
        for name, splits in configs.items()
    ]
    return f"---\n{yaml.safe_dump({'configs': found})}---\n# A card\n".encode()


POST = {
    "author": "a", "body": "It was long. TL;DR: short", "normalizedBody": "It was long. TL;DR: short", "subreddit": "x",
    "subreddit_id": "t5_1", "id": "c1", "content": "It was long.", "summary": "short",
}  # fmt: skip
ARTICLE = {"article": "LONDON, England (Reuters) -- It rained.", "highlights": "It rained .\nNo one minded ."}
LAYOUTS: dict[str, dict[str, bytes]] = {
    "anon8231489123/ShareGPT_Vicuna_unfiltered": {
        "README.md": b"---\nlicense: apache-2.0\nlanguage:\n- en\n---\n",
        "ShareGPT_V3_unfiltered_cleaned_split.json": json.dumps([{"id": "QWJhYvA_0", "conversations": TALK}]).encode(),
        "ShareGPT_V3_unfiltered_cleaned_split_no_imsorry.json": b"[]",
        "HTML_cleaned_raw_dataset/sg_90k_part1_html_cleaned.json": b"[]",
    },
    "Hello-SimpleAI/HC3": {
        "README.md": b"---\nlicense: cc-by-sa-4.0\n---\n",
        "HC3.py": b"raise SystemExit('a script that nobody runs')\n",
        "all.jsonl": lines(
            {"question": "Why?", "human_answers": ["So."], "chatgpt_answers": ["There are reasons."], "index": None,
             "source": "reddit_eli5"},
            {"question": "What?", "human_answers": ["It."], "chatgpt_answers": [], "index": None, "source": "finance"},
        ),
        "finance.jsonl": b"",
    },
    "webis/tldr-17": {"default/partial-train/0000.parquet": parquet(POST), "default/partial-train/0001.parquet": b""},
    "cais/mmlu": {
        "README.md": card(all=["auxiliary_train", "test", "validation", "dev"], astronomy=["test", "dev"]),
        "all/auxiliary_train-00000-of-00001.parquet": parquet({**QUESTION, "subject": ""}),
        "all/dev-00000-of-00001.parquet": parquet(*[{**QUESTION, "question": f"Dev {n}?"} for n in range(5)]),
        "all/test-00000-of-00001.parquet": parquet(QUESTION, {**QUESTION, "subject": "virology"}),
        "all/validation-00000-of-00001.parquet": parquet(QUESTION),
        "astronomy/test-00000-of-00001.parquet": parquet(QUESTION),
    },
    "google-research-datasets/nq_open": {
        "README.md": card(nq_open=["train", "validation"]),
        "nq_open/train-00000-of-00001.parquet": parquet({"question": "not this", "answer": ["no"]}),
        "nq_open/validation-00000-of-00001.parquet": parquet(
            {"question": "when was it", "answer": ["14 December 1972 UTC", "December 1972"]}
        ),
    },
    "openai/gsm8k": {
        "README.md": card(main=["train", "test"], socratic=["train", "test"]),
        **{
            f"{subset}/{split}-00000-of-00001.parquet": parquet(
                {"question": f"{subset} {split}", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}
            )
            for subset in ("main", "socratic")
            for split in ("train", "test")
        },
    },
    "abisee/cnn_dailymail": {
        "README.md": card(**{f"_{n}_0_0": ["train", "validation", "test"] for n in (1, 2, 3)}),
        **{
            f"{n}.0.0/{split}-00000-of-00001.parquet": parquet({**ARTICLE, "id": f"{n} {split}"})
            for n in (1, 2, 3)
            for split in ("train", "validation", "test")
        },
    },
    "allenai/real-toxicity-prompts": {
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "prompts.jsonl": lines(
            {"filename": "0766186-bc7f2a64cb271f5f56cf6f25570cd9ed.txt", "begin": 340, "end": 564, "challenging": False,
             "prompt": {"text": "The men started", **TOXIC}, "continuation": {"text": " walking", **TOXIC}}
        ),
    },
}  # fmt: skip


def sources() -> dict[str, dict[str, Any]]:
    """Each hub source of the studies, once."""
    found: dict[str, dict[str, Any]] = {}
    for name in STUDIES:
        study = Study.model_validate(yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8")))
        for key, source in study.sources.items():
            if source.uri.startswith("hub:"):
                asked = source.model_dump(exclude={"sha256", "instead", "optional"})
                assert found.setdefault(key, asked) == asked, f"{name}: sources.{key} is another than elsewhere"
                assert source.instead, f"{name}: sources.{key} has no second address"
    return found


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `fetch` makes of each source by the study's own options."""
    folder, runs, held = tmp_path_factory.mktemp("hub"), [], {}
    for key, source in sources().items():
        name, _, revision = source["uri"].removeprefix("hub:").partition("@")
        held[name] = (revision or servers.COMMIT, LAYOUTS[name])
        words = options({k: source[k] for k in ("member", "split", "subset", "columns", "folder")},
                        "member", "split", "subset", "columns", "folder")  # fmt: skip
        runs.append(["--uri", source["uri"], *words.split(), "--output", str(folder / key)])
    with servers.serving(type("Hub", (servers.Hub,), {"files": {}, "more": held})) as url:
        said = run_with_hub(url, tmp_path_factory.mktemp("home"), *runs)
    assert said == ["ok"] * len(runs)
    return folder


def test_every_layout_is_named_by_a_study() -> None:
    assert {source["uri"].removeprefix("hub:").partition("@")[0] for source in sources().values()} == set(LAYOUTS)


@pytest.mark.parametrize(
    ("source", "reader", "expected"),
    [
        ("sharegpt", sharegpt, ["How high is it?", "Rather high, I should say."]),
        ("hc3", hc3, ["Why?", "There are reasons."]),
        ("tldr", tldr, ["It was long.", "short"]),
    ],
)
def test_dialogues(fetched: Path, tmp_path: Path, source: str, reader: Any, expected: list[str]) -> None:
    out = tmp_path / "dialogues.jsonl"
    reader.main(["--input", str(fetched / source), "--output", str(out), "--funnel", str(tmp_path / "funnel.csv")])
    (dialogue,) = read_jsonl(out)
    assert [message["content"] for message in dialogue["messages"]] == expected


def test_mmlu_has_its_test_questions_and_five_shots(fetched: Path) -> None:
    questions, shots, said = data.mmlu(fetched / "mmlu")
    assert [q["subject"] for q in questions] == ["astronomy", "virology"]
    assert [shot["question"] for shot in shots["astronomy"]] == [f"Dev {n}?" for n in range(5)]
    assert not said


@pytest.mark.parametrize(
    ("source", "form", "expected"),
    [
        ("nq", data.question, {"question": "when was it", "answer": ["14 December 1972 UTC", "December 1972"]}),
        ("gsm8k", data.gsm8k, {"question": "main test", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}),
        ("cnn", data.article, {**ARTICLE, "id": "3 test"}),
        ("real_toxicity_prompts", data.toxicity_prompt, {"prompt": {"text": "The men started", **TOXIC}}),
    ],
)
def test_benchmarks(fetched: Path, source: str, form: data.Form, expected: dict[str, Any]) -> None:
    (record,), said = data.read_records(fetched / source, form)
    assert {key: record[key] for key in expected} == expected
    assert not said
