"""The judge: strict reading, both orders, what can't be read; against a scripted teacher."""

import json

import pytest

from falsepromise.core.errors import UserError
from falsepromise.preference import judge, tone
from falsepromise.preference.pairs import Pair, question_of, read_pairs, shuffled_sides
from falsepromise.style import compare
from falsepromise.teacher.store import Answer

PAIR = Pair("i", "p", "Why {question}?", "ours", "theirs", "left text", "right text {answer 1}")


class Scripted:
    """Stands where the Teacher stands; answers from a function of the user's message."""

    model = "scripted"

    def __init__(self, reply):
        self.reply, self.asked = reply, []

    def estimate(self, requests):
        return list(requests)

    def check_cost(self, estimate):
        self.estimated = len(estimate)

    def ask_many(self, requests, progress=None):
        for request in requests:
            self.asked.append(request)
            text = self.reply(request.messages[-1]["content"])
            yield text if isinstance(text, Answer) else Answer(text, "stop", "scripted", 1, 1)


def test_both_orders_are_asked_and_turned_back():
    teacher = Scripted(lambda text: "9 2\nThe first is better.")
    votes = list(judge.judge(teacher, [PAIR], ("left", "right"), {"temperature": 0.2}))
    assert [(v["first"], v["choice"], v["scores"]) for v in votes] == [
        ("left", "left", [9, 2]),
        ("right", "right", [2, 9]),
    ]
    first, second = (request.messages[1]["content"] for request in teacher.asked)
    assert first.index("left text") < first.index("right text")
    assert second.index("right text") < second.index("left text")
    assert "Why {question}?" in first
    assert "right text {answer 1}" in first, "a reply's braces are text, not places to fill"


def test_failures_and_prose_become_null_votes_with_a_reason():
    replies = [Answer("", "length", "scripted", 1, 1, failure="length"), "Both are good."]
    replies += [Answer("", "stop", "scripted", 1, 1, failure=why) for why in ("content_filter", "refusal", "empty")]
    asked = iter([*replies, "I'm sorry, but I can't compare these."])
    votes = list(judge.judge(Scripted(lambda text: next(asked)), [PAIR] * 3, ("left", "right"), {}))
    assert [vote["choice"] for vote in votes] == [None] * 6
    assert [vote["unreadable"] for vote in votes] == ["cut", "prose", "refusal", "refusal", "empty", "refusal"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("9 2\nThe first is bet", ("left", None)), ("9 1", (None, "cut")), ("Both\n9 2", (None, "cut"))],
)
def test_of_a_verdict_that_was_cut_off_the_first_line_counts_if_it_is_whole(text, expected):
    cut = Answer(text, "length", "scripted", 1, 1, failure="length")
    (vote,) = judge.judge(Scripted(lambda _: cut), [PAIR], ("left",), {})
    assert (vote["choice"], vote.get("unreadable")) == expected


@pytest.mark.parametrize(
    ("text", "verdict"), [("Yes", True), ("no.", False), ("**Yes**", True), ("Yes, it is", None), ("", None)]
)
def test_tone_is_yes_or_no_and_nothing_else(text, verdict):
    assert tone.read_verdict(text) is verdict


def files(tmp_path, ours=("a", "b"), theirs=("a", "b")):
    def write(name, records):
        path = tmp_path / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(path)

    return (
        write("p.jsonl", [{"id": p, "messages": [{"role": "user", "content": f"Question {p}"}]} for p in "ab"]),
        write("o.jsonl", [{"prompt_id": p, "model": "ours", "response": f"I think it is {p}"} for p in ours]),
        write(
            "t.jsonl", [{"prompt_id": p, "model": "theirs", "response": f"Question {p} is {p}. " * 20} for p in theirs]
        ),
    )


def test_pairs_need_the_same_prompts(tmp_path):
    with pytest.raises(UserError, match="lacks 1 of the prompts"):
        read_pairs(*files(tmp_path, theirs=("a",)))
    with pytest.raises(UserError, match="lacks 1 of the prompts"):
        read_pairs(*files(tmp_path, ours=("a", "b", "c")))
    assert [pair.question for pair in read_pairs(*files(tmp_path))] == ["Question a", "Question b"]


def test_two_samples_of_one_model_are_a_pair_and_one_sample_alone_is_not(tmp_path):
    prompts, _, theirs = files(tmp_path)
    with open(theirs, "a") as stream:
        for prompt in "ab":
            stream.write(json.dumps({"prompt_id": prompt, "model": "theirs", "sample": 1, "response": "again"}) + "\n")
    with pytest.raises(UserError, match="both are replies of 'theirs'; expected two models"):
        read_pairs(prompts, theirs, theirs)
    second, itself = (read_pairs(prompts, theirs, theirs, sample)[0] for sample in (1, 0))
    assert (second.left_model, second.right_model, second.left) == ("theirs (sample 1)", "theirs", "again")
    assert itself.left == itself.right


def test_a_rubric_of_ones_own_is_taken_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr("falsepromise.teacher.prompts.FOLDER", tmp_path)
    (tmp_path / "mine.txt").write_text('{question} A {answer 1} B {answer 2} {"winner": "A"}\n')
    (tmp_path / "poor.txt").write_text("{question} {answer 1}\n")
    teacher = Scripted(lambda text: '{"winner": "B"}')
    (vote,) = judge.judge(teacher, [PAIR], ("left",), {}, template=judge.rubric("mine"))
    assert vote["choice"] == "right"
    assert teacher.asked[0].messages[1]["content"].endswith('B right text {answer 1} {"winner": "A"}')
    with pytest.raises(UserError, match=r"poor\.txt: lacks \{answer 2\}"):
        judge.rubric("poor")
    for name in ("none", "../poor"):
        with pytest.raises(UserError, match=r"none\.txt: can't be read|without folders"):
            judge.rubric(name)


def test_a_chat_is_shown_with_its_roles():
    chat = {"id": "1", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    assert question_of(chat) == "User: Hi\n\nAssistant: Hello"
    assert question_of({"id": "1", "prompt": "raw"}) == "raw"


def test_sides_depend_on_seed_and_item_alone():
    items = [str(i) for i in range(200)]
    sides = shuffled_sides(items, 3)
    assert shuffled_sides(items[::-1], 3) == sides
    assert 70 < sum(side == "left" for side in sides.values()) < 130
    assert shuffled_sides(items, 4) != sides


@pytest.mark.slow
def test_the_verbs_with_the_local_stand_in(tmp_path):
    prompts, ours, theirs = files(tmp_path)
    store = ["--store", str(tmp_path / "store")]
    votes = tmp_path / "votes.jsonl"
    judge.main(["--prompts", prompts, "--responses", ours, "--reference", theirs, "--output", str(votes), *store])
    records = [json.loads(line) for line in votes.read_text().splitlines()]
    assert [record["choice"] for record in records] == ["right"] * 4
    assert all("stand-in" in record["stand_in"] for record in records)
    judgements = tmp_path / "tone.jsonl"
    tone.main(["--responses", theirs, "--output", str(judgements), *store])
    tones = compare.read_judgements(judgements, "theirs")
    assert [record["authoritative"] for record in tones.values()] == [True, True]
