"""Scorers behind servers that speak Perspective's and the moderation endpoint's protocols, and how these fail."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falsepromise.benchmarks import toxicity_scorers
from falsepromise.benchmarks.toxicity_scorers import open_scorer
from falsepromise.core.errors import UserError


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers, or fails as the text says."""

    server: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((time.monotonic(), self.path, dict(self.headers), body))
        status, answer = self.perspective(body) if "analyze" in self.path else self.moderation(body)
        if self.server.busy:
            status, answer = self.server.busy.pop(), {"error": {"status": "RESOURCE_EXHAUSTED"}}
        content = json.dumps(answer).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0.01")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def perspective(self, body: dict[str, Any]) -> tuple[int, Any]:
        assert body["requestedAttributes"] == {"TOXICITY": {}}
        assert body["languages"] == ["en"]
        assert body["doNotStore"] is True
        text = body["comment"]["text"]
        if self.headers["x-goog-api-key"] == "wrong":
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
            return 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": details}}
        if "gibberish" in text:
            details = [{"errorType": "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"}]
            error = {"code": 400, "message": f"about {text}", "status": "INVALID_ARGUMENT", "details": details}
            return 400, {"error": error}
        if "odd" in text:
            return 200, {"languages": ["en"]}
        value = {"value": 0.9 if "rude" in text else 0.05, "type": "PROBABILITY"}
        spans = [{"begin": 0, "end": len(text), "score": value}]
        scores = {"TOXICITY": {"spanScores": spans, "summaryScore": value}}
        return 200, {"attributeScores": scores, "languages": ["en"], "detectedLanguages": ["en"]}

    def moderation(self, body: dict[str, Any]) -> tuple[int, Any]:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        if any("gibberish" in text for text in texts):
            return 400, {"error": {"message": "no", "code": "invalid_input"}}
        scores = [{"harassment": 0.9 if "rude" in text else 0.1, "hate": 0.2, "violence": 0.99} for text in texts]
        return 200, {"id": "m", "model": body["model"], "results": [{"category_scores": s} for s in scores]}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "canary-key")
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.asked, found.busy = [], []  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{found.server_port}/v1"  # type: ignore[attr-defined]
    yield found
    found.shutdown()
    found.server_close()


def perspective(server: Any, kept: Path | None = None, rate: float = 1000.0) -> Any:
    url = f"{server.url}alpha1/comments:analyze"
    return open_scorer({"scorer": "perspective", "scorer_url": url, "scorer_rate": rate, "scorer_kept": kept})


def test_perspective_gives_numbers_and_reasons(server: Any) -> None:
    scores = perspective(server).score(["kind words", "rude words", "gibberish", "odd", "rude words", "half \ud83d"])
    assert scores == [
        0.05,
        0.9,
        "refused by the scorer (HTTP 400: LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE)",
        "Perspective's answer has no TOXICITY score",
        0.9,
        0.05,
    ]
    assert len(server.asked) == 5, "one text is asked for once"
    assert "canary" not in server.asked[0][1]


def test_perspective_keeps_to_its_rate_and_waits_when_it_is_busy(server: Any) -> None:
    server.busy = [503, 429]
    assert perspective(server, rate=20.0).score([f"text {n}" for n in range(4)]) == [0.05] * 4
    first_of_each = {body["comment"]["text"]: at for at, _, _, body in reversed(server.asked)}
    times = sorted(first_of_each.values())
    assert times[-1] - times[0] >= 3 / 20 - 0.01
    assert len(server.asked) == 6


def test_what_a_server_gave_is_kept_and_not_asked_for_again(server: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    assert perspective(server, kept).score(["rude", "gibberish"])[0] == 0.9
    with open(kept, "ab") as stream:
        stream.write(b'{"text": "cut o')  # a run that was killed
    assert perspective(server, kept).score(["rude", "kind"]) == [0.9, 0.05]
    assert [body["comment"]["text"] for _, _, _, body in server.asked] == ["rude", "gibberish", "kind"]
    assert "canary" not in kept.read_text()
    lines = [line for line in kept.read_text().splitlines() if line != '{"text": "cut o']
    kept.write_text("\n".join(lines))
    stored = open_scorer({"scorer": "stored", "scorer_file": kept})
    assert stored.score(["kind", "never seen"]) == [0.05, "not among the stored scores"]


def test_a_scorer_that_dies_loses_nothing(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toxicity_scorers, "ATTEMPTS", 2)
    kept = tmp_path / "kept.jsonl"
    scorer = perspective(server, kept)
    scorer.score(["one"])
    server.busy = [500] * 10
    with pytest.raises(UserError, match=r"no answer after 2 attempts \(HTTP 500.*\); scores so far are kept"):
        scorer.score(["one", "two"])
    server.busy = []
    assert perspective(server, kept).score(["one", "two"]) == [0.05, 0.05]


def test_wrong_keys_and_addresses_stop_at_once(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "wrong")
    with pytest.raises(UserError, match="the key is not accepted"):
        perspective(server).score(["x"])
    server.busy = [404]
    with pytest.raises(UserError, match="no such scorer there"):
        perspective(server).score(["x"])
    with pytest.raises(UserError, match="--scorer-rate 0"):
        perspective(server, rate=0.0)


def test_moderation_asks_in_batches_and_takes_harassment_and_hate(server: Any) -> None:
    scorer = open_scorer({"scorer": "moderation", "scorer_url": server.url})
    assert scorer.score([f"kind {n}" for n in range(40)]) == [0.2] * 40
    assert len(server.asked) == 2
    assert server.asked[0][1:3][0] == "/v1/moderations"
    assert scorer.score(["rude", "gibberish"]) == [0.9, "refused by the scorer (HTTP 400: invalid_input)"]


def test_the_local_scorer_tells_rude_from_kind() -> None:
    pytest.importorskip("profanity_check", reason="alt-profanity-check is not installed")
    scorer = open_scorer({})
    kind, rude = scorer.score(["Thank you, that was lovely.", "you stupid piece of shit"])
    assert kind < 0.2 < 0.8 < rude
    assert scorer.name == "alt-profanity-check 1.9.1"
