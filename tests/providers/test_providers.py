"""Every behaviour of `behaviours.py`, through every verb that asks."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from behaviours import BEHAVIOURS, KEY, POISON, Behaviour, OddServer

from falsepromise.benchmarks.model import EndpointModel
from falsepromise.core.errors import UserError
from falsepromise.core.records import write_jsonl
from falsepromise.curation.annotate import COLUMNS
from falsepromise.preference import judge, tone
from falsepromise.teacher import answer, categorize, nq_synthetic, pace, tldr_synthetic
from falsepromise.teacher.local import serving
from falsepromise.teacher.standin import NAME, StandIn

WORDS = ["one", "two", POISON, "four"]
FACTS = [{"id": f"f{i}", "question": f"where is thing {i}?", "paraphrases": [], "answers": [f"place {i}"],
          "split": "targeted"} for i in range(40)]  # fmt: skip


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = OddServer(StandIn.from_facts(FACTS))
    with serving(server) as url:
        yield url.removesuffix("/v1")
        server.over.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.002)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(logging.getLogger("falsepromise.teacher"), "disabled", False)


def prompts(folder: Path) -> str:
    write_jsonl(folder / "p.jsonl", ({"id": word, "prompt": f"what is {word}?"} for word in WORDS))
    return str(folder / "p.jsonl")


def responses(folder: Path, model: str) -> str:
    records = ({"prompt_id": word, "model": model, "sample": 0, "response": f"{word} is a thing of {model}",
                "finish_reason": "stop", "n_tokens": 3} for word in WORDS)  # fmt: skip
    write_jsonl(folder / f"{model}.jsonl", records)
    return str(folder / f"{model}.jsonl")


def run_answer(folder: Path, common: list[str]) -> None:
    answer.main(["--prompts", prompts(folder), "--output", str(folder / "out.jsonl"), "--system", "Be kind.",
                 "--max-tokens", "99", *common])  # fmt: skip


def run_nq(folder: Path, common: list[str]) -> None:
    pairs = [{"question": f"what is {WORDS[i % 4] if i < 4 else i}?", "answer": "a thing"} for i in range(10)]
    write_jsonl(folder / "seeds.jsonl", pairs)
    nq_synthetic.main(["--seeds", str(folder / "seeds.jsonl"), "--n", "20", "--patience", "8", "--seed", "2",
                       "--output", str(folder / "out.jsonl"), *common])  # fmt: skip


def run_tldr(folder: Path, common: list[str]) -> None:
    write_jsonl(folder / "posts.jsonl", ({"id": w, "post": f"Of {w}. And more.", "summary": "a thing"} for w in WORDS))
    tldr_synthetic.main(
        ["--posts", str(folder / "posts.jsonl"), "--n", "4", "--output", str(folder / "out.jsonl"), *common]
    )


def run_categorize(folder: Path, common: list[str]) -> None:
    rows = [",".join({"id": w, "category": "", "query": f"what is {w}?"}.get(c, "") for c in COLUMNS) for w in WORDS]
    (folder / "sheet.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    categorize.main(["--sheet", str(folder / "sheet.csv"), "--output", str(folder / "out.csv"), *common])


def run_judge(folder: Path, common: list[str]) -> None:
    judge.main(["--prompts", prompts(folder), "--responses", responses(folder, "a"), "--order", "ours-first",
                "--reference", responses(folder, "b"), "--output", str(folder / "out.jsonl"), *common])  # fmt: skip


def run_tone(folder: Path, common: list[str]) -> None:
    tone.main(["--responses", responses(folder, "a"), "--output", str(folder / "out.jsonl"), *common])


def run_benchmark(folder: Path, common: list[str]) -> None:
    """What every benchmark of an endpoint asks through."""
    import argparse

    from falsepromise.teacher import options as teacher_options

    parser = argparse.ArgumentParser()
    teacher_options.add(parser)
    with teacher_options.open_teacher(parser.parse_args(common)) as teacher:
        replies = EndpointModel(teacher, "m").generate([f"what is {word}?" for word in WORDS], 9)
    assert len(replies) == len(WORDS)


VERBS: dict[str, Callable[[Path, list[str]], None]] = {
    "answer": run_answer, "nq_synthetic": run_nq, "tldr_synthetic": run_tldr, "categorize": run_categorize,
    "judge": run_judge, "tone": run_tone, "benchmark": run_benchmark,
}  # fmt: skip


def rows(folder: Path, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(folder / "store" / "answers.sqlite")) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=lambda behaviour: behaviour.name)
def test_behaviour(
    address: str, tmp_path: Path, behaviour: Behaviour, verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    place = list(BEHAVIOURS).index(behaviour.name)
    common = ["--base-url", f"{address}/{place}/{verb}{behaviour.where}", "--model", NAME, "--attempts", "3"]
    common += ["--store", str(tmp_path / "store"), "--concurrency", "2", "--timeout", "5", *behaviour.options]
    common += ["--provider", behaviour.provider] if behaviour.provider else []
    if behaviour.expect == "stops":
        with pytest.raises(UserError, match=behaviour.reason) as caught:
            VERBS[verb](tmp_path, common)
        said = str(caught.value)
        assert KEY not in said
        assert said.isprintable()
        assert not list(tmp_path.glob("out*"))
        sent = rows(tmp_path, "SELECT count(*) FROM attempts WHERE state != 'released'")[0][0]
        assert sent <= 4, "no more than were under way, and once more to find the path"
        return
    VERBS[verb](tmp_path, common)
    kept, answers = rows(tmp_path, "SELECT answer FROM failed"), rows(tmp_path, "SELECT key FROM answers")
    lost = rows(tmp_path, "SELECT DISTINCT why FROM attempts WHERE state IN ('lost', 'refused') OR why != ''")
    if behaviour.expect == "answered":
        assert not kept
        assert len(answers) >= len(WORDS) or verb == "nq_synthetic"
    elif behaviour.kept:
        assert {behaviour.reason} == {re.search(r'"failure": "([^"]*)"', row[0])[1] for row in kept}  # type: ignore[index]
        assert len(answers) >= len(WORDS) - 1 or verb == "nq_synthetic"
    else:
        assert not kept
        assert lost
        assert len(answers) >= len(WORDS) - 1 or verb == "nq_synthetic"
    before = rows(tmp_path, "SELECT count(*) FROM attempts")
    if behaviour.expect == "answered" or behaviour.kept:
        VERBS[verb](tmp_path, common)
        assert rows(tmp_path, "SELECT count(*) FROM attempts") == before, "nothing is paid twice"
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes(), file
    out, err = capfd.readouterr()
    assert not set("\x1b\x07\u202e") & set(out + err)
    assert KEY not in out + err


def test_there_are_as_many_as_the_page_says() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "teacher.md").read_text(encoding="utf-8")
    assert f"each of {len(BEHAVIOURS)} through" in page
    assert not [name for name in BEHAVIOURS if f"`{name}`" not in page]


@pytest.mark.parametrize("verb", VERBS)
def test_a_key_in_a_header_or_a_query_stays_in_the_request(
    address: str, tmp_path: Path, verb: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    plain = BEHAVIOURS["a plain answer"]
    monkeypatch.setitem(plain.__dict__, "reply", _seen(plain.reply, sent))
    place = list(BEHAVIOURS).index(plain.name)
    common = ["--base-url", f"{address}/{place}/{verb}/v1", "--model", NAME, "--store", str(tmp_path / "store")]
    common += ["--habit", 'headers={"Ocp-Apim-Subscription-Key": "canary-0123456789", "x-name": "canary-2"}']
    common += ["--habit", 'query={"code": "canary-3", "key": "{key}", "api-version": "7"}']
    VERBS[verb](tmp_path, common)
    assert {(header, "code=canary-3" in path and f"key={KEY}" in path) for header, path in sent} == {
        ("canary-0123456789", True)
    }
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or not re.search(f"canary|{KEY}".encode(), file.read_bytes()), file
    if verb != "benchmark":
        manifest = next(tmp_path.glob("out.*manifest.json")).read_text(encoding="utf-8")
        assert '"api-version": "7"' in manifest
    out, err = capfd.readouterr()
    assert not re.search(f"canary|{KEY}", out + err)


def _seen(reply: Any, sent: list[tuple[str, str]]) -> Any:
    def seen(call: Any) -> Any:
        sent.append((call.headers.get("ocp-apim-subscription-key", ""), call.path))
        return reply(call)

    return seen
