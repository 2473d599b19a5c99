"""The server, asked by the real `openai` client and by lm-eval, and its page in a real Chromium."""

import contextlib
import http.client
import json
import resource
import socket
import threading
import time
from types import SimpleNamespace

import jax
import numpy as np
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falsepromise.core.errors import UserError
from falsepromise.generation import protocol
from falsepromise.generation.protocol import Answer
from falsepromise.generation.request import Request, Result
from falsepromise.generation.room import Room
from falsepromise.generation.serve import Server, append, load, main, named
from falsepromise.preference import votes
from falsepromise.teacher.protocol import serving

KEY = "a-key-for-tests"
ASKED = [{"role": "user", "content": "what is the capital?"}]


@pytest.fixture(scope="module")
def running(engines, tmp_path_factory):
    made = Server(engines, KEY, tmp_path_factory.mktemp("votes"))
    with serving(made):
        yield made


@pytest.fixture(scope="module")
def client(running):
    with openai.OpenAI(base_url=running.url, api_key=KEY, max_retries=0) as made:
        yield made


def chat(client, **more):
    return client.chat.completions.create(**{"model": "llama", "messages": ASKED, "max_tokens": 12, "seed": 3, **more})


def test_answers_are_the_engines_own(client, engines):
    assert [model.id for model in client.models.list()] == ["llama", "gpt2"]
    assert client.models.retrieve("gpt2").id == "gpt2"
    for name, temperature in (("llama", 0.0), ("gpt2", 0.0), ("llama", 1.3)):
        ours = next(iter(engines[name].generate([Request(ASKED, 12, temperature, seed=3)])))
        found = chat(client, model=name, temperature=temperature)
        assert found.choices[0].message.content == ours.text
        assert found.choices[0].finish_reason == ours.finish_reason
        prompt = len(engines[name].encode(ASKED))
        assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (prompt, len(ours.ids))
        assert found.model == name


def test_a_stream_joined_is_the_whole_answer(client):
    for more in ({}, {"temperature": 0.0}, {"n": 3}, {"max_tokens": 40}):
        whole = chat(client, **more)
        texts, reasons, usage = {}, {}, None
        for chunk in chat(client, stream=True, stream_options={"include_usage": True}, **more):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
                reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
        assert texts == {choice.index: choice.message.content for choice in whole.choices}
        assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
        assert usage == whole.usage


