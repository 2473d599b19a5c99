"""The text of continuations, beside what `transformers` makes of prompt and output together."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tokenizer_families import FAMILIES
from tokenizers import Tokenizer

from falsepromise.models.chat import ChatTokenizer, add_turn_tokens, read_tokenizer
from falsepromise.models.continuation import Continuation

PROMPTS = [
    "def f(x):\n", "The capital of France is", "Q: 2 + 2\nA:", "x ", "naïve 🎉", "日本", "\t", "ab\ufffd", "a 👩‍👩‍👧",
]  # fmt: skip
OUTPUTS = [
    "    return x\n", " Paris.", "  two spaces", "\n\n\tdeep\n", "🎉 party 🧑‍🚀", "日本語のテキスト",
    "\u00a0x", "é\u0301", " ", "", "' don't", "1 234", "\r\n  }", "\ufffd odd",
]  # fmt: skip


@pytest.fixture(scope="module", params=[*FAMILIES, "smollm2 (its real file)"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    if request.param in FAMILIES:
        made = FAMILIES[request.param]()
        eos = "</s>"
    else:
        made, eos = _real(tmp_path_factory.mktemp("smollm2"))
    add_turn_tokens(made, eos)
    return ChatTokenizer(made, eos)


def _real(folder: Path) -> tuple[Tokenizer, str]:
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    file = Path(os.environ.get("FALSEPROMISE_SMOLLM2", "absent"))
    if not file.exists():
        pytest.skip("SmolLM2-135M is not here (set FALSEPROMISE_SMOLLM2 to its GGUF file)")
    from falsepromise.models import gguf

    gguf.export(file, folder)
    made, eos, _ = read_tokenizer(folder)
    return made, eos


@pytest.fixture(scope="module")
def theirs(tokenizer: ChatTokenizer):
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tokenizer.tokenizer.to_str()))

    def continuation(prompt: list[int], output: list[int]) -> str:
        before = fast.decode(prompt, skip_special_tokens=True)
        return fast.decode(prompt + output, skip_special_tokens=True)[len(before) :]

    return continuation


def grown(tokenizer: ChatTokenizer, prompt: list[int], output: list[int], rng: random.Random) -> str:
    """The text, the output coming in pieces."""
    text = Continuation(tokenizer, prompt)
    place = 0
    while place < len(output):
        n = rng.choice((1, 1, 2, 3, 8, 40))
        text.push(output[place : place + n], end=place + n >= len(output))
        place += n
    return text.text


def test_texts_equal_transformers(tokenizer: ChatTokenizer, theirs) -> None:
    rng = random.Random(0)
    for prompt in PROMPTS:
        for output in OUTPUTS:
            before = tokenizer.encode_text(prompt, bos=True)
            for ids in (tokenizer.encode_text(output), tokenizer.encode_text("a" + output)[1:]):
                assert grown(tokenizer, before, ids, rng) == theirs(before, ids), (prompt, output)


def test_any_ids_equal_transformers(tokenizer: ChatTokenizer, theirs) -> None:
    """Random ids: halves of characters, special tokens between, runs of bytes that are no text."""
    rng = random.Random(1)
    count = tokenizer.vocab_size
    some = [i for i in range(count) if "<0x" in (tokenizer.tokenizer.id_to_token(i) or "")] or list(range(count))
    for n in range(150):
        before = tokenizer.encode_text(rng.choice(PROMPTS), bos=True)
        ids = [rng.choice(some) if rng.random() < n / 150 else rng.randrange(count) for _ in range(rng.randrange(90))]
        assert grown(tokenizer, before, ids, rng) == theirs(before, ids)


def test_text_cut_anywhere_is_whole_again(tokenizer: ChatTokenizer) -> None:
    """Also in the middle of a character: the output that completes it has it."""
    text = "def f():\n\t return '🎉 naïve 日本'  # 👩‍👩‍👧\n"
    ids = tokenizer.encode_text(text)
    whole = tokenizer.decode(ids)
    for at in range(1, len(ids)):
        before = tokenizer.decode(ids[:at])
        continued = grown(tokenizer, ids[:at], ids[at:], random.Random(at))
        assert whole in (before + continued, before.rstrip("\ufffd") + continued)


def test_behind_a_turn_token_an_output_stands_alone(tokenizer: ChatTokenizer) -> None:
    prompt = tokenizer.encode_prompt([{"role": "user", "content": "hello there"}])
    for output in OUTPUTS:
        ids = tokenizer.encode_text(output)
        assert grown(tokenizer, prompt, ids, random.Random(0)) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_the_work_is_linear(tokenizer: ChatTokenizer, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tokenizer.encode_text("🎉")[-1:]
    output = (tokenizer.encode_text("a long text of words. ") if kind == "text" else half) * 4000
    output = output[:4000]
    real, work = tokenizer.tokenizer, []

    def decode(ids: list[int]) -> str:
        work.append(len(ids))
        return real.decode(list(ids), skip_special_tokens=True)

    monkeypatch.setattr(tokenizer, "decode", decode)
    text = Continuation(tokenizer, tokenizer.encode_text("x"))
    for place in range(0, len(output), 8):
        text.push(output[place : place + 8], end=place + 8 >= len(output))
    assert sum(work) < 10 * len(output)


def test_going_back_and_finding() -> None:
    tokenizer = ChatTokenizer(FAMILIES["llama"](), "</s>", turns=False)
    text = Continuation(tokenizer, tokenizer.encode_text("The capital of France is", bos=True))
    ids = tokenizer.encode_text("Paris. It has people")
    text.push(ids[:3])
    mark, seen = text.mark(), text.text
    text.push(ids[3:])
    whole = text.text
    assert whole.startswith(" Paris.")
    assert text.find([" people", " It"], mark) == whole.index(" It")
    assert text.find([" France"], mark) is None
    text.back(mark)
    assert text.text == seen
    text.push(ids[3:])
    assert text.text == whole


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):
    from falsepromise.generation.engine import Engine
    from falsepromise.models import weights
    from falsepromise.models.config import ModelConfig

    made = FAMILIES["llama"]()
    add_turn_tokens(made, "</s>")
    chat = ChatTokenizer(made, "</s>")
    config = ModelConfig("llama", chat.vocab_size, 32, 48, 2, 4, 2, 8, 96, tie_embeddings=True, initializer_range=0.3)
    return Engine(weights.create(config, 0), config, chat, batch_size=4)


def test_an_engine_continues_text(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, stop strings and streaming of a LLaMA-like model that knows what to say."""
    from falsepromise.generation import steps
    from falsepromise.generation.engine import Request

    said = engine.tokenizer.encode_text("x\n    return x + 1  # naïve 🎉\n\ndef g(x):")[1:]
    real = steps.decode

    def decode(*arguments, **named):  # type: ignore[no-untyped-def]
        batch, out, scores = real(*arguments, **named)
        place = told.setdefault("place", 0)
        told["place"] += out.shape[1]
        piece = said[place : place + out.shape[1]]
        import numpy as np

        out = np.full(out.shape, -1)
        out[:, : len(piece)] = piece
        return batch, out, scores

    monkeypatch.setattr(steps, "decode", decode)
    whole = "\n    return x + 1  # naïve 🎉\n\ndef g(x):"
    for stops, expected in (((), whole), (("\ndef ",), whole.partition("\ndef ")[0]), (("    return", "#"), "\n")):
        told: dict[str, int] = {}
        streamed: list[str] = []
        request = Request("def f(x):", len(said), stop=stops)
        (result,) = engine.generate([request], on_text=lambda _, text, to=streamed: to.append(text))
        assert result.text == expected
        assert result.finish_reason == ("stop" if stops else "length")
        assert streamed[-1].startswith(expected)
    told = {}
    (result,) = engine.generate([Request([{"role": "user", "content": "f"}], len(said))])
    assert result.text == engine.tokenizer.decode(said)
