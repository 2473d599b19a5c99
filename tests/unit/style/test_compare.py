"""Table 2's metrics against numbers worked out by hand, and refused input."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsepromise.core.errors import UserError
from falsepromise.style import compare
from falsepromise.style.hedging import is_assured
from falsepromise.style.words import unigram_intersection, words

LIST = "Here:\n\n- one\n- two"
PLAIN = "One two three."


def write(path, responses, **more):
    path.write_text(
        "".join(json.dumps({"prompt_id": p, "response": r, **more}) + "\n" for p, r in responses.items()),
        encoding="utf-8",
    )
    return str(path)


def run(tmp_path, ours, theirs, *options):
    args = ["--responses", write(tmp_path / "ours.jsonl", ours), "--reference", write(tmp_path / "t.jsonl", theirs)]
    compare.main([*args, "--output", str(tmp_path / "out.json"), *options])
    return json.loads((tmp_path / "out.json").read_text())


def test_words_are_folded_and_freed_of_marks():
    assert words("**Don’t** STOP_now, `x1` ﬁne! 3.5") == ["don't", "stop", "now", "x1", "fine", "3", "5"]


def test_unigram_intersection_is_dice_on_distinct_words():
    assert unigram_intersection("a b b c", "B C d") == pytest.approx(2 * 2 / (3 + 3))
    assert unigram_intersection("", "a") == 0.0


@given(st.text(), st.text())
def test_unigram_intersection_is_symmetric_and_bounded(a, b):
    value = unigram_intersection(a, b)
    assert value == unigram_intersection(b, a)
    assert 0 <= value <= 1
    assert unigram_intersection(a, a) == (1.0 if words(a) else 0.0)


def test_shares_are_conditional_on_the_teachers_reply(tmp_path):
    ours = {"1": LIST, "2": PLAIN, "3": LIST, "4": PLAIN, "5": PLAIN + " more"}
    theirs = {"1": LIST, "2": LIST, "3": PLAIN, "4": PLAIN + " four five six", "5": PLAIN}
    record = run(tmp_path, ours, theirs)
    metrics = record["metrics"]
    assert (metrics["list_agreement"]["value"], metrics["list_agreement"]["n"]) == (0.5, 2)
    assert (metrics["list_false_alarm"]["value"], metrics["list_false_alarm"]["n"]) == (pytest.approx(1 / 3), 3)
    assert "summary_paragraph_agreement" not in metrics
    assert "summary_paragraph_agreement is left out" in record["limits"]
    lengths = [[len(words(ours[p])), len(words(theirs[p]))] for p in ours]
    assert metrics["length_correlation"]["value"] == pytest.approx(np.corrcoef(np.array(lengths).T)[0, 1])
    low, high = metrics["unigram_intersection"]["ci95"]
    assert low < metrics["unigram_intersection"]["value"] < high
    assert [item["id"] for item in record["items"]] == list(ours)


def test_the_teacher_against_itself_agrees_wholly(tmp_path):
    theirs = {"1": LIST, "2": PLAIN, "3": LIST + "\n\nOverall, it is a good list.", "4": "Short."}
    metrics = run(tmp_path, theirs, theirs)["metrics"]
    for name in ("list_agreement", "summary_paragraph_agreement", "unigram_intersection", "length_correlation"):
        assert metrics[name]["value"] == pytest.approx(1.0)
    assert metrics["list_false_alarm"]["value"] == 0.0
    assert metrics["list_agreement"]["ci95"][0] < 1  # two prompts are no certainty


def test_the_second_sample_and_the_judgements(tmp_path):
    texts = {"1": LIST, "2": PLAIN, "3": "x"}
    second = write(tmp_path / "second.jsonl", {"1": LIST, "2": LIST, "3": ""}, sample=1, model="T")
    judgements = tmp_path / "tone.jsonl"
    verdicts = {"1": True, "2": False, "3": None}
    judgements.write_text("".join(json.dumps({"prompt_id": p, "authoritative": v}) + "\n" for p, v in verdicts.items()))
    options = ("--second", second, "--second-sample", "1", "--judgements", str(judgements))
    record = run(tmp_path, texts, texts, *options)
    assert record["second"]["model"] == "T"
    assert record["second"]["metrics"]["list_false_alarm"]["value"] == 0.5
    assert record["metrics"]["authoritative_tone"]["value"] == 0.5
    assert record["metrics"]["authoritative_tone"]["n"] == 2
    assert record["counts"]["unreadable_judgements"] == 1


def test_without_a_judge_there_is_no_tone_and_the_record_says_so(tmp_path):
    record = run(tmp_path, {"1": "a", "2": "b"}, {"1": "a", "2": "b"})
    assert "authoritative_tone" not in record["metrics"]
    assert "no judge was asked" in record["absent"]["authoritative_tone"]
    assert "no verdict of a judge" in record["absent"]["assured_as_judged"]
    assert "tone" not in record["limits"]


def test_the_second_samples_tone(tmp_path):
    texts = {"1": "a", "2": "b"}
    second = write(tmp_path / "second.jsonl", texts, model="T")
    tone = tmp_path / "tone.jsonl"
    tone.write_text("".join(json.dumps({"prompt_id": p, "authoritative": p == "1"}) + "\n" for p in texts))
    record = run(tmp_path, texts, texts, "--second", second, "--second-judgements", str(tone))
    assert record["second"]["metrics"]["authoritative_tone"]["value"] == 0.5


def test_two_samples_in_one_file(tmp_path):
    path = tmp_path / "teacher.jsonl"
    samples = [("1", 1, LIST), ("1", 0, LIST), ("2", 0, PLAIN), ("2", 1, LIST)]
    path.write_text("".join(json.dumps({"prompt_id": p, "sample": s, "response": r}) + "\n" for p, s, r in samples))
    args = ["--responses", write(tmp_path / "o.jsonl", {"1": LIST, "2": PLAIN}), "--reference", str(path)]
    compare.main([*args, "--second", str(path), "--output", str(tmp_path / "out.json")])
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["metrics"]["list_false_alarm"]["value"] == 0.0
    assert record["second"]["metrics"]["list_false_alarm"]["value"] == 1.0
    with pytest.raises(UserError, match="no record with sample 7; the file has 0, 1"):
        compare.main([*args, "--second", str(path), "--second-sample", "7", "--output", str(tmp_path / "out.json")])


def test_several_replies_to_a_prompt_count_by_their_mean(tmp_path):
    ours = [("1", 0, LIST), ("1", 1, PLAIN), ("2", 0, PLAIN), ("2", 1, PLAIN * 3), ("3", 0, ""), ("3", 1, LIST)]
    path = tmp_path / "several.jsonl"
    path.write_text("".join(json.dumps({"prompt_id": p, "sample": s, "response": r}) + "\n" for p, s, r in ours))
    theirs = {"1": LIST, "2": PLAIN + PLAIN, "3": PLAIN}
    args = ["--responses", str(path), "--reference", write(tmp_path / "t.jsonl", theirs)]
    compare.main([*args, "--output", str(tmp_path / "out.json")])
    record = json.loads((tmp_path / "out.json").read_text())
    metrics = record["metrics"]
    assert (metrics["list_agreement"]["value"], metrics["list_agreement"]["n"]) == (0.5, 1)
    assert (metrics["list_false_alarm"]["value"], metrics["list_false_alarm"]["n"]) == (0.25, 2)
    lengths = [np.mean([len(words(r)) for p, _, r in ours if p == prompt]) for prompt in theirs]
    expected = np.corrcoef(lengths, [len(words(reply)) for reply in theirs.values()])[0, 1]
    assert metrics["length_correlation"]["value"] == pytest.approx(expected)
    shared = [unigram_intersection(r, theirs[p]) for p, _, r in ours]
    assert metrics["unigram_intersection"]["value"] == pytest.approx(np.mean(shared))
    assert metrics["unigram_intersection"]["n"] == len(record["items"]) == 3, "a prompt is one item"
    compare.main([*args, "--sample", "0", "--output", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text())["metrics"]["list_agreement"]["value"] == 1.0


def test_ids_may_be_numbers_and_records_may_hold_more(tmp_path):
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    ours.write_text('\ufeff{"prompt_id": 1, "response": " a b ", "extra": [1]}\n\n{"prompt_id": 2, "response": "c"}\n')
    theirs.write_text('{"prompt_id": "2", "response": "c"}\r\n{"prompt_id": "1", "response": "a b"}')
    compare.main(["--responses", str(ours), "--reference", str(theirs), "--output", str(tmp_path / "out.json")])
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["metrics"]["unigram_intersection"]["value"] == 1.0
    assert [item["id"] for item in record["items"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt_id": "1"}', "line 1: 'response' is None, expected text"),
        ('{"prompt_id": "1", "response": ["a"]}', "line 1: 'response' is"),
        ('{"response": "a"}', "line 1: 'prompt_id' is None"),
        ('{"prompt_id": true, "response": "a"}', "'prompt_id' is True"),
        ('{"prompt_id": "1", "response": "a", "sample": "b"}', "'sample' is 'b'"),
        ('["1", "a"]', "found list, expected a JSON object"),
        ("prompt_id,response", "not JSON"),
        ("", "the file is empty"),
    ],
)
def test_what_is_no_response_is_named(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(line)
    with pytest.raises(UserError, match=message):
        compare.read_responses(path)


def test_empty_replies_are_counted_not_dropped(tmp_path):
    record = run(tmp_path, {"1": "", "2": PLAIN}, {"1": PLAIN, "2": PLAIN})
    assert record["counts"]["empty_responses"] == 1
    assert record["metrics"]["unigram_intersection"]["n"] == 2


def test_other_prompts_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"lacks 1 of the prompts.*'2'"):
        run(tmp_path, {"1": "a", "2": "b"}, {"1": "a"})


def test_a_doubled_prompt_is_refused(tmp_path):
    path = tmp_path / "doubled.jsonl"
    path.write_text('{"prompt_id": "1", "response": "a"}\n' * 2)
    with pytest.raises(UserError, match="'1' comes twice"):
        compare.read_responses(path)


def test_a_judgement_in_words_is_refused(tmp_path):
    path = tmp_path / "tone.jsonl"
    path.write_text('{"prompt_id": "1", "authoritative": "yes"}\n')
    with pytest.raises(UserError, match="expected a prompt's id with true, false or null"):
        compare.read_judgements(path, "m")


@pytest.mark.parametrize(
    ("text", "assured"),
    [
        ("Water boils at 100 degrees Celsius at sea level. " * 4, True),
        ("I think water might boil at 100 degrees, but I'm not sure. " * 4, False),
        ("Water boils.", False),
        ("", False),
        ("Water boils at 100 degrees at sea level. " * 20 + "It may, perhaps, boil earlier.", True),
    ],
)
def test_who_hedges_is_not_assured(text, assured):
    assert is_assured(text) is assured