def test_a_stop_string_ends_a_stream_too(client):
    text = chat(client, max_tokens=40).choices[0].message.content
    stop = text[len(text) // 2 :][:3]
    assert stop
    pieces = chat(client, max_tokens=40, stop=stop, stream=True)
    assert "".join(p.choices[0].delta.content or "" for p in pieces) == text[: text.index(stop)]


@pytest.mark.parametrize("length", [1, 3, 12, 40])
def test_a_stop_string_at_any_place_ends_a_stream_as_it_ends_a_whole_answer(client, engines, length):
    asked = {"model": "llama", "prompt": "the capital", "max_tokens": 40, "temperature": 0.9, "seed": 5}
    text = client.completions.create(**asked).choices[0].text
    for start in range(0, len(text) - length, 1 if length == 12 else 7):
        stop = text[start : start + length]
        whole = client.completions.create(**asked, stop=stop).choices[0].text
        pieces = client.completions.create(**asked, stop=stop, stream=True)
        assert "".join(piece.choices[0].text for piece in pieces) == whole == text[: text.index(stop)]


@settings(max_examples=200, deadline=None)
@given(text=st.text("ab\ufffd", max_size=30), stop=st.lists(st.text("ab", min_size=1, max_size=8), max_size=3),
       cuts=st.lists(st.integers(0, 30)), chat=st.booleans())  # fmt: skip
def test_pieces_joined_are_the_text_wherever_they_are_cut(text, stop, cuts, chat):
    # As the engine does: the text ends when the first stop string is complete, and nothing from then on is seen.
    found = [(at + len(one), at) for one in stop if (at := text.find(one)) >= 0]
    complete = min(found, default=(len(text) + 1, 0))[0]
    whole = text[: min((at for end, at in found if end == complete), default=len(text))]
    asked = SimpleNamespace(
        requests=[None], chat=chat, echo=False, stop=stop, usage=False, top=None, prompts=[[]], choices=1, id="x",
        created=0, model="m", stream=True,
    )  # fmt: skip
    seen = [(0, text[:cut]) for cut in sorted(cuts) if cut < complete]
    job = [*seen, (0, Result(0, whole, "stop", []), None)]
    answer = Answer(SimpleNamespace(asked=asked, engine=None))
    answer.job = job
    said = [piece["choices"][0] for piece in answer.chunks()]
    assert "".join(c["delta"].get("content", "") if chat else c["text"] for c in said) == whole


def test_the_tokens_of_log_probabilities_are_the_text(client):
    more = {"model": "llama", "prompt": "naïve 日", "max_tokens": 12, "seed": 1, "logprobs": 3}
    for echo in (False, True):
        found = client.completions.create(**more, echo=echo).choices[0]
        shown = found.logprobs
        tokens = ["" if token.startswith("<|") else token for token in shown.tokens]  # special ones have names alone
        assert "".join(tokens) == found.text
        assert all(found.text[o:].startswith(t) for t, o in zip(tokens, shown.text_offset, strict=True))
        assert all(len(top) == 3 for top in shown.top_logprobs if top is not None)
    answer = chat(client, logprobs=True).choices[0]
    assert "".join(entry.token for entry in answer.logprobs.content) == answer.message.content


def test_log_probabilities_are_those_of_transformers(client, folders, engines):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folders["llama"], dtype=torch.float32)
    ids = engines["llama"].encode("the capital of France is Paris.")
    with torch.no_grad():
        theirs = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1).numpy()
    found = client.completions.create(model="llama", prompt=ids, max_tokens=0, echo=True, logprobs=4).choices[0]
    assert found.text == engines["llama"].tokenizer.decode(ids)
    assert found.logprobs.token_logprobs[0] is None
    places = range(len(ids) - 1)
    np.testing.assert_allclose(found.logprobs.token_logprobs[1:], [theirs[i, ids[i + 1]] for i in places], atol=2e-4)
    np.testing.assert_allclose(
        [sorted(top.values())[-1] for top in found.logprobs.top_logprobs[1:]], theirs[:-1].max(-1), atol=2e-4
    )
    answer = chat(client, logprobs=True, top_logprobs=3, temperature=0.0)
    assert answer.choices[0].finish_reason == "length"
    assert len(answer.choices[0].logprobs.content) == answer.usage.completion_tokens
    first = answer.choices[0].logprobs.content[0]
    assert len(first.top_logprobs) == 3
    assert first.logprob == first.top_logprobs[0].logprob  # greedy


def test_lm_eval_reads_the_same_likelihoods_from_the_server(running, folders, engines, monkeypatch):
    pytest.importorskip("tenacity")
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    lm = LocalCompletionsAPI(
        base_url=f"{running.url}/completions", model="llama", tokenizer=str(folders["llama"]), batch_size=2,
        tokenizer_backend="huggingface", max_length=90,
    )  # fmt: skip
    pairs = [("the capital of France is", " Paris"), ("what is", " the capital"), ("the capital", " of of")]
    theirs = lm.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)])
    ours = engines["llama"].loglikelihood(pairs)
    np.testing.assert_allclose([value for value, _ in theirs], [value for value, _ in ours], atol=2e-4)
    assert [greedy for _, greedy in theirs] == [greedy for _, greedy in ours]


