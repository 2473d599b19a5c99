"""An API that breaks the protocol on a real socket: each reply is an answer, a counted failure or one line, in time."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from falsepromise.benchmarks import toxicity_scorers
from falsepromise.core.errors import UserError
from falsepromise.generation.endpoint import served_model
from falsepromise.preference import judge
from falsepromise.teacher import answer

GOOD = {
    "model": "m", "usage": {"prompt_tokens": 5, "completion_tokens": 1},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}  # fmt: skip
Behaviour = bytes | Callable[[socket.socket], None]


def reply(body: str | bytes, status: str = "200 OK", head: bytes = b"") -> bytes:
    body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    start = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return start.encode("latin-1") + head + b"Connection: close\r\n\r\n" + body


def changed(**keys: object) -> bytes:
    return reply(json.dumps({**GOOD, **keys}))


def said(content: object, **keys: object) -> bytes:
    choice = {**GOOD["choices"][0], "message": {"role": "assistant", "content": content}, **keys}
    return changed(choices=[choice])


def refused(error: object, status: str = "400 x", head: bytes = b"") -> bytes:
    return reply(json.dumps({"error": error}), status, head)


def drip(start: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.1)

    return send


def flood(start: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return send


OK = b"HTTP/1.1 200 OK\r\n"
REPLIES: dict[str, Behaviour] = {
    **{f"body {body[:20]!r}": reply(body) for body in (
        "null", "[]", "5", '"x"', "", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"choices":NaN}', "<html><script>",
        json.dumps(GOOD) * 2, '{"usage":{"prompt_tokens":1e999},"choices":[]}', '{"\\ud800":1}',
        "[" + "[]," * 10**6 + "[]]",
    )},
    **{f"choices {value!r:.20}": changed(choices=value) for value in ({}, None, "abc", [], [[]], [None], [{}] * 10**5)},
    **{f"content {value!r:.20}": said(value) for value in (
        [[[]]], 5, {"a": 1}, None, "a\0b\x1b[2J", "<think>" * 10**5, [{"type": "text", "text": [1]}],
    )},
    "content of half pairs": said("@").replace(b'"@"', b'"\\ud800"').replace(b"hello", b""),
    **{f"finish {value!r:.20}": said("x", finish_reason=value) for value in ([1], {}, 5, "x" * 10**6)},
    **{f"usage {value!r:.20}": changed(usage=value) for value in (
        "x", [1], *({"prompt_tokens": count} for count in (-5, "\u00b2", 10**300, [1])),
    )},
    **{f"error {value!r:.20}": refused(value) for value in (
        "x", [1], {"code": [1], "type": {}}, {"message": {"a": [1]}}, {"message": "m", "innererror": {"code": [1]}},
        {"details": [{"retryDelay": "1e999s"}, {"violations": [5, {"quotaId": [1]}]}]}, {"metadata": {"headers": [1]}},
    )},
    **{f"Retry-After {value!r:.20}": refused("slow", "429 x", b"Retry-After: " + value + b"\r\n") for value in (
        b"\xb2", b"nan", b"-5", b"9" * 60_000, b"Fri, 99 Foo 99999 99:99:99 GMT",
    )},
    "a bomb": reply(gzip.compress(b" " * (64 << 20)), head=b"Content-Encoding: gzip\r\n"),
    "packed and cut": reply(gzip.compress(b"{}" * 99)[:-9], head=b"Content-Encoding: gzip\r\n"),
    "packed otherwise": reply(b"xx", head=b"Content-Encoding: br\r\n"),
    **{f"redirect {to!r:.30}": OK.replace(b"200 OK", b"307 x") + b"Location: " + to + b"\r\nContent-Length: 0\r\n\r\n"
       for to in (b"http://[", b"http://127.0.0.1:99999999/", b"file:///etc/passwd", b"\x1b[2J\xff", b"//x@o.example")},
    "no HTTP": b"SSH-2.0-x\r\n",
    "nothing": b"",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length of a square": OK + b"Content-Length: \xb2\r\n\r\n{}",
    "short": OK + b"Content-Length: 500\r\n\r\n{}",
    "a huge piece": OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "many headers": OK + b"".join(b"X%d: 1\r\n" % number for number in range(100_000)) + b"\r\n{}",
    "events": reply('data: {"a":1}\n\n' * 10_000),
    "an endless body": flood(OK + b"\r\n", b"x" * 65_536),
    "endless headers": flood(OK, b"X-A: aaaaaaaaaaaaaaaaaaaaa\r\n"),
    "a slow body": drip(OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "slow headers": drip(OK + b"X: ", b"a"),
    "slow pieces": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "silence": lambda connection: time.sleep(30),
}  # fmt: skip
NAMES = list(REPLIES)


@pytest.fixture(scope="module")
def url() -> Iterator[Callable[[str], str]]:
    """The base URL under which the server behaves as named."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)

    def answer_one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(65_536) or b"\r\n\r\n"
            behaviour = REPLIES[NAMES[int(asked.split(b"/")[1])]]
            time.sleep(0.01)  # the body comes too
            if callable(behaviour):
                behaviour(connection)
            else:
                connection.sendall(behaviour)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer_one, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield lambda name: f"http://127.0.0.1:{listening.getsockname()[1]}/{NAMES.index(name)}/v1"
    listening.close()


