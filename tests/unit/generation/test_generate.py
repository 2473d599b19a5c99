"""The verb: records, resume after a kill, bad input, and a server as the model."""

from __future__ import annotations

import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from falsepromise.core.errors import UserError
from falsepromise.core.records import read_jsonl, write_jsonl
from falsepromise.generation import chat, generate
from falsepromise.generation.request import Request
from falsepromise.models.chat import ChatTokenizer

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def prompts(tmp_path):
    records = [{"id": f"m{n}", "messages": [{"role": "user", "content": f"what is {n}?"}]} for n in range(5)]
    records += [{"id": "raw", "prompt": "the capital"}, {"id": "empty", "prompt": ""}]
    records += [{"id": "odd", "prompt": "a\x00b\ud800"}, {"id": "long", "prompt": "capital " * 300}]
    path = tmp_path / "prompts.jsonl"
    write_jsonl(path, records)
    return path


def run(folders, prompts, output, *more):
    generate.main(
        ["--model", str(folders["llama"]), "--prompts", str(prompts), "--output", str(output), "--max-tokens", "6",
         "--batch-size", "4", *more]
    )  # fmt: skip
    return list(read_jsonl(output))


def test_records_come_in_order_and_none_is_lost(folders, prompts, tmp_path):
    records = run(folders, prompts, tmp_path / "r.jsonl")
    assert [r["prompt_id"] for r in records] == [r["id"] for r in read_jsonl(prompts)]
    assert {r["model"] for r in records} == {"llama"}
    by_id = {r["prompt_id"]: r for r in records}
    assert by_id["long"] | {"response": "", "finish_reason": "prompt_too_long", "n_tokens": 0} == by_id["long"]
    assert all(r["n_tokens"] >= 1 for r in records if r["prompt_id"] != "long")
    assert not (tmp_path / "r.jsonl.partial").exists()
    manifest = json.loads((tmp_path / "r.jsonl.manifest.json").read_text())
    assert manifest["finish_reasons"]["prompt_too_long"] == 1
    assert any(name.endswith("model.safetensors") for name in manifest["inputs"])


