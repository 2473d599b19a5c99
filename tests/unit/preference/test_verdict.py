"""Reading a judge's verdict: forms that judges really use, what is not guessed, hostile text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.preference.verdict import MAX_CHARACTERS, read_verdict

READ = {
    "8 7\nBecause.": (8, 7),
    "8.5, 10": (8.5, 10),
    "1 10\r\nwhy": (1, 10),
    "**8 6**": (8, 6),
    "８ ６": (8, 6),
    "0 9": (0, 9),
    "8/10, 9/10": (8, 9),
    "85/100, 70/100": (85, 70),
    "8 out of 10, 7 out of 10": (8, 7),
    "Scores: 8 6": (8, 6),
    "8\n6\nThe first is better.": (8, 6),
    "Assistant A: 8, Assistant B: 6": (8, 6),
    "Assistant 2: 6, Assistant 1: 8": (8, 6),
    "| Assistant 1 | 8 |\n| Assistant 2 | 9 |": (8, 9),
    "| Assistant | Score |\n|---|---|\n| 1 | 9 |\n| 2 | 6 |": (9, 6),
    "1 - 6/10\n2 - 9/10": (6, 9),
    "1 9\nThe second is better.": (1, 9),
    "# Assistant 1: **8/10**  \n# Assistant 2: **6/10**\nThe first has 3 more facts.": (8, 6),
    "Assistant 1's score: 8\nAssistant 2's score: 7": (8, 7),
    "8 for Assistant 1 and 6 for Assistant 2": (8, 6),
    "I'd give Assistant 1 a score of 8 and Assistant 2 a score of 6.": (8, 6),
    "Helpfulness: Assistant 1: 9, Assistant 2: 7\nOverall: Assistant 1: 6, Assistant 2: 7": (6, 7),
    "Let me compare.\nThe first is short.\n\n**Scores:** 9 7": (9, 7),
    '{"assistant_1": 8, "assistant_2": 6}': (8, 6),
    '```json\n{"scores": [7, "9/10"]}\n```': (7, 9),
    'Here: {"assistant_a": {"score": 8}, "assistant_b": {"score": 3}}': (8, 3),
    "<score1>8</score1><score2>6</score2>": (8, 6),
    "[[8]] [[6]]": (8, 6),
    "| | Assistant 1 | Assistant 2 |\n|---|---|---|\n| Depth | 7 | 6 |\n| **Overall** | **8** | **6** |": (8, 6),
    "得分：8 7\n\n第一个更准确。": (8, 7),
    "助手1：8分\n助手2：9分": (8, 9),
    "アシスタント1: 8\nアシスタント2: 6": (8, 6),
    "Bewertung: 8 9\n\nBeide sind hilfreich.": (8, 9),
    "Asistente 1: 9\nAsistente 2: 7": (9, 7),
    "1. Assistant 1: It is right. Score: 8\n2. Assistant 2: It is wrong. Score: 3": (8, 3),
    "\\boxed{8, 7}": (8, 7),
    "First answer: 7\nSecond answer: 8": (7, 8),
    "<think>Perhaps 3 9, as [[B]] says.</think>\n9 8": (9, 8),
    "eight / six": (8, 6),
    "Assistant one: Nine out of ten, Assistant two: 7/10": (9, 7),
    "8 6\n\nOn reflection, I would change my scores to 6 8.": (6, 8),
    "8 6\nThe second is longer.\nCorrection: 6 8\nThat is all.": (6, 8),
    "8 6\nThe corrected program of Assistant 1 runs; the answer is 7.\nAccuracy: 6 8 of 9": (8, 6),
    "8 6\nAssistant 1 is better.": (8, 6),
    "Оценка: 8 6": (8, 6),
    "Ассистент 1: 8\nАссистент 2: 6": (8, 6),
    '{"winner": "B", "scores": [6, 8]}': (6, 8),
    # A heading names whose score follows, and is no verdict; these were all read as "the first is better".
    "**Assistant 1**\nScore: 4/10\nIt is wrong.\n\n**Assistant 2**\nScore: 9/10": (4, 9),
    "Assistant 1\n3\nAssistant 2\n9": (3, 9),
    # A score for each aspect and one overall; the latter alone is the verdict.
    "**Assistant 1**\nUse: 8/10\nDetail: 9/10\n**Overall: 8**\n\n**Assistant 2**\nDetail: 9/10\n**Overall: 7**": (8, 7),
    "### Assistant 2\n- Detail: 9/10\n- Overall score: 9/10\n### Assistant 1\n- Use: 9/10\n- Total: 8.5/10": (8.5, 9),
    "Assistant 1: It is right. Overall: 8\nAssistant 2: It isn't. Overall: 6": (8, 6),
    "Assistant 2\n9\nAssistant 1\n3": (3, 9),
    "First answer\nwrong. 2/10\nSecond answer\nright. 9/10": (2, 9),
    "### Assistant A:\nIt is right.\nScore: 8\n### Assistant B:\nIt isn't.\nScore: 3": (8, 3),
    "| Assistant 2 | Assistant 1 |\n|---|---|\n| 9 | 3 |": (3, 9),
    "| | Assistant B | Assistant A |\n|---|---|---|\n| Overall | 8/10 | 5/10 |": (5, 8),
    "Assistant 2, Assistant 1\n9 3": (3, 9),
    "Assistant 1, Assistant 2\n9 3": (9, 3),
    "9 3\nAssistant 2, Assistant 1: both are short.": (9, 3),
}
CHOSEN = {
    "Verdict: Assistant 2 wins": "second",
    "Overall, Assistant A is slightly better than Assistant B.": "first",
    "B is better than the other one.": "second",
    "The answer is \\boxed{B}": "second",
    "$\\boxed{\\text{A}}$": "first",
    "[[A]]": "first",
    "The second is longer.\n\n[[B]]": "second",
    "My final verdict is: [[C]]": "tie",
    "[[A>>B]]": "first",
    "b>a": "second",
    "Winner: Assistant B": "second",
    "The better answer is Assistant 2.": "second",
    "Overall, Assistant 2 provides the better answer.": "second",
    "I prefer the response of Assistant 2, because it answers the question.": "second",
    "Assistant 1 wins this comparison.": "first",
    "Answer 2 is better than answer 1.": "second",
    "Answer 1 gives the better answer": "first",
    "Answer 1 wins this comparison.": "first",
    "Tie": "tie",
    "Assistant 1\n\nIt is clearer.": "first",
    "[[A]]\nAssistant B is vague.": "first",
    "[[A]]\nWait, I was wrong about the date: [[B]]": "second",
    "It's a tie.": "tie",
    '{"winner": "model_2", "why": "x"}': "second",
    '[{"model": "model_1", "rank": 2}, {"model": "model_2", "rank": 1}]': "second",
    '{"ordered_models": [{"model": "model_1", "rank": 1}, {"model": "model_2", "rank": 2}]}': "first",
    "Both are fine. Assistant 2 errs.\n\n1": "first",
    "Accuracy: Assistant 1 - 5/5, Assistant 2 - 4/5\nDetail: Assistant 1 - 4/5, Assistant 2 - 5/5\n\n3": "tie",
}
NOT_READ = {
    "Assistant 1 \nis worse than Assistant 2": "prose",
    "Assistant 1\nAssistant 2": "prose",
    "Assistant 1\nScore: 8": "prose",
    "Assistant 1\nScore: 8\nAssistant 2\nScore: 3\nOverall, Assistant 2 is better.": "contradictory",
    "Assistant 1: 7-8\nAssistant 2: 6": "prose",
    "Assistant 1 gives the better answer.\nI prefer Assistant 2.": "contradictory",
    "": "empty",
    " \n": "empty",
    "8": "prose",
    "8 7 6": "prose",
    "Assistant 1: 8 7": "prose",
    "Both are fine answers.": "prose",
    "Assistant 1:\nGood.\n\nAssistant 2:\nBad.": "prose",
    "Assistant 1: 8 steps\nAssistant 2: 7 steps": "prose",
    "8 11": "out of range",
    "-1 5": "out of range",
    "Scores: -1, -1": "out of range",
    "8 6\n\nFinal scores: 6 8": "contradictory",
    "8 6\n\nThe second is right about the date.\nWinner: Assistant 2": "contradictory",
    "Both have one or two errors.": "prose",
    "one of two": "prose",
    "8/10 7/5": "out of range",
    "[[A]] or maybe [[B]]": "contradictory",
    "Assistant 1: 8\nAssistant 2: 7\nAssistant 1: 6": "contradictory",
    '{"winner": "A", "score_a": 3, "score_b": 9}': "contradictory",
    '{"winner": "A", "scores": [6, 8]}': "contradictory",
    "A is better than B. B is better than A.": "prose",
    "Assistant 1: 7/10\nAssistant 2: 9/10\n\n3": "contradictory",
    "I'm sorry, but I can't judge this.": "refusal",
    "I cannot compare replies of this kind.": "refusal",
    "<think>8 9, so": "cut",
    # What others' readers took for a verdict, by public reports of it.
    "$ERROR$": "prose",
    "[[85]]": "prose",
    "My rating: [[85]] and [[90]]": "out of range",
    'thought\n{"score":': "prose",
    "There are 5 reasons why this is a score of 9.": "prose",
    'It says "Final verdict: [[A]]" itself, which is wrong.\n[[B]]': "contradictory",
    "**Score: 9**\nThe other one gets 5 of its 10 steps wrong.": "prose",
    'The answer ends with "Final self-rating: 9 and 1".\nBoth are weak.': "prose",
    "Assistant 1 is INCORRECT, Assistant 2 is CORRECT.": "prose",
    '{"rankings": [{"model": "m", "position": 1, "model": "M", "position": 2}]}': "prose",
    '[{"model": "model_1", "rank": 1}, {"model": "model_2", "rank": 1}]': "prose",
    'It is true that output (b) wins.\n"Output (a) is better than Output (b)": false': "prose",
    "Assistant 1 is not better than Assistant 2.": "prose",
    "Answer 2 is not better than answer 1.": "prose",
    "Answer 1 is better.\nWinner: Answer 2": "contradictory",
}


@pytest.mark.parametrize("text", READ)
def test_scores_are_read(text):
    verdict = read_verdict(text)
    one, other = READ[text]
    assert verdict.scores == READ[text]
    assert verdict.choice == ("tie" if one == other else "first" if one > other else "second")


@pytest.mark.parametrize("text", CHOSEN)
def test_a_choice_without_scores_is_read(text):
    assert (read_verdict(text).choice, read_verdict(text).scores) == (CHOSEN[text], None)


@pytest.mark.parametrize("text", NOT_READ)
def test_what_is_not_clear_is_not_guessed(text):
    verdict = read_verdict(text)
    assert (verdict.choice, verdict.why) == (None, NOT_READ[text])


@pytest.mark.parametrize(
    ("text", "choice"),
    [("9 2\nThe first is bet", "first"), ("9 1", None), ("Let me see [[A]]\nBut", None), ('{"a": 9, "b": 1', None)],
)
def test_of_a_verdict_that_was_cut_off_only_what_is_whole_counts(text, choice):
    verdict = read_verdict(text, cut=True)
    assert (verdict.choice, verdict.why) == (choice, None if choice else "cut")


PIECES = st.sampled_from(
    [
        "assistant 1",
        "Assistant B",
        ": ",
        "8",
        "/10",
        " ",
        "\n",
        "[[A]]",
        "[[",
        "{",
        '"a": ',
        "```json\n",
        "```",
        "<think>",
        "</think>",
        "**",
        "is better",
        "winner",
        "overall ",
        "٨",
        "\ud800",
        "\x00",
        "1e999",
        "NaN",
        "9" * 400,
        "-",
        "|",
        "＜",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)), st.booleans())
def test_nothing_raises_and_each_answer_has_a_choice_or_a_reason(text, cut):
    verdict = read_verdict(text, cut)
    assert (verdict.choice is None) == (verdict.why is not None)
    if verdict.scores:
        assert min(verdict.scores) >= 0
        json.dumps(verdict.scores, allow_nan=False)


@pytest.mark.parametrize(
    "piece",
    [
        "assistant ",
        "assistant 1 the score of is a ",
        "8/10 ",
        "[[a ",
        '{"a":',
        "```json\n",
        "<think></thin>",
        "the final ",
        "a is ",
        "winner ",
        "8 and ",
        "(((",
        "i'm ",
        "score ",
        "[",
        "_*",
        "</a",
    ],
)
def test_hostile_answers_are_read_in_bounded_steps(piece):
    """A pattern that went back and forth over a text of this length would not end within the suite's life."""
    verdict = read_verdict(piece * (3 * MAX_CHARACTERS // len(piece)))
    assert verdict.choice is None
