"""BLEU of all pairs against sacrebleu's, and the verbs that measure with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from curation_files import dialogue, read_lines, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from falsepromise.core.errors import UserError
from falsepromise.curation import bleu, decontaminate, diversity

WORDS = st.sampled_from(["the", "cat", "sat", "on", "mat", "a", "3.5", "1,000", "don't", "-\n", "&amp;", "ü", "!"])
TEXTS = st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=6)


def reference_scores(hypotheses, references):
    metric = BLEU(effective_order=True)
    return np.array([[metric.sentence_score(h, [r]).score for r in references] for h in hypotheses])


@given(hypotheses=TEXTS, references=TEXTS)
@settings(max_examples=60)
def test_every_pair_equals_sacrebleu(hypotheses, references):
    pairs = bleu.Pairs(hypotheses, references)
    found = 100 * np.exp(pairs.log_scores(slice(0, len(hypotheses))))
    np.testing.assert_allclose(found, reference_scores(hypotheses, references), rtol=0, atol=1e-9)


@given(texts=TEXTS.filter(lambda texts: len(texts) > 1))
@settings(max_examples=40)
def test_nearest_other_text(texts):
    scores = reference_scores(texts, texts)
    np.fill_diagonal(scores, -1)
    found = bleu.nearest(texts)
    np.testing.assert_allclose(found.bleu, np.maximum(scores.max(axis=1), 0), rtol=0, atol=1e-9)
    for row, index in enumerate(found.index.tolist()):
        assert (index == -1) == (scores[row].max() <= 0)
        assert index != row
        if index >= 0:
            assert scores[row, index] == pytest.approx(scores[row].max(), abs=1e-9)


def test_many_texts_in_small_blocks_and_dense_columns(monkeypatch):
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(60)]
    weights = 1 / np.arange(1, 61)
    texts = [" ".join(rng.choice(words, rng.integers(1, 40), p=weights / weights.sum())) for _ in range(80)]
    monkeypatch.setattr(bleu, "_BLOCK_BYTES", 8 * 80 * 7)
    monkeypatch.setattr(bleu, "_DENSE_MOST", 5)
    scores = reference_scores(texts, texts)
    np.fill_diagonal(scores, -1)
    np.testing.assert_allclose(bleu.nearest(texts).bleu, scores.max(axis=1), rtol=0, atol=1e-9)


def test_no_references():
    found = bleu.nearest(["a b"], [])
    assert found.index.tolist() == [-1]
    assert found.bleu.tolist() == [0.0]


def test_diversity_verb(tmp_path):
    path = write_lines(
        tmp_path / "q.jsonl",
        [
            {"id": "a", "prompt": "how do I boil an egg"},
            dialogue("b", "how do I boil an egg", "Slowly."),
            {"id": "c", "messages": [{"role": "user", "content": "zzz"}]},
        ],
    )
    diversity.main(["--queries", str(path), "--output", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["n"] == 3
    assert found["mean_nearest_bleu"] == pytest.approx(200 / 3)
    assert found["nearest"][0] == {"id": "a", "nearest_id": "b", "bleu": pytest.approx(100)}
    assert found["nearest"][2] == {"id": "c", "nearest_id": None, "bleu": 0.0}
    assert sum(found["histogram"]["counts"]) == 3


def test_decontaminate_verb(tmp_path):
    prompts = write_lines(
        tmp_path / "p.jsonl",
        [{"id": "near", "prompt": "what is the capital of France"}, {"id": "far", "prompt": "compose a limerick"}],
    )
    training = write_lines(
        tmp_path / "t.jsonl", [dialogue("t", "hello", "hi", "what is the capital of France ?", "Paris")]
    )
    paths = ["--output", str(tmp_path / "out.jsonl"), "--report", str(tmp_path / "report.json")]
    decontaminate.main(["--prompts", str(prompts), "--training", str(training), *paths])
    assert [record["id"] for record in read_lines(tmp_path / "out.jsonl")] == ["far"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["n"], report["kept"], report["dropped"]) == (2, 1, 1)
    expected = reference_scores(["what is the capital of France"], ["what is the capital of France ?"])[0, 0]
    assert report["items"][0]["bleu"] == pytest.approx(expected)
    assert report["items"][0]["training_query"] == "what is the capital of France ?"
    near = write_lines(tmp_path / "n.jsonl", [{"id": "near", "prompt": "what is the capital of France"}])
    with pytest.raises(UserError, match="every prompt"):
        decontaminate.main(["--prompts", str(near), "--training", str(training), *paths])
