"""Pairs and summaries are read out of what teachers write around them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.teacher import cleaning


@pytest.mark.parametrize(
    ("text", "pairs", "broken"),
    [
        ("Q: who? A: her", [("who?", "her")], 0),
        ("Q: who? A: her Q: what? A: that", [("who?", "her"), ("what?", "that")], 0),
        ("Q: who?\nA: her\n\nQ: what?\nA: that\n", [("who?", "her"), ("what?", "that")], 0),
        ("1. Q: who?\n   A: her\n2. Q: what?\n   A: that", [("who?", "her"), ("what?", "that")], 0),
        ("Here you are:\n\n**Q:** who?\n**A:** her\n\nEnjoy!", [("who?", "her")], 0),
        ("Question 1: who?\nAnswer 1: her", [("who?", "her")], 0),
        ("Q: when was it\nat olympics\nA. 1980", [("when was it at olympics", "1980")], 0),
        ("Q: who?\nA: her\nQ: what", [("who?", "her")], 1),
        ("Q: who? A:", [], 1),
        ("I can't do that.", [], 0),
        ("", [], 0),
        ("Sure! Here are some:\n\n1. **Q: who?**\n   **A: her**\n2. **Q: what?**\n   **A:** that", ["wh"], 0),
        ("**1. Question:** who?\n\n**Answer:** her\n---\n**2. Question:** what?\n\n**Answer:** *that*", ["wh"], 0),
        ("### Q1: who?\nA1: her\n### Q2: what?\nA2: that\n\nLet me know if you want more!", ["wh"], 0),
        ("- Q: who? - A: her\n- Q: what? - A: that", ["wh"], 0),
        ("> Q: who?\n> A: her\n>\n> Q: what?\n> A: that", ["wh"], 0),
        ("| Q: who? | A: her |\n| Q: what? | A: that |", ["wh"], 0),
        ("Q1) who?\nA1) her\nQ2) what?\nA2) that", ["wh"], 0),
        ("Q: who?\nA:\nher\n\nQ: what?\nA:\n\nthat", ["wh"], 0),
        ("QUESTION: who?\nANSWER: her\nquestion: what?\nanswer: that", ["wh"], 0),
        ("**Q:** who? **A:** her **Q:** what? **A:** that", ["wh"], 0),
        ("__Q:__ who? __A:__ her\n__Q:__ what? __A:__ that", ["wh"], 0),
        ("Q: who?A: her\nQ: what?A: that", ["wh"], 0),
        ("```\nQ: who?\nA: her\nQ: what?\nA: that\n```", ["wh"], 0),
        ("Q：who？ A：her Q：what? A：that", [("who？", "her"), ("what?", "that")], 0),
        ("A: her", [], 0),
        ("Q: who?\nA: **", [], 1),
        ("Q: what is a Q? A: a letter", [("what is a Q?", "a letter")], 0),
        ("Q: vitamin A: what is it good for? A: eyes", [("vitamin", "what is it good for? A: eyes")], 0),
    ],
)
def test_parse(text: str, pairs: list[Any], broken: int) -> None:
    pairs = [("who?", "her"), ("what?", "that")] if pairs == ["wh"] else pairs
    assert cleaning.pairs(text) == (pairs, broken)


@given(st.lists(st.tuples(*[st.from_regex(r"[a-z0-9]{1,8}( [a-z0-9]{1,8}){0,4}", fullmatch=True)] * 2), max_size=8))
def test_parse_reads_back_what_table_4_writes(pairs: list[tuple[str, str]]) -> None:
    text = " ".join(f"Q: {question} A: {answer}" for question, answer in pairs)
    assert cleaning.pairs(text) == (pairs, 0)


@given(st.text())
def test_parse_takes_any_text(text: str) -> None:
    pairs, broken = cleaning.pairs(text)
    assert broken >= 0
    assert all(question and answer and "\n" not in question + answer for question, answer in pairs)


@pytest.mark.parametrize(
    "text",
    [
        "It rained.",
        "Summary: It rained.",
        "**Summary:** It rained.",
        "**Summary**: It rained.",
        "## Summary\n\nIt rained.",
        "**Summary:**\nIt rained.\n\nLet me know if you need more!",
        "TL;DR: It rained.",
        "Sure! Here is a summary of the document:\n\nIt rained.",
        "Here's the summary: It rained.",
        "Certainly, here is the summary:\n\n**Summary:** It rained.",
        "**It rained.**",
        '"It rained."',
        "```\nIt rained.\n```",
        "Summary of the post: It rained.",
    ],
)
def test_a_summary_without_what_is_around_it(text: str) -> None:
    assert cleaning.summary(text) == "It rained."


@pytest.mark.parametrize(
    "text", ["Here is what I did: I left.", "Summary judgment was denied.", "*a* and *b*", "1. One\n2. Two"]
)
def test_a_summary_that_is_one_stays(text: str) -> None:
    assert cleaning.summary(text) == text


@pytest.mark.parametrize("text", [" ", "Q ", "A", "*", "1. ", "Q: A", "- Q", "_ ", "summary "])
def test_cleaning_takes_linear_time(text: str) -> None:
    """Each of these would take minutes with an unbounded pattern."""
    cleaning.pairs("Q" + text * 100_000)
    cleaning.summary(text * 100_000)
