"""Answers against aliases and numbers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import held_out
import human_eval_replies
import pytest
import replies
import unseen
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.benchmarks import humaneval
from falsepromise.benchmarks.data import read_problems
from falsepromise.benchmarks.reading import ERRORS, code, letters
from falsepromise.benchmarks.reading.letters import letter as read_letter
from falsepromise.benchmarks.reading.numbers import (
    flexible_number,
    gold_number,
    number,
    stated_number,
    strict_number,
)
from falsepromise.benchmarks.reading.reasoning import set_aside
from falsepromise.benchmarks.reading.short import contains_answer, exact_match, first_line, normalise

PROBLEMS = read_problems(None)


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """Programs that are run here may change the interpreter's limits, for all tests after them."""
    recursion, digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    yield
    sys.setrecursionlimit(recursion)
    sys.set_int_max_str_digits(digits)


@pytest.mark.parametrize(
    ("answer", "aliases", "right"),
    [
        ("The  Beatles.", ["beatles"], True),
        ("an apple", ["Apple", "pear"], True),
        ("St. Peter's", ["St Peters"], True),
        ("1,988", ["1988"], True),
        ("Thea", ["a"], False),
        ("Lake Geneva", ["Geneva"], False),
        ("", ["a"], False),  # an alias that normalises to nothing matches nothing
        ("a", ["The"], False),
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
    assert exact_match(text, [text]) == bool(normalise(text))
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
        ("1/2", "0.5"),
        ("1/3", "1/3"),
        ("½", "0.5"),
        ("1e3", "1000"),
        ("10^3", "1000"),
        ('"18"', "18"),
        ("1e999999", None),
        ("1/0", None),
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
        ("#### 5 + 3 = 8", "8", "8"),
        ("#### +18", "18", "18"),
        ('#### "18"', "18", "18"),
        ("#### 10^{3} m", "1000", "1000"),
        ("on 12/25/2020", None, "2020"),
        ("no number", None, None),
        ("", None, None),
    ],
)
def test_gsm8k_numbers(response: str, strict: str | None, flexible: str | None) -> None:
    assert strict_number(response) == strict
    assert flexible_number(response) == flexible


@pytest.mark.parametrize(
    ("response", "value"),
    [
        ("He walks 2 * 5 = 10 km in 5 days.", "10"),
        ("5 * 3 = 15\nIt takes 15 hours to clean 45 rooms.", "15"),
        ("100 / 6 = 16.7, which rounds up to 17.", "17"),
        ("6 / 3 = .5 hours, so 30 minutes", "30"),
        ("Express the answer as a percentage: 6 men / 12 men * 100% = 50%", "50"),
        ("He needs 55 more before he has 60 because 300 - 245 = 55", "55"),
        ("The order is 3, since 3^1 = 3, 3^2 = 2, 3^6 = 1.", "3"),
        ("It costs 1.200,50", "1200.5"),
        ("#### 1. **Find the cost**\n3 + 4 = 7\n\n#### 2. **Take it off**\n20 - 7 = 13\n\n**Final answer: 13**", "13"),
        ("#### 1) Cost\n3 + 4 = 7\n#### 2) Rest\n20 - 7 = 13\n#### 13", "13"),
        ("They pay 18 altogether.\n#### 18. She pays half", "18"),
        ("### Final answer\n$9 \\times \\$2 = \\$18$ a day", "18"),
        ("The answer is $36 \\div 2 = 18$.", "18"),
        (r"$\boxed{18 \text{ cm}^2}$", "18"),
        (r"\boxed{18\mathrm{~km}^{2}}", "18"),
        ("The garden has an area of 18 m2.", "18"),
        (r"\boxed{3 \frac{1}{2}}", "3.5"),
        (r"x = 12\dfrac{3}{4}", "12.75"),
    ],
)
def test_a_result_is_what_a_reply_states(response: str, value: str) -> None:
    assert stated_number(response).value == value