def test_many_at_once_each_get_their_own_answer(client):
    alone = {n: chat(client, messages=[{"role": "user", "content": f"what is {n}?"}], seed=n) for n in range(8)}
    found = {}

    def one(n):
        found[n] = chat(client, messages=[{"role": "user", "content": f"what is {n}?"}], seed=n)

    threads = [threading.Thread(target=one, args=(n,)) for n in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[n].choices[0].message.content == alone[n].choices[0].message.content for n in alone)
    texts = client.completions.create(model="gpt2", prompt=["what", "the capital"], max_tokens=4, n=2, seed=1)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"model": "nobody"}, 404, "this server has llama, gpt2"),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": [{"role": "user", "content": "capital " * 300}]}, 400, "this model's context 96"),
        ({"temperature": -1}, 400, "temperature is -1"),
        ({"max_tokens": 0}, 400, "'max_tokens' is 0"),
        ({"temperature": 2.1}, 400, "temperature is 2.1; expected 0 to 2"),
        ({"frequency_penalty": 1.0}, 400, "'frequency_penalty' is not supported"),
        ({"top_logprobs": 2}, 400, "needs 'logprobs'"),
        ({"seed": True}, 400, "'seed' must be an integer"),
    ],
)
def test_what_cannot_be_done_is_refused_in_the_protocols_form(client, more, status, said):
    with pytest.raises(openai.APIStatusError, match=said) as refused:
        chat(client, **more)
    assert refused.value.status_code == status
    assert chat(client).choices  # and the server goes on


NEUTRAL = {"repetition_penalty": 1.0, "min_p": 0, "min_tokens": 0, "ignore_eos": False, "stop_token_ids": [],
           "guided_json": None, "structured_outputs": {}, "bad_words": [], "continue_final_message": False,
           "add_generation_prompt": True, "typical_p": 1.0, "mirostat": 0, "truncate_prompt_tokens": None}  # fmt: skip


def test_a_field_of_other_servers_is_refused_where_it_would_change_the_answer(client):
    plain = chat(client).choices[0].message.content
    assert chat(client, extra_body=NEUTRAL).choices[0].message.content == plain
    changes = {"guided_choice": ["a"], "guided_regex": "a+", "guided_grammar": "a", "guided_json": {"type": "object"},
               "structured_outputs": {"choice": ["a"]}, "repetition_penalty": 1.5, "min_p": 0.9, "min_tokens": 50,
               "ignore_eos": True, "stop_token_ids": [1], "bad_words": ["x"], "continue_final_message": True,
               "add_generation_prompt": False, "truncate_prompt_tokens": 1, "typical_p": 0.5, "mirostat": 2,
               "max_new_tokens": 3, "function_call": "auto", "web_search_options": {}}  # fmt: skip
    for name, value in changes.items():
        with pytest.raises(openai.BadRequestError, match=f"'{name}' is not supported") as refused:
            chat(client, extra_body={name: value})
        assert refused.value.param == name
    for name in ("stream", "logprobs"):
        with pytest.raises(openai.BadRequestError, match=f"'{name}' must be true or false, found 'false'"):
            chat(client, extra_body={name: "false"})


