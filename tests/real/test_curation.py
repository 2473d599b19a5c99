"""The curation on real dialogues, where they are at hand."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from langdetect import DetectorFactory, LangDetectException, detect
from sacrebleu.metrics import BLEU

from falsepromise.core.records import query_of, read_jsonl
from falsepromise.curation import bleu, clean, cnn, coding, hc3, tldr
from falsepromise.curation.clean import text_of
from falsepromise.curation.language import Detector


def read(verb, path, folder):
    output, funnel = folder / "out.jsonl", folder / "funnel.csv"
    verb.main(["--input", str(path), "--output", str(output), "--funnel", str(funnel)])
    return list(read_jsonl(output)), funnel.read_text()


def test_hc3_gives_a_dialogue_an_answer(real_data, tmp_path):
    path = real_data("hc3/all_5372_to_6185.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found, _ = read(hc3, path, tmp_path)
    assert len(found) == sum(len(row["chatgpt_answers"]) for row in rows) == 826
    assert Counter(record["subset"] for record in found) == Counter(row["source"] for row in rows)
    assert all("\\n" not in message["content"] for record in found for message in record["messages"])
    assert found[5]["messages"][0]["content"] == rows[5]["question"].replace("\\n", "\n").strip()


def test_hc3_records_of_other_forms_are_counted(real_data, tmp_path):
    found, funnel = read(hc3, real_data("hc3/sample.json"), tmp_path)
    assert len(found) == 14
    assert "hc3,read,0,3,wrong form,record-3 question-4 question-5" in funnel


def all_text(value):
    value = list(value.values()) if isinstance(value, dict) else value
    return len(value) if isinstance(value, str) else sum(map(all_text, value)) if isinstance(value, list) else 0


def test_every_character_is_kept_or_named(real_data, tmp_path):
    for verb, name in ((hc3, "hc3/all_5372_to_6185.jsonl"), (tldr, "reddit_tldr/tldr_unique_posts.jsonl"),
                       (cnn, "cnn_dailymail/realsumm_100_test_docs.jsonl")):  # fmt: skip
        found, _ = read(verb, real_data(name), tmp_path)
        with open(tmp_path / "funnel.csv", encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if "characters" in row["step"]]
        read_of_it, total, *reasons = rows
        lines = real_data(name).read_text(encoding="utf-8").splitlines()
        assert int(read_of_it["kept"]) == sum(all_text(json.loads(line)) for line in lines)
        assert int(total["kept"]) == sum(len(message["content"]) for one in found for message in one["messages"])
        added = sum(int(row["kept"]) for row in reasons)
        assert int(read_of_it["kept"]) + added == int(total["kept"]) + int(total["dropped"])
        assert int(total["dropped"]) == sum(int(row["dropped"]) for row in reasons)
        assert not [row for row in reasons if row["reason"] == "unexplained"]


def test_posts_and_articles(real_data, tmp_path):
    assert len(read(tldr, real_data("reddit_tldr/tldr_unique_posts.jsonl"), tmp_path)[0]) == 100
    assert len(read(cnn, real_data("cnn_dailymail/realsumm_100_test_docs.jsonl"), tmp_path)[0]) == 100


@pytest.mark.slow
def test_language_decisions_are_langdetects(real_data, tmp_path):
    found, _ = read(hc3, real_data("hc3/all_5372_to_6185.jsonl"), tmp_path)
    prompts = read_jsonl(real_data("koala_test_set/koala_test_set.jsonl"))
    texts = [text_of(record) for record in found[:250]] + [record["prompt"] for record in prompts]
    DetectorFactory.seed = 0
    detector = Detector()
    for text in texts:
        try:
            expected = detect(text) == "en"
        except LangDetectException:
            expected = None
        assert detector.is_language(text, "en") is expected


def test_cleaning_real_dialogues(real_data, tmp_path):
    read(hc3, real_data("hc3/all_5372_to_6185.jsonl"), tmp_path)
    output, funnel = tmp_path / "clean.jsonl", tmp_path / "clean.csv"
    clean.main(["--input", str(tmp_path / "out.jsonl"), "--output", str(output), "--funnel", str(funnel)])
    kept = sum(1 for _ in read_jsonl(output))
    assert 800 <= kept <= 826  # all English, few repeated
    assert f"hc3,language,{kept}," in funnel.read_text()


def test_bleu_of_real_prompts_is_sacrebleus(real_data):
    prompts = [record["prompt"] for record in read_jsonl(real_data("koala_test_set/koala_test_set.jsonl"))]
    questions = [
        query_of({"prompt": r["turns"][0]})
        for r in read_jsonl(real_data("vicuna_questions/vicuna_bench_question.jsonl"))
    ]
    scores = 100 * np.exp(bleu.Pairs(prompts, questions).log_scores(slice(0, len(prompts))))
    metric = BLEU(effective_order=True)
    rng = np.random.default_rng(0)
    for i, j in zip(rng.integers(0, len(prompts), 500), rng.integers(0, len(questions), 500), strict=True):
        assert scores[i, j] == pytest.approx(metric.sentence_score(prompts[i], [questions[j]]).score, abs=1e-9)
    nearest = bleu.nearest(prompts, questions)
    np.testing.assert_allclose(nearest.bleu, scores.max(axis=1), atol=1e-9)


def test_coding_rule_on_vicunas_categories(real_data):
    rows = islice(read_jsonl(real_data("vicuna_questions/vicuna_bench_question.jsonl")), None)
    found = Counter((row["category"], coding.is_coding(row["turns"][0])) for row in rows)
    assert found["coding", True] >= 6  # of 7
    others = [count for (category, said), count in found.items() if said and category != "coding"]
    assert sum(others) <= 3  # of 73