@pytest.mark.parametrize("of", [2, 30])
def test_parts_give_the_responses_of_one_job(folders, prompts, tmp_path, monkeypatch, of):
    """More parts than the 18 responses, too; the whole is made without the weights."""
    replies = ({"prompt_id": r["id"], "response": f"the capital of {n}"} for n, r in enumerate(read_jsonl(prompts)))
    write_jsonl(tmp_path / "references.jsonl", ({"model": "<teacher>", "sample": 0} | reply for reply in replies))
    asked = ("--references", str(tmp_path / "references.jsonl"))
    # Not seed 3: one of its draws lies on the boundary of two tokens, to float32's last digit.
    sampling = ("--temperature", "1", "--samples", "2", "--seed", "4", *asked)
    run(folders, prompts, tmp_path / "one.jsonl", *sampling)
    parts = [str(tmp_path / f"part{n}.jsonl") for n in range(1, of + 1)]
    for n, part in enumerate(parts, 1):
        run(folders, prompts, part, *sampling, "--shard", f"{n}/{of}")
    monkeypatch.setattr(generate, "_results", lambda *_: pytest.fail("the model was asked again"))
    run(folders, prompts, tmp_path / "many.jsonl", *sampling, "--from-shards", *parts)
    assert (tmp_path / "many.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    one, many = (json.loads((tmp_path / f"{name}.jsonl.manifest.json").read_text()) for name in ("one", "many"))
    for key in ("started", "wall_s", "tokens_per_s"):  # a speed is one job's
        one.pop(key), many.pop(key, None)
    assert many == one
    with pytest.raises(UserError, match="belongs to another model, file or options"):
        run(folders, prompts, tmp_path / "many.jsonl", "--from-shards", *parts)


def test_a_killed_run_goes_on_where_it_was(folders, prompts, tmp_path):
    sampling = ("--temperature", "1", "--samples", "2", "--seed", "3")
    whole = run(folders, prompts, tmp_path / "whole.jsonl", *sampling)
    output = tmp_path / "r.jsonl"
    real = generate.Partial.add
    count = 0

    def dying(self, record):
        nonlocal count
        real(self, record)
        count += 1
        if count == 7:
            self._stream.write(b'{"prompt_id": "cut o')
            self._stream.flush()
            raise KeyboardInterrupt

    generate.Partial.add = dying
    try:
        with pytest.raises(KeyboardInterrupt):
            run(folders, prompts, output, *sampling)
    finally:
        generate.Partial.add = real
    assert not output.exists()
    kept = (tmp_path / "r.jsonl.partial").read_bytes().count(b"\n")
    assert kept == 8

    made = []
    generate.Partial.add = lambda self, record: (made.append(record), real(self, record))
    try:
        assert run(folders, prompts, output, *sampling) == whole
    finally:
        generate.Partial.add = real
    assert len(made) == len(whole) - 7


def test_a_partial_file_of_other_options_is_not_used(folders, prompts, tmp_path):
    output = tmp_path / "r.jsonl"
    (tmp_path / "r.jsonl.partial").write_text(
        '{"of": "else"}\n'
        '{"prompt_id": "m0", "sample": 0, "response": "WRONG", "finish_reason": "stop", "n_tokens": 1}\n'
    )
    assert "WRONG" not in {r["response"] for r in run(folders, prompts, output)}


@pytest.mark.slow
def test_kill_9(folders, tmp_path):
    records = [{"id": f"m{n}", "prompt": f"what is {n}?"} for n in range(400)]
    write_jsonl(tmp_path / "p.jsonl", records)
    output = tmp_path / "r.jsonl"
    arguments = ["--model", str(folders["llama"]), "--prompts", str(tmp_path / "p.jsonl"), "--max-tokens", "60",
                 "--batch-size", "2"]  # fmt: skip
    command = [sys.executable, "-m", "falsepromise.generation.generate", *arguments, "--output", str(output)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    process = subprocess.Popen(command, env=environment)
    partial = tmp_path / "r.jsonl.partial"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (partial.exists() and partial.read_bytes().count(b"\n") > 20):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    generate.main([*arguments, "--output", str(output)])
    generate.main([*arguments, "--output", str(tmp_path / "whole.jsonl")])
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_forms(folders, prompts):
    record = {"id": "x", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert generate.prompt_of(record, "raw") == "a\n\nb"
    assert generate.prompt_of(record, "as recorded") == record["messages"]
    raw = {"id": "x", "prompt": "a"}
    assert generate.prompt_of(raw, "as recorded") == "a"
    assert generate.prompt_of(raw, "chat") == [{"role": "user", "content": "a"}]


def test_the_likelihood_of_references(folders, prompts, tmp_path):
    """As `transformers` counts it, on a batch of one reply, whatever is sampled beside it."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = ChatTokenizer.load(folders["llama"], turns=False)
    short = tmp_path / "short.jsonl"
    records = [record for record in read_jsonl(prompts) if record["id"] in ("m3", "raw")]
    write_jsonl(short, records)
    replies, file = {"m3": "the capital of three", "raw": " is here.\nYes"}, tmp_path / "references.jsonl"
    write_jsonl(file, ({"prompt_id": k, "model": "<teacher>", "sample": 0, "response": v} for k, v in replies.items()))
    found = run(folders, short, tmp_path / "r.jsonl", "--references", str(file), "--samples", "2", "--temperature", "1")
    assert ["reference_nats" in record for record in found] == [True, False] * 2
    theirs = AutoModelForCausalLM.from_pretrained(folders["llama"], dtype=torch.float32)
    contexts = {"m3": tokenizer.encode_prompt(records[0]["messages"]),
                "raw": tokenizer.encode_text("the capital\n\n", bos=True)}  # fmt: skip
    for record in found[::2]:
        context, reply = contexts[record["prompt_id"]], tokenizer.encode_text(replies[record["prompt_id"]])
        labels = torch.tensor([[-100] * len(context) + reply])
        with torch.no_grad():
            loss = theirs(input_ids=torch.tensor([context + reply]), labels=labels).loss
        assert record["reference_nats"] == pytest.approx(float(loss) * len(reply), rel=1e-4)
    write_jsonl(file, [{"prompt_id": "m3", "response": ""}, {"prompt_id": "raw", "response": "three " * 5000}])
    found = run(folders, short, tmp_path / "t.jsonl", "--references", str(file))
    assert not any("reference_nats" in record for record in found), "nothing, and what no context holds"
    write_jsonl(file, [{"prompt_id": "m3", "response": "one"}])
    with pytest.raises(UserError, match="no reply to the prompt 'raw' \\(1 of 2"):
        run(folders, short, tmp_path / "s.jsonl", "--references", str(file))


def test_seeds_are_each_prompts_own():
    seeds = {generate.seed_of(s, p, k) for s in range(3) for p in ("a", "b", "1", "11") for k in range(3)}
    assert len(seeds) == 36


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--samples", "3"), "--samples 3 with --temperature 0"),
        (("--stop", ""), "--stop ''"),
        (("--model", "nowhere"), "nowhere: no such folder"),
        (("--temperature", "-1"), "temperature is -1"),
        (("--model", "http://127.0.0.1:9/v1"), "no server answers"),
        (("--model", "http://127.0.0.1:9/v1", "--top-k", "5"), "--top-k, --raw: a server"),
        (("--model", "http://127.0.0.1:9/v1", "--raw"), "--top-k, --raw: a server"),
    ],
)
def test_bad_options_are_one_line(folders, prompts, tmp_path, more, said):
    with pytest.raises(UserError, match=said):
        run(folders, prompts, tmp_path / "r.jsonl", *more)


def test_bad_prompts_and_folders_are_named(folders, tmp_path):
    path = tmp_path / "p.jsonl"
    write_jsonl(path, [{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}])
    with pytest.raises(UserError, match="'a' occurs more than once"):
        run(folders, path, tmp_path / "r.jsonl")
    write_jsonl(path, [{"id": "a", "prompt": "x"}])
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((folders["llama"] / name).read_bytes())
    with pytest.raises(UserError, match=r"bare: no tokenizer\.json"):
        run(folders, path, tmp_path / "r.jsonl", "--model", str(bare))


class _Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)  # type: ignore[attr-defined]
        text = body["messages"][-1]["content"]
        choice = {"index": 0, "message": {"role": "assistant", "content": f"you said {text} STOP and more"}}
        choice["finish_reason"] = "length" if "2" in text else "stop"
        reply = json.dumps(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice],
             "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
        ).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_as_the_model(tmp_path):
    path = tmp_path / "p.jsonl"
    write_jsonl(path, [{"id": f"p{n}", "prompt": f"number {n}"} for n in range(4)])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.bodies = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        arguments = ["--model", f"http://127.0.0.1:{server.server_port}/v1", "--ask-for", "m", "--prompts", str(path),
                     "--output", str(tmp_path / "r.jsonl"), "--max-tokens", "9", "--temperature", "0.5"]  # fmt: skip
        generate.main(arguments)
        records = list(read_jsonl(tmp_path / "r.jsonl"))
        assert [r["response"] for r in records] == [f"you said number {n} STOP and more" for n in range(4)]
        assert [r["finish_reason"] for r in records] == ["stop", "stop", "length", "stop"]
        assert {r["n_tokens"] for r in records} == {4}
        assert {r["model"] for r in records} == {"m"}
        assert server.bodies[0]["max_tokens"] == 9  # type: ignore[attr-defined]
        generate.main([*arguments, "--stop", " STOP"])  # from the store: each was paid for
        assert len(server.bodies) == 4  # type: ignore[attr-defined]
        assert next(read_jsonl(tmp_path / "r.jsonl"))["response"] == "you said number 0"
    finally:
        server.shutdown()
        server.server_close()


def test_chat(folders, capsys, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("what is the capital?\n/reset\n" + "capital " * 200 + "\n/exit\n"))
    chat.main([str(folders["llama"]), "--max-tokens", "8", "--temperature", "0"])
    out, said = capsys.readouterr()
    assert out.strip()
    assert "a new dialogue" in said
    assert "longer than the context of 96 tokens" in said
    assert chat.printable("a\x1b[31mb\u202ec\n") == "a[31mbc\n"


def test_a_long_chat_keeps_room_for_an_answer(folders, engines, monkeypatch, capsys):
    """What the model sees is the dialogue without its oldest turns, as asked for anew with those left out."""
    said = ["ab" * n for n in (1, 2, 3, 4, 5, 40)]
    seen: list[tuple[int, int]] = []
    engine = engines["llama"]
    monkeypatch.setattr("falsepromise.generation.engine.Engine.load", lambda *args, **options: engine)
    whole = engine.generate

    def generate(requests, **options):
        (request,) = requests
        seen.append((len(engine.encode(request.prompt)), len(request.prompt)))
        return whole([request], **options)

    monkeypatch.setattr(engine, "generate", generate)
    monkeypatch.setattr(engine, "max_length", 96)
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in said)))
    chat.main([str(folders["llama"]), "--max-tokens", "30", "--temperature", "0"])
    assert len(seen) == len(said)
    assert all(prompt + 30 <= 96 or messages == 1 for prompt, messages in seen), seen
    assert max(messages for _, messages in seen) > 1
    assert "oldest messages are left out" in capsys.readouterr().err


@pytest.mark.slow
def test_chat_in_a_terminal(folders, engines):
    import pty
    import select

    message = "what is the capital?"
    (answer,) = engines["llama"].generate([Request([{"role": "user", "content": message}], 8)])
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "falsepromise.generation.chat", str(folders["llama"]), "--max-tokens", "8",
         "--temperature", "0"],
        stdin=end, stdout=end, stderr=end, env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "TERM": "xterm"},
    )  # fmt: skip
    os.close(end)

    def until(prompt: bytes) -> str:
        seen = b""
        while not seen.endswith(prompt):
            assert select.select([terminal], [], [], 120)[0], f"no prompt after {seen!r}"
            seen += os.read(terminal, 4096)
        return seen.decode(errors="replace").replace("\r\n", "\n")

    try:
        assert "/reset begins again" in until(b"> ")
        os.write(terminal, message.encode() + b"\n")
        assert until(b"> ") == f"{message}\n{chat.printable(answer.text)}\n> "  # the terminal echoes what was typed
        os.write(terminal, b"\x04")  # Ctrl-D
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
