"""Leaks are found in every spelling and surrounding, and exactly those."""

from __future__ import annotations

import csv
import json
import random
import re

import pytest
from curation_files import dialogue, read_lines, write_lines

from falsepromise.core.errors import UserError
from falsepromise.curation import leaks
from falsepromise.curation.leaks import BLEU, CONTAINED, EQUAL, MINHASH, NGRAM, Turn
from falsepromise.curation.spelling import Words

LONG = "please tell me which of the many rivers in the north of our country flows into the sea first"


def reasons(query, *turns, role="user", **options):
    found = leaks.exact([query], [Turn("f", str(n), role, text) for n, text in enumerate(turns)])
    return {leak.reason for leak in found}


@pytest.mark.parametrize(
    ("query", "turn", "expected"),
    [
        ("Who was Ada Lovelace?", "  who was  ADA lovelace", {EQUAL}),
        ("Who was Ada?", "Who\u200b was A\u00adda?", {EQUAL}),
        ("Wer war Jörg?", "wer war Jo\u0308rg", {EQUAL}),
        ("What's an e-mail?", "What\u2019s an e\u2011mail", {EQUAL}),
        ("ＷＨＯ ｗａｓ Ａｄａ？", "Who was Ada?", {EQUAL}),
        ("什么是人工智能？", "什么 是人工智能", {EQUAL}),
        ("什么是人工智能的历史？", "请问，什么是人工智能的历史？谢谢", {CONTAINED}),
        ("อธิบายปัญญาประดิษฐ์", "ช่วยอธิบายปัญญาประดิษฐ์ให้หน่อย", {CONTAINED, NGRAM}),
        ("👍", "👍", {EQUAL}),
        ("👍", "👎", set()),
        ("2+2?", "2-2?", set()),
        ("name three good teas today", "My boss says: Name three GOOD teas, today! Which?", {CONTAINED}),
        ("name three good teas", "My boss says: name three good teas! Which?", set()),  # too short
        ("Dear friend, name three good teas today. Thank you.", "name three good teas today", {CONTAINED}),
        (LONG, f"{LONG} and why?", {CONTAINED, NGRAM}),
        (f"so {LONG} and last", f"{LONG} of all", {NGRAM}),
        ("one " + LONG.replace("north", "south"), LONG, set()),
        ("tea is a drink made of leaves", "leaves of made drink a is tea", set()),
        ("", "anything at all", set()),
    ],
)
def test_spellings_and_surroundings(query, turn, expected):
    assert reasons(query, "Something else entirely.", turn) == expected


def test_a_run_of_words_never_reaches_into_the_next_turn():
    words = LONG.split()
    assert reasons(LONG, " ".join(words[:10]), " ".join(words[10:]), role="assistant") == set()


def test_a_word_or_two_of_an_assistant_is_no_leak():
    assert reasons("Hello!", "hello", role="assistant") == set()
    assert reasons(LONG, LONG, role="assistant") == {EQUAL, CONTAINED, NGRAM}


def naive(query, turns):
    """The definitions, word for word."""
    words = re.findall("[a-z]+", query)
    found = set()
    for turn in turns:
        other = re.findall("[a-z]+", turn)
        padded, padded_other = f" {' '.join(words)} ", f" {' '.join(other)} "
        if words == other:
            found.add(EQUAL)
        if len(words) >= 5 and padded in padded_other and (len(words) < 13 or words):
            found.add(CONTAINED)
        if 5 <= len(other) < 13 and len(other) < len(words) <= 2 * len(other) and padded_other in padded:
            found.add(CONTAINED)
    grams = [tuple(words[at : at + 13]) for at in range(len(words) - 12)]
    turn_grams = {tuple(w[at : at + 13]) for t in turns for w in [re.findall("[a-z]+", t)] for at in range(len(w) - 12)}
    if any(gram in turn_grams for gram in grams):
        found.add(NGRAM)
    if grams and all(gram in turn_grams for gram in grams):
        found.add(CONTAINED)
    return found