def raw(running, path, body=b"{}", **headers):
    connection = http.client.HTTPConnection(*running.server_address[:2], timeout=30)
    with contextlib.closing(connection):
        connection.request("POST" if body is not None else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_no_key_another_sites_name_or_form_reaches_nothing(running):
    json_type, key = {"Content-Type": "application/json"}, {"Authorization": f"Bearer {KEY}"}
    assert raw(running, "/v1/chat/completions", **json_type)[0] == 401
    assert raw(running, "/v1/models", None)[0] == 401
    assert raw(running, "/v1/models", None, **key)[0] == 200
    assert raw(running, "/v1/models", None, Authorization=f"bearer  {KEY}", Host="LOCALHOST:80")[0] == 200
    assert raw(running, "/v1/models", None, Authorization=f"Basic {KEY}")[0] == 401
    assert raw(running, "/v1/models", None, Host="evil.example", **key)[0] == 403
    assert raw(running, f"/{KEY}/", None, Host="evil.example")[0] == 403
    assert raw(running, "/v1/votes", **key, **{"Content-Type": "text/plain"})[0] == 415
    assert raw(running, "/wrong/", None)[0] == 401
    assert raw(running, f"/{KEY}/../serve.py", None)[0] == 404
    assert raw(running, "/v1/chat/completions", b"[" * 100_000, **key, **json_type)[0] == 400
    status, text = raw(running, "/v1/votes", b'{"rater": "a", "choice": "first", "id": "x"}', **key, **json_type)
    assert (status, json.loads(text)["error"]["param"]) == (404, "id")


def test_a_body_that_nobody_reads_is_no_request(running):
    smuggled = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    head = f"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
    with socket.create_connection(running.server_address[:2], timeout=30) as connection:
        connection.sendall(f"{head}content-length: {len(smuggled)}\r\n\r\n".encode() + smuggled)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_line_is_added_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "votes.jsonl"
    append(path, "one")
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, most[1]))  # the kernel takes a part, as on a full disk
    try:
        with pytest.raises(OSError, match="No space left"):
            append(path, "the second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    append(path, "three")
    assert path.read_text() == "one\nthree\n"


DIGITS, DEEP = b"9" * 4000, b"[" * 900 + b"]" * 900
CHAT = b'{"model": "llama", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, '
TEXT = b'{"model": "llama", "prompt": "hi", "max_tokens": 2, '


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        *((f"chat/completions {key}", CHAT + b'"%s": %s}' % (key.encode(), value), status) for key, value, status in (
            ("temperature", DIGITS, 400), ("temperature", b"1e400", 400), ("temperature", b"1e308", 400),
            ("top_p", DIGITS, 400), ("top_k", DIGITS, 200), ("seed", DIGITS, 200), ("seed", b"-" + DIGITS, 200),
            ("max_tokens", DIGITS, 200), ("max_tokens", DEEP, 400), ("n", DIGITS, 400), ("tools", DEEP, 400),
            ("stop", json.dumps([f"x{n}" for n in range(5000)]).encode(), 400), ("model", b"[]", 400),
            ("messages", b'[{"role": [], "content": "x"}]', 400), ("messages", b"[[]]", 400),
            ("messages", b'[{"role": "user", "content": "\\ud800\\u0000"}]', 200),
            ("messages", b'[{"role": "user", "content": "' + b"<|user|>" * 100_000 + b'"}]', 400),
        )),
        *((f"completions {key}", TEXT + b'"%s": %s}' % (key.encode(), value), status) for key, value, status in (
            *(("prompt", value, 400) for value in (b"[-1]", b"[999999]", b"[[true]]", b"[[[]]]")),
            ("prompt", json.dumps(["a"] * 5000).encode(), 400), ("logprobs", b"21", 400),
            ("prompt", json.dumps(["a"] * 33).encode() + b', "n": 128', 400),
        )),
        ("meetings", b'{"models": [[1], [2]]}', 400), ("meetings", b'{"models": [{}, {"a": 1}]}', 400),
        ("meetings", b'{"models": "ab"}', 400), ("meetings", b"[1]", 400),
        ("votes", b'{"rater": "r", "choice": [1], "id": "x"}', 400), ("votes", b'{"rater": ' + DEEP + b"}", 400),
        ("votes", b'{"rater": "r", "choice": "first", "id": ' + DEEP + b"}", 404), ("votes", DIGITS + DIGITS, 400),
    ],
)  # fmt: skip
def test_what_no_client_should_send_is_answered(running, path, body, status, caplog):
    """Nothing of it stops the server, reaches its log, or becomes another request's answer."""
    json_type, key = {"Content-Type": "application/json"}, {"Authorization": f"Bearer {KEY}"}
    assert raw(running, f"/v1/{path.partition(' ')[0]}", body, **key, **json_type)[0] == status
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_stranger_is_not_read_to_the_end(running):
    json_type = {"Content-Type": "application/json"}
    assert raw(running, "/v1/chat/completions", b"", **json_type, **{"Content-Length": "20000000"})[0] == 413
    assert raw(running, "/v1/chat/completions", b"x" * 1000, **json_type)[0] == 401


@pytest.mark.filterwarnings("error")
def asked_raw(running, version, **more):
    """A connection on which a chat was asked for, its answer unread."""
    body = json.dumps({"model": "llama", "messages": ASKED, "temperature": 0, "max_tokens": 4, **more}).encode()
    head = f"POST /v1/chat/completions HTTP/{version}\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    connection = socket.create_connection(running.server_address[:2], timeout=120)
    connection.sendall(head.encode() + body)
    return connection


