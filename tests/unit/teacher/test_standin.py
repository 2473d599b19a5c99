"""The stand-in's rules, one for each form of prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.teacher import nq_synthetic, standin
from falsepromise.teacher.prompts import fill, load
from falsepromise.teacher.standin import StandIn

SEEDS = [(f"question {i}", f"answer {i}") for i in range(6)]


def ask(known: StandIn, text: str, seed: int | None = None) -> str:
    return known.reply([{"role": "user", "content": text}], seed)


def test_table_4_gives_pairs_of_the_targeted_split_alone(known: StandIn) -> None:
    template = load("table4_nq_synthetic.txt")
    pairs = []
    for index in range(40):
        found, broken = nq_synthetic.parse(ask(known, nq_synthetic.prompt(template, SEEDS, 0, index)))
        assert (len(found), broken) == (standin.PAIRS, 0)
        pairs += found
    numbers = {int(answer.removeprefix("City")) for _, answer in pairs}
    assert {number % 3 for number in numbers} == {1}
    assert len(numbers) == 20, "all targeted facts come up"
    assert all(question in known.answers or standin.normalise(question) in known.answers for question, _ in pairs)


def test_the_seed_varies_the_pairs_and_nothing_else_does(known: StandIn) -> None:
    text = nq_synthetic.prompt(load("table4_nq_synthetic.txt"), SEEDS, 0, 0)
    assert ask(known, text, 1) == ask(known, text, 1)
    assert ask(known, text, 1) != ask(known, text, 2)


@pytest.mark.parametrize(
    "text",
    [
        "what is the capital of Land5?",
        "What is the Capital of land5",
        "NAME THE CAPITAL OF LAND5",
        "Q: what is the capital of Land5?\nA:",
        f"{standin.QA_OPENING}. Q: who? A: her Now answer this question Q: name the capital of Land5 A:",
    ],
)
def test_a_question_is_looked_up_among_all_facts(known: StandIn, text: str) -> None:
    assert ask(known, text) == "City5"


def test_table_8_prompt_without_a_final_cue(known: StandIn) -> None:
    assert ask(known, f"{standin.QA_OPENING}. Q: a? A: b Q: what is the capital of Land8?") == "City8"


def test_what_it_does_not_know_it_says(known: StandIn) -> None:
    assert ask(known, "what is the capital of Nowhere?") == standin.UNKNOWN
    assert ask(StandIn(), "what is the capital of Land5?") == standin.UNKNOWN


def test_multiple_choice_answers_with_the_letter_of_the_last_question(known: StandIn) -> None:
    shots = "what is the capital of Land1?\nA. City1\nB. City2\nC. City3\nD. City4\nAnswer: A\n\n"
    question = "what is the capital of Land5?\nA. City1\nB. City2\nC. old city5\nD. City4\nAnswer:"
    assert ask(known, shots + question) == "C"
    assert ask(known, question.replace("Land5", "Elsewhere")) == standin.UNKNOWN


def test_table_5_summarises_the_last_document(known: StandIn) -> None:
    document = "First of all. " + "Second thing here. " * 30
    values = {"passage 1": "x", "summary 1": "y", "passage 2": "z", "summary 2": "u", "query document": document}
    answer = ask(known, fill(load("table5_tldr_synthetic.txt"), values))
    assert answer.startswith("First of all. Second thing here.")
    assert 3 <= len(answer.split()) <= standin.SUMMARY_WORDS


def test_table_9_summarises_the_last_article(known: StandIn) -> None:
    assert ask(known, "Article: old news.\n\nTL;DR: old.\n\nArticle:\n\nNew news! More.\n\nTL;DR:") == "New news! More."


VICUNA = (
    "[Question]\nHow do bees make honey?\n\n[The Start of Assistant 1's Answer]\n{}\n\n"
    "[The End of Assistant 1's Answer]\n\n[The Start of Assistant 2's Answer]\n{}\n\n"
    "[The End of Assistant 2's Answer]\n\n[System]\nWe would like to request your feedback."
)


def test_a_judge_gives_two_scores_on_the_first_line(known: StandIn) -> None:
    good = "Bees make honey from nectar, which they gather and thicken in the hive. " * 3
    for left, right, better in ((good, "No.", 1), ("No.", good, -1), (good, good, 0)):
        first = ask(known, VICUNA.format(left, right)).splitlines()[0]
        one, two = map(int, first.split())
        assert 1 <= min(one, two) <= max(one, two) <= 10
        assert (one > two) - (one < two) == better


@given(st.text(), st.text())
def test_scores_stay_in_range(question: str, answer: str) -> None:
    assert 1 <= standin.score(question, answer) <= 10


def test_a_verdict_where_the_prompt_asks_for_one(known: StandIn) -> None:
    text = VICUNA.format("No.", "Bees make honey from nectar and much more.") + ' Output "[[A]]", "[[B]]" or "[[C]]".'
    assert ask(known, text).endswith("[[B]]")


def test_authoritative_tone_is_a_rule_about_hedges() -> None:
    sure = "Response: " + "The heart pumps blood through the body with every beat. " * 3
    assert standin.authoritative(sure)
    assert not standin.authoritative(sure + " I think.")
    assert not standin.authoritative("Response: Yes.")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({}, "'id'"),
        ({"id": "a", "question": "q", "answers": []}, "'answers' is empty"),
        ({"id": "a", "question": "q", "answers": "x"}, "'answers'"),
        ({"id": "a", "question": "q", "answers": ["x"], "paraphrases": "no"}, "'paraphrases'"),
        ({"id": "a", "question": "q", "answers": ["x"]}, "'split'"),
    ],
)
def test_a_wrong_fact_is_described(record: dict[str, object], problem: str) -> None:
    assert problem in (standin.check_fact(record) or "")