def outcome(run: Callable[[], object]) -> str:
    """What a run ends with: nothing, or one line without the key."""
    try:
        run()
    except UserError as error:
        said = str(error)
    else:
        return ""
    assert "\n" not in said
    assert len(said) < 1500
    assert "canary" not in said
    return said


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_of_a_stranger(name: str, url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    prompts, output = tmp_path / "p.jsonl", tmp_path / "o.jsonl"
    prompts.write_text('{"id": "a", "prompt": "hi"}\n')
    words = ["--prompts", str(prompts), "--output", str(output), "--base-url", url(name), "--model", "m"]
    words += ["--store", str(tmp_path / "s"), "--timeout", "0.7", "--attempts", "1", "--max-tokens", "5"]
    before = time.process_time()
    assert outcome(lambda: answer.main(words)) or output.stat().st_size
    assert time.process_time() - before < 10


@pytest.mark.parametrize("name", ["a bomb", "an endless body", "a slow body", "slow headers", "body '[]'", "nothing"])
def test_a_list_of_models(name: str, url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("falsepromise.generation.endpoint.LISTING_S", 0.7)
    assert outcome(lambda: served_model(url(name), "NO_KEY"))


SCORES = ["9" * 400, "NaN", "[1]", '"x"', "1e999", "{}"]
REPLIES |= {f"score {v[:9]}": reply('{"results":[{"category_scores":{"hate":' + v + "}}]}") for v in SCORES}
REPLIES["scorer elsewhere"] = OK.replace(b"200 OK", b"307 x") + b"Location: http://other.example/\r\n\r\n"
REPLIES["scorer's details"] = refused({"details": 5, "status": [1]})
NAMES[:] = list(REPLIES)


@pytest.mark.parametrize("name", [f"score {value[:9]}" for value in SCORES] + ["scorer's details"])
def test_a_score_that_is_no_number_is_a_reason(name: str, url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    assert isinstance(toxicity_scorers.Moderation(url(name), "m").ask(["text"])[0], str)


@pytest.mark.parametrize("name", ["scorer elsewhere", "a bomb", "a slow body", "slow headers", "an endless body"])
def test_a_scorer_that_never_ends_or_sends_us_elsewhere(name, url, monkeypatch: pytest.MonkeyPatch):
    """A key that follows a redirect is a stranger's."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    monkeypatch.setattr(toxicity_scorers, "ATTEMPTS", 1)
    monkeypatch.setattr(toxicity_scorers, "TIMEOUT_S", 0.7)
    assert outcome(lambda: toxicity_scorers.Moderation(url(name), "m").ask(["text"]))


REPLIES["no state"] = changed(id="x")
NAMES[:] = list(REPLIES)
OF_BATCHES = ["no state", "body '[]'", "error 'x'", "error [1]", "Retry-After b'nan'", "nothing", "no HTTP", "a bomb"]


@pytest.mark.parametrize("name", OF_BATCHES)
def test_a_batch_api_of_a_stranger(name: str, url: Callable[[str], str], tmp_path: Path, monkeypatch):
    """It is one line, and what has no state is not waited for."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    prompts, output = tmp_path / "p.jsonl", tmp_path / "o.jsonl"
    prompts.write_text('{"id": "a", "prompt": "hi"}\n')
    words = ["--prompts", str(prompts), "--output", str(output), "--base-url", url(name), "--model", "m", "--batch"]
    words += ["--store", str(tmp_path / "s"), "--habit", "batch=openai", "--attempts", "1", "--max-tokens", "5"]
    assert outcome(lambda: answer.main([*words, "--batch-poll", "0.1"]))


DECLINED = {"role": "assistant", "content": None, "refusal": "I can't."}
CALL = {"id": "1", "type": "function", "function": {"name": "verdict", "arguments": '{"score_1": 8, "score_2": 6}'}}
CALLED = {"message": {"role": "assistant", "content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"}
CHUNK = {"model": "m", "choices": [{"index": 0, "delta": {"content": "8 6"}, "finish_reason": None}]}
# What a judge's server may answer with, and the choice or the category of each of its votes; "" is one line.
JUDGED: dict[str, tuple[Behaviour, str]] = {
    "parts": (said([{"type": "text", "text": "8 6\n"}, {"type": "text", "text": "Why."}]), "left"),
    "thoughts apart": (said([{"type": "thinking", "thinking": "3 9?"}, {"type": "text", "text": "8 6"}]), "left"),
    "no content": (said(None), "empty"),
    "a call": (changed(choices=[CALLED]), "tool_calls"),
    "declined": (said(None, message=DECLINED), "refusal"),
    "thoughts only": (said("", finish_reason="length"), "cut"),
    "a stream": (reply(f"data: {json.dumps(CHUNK)}\n\n" * 9), "rejected"),
    "an endless stream": (flood(OK + b"Content-Type: text/event-stream\r\n\r\n", b"data: {}\n\n" * 999), "rejected"),
    "an error as an answer": (reply('{"error": {"message": "overloaded, request 77"}}'), "no answer"),
    "half of JSON": (reply('{"choices": [{"message": {"content": "8 6"}}'), "no answer"),
    "too many": (refused({"message": "slow down, request 78"}, "429 x", b"Retry-After: 0\r\n"), "no answer"),
    "no quota": (refused({"message": "no quota", "code": "insufficient_quota"}, "429 x"), ""),
    "a judge elsewhere": (reply("", "301 x", b"Location: https://o.example/\r\n"), ""),
}  # fmt: skip
REPLIES |= {name: behaviour for name, (behaviour, _) in JUDGED.items()}
NAMES[:] = list(REPLIES)


@pytest.mark.parametrize("name", JUDGED)
def test_a_judge_of_a_stranger(name: str, url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each vote has a choice or a category without the server's own words, or the run ends with one line."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    record = '{"id": "a", "prompt_id": "a", "prompt": "hi", "response": "%s"}\n'
    files = {key: tmp_path / f"{key}.jsonl" for key in ("prompts", "responses", "reference")}
    for key, file in files.items():
        file.write_text(record % key)
    output = tmp_path / "votes.jsonl"
    words = [word for key, file in files.items() for word in (f"--{key}", str(file))]
    words += ["--output", str(output), "--base-url", url(name), "--model", "m", "--store", str(tmp_path / "s")]
    words += ["--timeout", "1", "--attempts", "1", "--order", "ours-first"]
    line = outcome(lambda: judge.main(words))
    assert bool(line) is not bool(JUDGED[name][1])
    if not line:
        (vote,) = map(json.loads, output.read_text().splitlines())
        assert (vote["choice"] or vote["unreadable"]) == JUDGED[name][1]