def test_a_client_of_the_old_protocol_gets_events_without_the_sizes_of_chunks(running):
    with asked_raw(running, "1.0", stream=True) as connection:
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert all(line.startswith(b"data: ") for line in body.split(b"\n") if line)
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
def test_the_answers_of_a_client_that_left_end(running, engines, stream, monkeypatch, client):
    monkeypatch.setattr(protocol, "LOOK_S", 0.05)
    plainly, begun = engines["llama"].generate, threading.Event()
    reasons: list[str] = []

    def slowly(requests, on_text):
        def show(index, text):
            begun.set()
            time.sleep(0.1)
            return on_text(index, text)

        for result in plainly(requests, on_text=show):
            reasons.append(result.finish_reason)
            yield result

    monkeypatch.setattr(engines["llama"], "generate", slowly)
    with asked_raw(running, "1.1", n=12, max_tokens=80, temperature=2, stream=stream):
        assert begun.wait(120)
    chat(client)
    assert len(reasons) < 12 + 1  # not all of them, and the next client's


def test_models_of_one_server_share_a_cards_memory(folders, monkeypatch):
    monkeypatch.setattr(Room, "here", lambda config, state, dtype, mesh: Room(config, 4, "gpu", 1e6))
    found = load(list(folders.values()), 4)
    held = {name: 4 * sum(x.size for x in jax.tree.leaves(engine.state)) for name, engine in found.items()}
    assert found["llama"].room.free == 1e6 - held["gpt2"]
    assert found["gpt2"].room.free == 1e6 - held["llama"]


def test_the_hottest_temperature_is_no_warning(client):
    assert chat(client, temperature=2.0).choices


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 70])
def test_an_address_of_another_machine_is_named_as_such(engines, tmp_path, host):
    with pytest.raises(UserError, match=f"--host {host}: can't listen there"):
        Server(engines, KEY, tmp_path, host=host)


@pytest.mark.parametrize("size", ["0", "-1"])
def test_a_batch_of_nothing_is_refused(folders, size):
    with pytest.raises(UserError, match=f"--batch-size {size}: expected at least 1"):
        main([str(folders["llama"]), "--batch-size", size])


def test_two_folders_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match="rename a folder"):
        named([tmp_path / "a/m", tmp_path / "b/m"])


@pytest.mark.slow
def test_talking_to_one_and_voting_blind_on_two(running, watch):
    expect = pytest.importorskip("playwright.sync_api").expect
    page, wrong = watch("http://127.0.0.1:")
    page.goto(running.page)
    expect(page.locator("#panes section")).to_have_count(1)
    page.set_viewport_size({"width": 800, "height": 260})
    page.fill("#text", "<img src=x onerror=alert(1)> hello")
    page.keyboard.press("Enter")
    expect(page.locator("#send")).to_be_enabled(timeout=60_000)
    expect(page.locator(".turn.user")).to_have_text("<img src=x onerror=alert(1)> hello")
    assert page.locator("#panes img").count() == 0
    expect(page.locator("#votes")).to_be_hidden()  # there is nothing to compare
    assert page.evaluate("scrollY > 0 && innerHeight + scrollY > document.body.scrollHeight - 2")  # the newest text
    page.set_viewport_size({"width": 1280, "height": 720})

    page.check("#blind")
    page.select_option("#two", "gpt2")
    expect(page.locator("#panes h2")).to_have_text(["Left", "Right"])
    page.fill("#text", "what is the capital?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#votes:not([hidden])", timeout=60_000)
    assert "llama" not in page.locator("main").text_content()
    page.click("[data-choice=first]")
    expect(page.locator("#problem")).to_contain_text("Give your name first")
    page.fill("#rater", "ann")
    page.click("[data-choice=first]")
    expect(page.locator("#said")).to_contain_text("Stored")
    shown = page.locator("#panes h2").all_text_contents()
    assert sorted(shown) == ["gpt2", "llama"]
    assert wrong == []
    (vote,) = votes.read_votes([running.votes / "llama.gpt2.votes.jsonl"])
    assert (vote["left"], vote["right"], vote["rater"], vote["blind"]) == ("llama", "gpt2", "ann", True)
    assert vote["choice"] == ("left" if shown[0] == "llama" else "right")
    assert vote["first"] == ("left" if shown[0] == "llama" else "right")
    assert vote["dialogues"]["left"][0]["content"] == "what is the capital?"