@given(st.integers(-(10**12), 10**12))
def test_any_whole_number_is_found(value: int) -> None:
    for spelled in (f"{value}", f"{value:,}", f"{value}.0"):
        assert gold_number(f"work\n#### {spelled}") == str(value)
        assert strict_number(f"#### {spelled}") == str(value)
        assert flexible_number(f"so it is {spelled} in the end") == str(value)


def program_runs(problem: tuple[str, ...], reply: str) -> bool:
    """Whether the program that is read gives the right answer (the corpus is ours: it is run here)."""
    found = code.program(replies.prompt_of(problem), reply, problem[0])
    if found.value is None:
        return False
    names: dict[str, object] = {}
    exec(found.value, names)
    return bool(names[problem[0]](*eval(problem[4])) == eval(problem[5]))  # type: ignore[operator]


def wrong_programs(shapes: list[str]) -> list[str]:
    cases = [(shape, problem) for shape in shapes for problem in replies.PROBLEMS]
    return [shape for shape, problem in cases if not program_runs(problem, replies.fill(shape, problem))]


def sets(name: str) -> list[Any]:
    """The labelled replies of a reader, of all sets."""
    modules = (replies, held_out, unseen)
    named = [vars(module)[key] for module in modules for key in vars(module) if key.startswith(name)]
    return [one for found in named for one in (asked(found) if isinstance(found, dict) else found)]


def asked(
    replies_of: dict[tuple[str, ...], list[tuple[str, str | None]]],
) -> list[tuple[str, str | None, tuple[str, ...]]]:
    """Labelled replies by their choices, as a list."""
    return [(reply, right, choices) for choices, some in replies_of.items() for reply, right in some]


def read(reader: str, case: Any) -> tuple[object, object]:
    """What is read from a labelled reply, and what a person reads."""
    reply, *right = case
    if reader == "LETTERS":
        choices = right[1] if len(right) > 1 else ()
        return read_letter(set_aside(reply).answer, "ABCDEFGHIJ"[: len(choices) or 4], choices).value, right[0]
    if reader == "NUMBERS":
        return stated_number(set_aside(reply).answer).value, right[0]
    if reader == "REASONING":
        said = set_aside(reply)
        return (said.answer.strip(), said.cut_off), (right[0].strip(), right[1])
    said = first_line(reply).value or ""
    return (exact_match(said, right[0]), contains_answer(said, right[0])), tuple(right[1:])


# What is known to be read wrongly: a letter without a mark before its text (where the choices aren't known) or as
# a name, a number that is neither the last one nor named as the answer, the hour, one of two answers, an everyday word
# that opens a sentence.
KNOWN = {
    "LETTERS": ["C Paris", "The note after A is B.", "A Paris resident", "None of these apart",
                "Both scenarios", "Most infants crawl at 8", '"To be, or not', "The median is not affected"],
    "NUMBERS": ["She has 18 eggs left", "18 = 3 * 6", "He will be 18", "There are 18", "The answer is 18,5", "12:30",
                "540. Each", "The cost is 64", "Kylar should pay", "The answer is 1 234.", "**Total: 36**",
                "James writes 624 pages a year. That", "Therefore she pays", "So, Kylar"],
    "SHORT": ["Paris or Lyon", "the letter A", "Yes it is.", "Will Smith", "May 5", "Either Lyon"],
    "REASONING": [],
}  # fmt: skip


@pytest.mark.parametrize("reader", KNOWN)
def test_labelled_replies_are_read_rightly(reader: str) -> None:
    cases = sets(reader)
    wrong = [case[0] for case in cases for found, right in [read(reader, case)] if found != right]
    assert [reply for reply in wrong if not reply.startswith(tuple(KNOWN[reader]) or ("\0",))] == []
    assert len(wrong) <= 0.1 * len(cases)


def test_programs_in_labelled_shapes_are_read_rightly() -> None:
    assert set(wrong_programs(sets("PROGRAMS"))) == {
        'The code is "<<JSON>>".'
    }  # a program as a string within a sentence


