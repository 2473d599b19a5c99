"""Tokens beside their log-probabilities: what each adds to the text, for tokenizers of all kinds."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_families import FAMILIES

from falsepromise.generation import steps
from falsepromise.generation.logprobs import Scored, of_chat, of_completion
from falsepromise.models import weights
from falsepromise.models.chat import ChatTokenizer, add_turn_tokens
from falsepromise.models.config import ModelConfig
from falsepromise.models.continuation import Continuation

PROMPTS = ["the capital of France is", "def f(x):\n", "naïve 🎉", "日本", "x ", " ", "Q: 2 + 2\nA:"]
OUTPUTS = [" Paris.", "  two spaces", "🎉 party 🧑‍🚀", "日本語のテキスト", "é\u0301", "\ufffd odd", "", "  return x\n"]


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request: pytest.FixtureRequest) -> ChatTokenizer:
    made = FAMILIES[request.param]()
    add_turn_tokens(made, "</s>")
    return ChatTokenizer(made, "</s>")


def scored(ids: list[int], tops: list[int]) -> Scored:
    best = [(i, -float(n)) for n, i in enumerate(tops)]
    return Scored(ids, [None, *([-1.0] * (len(ids) - 1))], [None, *([best] * (len(ids) - 1))])


def check(tokenizer: ChatTokenizer, prompt: list[int], output: list[int]) -> None:
    answer = Continuation(tokenizer, prompt)
    answer.push(output, end=True)
    for echo, text in ((False, answer.text), (True, tokenizer.decode(prompt) + answer.text)):
        ids = [*(prompt if echo else ()), *output]
        found = of_completion(tokenizer, scored([*prompt, *output], []), len(prompt), echo)
        special = [i in tokenizer.special_ids for i in ids]
        shown = [token for token, hidden in zip(found["tokens"], special, strict=True) if not hidden]
        assert "".join(shown) == text
        assert len(found["text_offset"]) == len(found["token_logprobs"]) == len(ids)
        for token, offset, hidden in zip(found["tokens"], found["text_offset"], special, strict=True):
            assert hidden or text[offset:].startswith(token)
    entries = of_chat(tokenizer, scored([*prompt, *output], []), len(prompt), [tokenizer.eos_id])["content"]
    assert b"".join(bytes(entry["bytes"]) for entry in entries).decode() == answer.text


def test_the_tokens_joined_are_the_text(tokenizer: ChatTokenizer) -> None:
    for prompt, output in itertools.product(PROMPTS, OUTPUTS):
        ids = [*tokenizer.encode_text(prompt + output, bos=True), tokenizer.eos_id]
        for cut in {0, 1, len(ids) // 2, len(ids) - 2, len(ids) - 1}:  # within characters too
            check(tokenizer, ids[:cut], ids[cut:])
        check(tokenizer, tokenizer.encode_prompt([{"role": "user", "content": prompt}]), tokenizer.encode_text(output))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_of_any_tokens_too(tokenizer: ChatTokenizer, data: st.DataObject) -> None:
    """Random models write halves of characters, and bytes that are none."""
    ordinary = sorted(set(range(tokenizer.vocab_size)) - tokenizer.special_ids)
    ids = st.lists(st.sampled_from(ordinary), min_size=1, max_size=12)
    check(tokenizer, [tokenizer.turn_ids["assistant"]], data.draw(ids))


def test_tokens_that_read_alike_have_their_own_names(tokenizer: ChatTokenizer) -> None:
    """At a text's beginning SentencePiece's "the" and "▁the" are the same; so are halves of characters."""
    everything = list(range(tokenizer.vocab_size))
    prompt = tokenizer.encode_prompt([{"role": "user", "content": "what"}])
    for token in (everything[40], everything[-20], tokenizer.eos_id):
        found = of_completion(tokenizer, scored([*prompt, token], everything), len(prompt), False)
        (best,), (name,) = found["top_logprobs"], found["tokens"]
        assert list(best.values()) == [-float(i) for i in everything]
        assert best[name] == -float(token)


def test_a_texts_likelihoods_take_no_place_for_all_logits() -> None:
    tokens, vocabulary = 512, 32_000
    config = ModelConfig("llama", vocabulary, 16, 16, 1, 2, 2, 8, tokens, tie_embeddings=True, initializer_range=0.3)
    graph, state = nnx.split(weights.create(config, 0))
    asked = jnp.zeros((1, tokens), jnp.int32), jnp.zeros(tokens, jnp.int32)
    made = steps.score_text.lower(graph, state, *asked, 5, jnp.float32).compile()
    assert made.memory_analysis().temp_size_in_bytes < 4 * tokens * vocabulary / 2
