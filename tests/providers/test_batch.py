"""The batch API against a local server of the protocol, its states and its faults."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_jsonl, write_jsonl
from falsepromise.teacher import answer, nq_synthetic, pace, providers
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Prices, Request
from falsepromise.teacher.ledger import Limits
from falsepromise.teacher.local import serving
from falsepromise.teacher.standin import NAME, StandIn
from falsepromise.teacher.store import Answer, Store

ROOT = Path(__file__).resolve().parents[2]
N = 12
FACTS = [{"id": f"f{i}", "question": f"where is thing {i}?", "paraphrases": [], "answers": [f"place {i}"],
          "split": "targeted"} for i in range(40)]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.002)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")


@pytest.fixture
def server() -> Iterator[BatchServer]:
    server = BatchServer(StandIn.from_facts(FACTS))
    with serving(server):
        yield server


def requests(n: int = N) -> list[Request]:
    return [Request([{"role": "user", "content": f"where is thing {i}?"}], {"max_tokens": 50}) for i in range(n)]


def ask(server: BatchServer, folder: Path, n: int = N, **options: Any) -> tuple[list[Answer], Any]:
    with contextlib.closing(Store(folder)) as store:
        options = {"prices": Prices(1000.0, 1000.0), "batch_poll_s": 0.01, "batch": True, "attempts": 4, **options}
        url = options.pop("url", server.url)
        with Teacher(url, NAME, store, **options) as teacher:
            return list(teacher.ask_many(requests(n))), teacher.spent


def places(answers: list[Answer]) -> list[str]:
    return [answer.text for answer in answers]


GOOD = [f"place {i}" for i in range(N)]


def test_a_batch_is_answered_at_half_the_price_and_once(server: BatchServer, tmp_path: Path) -> None:
    answers, spent = ask(server, tmp_path)
    assert places(answers) == GOOD
    assert spent.answers == N
    assert spent.usd == pytest.approx(0.5 * spent.tokens / 1000)
    assert sum(answer.usd or 0 for answer in answers) == pytest.approx(spent.usd)
    calls = len(server.calls)
    again, spent = ask(server, tmp_path)
    assert places(again) == GOOD
    assert (spent.requests, len(server.calls)) == (0, calls)
    single, spent = ask(server, tmp_path, batch=False)
    assert (places(single), spent.requests) == (GOOD, 0), "the same store, whichever way"


def test_azure_has_its_own_paths(server: BatchServer, tmp_path: Path) -> None:
    server.file_status = "pending"
    habits = providers.habits("azure", NAME)
    answers, _ = ask(server, tmp_path, url=server.url.removesuffix("/v1"), habits=habits)
    assert places(answers) == GOOD
    assert b'"url": "/chat/completions"' in server.files["file-0"]
    assert "GET /files/file-0" in server.calls


@pytest.mark.parametrize(
    "faults",
    [
        {"POST /files": [500, "lost", 429]},
        {"POST /batches": [500, "lost"]},
        {"after POST /batches": ["lost"]},
        {"GET /batches/batch_N": [500, "lost", 503]},
        {"GET /files/file-N/content": [500, "lost"]},
    ],
    ids=lambda faults: next(iter(faults)),
)
def test_faults_of_the_api_pass(server: BatchServer, tmp_path: Path, faults: dict[str, list[Any]]) -> None:
    server.faults = faults
    answers, spent = ask(server, tmp_path)
    assert places(answers) == GOOD
    assert len(server.batches) == 1, "created once, though a reply was lost"
    assert set(server.billed.values()) == {1}
    assert spent.answers == N


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_an_unfinished_batch_left_is_asked_again(server: BatchServer, tmp_path: Path, end: str) -> None:
    server.ends = [end]
    answers, spent = ask(server, tmp_path)
    assert places(answers) == GOOD
    assert len(server.batches) == 2
    assert set(server.billed.values()) == {1}
    assert (spent.answers, spent.lost) == (N, 0)


def test_a_batch_that_never_ends_well_is_a_counted_loss(server: BatchServer, tmp_path: Path) -> None:
    server.ends, server.share = ["expired"] * 9, 0.0
    answers, spent = ask(server, tmp_path)
    assert {answer.failure for answer in answers} == {"no answer: its batch ended without it"}
    assert spent.usd == 0
    assert len(server.batches) == 3


def test_a_refused_file_ends_the_run_in_the_providers_words(server: BatchServer, tmp_path: Path) -> None:
    server.ends = ["failed"]
    with pytest.raises(UserError, match=r"failed: line 1 is too odd") as caught:
        ask(server, tmp_path)
    assert str(caught.value).isprintable()
    answers, _ = ask(server, tmp_path)
    assert places(answers) == GOOD


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ((401, {"message": "bad key"}), "is not accepted"),
        ((429, {"message": "x", "code": "insufficient_quota"}), "no quota left"),
        ((400, {"message": "endpoint not supported"}), "refused /files"),
        ((404, {"message": "nothing here"}), "has no batch API"),
    ],
)
def test_a_provider_that_refuses_ends_the_run(server: BatchServer, tmp_path: Path, error: Any, said: str) -> None:
    server.faults = {"POST /files": [error]}
    with pytest.raises(UserError, match=said):
        ask(server, tmp_path)
    assert not server.batches
    answers, _ = ask(server, tmp_path)
    assert places(answers) == GOOD, "nothing is left claimed"


def test_odd_lines_are_that_requests_loss(server: BatchServer, tmp_path: Path) -> None:
    body = {"id": "x", "model": NAME, "usage": {"prompt_tokens": 5, "completion_tokens": 5}}
    cut = {"message": {"content": "so"}, "finish_reason": "length"}
    server.lines = {
        "thing 1?": {"response": {"status_code": 400, "body": {"error": {"message": "too long"}}}},
        "thing 2?": {"response": {"status_code": 200, "body": {**body, "choices": [cut]}}},
        "thing 3?": {"response": {"status_code": 500, "body": {"error": {"message": "oops"}}}},
        "thing 4?": {"custom_id": "nobody", "response": {"status_code": 200, "body": body}},
        "thing 5?": "not JSON",
    }
    answers, spent = ask(server, tmp_path)
    failures = {i: answer.failure for i, answer in enumerate(answers) if answer.failure}
    assert failures[1] == "rejected: 400: too long"
    assert failures[2] == "length"
    assert set(failures) == {1, 2, 3, 4, 5}
    assert spent.answers == N - 5
    assert spent.lost >= 1, "said to be completed, and not in the file"


def test_a_provider_without_batches_is_refused_by_name(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no known batch API"):
        ask(server, tmp_path, habits=providers.habits("openrouter", NAME))
    write_jsonl(tmp_path / "p.jsonl", [{"id": "a", "prompt": "q"}])
    with pytest.raises(UserError, match="local teacher has no batch API"):
        answer.main(["--prompts", str(tmp_path / "p.jsonl"), "--store", str(tmp_path / "s"), "--batch",
                     "--output", str(tmp_path / "o.jsonl")])  # fmt: skip


def test_a_batch_keeps_to_the_limit_at_its_price(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_usd is 0\.2, and the next request would pass it"):
        ask(server, tmp_path, limits=Limits(usd=0.2))
    assert 0 < len(server.billed) < N
    answers, _ = ask(server, tmp_path, limits=Limits(usd=9.0))
    assert places(answers) == GOOD
    assert set(server.billed.values()) == {1}


def test_large_lots_become_several_batches(server: BatchServer, tmp_path: Path) -> None:
    habits = providers.habits("openai", NAME, {"batch_requests": 5})
    answers, _ = ask(server, tmp_path, habits=habits)
    assert places(answers) == GOOD
    assert len(server.batches) == 3


def test_a_verb_asks_in_batches_and_goes_on_after_a_kill(server: BatchServer, tmp_path: Path) -> None:
    """Killed with -9 while the batch is under way: the next run waits for that one and pays for nothing again."""
    write_jsonl(tmp_path / "p.jsonl", ({"id": str(i), "prompt": f"where is thing {i}?"} for i in range(N)))
    server.held = True
    arguments = ["--base-url", server.url, "--model", NAME, "--prompts", str(tmp_path / "p.jsonl"), "--batch"]
    arguments += ["--store", str(tmp_path / "s"), "--output", str(tmp_path / "o.jsonl"), "--batch-poll", "0.02"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    command = [sys.executable, "-m", "falsepromise.teacher.answer", *arguments]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not any(call.startswith("GET /batches/") for call in server.calls):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    server.held = False
    answer.main(arguments)
    assert [record["response"] for record in read_jsonl(tmp_path / "o.jsonl")] == GOOD
    assert len(server.batches) == 1
    assert set(server.billed.values()) == {1}


@pytest.mark.parametrize("state", ["made", "uploaded", "sent"])
def test_a_kill_before_the_batch_has_its_number(server: BatchServer, tmp_path: Path, state: str) -> None:
    """As a killed process leaves the store, at each of the states that it can die in."""
    script = (
        "import sys, os\nfrom falsepromise.teacher import batch\nfrom falsepromise.teacher.client import Teacher\n"
        "from falsepromise.teacher.cost import Request\nfrom falsepromise.teacher.store import Store\n"
        "mark, state = batch._Batches._mark, sys.argv[3]\n"
        "def dying(self, local, name, **values):\n"
        "    mark(self, local, name, **values)\n"
        "    if name == state: os.kill(os.getpid(), 9)\n"
        "batch._Batches._mark = dying\n"
        "if state == 'made': batch.BatchApi.upload = lambda *a: os.kill(os.getpid(), 9)\n"
        "asked = [Request([{'role': 'user', 'content': f'where is thing {i}?'}], {'max_tokens': 50})\n"
        "         for i in range(12)]\n"
        f"with Teacher(sys.argv[1], {NAME!r}, Store(sys.argv[2]), batch=True) as teacher:\n"
        "    list(teacher.ask_many(asked))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", script, server.url, str(tmp_path), state], env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    answers, spent = ask(server, tmp_path)
    assert places(answers) == GOOD
    assert set(server.billed.values()) == {1}
    assert spent.answers == N


def test_nq_synthetic_asks_in_batches(server: BatchServer, tmp_path: Path) -> None:
    nq_synthetic.main(["--base-url", server.url, "--model", NAME, "--store", str(tmp_path / "s"), "--n", "30",
                       "--batch", "--batch-poll", "0.01", "--output", str(tmp_path / "nq.jsonl")])  # fmt: skip
    assert len(list(read_jsonl(tmp_path / "nq.jsonl"))) == 30
    assert len(server.batches) <= 4