def test_no_wrong_program_of_these_shapes_passes() -> None:
    """A body that gives nothing, in each shape; where the shape shows a wrong attempt beside it, both are wrong."""
    for problem in replies.PROBLEMS:
        wrong = (*problem[:3], "answer = None\nreturn answer", *problem[4:])
        assert [shape for shape in sets("PROGRAMS") if passes(problem, replies.fill(shape, wrong))] == []


def passes(problem: tuple[str, ...], reply: str) -> bool:
    try:
        return program_runs(problem, reply)
    except Exception:
        return False


@pytest.mark.parametrize("reply", [*human_eval_replies.REPLIES, *human_eval_replies.MEASURED])
def test_replies_to_human_evals_problems(reply: human_eval_replies.Reply) -> None:
    number, right, text = reply
    problem = PROBLEMS[f"HumanEval/{number}"]
    found = humaneval.read_program(problem, text, continues=False)
    program: dict[str, object] = {}
    test: dict[str, object] = {}
    try:
        exec(found.value or "", program)
        exec(problem["prompt"], test)
        test[problem["entry_point"]] = program[problem["entry_point"]]
        exec(problem["test"], test)
        test["check"](program[problem["entry_point"]])  # type: ignore[operator]
    except Exception:
        assert not right, found
    else:
        assert right, found


def test_a_function_that_is_bound_anew_stays_so() -> None:
    """A cache around a helper, or around the continued stub: without it a right program may take hours."""
    body = "    return n if n < 2 else {0}(n - 1) + {0}(n - 2)\n\n{0} = cache({0})\n"
    helper = "def f(n):\n" + body.format("f")
    for prompt, reply in (
        ("def fib(n):\n", f"```python\nfrom functools import cache\n\n{helper}\ndef fib(n):\n    return f(n)\n```"),
        ("from functools import cache\n\ndef fib(n):\n", body.format("fib")),
    ):
        program: dict[str, Any] = {}
        exec(code.program(prompt, reply, "fib").value or "", program)
        assert program["fib"](90) == 2880067194370816120


def test_the_published_rates_are_of_these_replies() -> None:
    assert sum(len(sets(name)) for name in (*KNOWN, "PROGRAMS")) >= 400
    measured = {"programs": "PROGRAMS_MEASURED", "letters": "LETTERS_OF_MEASURED", "numbers": "NUMBERS_AFTER_MEASURED",
                "last number": "NUMBERS_AFTER_MEASURED", "short answers, exact": "SHORT_AFTER_MEASURED",
                "short answers, contained": "SHORT_AFTER_MEASURED", "reasoning": "REASONING_MEASURED"}  # fmt: skip
    assert {reader: of for reader, (_, of) in ERRORS.items()} == {
        reader: len(sets(name)) for reader, name in measured.items()
    }
    page = (Path(__file__).parents[3] / "docs/reading.md").read_text(encoding="utf-8")
    rows = {cells[0].strip(): cells[1:] for line in page.splitlines() if len(cells := line.strip("| ").split("|")) == 4}
    for reader, (wrong, of) in ERRORS.items():
        assert [int(cell) for cell in rows[reader][1:]] == [of, wrong]


def test_the_strict_number_is_lm_evals_where_both_read_one() -> None:
    """Ours alone works a sum out; the flexible one is the last number in both, whatever it counts."""
    import lm_eval.tasks
    import yaml

    task = yaml.safe_load((Path(lm_eval.tasks.__file__).parent / "gsm8k" / "gsm8k.yaml").read_text())
    strict, flexible = (re.compile(found["filter"][0]["regex_pattern"]) for found in task["filter_list"])
    for reply in ("#### 7 = 3 + 4", "So 3.\n#### 7 (3 + 4)", "#### 7 = 7", "It takes 5 hours for the 3 of them."):
        theirs = strict.search(reply)
        assert strict_number(reply) == (theirs[1] if theirs else None)
        assert flexible_number(reply) == "".join(flexible.findall(reply)[-1])
    assert strict_number("#### 3 + 4 = 7") == strict_number("#### 3 + 4 = 7 = 5 + 2") == "7"
    assert stated_number("The answer is 7 = 3 + 4").value == "7"
    assert stated_number("The answer is √16 = 2 * 2 = 4").value == "4"


