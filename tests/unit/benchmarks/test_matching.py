"""Answers against aliases and numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.benchmarks.matching import (
    contains_answer,
    exact_match,
    first_letter,
    flexible_number,
    gold_number,
    normalise,
    number,
    strict_number,
)


@pytest.mark.parametrize(
    ("answer", "aliases", "right"),
    [
        ("The  Beatles.", ["beatles"], True),
        ("an apple", ["Apple", "pear"], True),
        ("St. Peter's", ["St Peters"], True),
        ("1,988", ["1988"], True),
        ("Thea", ["a"], False),
        ("Lake Geneva", ["Geneva"], False),
        ("", ["a"], True),  # both are empty after normalisation, as in the reference
    ],
)
def test_exact_match_after_squads_normalisation(answer: str, aliases: list[str], right: bool) -> None:
    assert exact_match(answer, aliases) is right


def test_contains_answer_takes_whole_words() -> None:
    assert contains_answer("It is the city of New York, I think", ["New York"])
    assert not contains_answer("A category", ["cat"])
    assert not contains_answer("anything", ["the"])


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert exact_match(text, [text])
    assert normalise(text) == normalise(normalise(text)) or any(c in text for c in "İ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,200", "1200"),
        ("$1,200.50", "1200.5"),
        ("007", "7"),
        ("-0", "0"),
        ("-3.0", "-3"),
        ("72.", "72"),
        ("50%", "50"),
        ("+4", "4"),
        (".5", "0.5"),
        ("ten", None),
        ("", None),
        ("1/2", None),
    ],
)
def test_number_has_one_spelling(text: str, value: str | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("response", "strict", "flexible"),
    [
        ("so 24.\n#### 24", "24", "24"),
        ("#### 24\n\nQ: and 7?", "24", "7"),
        ("#### 1,000 apples", "1000", "1000"),
        ("#### $18.00", "18", "18"),
        ("####-3", "-3", "-3"),
        ("The answer is $1,234.50.", None, "1234.5"),
        ("5-3=2", None, "2"),
        ("from 5-3", None, "3"),
        ("it is -3", None, "-3"),
        ("it is \u22123", None, "-3"),
        ("1,2,3", None, "3"),
        ("#### none, but 4", None, "4"),
        ("####\n12", None, "12"),
        ("no number", None, None),
        ("", None, None),
    ],
)
def test_gsm8k_numbers(response: str, strict: str | None, flexible: str | None) -> None:
    assert strict_number(response) == strict
    assert flexible_number(response) == flexible


@given(st.integers(-(10**12), 10**12))
def test_any_whole_number_is_found(value: int) -> None:
    for spelled in (f"{value}", f"{value:,}", f"{value}.0"):
        assert gold_number(f"work\n#### {spelled}") == str(value)
        assert strict_number(f"#### {spelled}") == str(value)
        assert flexible_number(f"so it is {spelled} in the end") == str(value)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(C) Paris", "C"),
        ("**D**", "D"),
        ("A. hen", "A"),
        ("The answer is D.", "D"),
        ("Answer: b", "B"),
        ("I think it is (B), since the others are wrong", "B"),
        ("A dog", None),
        ("C or D", None),
        ("", None),
        ("E", None),
    ],
)
def test_first_letter(answer: str, letter: str | None) -> None:
    assert first_letter(answer, "ABCD") == letter
