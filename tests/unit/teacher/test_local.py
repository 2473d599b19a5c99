"""The stand-in behind the protocol, asked by the real client package and by hand."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from falsepromise.core.errors import UserError
from falsepromise.teacher import local
from falsepromise.teacher.standin import NAME, StandIn, count_tokens

MESSAGES: list[Any] = [{"role": "user", "content": "what is the capital of Land5?"}]


@pytest.fixture
def url(known: StandIn) -> Iterator[str]:
    with local.serving(local.Server(known)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=openai.DefaultHttpxClient(trust_env=False)
    ) as client:
        yield client


def post(url: str, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request("POST", path, body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_the_openai_package_reads_answer_and_usage(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model=NAME, messages=MESSAGES, n=2, temperature=1.0)
    assert [choice.message.content for choice in completion.choices] == ["City5", "City5"]
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == count_tokens(MESSAGES[0]["content"]) == 7
    assert completion.usage.total_tokens == 7 + 2
    assert [model.id for model in client.models.list()] == [NAME]


def test_bounds_and_stops_are_obeyed(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "who knows?"}]
    cut = client.chat.completions.create(model=NAME, messages=messages, max_tokens=2).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("I don", "length")
    stopped = client.chat.completions.create(model=NAME, messages=messages, stop=" know").choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("I don't", "stop")


def test_an_unknown_model_is_a_404(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{not json", None),
        (b"[]", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b"{}", "model"),
        (json.dumps({"model": NAME}).encode(), "messages"),
        (json.dumps({"model": NAME, "messages": []}).encode(), "messages"),
        (json.dumps({"model": NAME, "messages": [{"role": "king", "content": ""}]}).encode(), "messages"),
        (json.dumps({"model": NAME, "messages": [{"role": "user", "content": 1}]}).encode(), "messages"),
        (json.dumps({"model": NAME, "messages": MESSAGES, "n": 0}).encode(), "n"),
        (json.dumps({"model": NAME, "messages": MESSAGES, "max_tokens": "x"}).encode(), "max_tokens"),
        (json.dumps({"model": NAME, "messages": MESSAGES, "stop": 1}).encode(), "stop"),
        (json.dumps({"model": NAME, "messages": MESSAGES, "stream": True}).encode(), "stream"),
    ],
)
def test_a_malformed_request_is_a_400_with_an_error_object(url: str, body: bytes, param: str | None) -> None:
    status, reply = post(url, body)
    assert status == 400
    assert reply["error"]["type"] == "invalid_request_error"
    assert reply["error"]["param"] == param
    assert reply["error"]["message"]


def test_an_unknown_path_is_a_404(url: str) -> None:
    assert post(url, b"{}", "/v1/nothing")[0] == 404


def test_a_taken_port_is_one_line() -> None:
    with local.serving(local.Server(StandIn())) as url:
        port = urlsplit(url).port
        assert port is not None
        with pytest.raises(UserError, match=f"--port {port}: can't listen"):
            local.Server(StandIn(), port)


def test_the_child_ends_with_its_parent_even_when_that_is_killed(facts: Path) -> None:
    script = (
        "import time, sys\nfrom falsepromise.teacher import local\n"
        "with local.child(sys.argv[1]) as url:\n    print(url, flush=True)\n    time.sleep(60)\n"
    )
    root = str(Path(local.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(facts)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        body = json.dumps({"model": NAME, "messages": MESSAGES}).encode()
        assert post(url, body)[1]["choices"][0]["message"]["content"] == "City5"
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    with pytest.raises(OSError, match=r"refused|reset"):  # noqa: PT012 - it ends a moment later
        while time.monotonic() < deadline:
            post(url, body)
            time.sleep(0.05)


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    wrong = tmp_path / "facts.jsonl"
    wrong.write_text('{"id": 1}\n')
    with pytest.raises(UserError, match=r"facts\.jsonl, line 1: 'id' is 1"), local.child(wrong):
        pass


def test_identity_follows_rules_and_facts_not_the_port(facts: Path) -> None:
    before = local.identity(facts)
    assert before == local.identity(facts) != local.identity(None)
    facts.write_text(facts.read_text().replace("City5", "Town5"))
    assert local.identity(facts) != before