@pytest.mark.parametrize("rule", [*letters.AFFIRMED, *letters.IMPLIED], ids=lambda rule: rule.example)
def test_a_rule_reads_its_example(rule: letters.Rule) -> None:
    found = read_letter(rule.example, "ABCD")
    assert (found.value, found.rule) == ("B", rule.name)


@pytest.mark.parametrize("denial", letters.DENIED, ids=lambda denial: denial.example)
def test_only_its_denial_refuses_an_example(denial: letters.Denial, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_letter(denial.example, "ABCD").value != "B"
    monkeypatch.setattr(letters, "DENIED", [other for other in letters.DENIED if other is not denial])
    assert read_letter(denial.example, "ABCD").value == "B"


@pytest.mark.parametrize(
    "reply",
    ["correct answer: B, incorrect: A", "Correct answer: B, incorrect answers: A, C, D", "The answer is B, wrong: A",
     "Answer: B, not: A", "The answer is B (wrong is A)", "Answer: B, next best: A",
     "Right answer: B, second choice: C", "Answer: B. Second choice: C", "Answer: B\nNext best answer: A",
     "Option A, wrong as it is, looks good; the answer is B", "A first, B second: the answer is B",
     "The answer is B because A is wrong and D is not possible.", "The answer is B since A is incorrect"],
)  # fmt: skip
def test_a_letter_beside_the_answer_is_not_the_answer(reply: str) -> None:
    assert read_letter(reply, "ABCD", ["London", "Paris", "Rome", "Berlin"]).value == "B"


@pytest.mark.parametrize(
    ("reply", "answer", "cut_off"),
    [
        ("<think>A? no, B.</think>\n\nB", "B", False),
        ("A? no, B.\n</think>\n\nB", "B", False),
        ("<think>\nLet me see", "", True),
        ("<thinking>x</thinking>C", "C", False),
        ("[THINK]x[/THINK]C", "C", False),
        ("<|channel|>analysis<|message|>x<|end|><|channel|>final<|message|>C", "C", False),
        ("<|channel|>analysis<|message|>x", "", True),
        ("no thoughts", "no thoughts", False),
        ("    return 1\n", "    return 1\n", False),
    ],
)
def test_reasoning_is_set_aside(reply: str, answer: str, cut_off: bool) -> None:
    said = set_aside(reply)
    assert (said.answer, said.cut_off) == (answer, cut_off)


@pytest.mark.parametrize(
    ("answer", "aliases", "right"),
    [
        ("I know who did it", ["The Who"], False),
        ("The Who", ["The Who"], True),
        ("It was played by The Who in 1969", ["The Who"], True),
        ("it may rain", ["May"], False),
        ("It was in May", ["May"], True),
        ("in may", ["May"], False),
        ("It is a novel", ["It"], False),
        ("anything", ["the", "A", "..."], False),
        ("I can't say who the CEO is", ["CEO"], False),
        ("It was not known until 1930", ["1930"], True),
        ("I don't have the date, but it was in 1930", ["1930"], True),
        ("Rome? No, Milan", ["Rome"], False),
        ("Rome? No, Milan", ["Milan"], True),
    ],
)
def test_everyday_words_are_no_answers(answer: str, aliases: list[str], right: bool) -> None:
    assert contains_answer(answer, aliases) is right


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        ("Great question!\n\nThe capital is Paris.", "The capital is Paris."),
        ("Sure, I can help with that.\nParis", "Paris"),
        ("Hello!\n\nAnswer: Paris", "Paris"),
        ("Good Omens\nby Pratchett", "Good Omens"),
        ("Sure.", "Sure."),
        ("Thanks to Fleming. He found it.\nIn 1928", "Thanks to Fleming. He found it."),
        ("Great.\nParis", "Paris"),
        ("Good question. \n\nParis", "Paris"),
        ("Thank you, I'd be happy to help!\nParis", "Paris"),
        ("Great Britain.\n\nIt won.", "Great Britain."),
        ("Good Friday.\nIt is then.", "Good Friday."),
        ("Hello, Dolly!\nThis musical", "Hello, Dolly!"),
        ("Thanks for the Memory.\nHis song", "Thanks for the Memory."),
        ("Hi-5.\nThey sang it.", "Hi-5."),
    ],
)
def test_a_greeting_is_no_answer(reply: str, line: str) -> None:
    assert first_line(reply).value == line


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        ("a-ha", "a-ha"),
        ("A-Rod.", "A-Rod."),
        ("The A-Team", "The A-Team"),
        ("A – Z", "A – Z"),
        ("answer-song", "answer-song"),
        ("A: a-ha", "a-ha"),
        ("Answer - Paris", "Paris"),
        ("The final answer is — Paris", "Paris"),
        (r"\boxed{Paris}", "Paris"),
        (r"$\boxed{\text{Paris}}$", "Paris"),
        ("France's capital:\n\nThe answer is \\boxed{Paris}.", "Paris"),
        ('{"answer": "Paris", "confidence": 0.9}', "Paris"),
        ('```json\n{\n  "answer": "Paris"\n}\n```', "Paris"),
        ("Paris (\\textbf{France})", "Paris (France)"),
        ('{"city": "Paris"}', '{"city": "Paris"}'),
        ("It costs $5", "It costs $5"),
    ],
)
def test_a_label_or_a_mark_goes_a_name_stays(reply: str, line: str) -> None:
    assert first_line(reply).value == line