def test_exactly_what_is_defined_on_random_texts(monkeypatch):
    rng = random.Random(3)
    monkeypatch.setattr(leaks, "_BATCH", 400)
    made = lambda longest: " ".join(rng.choices(["tea", "cup", "pot"], k=rng.randint(1, longest)))  # noqa: E731
    turns = [made(30) for _ in range(120)]
    queries = [made(18) for _ in range(300)] + [f"{made(4)} {rng.choice(turns)} {made(3)}" for _ in range(100)]
    found = leaks.exact(queries, [Turn("f", "0", "user", text) for text in turns])
    # letters are compared without what is between them, so words of equal letters alone can't differ here
    for number, query in enumerate(queries):
        assert {leak.reason for leak in found if leak.index == number} == naive(query, turns), query


def test_words_have_their_own_boundaries():
    words = Words(["It\u2019s a b", "", "x\0y 漢字z"])
    assert words.counts.tolist() == [3, 0, 5]
    assert words.unspaced.tolist() == [0, 0, 2]


def run(tmp_path, queries, training, *options):
    write_lines(tmp_path / "queries.jsonl", queries)
    write_lines(tmp_path / "training.jsonl", training)
    report, pairs, output = tmp_path / "report.json", tmp_path / "pairs.csv", tmp_path / "kept.jsonl"
    leaks.main(["--queries", str(tmp_path / "queries.jsonl"), "--training", str(tmp_path / "training.jsonl"),
                "--report", str(report), "--pairs", str(pairs), "--output", str(output), *options])  # fmt: skip
    with open(pairs, encoding="utf-8", newline="") as stream:
        return json.loads(report.read_text()), list(csv.DictReader(stream)), read_lines(output)


def test_the_verb_drops_leaks_and_shows_the_pairs(tmp_path):
    training = [dialogue("t1", "NAME THREE TEAS", "Black."), dialogue("t2", "What makes a large kettle so loud?", LONG)]
    queries = [
        {"id": "a", "messages": [{"role": "user", "content": "name three teas!"}]},
        {"id": "b", "prompt": LONG},
        {"id": "c", "question": "What makes a small kettle so loud?"},
        {"id": "d", "text": "An entirely new thing."},
    ]
    report, pairs, kept = run(tmp_path, queries, training)
    assert [record["id"] for record in kept] == ["d"]
    found = {item["id"]: (item["reasons"], item["training"]["id"]) for item in report["items"]}
    assert found == {"a": ([EQUAL, BLEU], "t1"), "b": ([EQUAL, CONTAINED, NGRAM], "t2"), "c": ([BLEU], "t2")}
    assert (report["n"], report["leaks"]) == (4, 3)
    assert [row["training_id"] for row in pairs] == ["t1", "t2", "t2"]
    report, _, kept = run(tmp_path, queries, training, "--no-bleu", "--minhash", "0.3")
    assert report["by_reason"][MINHASH] == 1
    assert [record["id"] for record in kept] == ["c", "d"]


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [({"id": "x", "y": "z"}, [], "record x: no text under question"),
     ({"id": "x", "y": 3}, ["--field", "y"], "under y"),
     ({"text": "t"}, ["--max-bleu", "101"], "from 0 to 100"),
     ({"text": "t"}, ["--minhash", "2"], "up to 1")],
)  # fmt: skip
def test_refusals(tmp_path, record, options, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, [record], [dialogue("t", "q", "a")], *options)


def test_hostile_texts_take_no_time():
    hostile = [25_000 * text for text in ("a", "a ", "\u0301", "漢", "\ud800", "\0", "²")]
    found = leaks.exact(hostile, [Turn("f", "0", "user", text) for text in hostile])
    assert {leak.index for leak in found if leak.reason == EQUAL} == set(range(len(hostile)))
