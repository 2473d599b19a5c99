"""Judges that think first, and a judge's blind test, through the verb and over HTTP."""

import contextlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from threads import in_thread

from falsepromise.preference import aggregate, judge

THOUGHT = "The first gets 2 and the second 9? No: [[B]] is worse."
FORMS = {
    "<think> in the text": {"content": f"<think>\n{THOUGHT}\n</think>\n\n9 2\nThe first is better."},
    "</think> alone": {"content": f"{THOUGHT}\n</think>\n9 2"},
    "parts": {"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "9 2"}]},
    "reasoning_content": {"content": "9 2", "reasoning_content": THOUGHT},
    "reasoning": {"content": "9 2", "reasoning": THOUGHT},
}


class Handler(BaseHTTPRequestHandler):
    """A model that reasons first: it refuses what such models refuse, and cuts at the limit, thoughts included."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(body)
        refused = [name for name in ("max_tokens", "temperature", "top_p") if name in body]
        if refused:
            return self.send(400, {"error": {"message": f"Unsupported parameter: '{refused[0]}'"}})
        limit = body["max_completion_tokens"]
        message = {"role": "assistant", **self.server.message}
        finish = "stop"
        if limit < self.server.needs:
            message["content"], finish = self.server.cut, "length"
        usage = {"prompt_tokens": 9, "completion_tokens": min(limit, self.server.needs)}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return self.send(200, {"id": "1", "model": body["model"], "choices": [choice], "usage": usage})

    def send(self, status, document):
        raw = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def reasoning(message, needs=100, cut=""):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, in_thread(server):
        server.message, server.needs, server.cut, server.seen = message, needs, cut, []
        yield server


@pytest.fixture
def asks(tmp_path, monkeypatch):
    """Run the verb on two prompts in one order; returns the votes."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    def write(name, records):
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(tmp_path / name)

    prompts = write("p.jsonl", [{"id": p, "messages": [{"role": "user", "content": f"Why {p}?"}]} for p in "ab"])
    ours = write("o.jsonl", [{"prompt_id": p, "model": "ours", "response": f"so {p}"} for p in "ab"])
    samples = [{"prompt_id": p, "sample": s, "response": f"{p} is {'b' * (s + 1)}."} for p in "ab" for s in (0, 1)]
    theirs = write("t.jsonl", [{"model": "theirs", **sample} for sample in samples])

    def run(*words, responses=ours):
        files = ["--prompts", prompts, "--responses", responses, "--reference", theirs]
        output = str(tmp_path / "votes.jsonl")
        judge.main([*files, "--store", str(tmp_path / "store"), "--output", output, *words])
        return [json.loads(line) for line in (tmp_path / "votes.jsonl").read_text().splitlines()]

    run.teacher = theirs
    return run


@pytest.mark.parametrize("form", FORMS)
def test_thoughts_are_no_verdict(asks, form):
    with reasoning(FORMS[form]) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        votes = asks("--base-url", url, "--model", "o3", "--order", "ours-first")
    assert [(vote["choice"], vote["scores"]) for vote in votes] == [("left", [9.0, 2.0])] * 2
    assert all(THOUGHT not in vote["raw"] for vote in votes)
    assert all(body["max_completion_tokens"] == judge.MAX_TOKENS for body in server.seen)
    assert len(server.seen) == 2, "asked as such a model takes it, at the first attempt"


@pytest.mark.parametrize(("cut", "choice"), [("", None), ("<think>\n9 2, or", None), ("9 2\nThe fir", "left")])
def test_a_verdict_cut_by_length_is_paid_for_again_only_with_another_limit(asks, cut, choice):
    with reasoning(FORMS["reasoning_content"], needs=4000, cut=cut) as server:
        words = ["--base-url", f"http://127.0.0.1:{server.server_address[1]}/v1", "--model", "gpt-5-mini"]
        words += ["--order", "ours-first", "--max-tokens"]
        for _ in range(2):
            votes = asks(*words, "1000")
            assert [vote["choice"] for vote in votes] == [choice] * 2
            assert choice or {vote["unreadable"] for vote in votes} == {"cut"}
            assert len(server.seen) == 2
        assert [vote["choice"] for vote in asks(*words, "8000")] == ["left"] * 2
        assert len(server.seen) == 4
        assert [vote["choice"] for vote in asks(*words, "1000")] == [choice] * 2
        assert len(server.seen) == 4, "the first answers are still there"


def test_the_blind_test_of_a_judge_is_a_tie_and_the_upper_bound_has_both_samples(asks, tmp_path):
    """What the rule `judge_of_teacher` runs, with the local judge behind its protocol."""
    itself = asks("--base-url", "local", "--sample", "0", responses=asks.teacher)
    assert [vote["choice"] for vote in itself] == ["tie"] * 4
    assert {vote["first"] for vote in itself} == {"left", "right"}
    aggregate.main(["--votes", str(tmp_path / "votes.jsonl"), "--output", str(tmp_path / "itself.json")])
    metrics = json.loads((tmp_path / "itself.json").read_text())["metrics"]
    assert (metrics["tie"]["value"], metrics["order_flip"]["value"]) == (1.0, 0.0)
    assert metrics["win_rate"]["ci95"][0] < 0.5 < metrics["win_rate"]["ci95"][1]
    second = asks("--base-url", "local", "--sample", "1", responses=asks.teacher)
    assert {(vote["left"], vote["right"]) for vote in second} == {("theirs (sample 1)", "theirs")}