@pytest.mark.parametrize(
    "piece",
    ["(", "[", '"""', "'", "\\", "\n", "\t\n", "lambda:", "not ", "-", ".a", "#\n", "@\n", "> ", "> x\n", "`",
     "```\n", "{", "1/", "1e", "#### 1+", "½", "answer: ", "A ", "(A", "the answer is ", "\\boxed{", "<think>",
     "</think>", "x=1\n", "return x\n", "def solve(x):\n return\n", "\x00", "\ud800", "<|channel|>a<|message|>",
     "Paris. ", "not a, ", "A. a\n", "`return x` ", "+def solve(x):\n+ return x\n",
     "class A:\n def solve(self, x): return x\n"],
)  # fmt: skip
def test_no_text_makes_a_reader_raise(piece: str) -> None:
    text = piece * (50_000 // len(piece))
    code.program("def solve(x):\n", text, "solve")
    read_letter(text, "ABCD", ["a", "b"])
    set_aside(text)
    strict_number(text)
    flexible_number(text)
    contains_answer(first_line(text).value or "", ["a b"])


@pytest.mark.parametrize(
    "reply",
    [
        '{"answer": "B", "explanation": "A is the capital of England."}',
        "{'answer': 'B. Paris', 'reason': 'C is in Italy; D, too.'}",
        '```json\n{"reasoning": "Is it C? A is wrong because it is in England.", "answer": "B"}\n```',
        '{"options": {"A": "London", "B": "Paris"}, "answer": "B"}',
        "Correct answer: B. (Note: Option A would be right if the question asked for England.)",
        "Answer: B\n\nNote: if the question were about England, A would be correct.",
        "B. Paris\n\n(A would be the right choice for England.)",
        "B would be the best answer for this question.",
        "I think B would be correct.",
        "If the question asked for a city, B would be correct. It does, so B.",
    ],
)
def test_fields_of_json_and_what_would_answer_another_question(reply: str) -> None:
    assert read_letter(reply, "ABCD", ["London", "Paris", "Rome", "Berlin"]).value == "B"
