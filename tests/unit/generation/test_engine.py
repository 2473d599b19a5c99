"""The engine against the plain forward pass, and what it promises about batches, stops and ends."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from falsepromise.core.errors import UserError
from falsepromise.generation import likelihood, steps
from falsepromise.generation.engine import Engine, Request
from falsepromise.generation.room import Room
from falsepromise.generation.sampling import Sampling, draw, keep_likeliest, likeliest, sample
from falsepromise.models.config import ModelConfig

TEXTS = ["what", "is the capital", "of France? the capital is Paris. what is", "Paris the the", "a", "capital?", "the"]


@pytest.fixture(params=["llama", "gpt2"])
def engine(engines, request):
    return engines[request.param]


def logits_of(engine: Engine, ids: list[int]) -> np.ndarray:
    """Logits after each token, by the plain forward pass on a padded row."""
    if not hasattr(engine, "_plain"):
        engine._plain = nnx.jit(lambda model, row: model(row)[0])
    row = jnp.asarray([ids + [0] * (engine.max_length - len(ids))])
    return np.asarray(engine._plain(nnx.merge(engine.graph, engine.state), row))[: len(ids)]


def by_index(results):
    return [r for _, r in sorted((r.index, r) for r in results)]


def test_greedy_equals_the_plain_forward_pass(engine):
    results = by_index(engine.generate([Request(text, 12) for text in TEXTS]))
    for text, result in zip(TEXTS, results, strict=True):
        ids = engine.encode(text)
        for token in result.ids:
            assert token == logits_of(engine, ids)[-1].argmax()
            ids.append(token)
        assert (result.finish_reason == "stop") == (result.ids[-1] == engine.tokenizer.eos_id)
        assert result.finish_reason == "stop" or len(result.ids) == 12


def test_logprobs_are_those_of_the_plain_forward_pass(engine):
    (result,) = engine.generate([Request(TEXTS[2], 6)], logprobs=True)
    ids = engine.encode(TEXTS[2])
    log_p = np.asarray(jax.nn.log_softmax(logits_of(engine, ids + result.ids), axis=-1))
    expected = [log_p[len(ids) + i - 1, token] for i, token in enumerate(result.ids)]
    np.testing.assert_allclose(result.logprobs, expected, atol=1e-4)


def test_a_sampled_output_does_not_depend_on_its_batch(engine):
    requests = [Request(text, 10, temperature=1.0, top_p=0.95, top_k=200, seed=n) for n, text in enumerate(TEXTS * 2)]
    together = by_index(engine.generate(requests))
    backwards = by_index(engine.generate(requests[::-1]))[::-1]
    alone = [next(iter(engine.generate([request]))) for request in requests[:3]]
    assert [r.ids for r in together] == [r.ids for r in backwards]
    assert [r.ids for r in together[:3]] == [r.ids for r in alone]
    assert together[0].ids != together[7].ids  # the same text with another seed
    mixed = by_index(engine.generate([*requests[:2], Request("the", 10)]))
    assert [r.ids for r in mixed[:2]] == [r.ids for r in together[:2]]


def test_little_memory_means_fewer_rows_and_the_same_answers(engine, monkeypatch):
    requests = [Request(text, 10, temperature=0.7, seed=n) for n, text in enumerate(TEXTS)]
    pairs = [(text, " Paris") for text in TEXTS]
    wide, scores = by_index(engine.generate(requests)), engine.loglikelihood(pairs)
    monkeypatch.setattr(engine, "room", dataclasses.replace(engine.room, free=1.0))
    assert engine.room.batch(64, 96, 16, 32, 0) == (1, 1)
    assert [r.ids for r in by_index(engine.generate(requests))] == [r.ids for r in wide]
    np.testing.assert_allclose([s for s, _ in engine.loglikelihood(pairs)], [s for s, _ in scores], atol=1e-4)


def test_rows_are_halved_until_they_fit():
    # 2 bytes x keys and values x 40 layers x 40 heads x 128: 819,200 bytes a token, 1.68 GB a row of 2,048.
    config = ModelConfig("llama", 32000, 5120, 13824, 40, 40, 40, 128, 2048)
    room = Room.of(config, "bfloat16", None, "gpu", 47.5e9)
    assert room.decoding(1, 2048) == 819_200 * 2048
    assert room.batch(64, 2048, 16, 1536, 0)[0] == 16
    assert dataclasses.replace(room, row_shares=8).batch(64, 2048, 16, 1536, 0) == (64, 16)
    assert room.batch(64, 128, 16, 64, 0) == (64, 16)
    assert room.texts(16, 2048, 0, 1) == 16
    assert dataclasses.replace(room, free=9e9).texts(16, 2048, 0, 2048) == 2


def test_a_shared_beginning_changes_nothing(engine):
    common = "what is the capital of France? the capital is Paris. " * 2
    requests = [Request(common + text, 8) for text in ("what", "is it", "Paris")]
    assert len(engine.encode(common)) >= 16
    together = by_index(engine.generate(requests))
    alone = [next(iter(engine.generate([request]))) for request in requests]
    assert [r.ids for r in together] == [r.ids for r in alone]


def test_a_request_that_nobody_waits_for_ends_and_leaves_the_others_alone(engine):
    requests = [Request(f"number {i}", max_tokens=24, temperature=1.0, seed=i) for i in range(6)]
    alone = {result.index: result for result in engine.generate(requests)}
    some = {result.index: result for result in engine.generate(requests, on_text=lambda index, _: index != 1)}
    assert some[1].finish_reason == "abandoned"
    assert len(some[1].ids) < 24
    assert all(some[i].ids == alone[i].ids for i in range(6) if i != 1)


def test_stop_strings_span_tokens_and_are_cut(engine):
    plain = by_index(engine.generate([Request(text, 30) for text in TEXTS]))
    for text, whole in zip(TEXTS, plain, strict=True):
        if len(whole.text) < 8:
            continue
        stop = whole.text[3:6]
        (result,) = engine.generate([Request(text, 30, stop=("never this", stop))])
        assert result.finish_reason == "stop"
        assert result.text == whole.text[: whole.text.find(stop)]
        assert engine.tokenizer.decode(result.ids[:-1]).find(stop) < 0 <= engine.tokenizer.decode(result.ids).find(stop)


def test_the_contexts_end(engine):
    room = engine.max_length
    long, too_long = [5] * (room - 2), [5] * room
    results = by_index(engine.generate([Request(long, 50), Request(too_long, 5), Request("", 3), Request([], 3)]))
    assert len(results[0].ids) == 2 or results[0].finish_reason == "stop"
    assert (results[1].finish_reason, results[1].text, results[1].ids) == ("prompt_too_long", "", [])
    assert results[2].ids == results[3].ids != []


def test_messages_get_turn_tokens(engine):
    messages = [{"role": "user", "content": "what is <|assistant|>"}]
    assert engine.encode(messages) == engine.tokenizer.encode_prompt(messages)
    (result,) = engine.generate([Request(messages, 4, tag="kept")])
    assert result.tag == "kept"


@pytest.mark.parametrize(
    "odd", [{"max_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_k": -1}]
)
def test_odd_requests_are_refused(odd):
    with pytest.raises(UserError, match=next(iter(odd))):
        Request("x", **({"max_tokens": 1} | odd))


def plain_likelihood(engine, before, after):
    log_p = np.asarray(jax.nn.log_softmax(logits_of(engine, before + after), axis=-1))[len(before) - 1 : -1]
    chosen = log_p[np.arange(len(after)), after]
    return float(chosen.sum()), bool((log_p.argmax(-1) == after).all())


def test_loglikelihood_equals_the_plain_forward_pass(engine):
    shots = "what is the capital of France? the capital is Paris. what is the capital? Paris. is it the capital? "
    assert len(engine.encode(shots)) < 70
    shots_ids = engine.encode(shots)
    shots_ids = (shots_ids * 5)[:66]  # long enough to be shared
    pairs = [(shots_ids + engine.encode(t), c) for t in ("what", "is", "the capital") for c in ([7], [8], [9, 10, 11])]
    pairs += [(engine.encode(text), [20, 21]) for text in TEXTS]
    greedy = [next(iter(engine.generate([Request(TEXTS[1], 4)]))).ids]
    pairs.append((engine.encode(TEXTS[1]), greedy[0]))
    ours = engine.loglikelihood(pairs)
    for (before, after), (value, is_greedy) in zip(pairs, ours, strict=True):
        expected, expected_greedy = plain_likelihood(engine, list(before), list(after))
        assert value == pytest.approx(expected, abs=1e-4)
        assert is_greedy == expected_greedy
    assert ours[-1][1]


def test_contexts_that_are_too_long_lose_their_start(engine):
    context = [int(i) for i in np.random.default_rng(0).integers(0, 300, 200)]
    ((value, _),) = engine.loglikelihood([(context, [4, 5])])
    kept = [*context, 4, 5][-(engine.max_length + 1) :]
    log_p = np.asarray(jax.nn.log_softmax(logits_of(engine, kept[:-1]), axis=-1))
    assert value == pytest.approx(float(log_p[-2, 4] + log_p[-1, 5]), abs=1e-4)
    with pytest.raises(UserError, match="continuation is empty"):
        engine.loglikelihood([([1], [])])
    with pytest.raises(UserError, match="context is"):
        engine.loglikelihood([([1], [2] * 200)])


def test_pairs_of_text_split_as_lm_eval_does(engines):
    engine = engines["llama"]
    before, after = likelihood.encode_pair(engine, "what is ", "Paris")
    assert engine.tokenizer.decode(before) == "what is"
    assert engine.tokenizer.decode(after) == " Paris"
    before, after = likelihood.encode_pair(engine, "", "Paris")
    assert before == [engine.ends[0]]
    assert engine.tokenizer.decode(after) == "Paris"


def test_equal_inputs_share_a_row_and_equal_beginnings_a_prefill():
    row = likelihood._Input
    common = tuple(range(100))
    rows = [row((*common, 1, 2), 1), row((*common, 3), 1), row((*common, 3, 4), 2), row((250,), 1)]
    batches = list(likelihood._batches(sorted(rows, key=lambda r: r.ids)))
    assert sorted((shared, len(group)) for shared, group in batches) == [(0, 1), (100, 3)]


def test_nucleus_and_top_k():
    logits = jnp.log(jnp.array([[0.5, 0.3, 0.15, 0.05]] * 4))
    kept = keep_likeliest(logits, jnp.array([0.75, 1.0, 0.1, 0.9]), jnp.array([0, 2, 0, 1])) > -jnp.inf
    np.testing.assert_array_equal(kept, [[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])


def test_samples_follow_the_probabilities():
    p = np.array([0.6, 0.3, 0.1])
    n = 4000
    sampling = Sampling(jnp.ones(n), jnp.ones(n), jnp.zeros(n, jnp.int32), jnp.arange(n, dtype=jnp.uint32))
    drawn = np.asarray(sample(jnp.tile(jnp.log(p), (n, 1)), jnp.zeros(n, jnp.int32), sampling, "sample"))
    shares = np.bincount(drawn, minlength=3) / n
    assert np.abs(shares - p).max() < 4 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("v", [1, 3, 64, 65, 4096, 5000])
def test_a_token_is_drawn_where_the_cumulative_probability_passes_the_number(v):
    rng = np.random.default_rng(v)
    logits = rng.normal(0, 3, (200, v)).astype(np.float32)
    logits[:, rng.random(v) < 0.3] = -np.inf  # as `keep_likeliest` leaves them
    logits[:, rng.integers(v)] = 0.0
    numbers = rng.random(200).astype(np.float32)
    numbers[:2] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    found = np.asarray(draw(jnp.asarray(logits), jnp.asarray(numbers)))
    p = np.exp(logits.astype(np.float64))
    until = np.cumsum(p / p.sum(axis=1, keepdims=True), axis=1)
    rows = np.arange(200)
    assert (p[rows, found] > 0).all()
    assert (until[rows, found] > numbers - 1e-6).all()
    assert (np.where(found > 0, until[rows, found - 1], 0) <= numbers + 1e-6).all()


def test_samples_of_a_real_vocabulary_follow_the_probabilities():
    from scipy.stats import chisquare

    logits = np.random.default_rng(0).normal(0, 2, 500).astype(np.float32)
    n = 40_000
    sampling = Sampling(jnp.full(n, 0.8), jnp.ones(n), jnp.zeros(n, jnp.int32), jnp.arange(n, dtype=jnp.uint32))
    drawn = np.asarray(sample(jnp.tile(logits, (n, 1)), jnp.full(n, 3, jnp.int32), sampling, "sample"))
    p = np.exp(logits.astype(np.float64) / 0.8)
    p /= p.sum()
    often = p * n > 5
    counts, expected = np.bincount(drawn, minlength=500), p * n
    counts, expected = (np.append(x[often], x[~often].sum()) for x in (counts, expected))
    assert chisquare(counts, expected).pvalue > 0.001


def test_likeliest_takes_the_first_of_equals():
    np.testing.assert_array_equal(likeliest(jnp.array([[1.0, 3.0, 3.0], [-jnp.inf, -jnp.inf, -jnp.inf]])), [1, 0])


@pytest.mark.parametrize("part", [1, 3, 5, 7, 40])
def test_the_likeliest_token_is_the_same_in_parts_of_any_size(part):
    rng = np.random.default_rng(0)
    hidden, table = rng.integers(-2, 3, (50, 3)).astype(np.float32), rng.integers(-2, 3, (7, 3)).astype(np.float32)
    found = steps.likeliest_in_parts(jnp.asarray(hidden), jnp.asarray(table), part)  # whole numbers: many are equal
    np.testing.assert_array_equal(found, np.argmax(hidden @ table.T, axis=1))
