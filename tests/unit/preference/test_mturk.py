"""Batches, their cost, and ratings coming back; against a Mechanical Turk that lives in memory."""

import csv
import datetime
import html
import json

import pytest

from falsepromise.core.errors import UserError
from falsepromise.preference import crowd, mturk
from falsepromise.preference.votes import read_votes

FIRST, SECOND, SAME = crowd.ANSWERS
NASTY = "<script>alert(1)</script> ]]> ${user_query} $5 'quoted' \"twice\"\nline two 🍎\x00"


class Market:
    """The four calls that are used, with Mechanical Turk's idempotence."""

    def __init__(self):
        self.hits, self.assignments, self.die_after = {}, {}, None

    def create_hit(self, **hit):
        if self.die_after == len(self.hits):
            raise KeyboardInterrupt
        assert hit["UniqueRequestToken"] not in self.hits
        self.hits[hit["UniqueRequestToken"]] = {"HITId": f"H{len(self.hits)}", **hit}

    def get_paginator(self, name):
        market = self

        class Pages:
            def paginate(self, **asked):
                if name == "list_hits":
                    hits = list(market.hits.values())
                    return [{"HITs": hits[:1]}, {"HITs": hits[1:]}]
                return [{"Assignments": market.assignments.get(asked["HITId"], [])}]

        return Pages()


@pytest.fixture
def batch(tmp_path):
    prompts = [{"id": str(i), "messages": [{"role": "user", "content": f"Question {i}? {NASTY}"}]} for i in range(6)]
    for name, records in {
        "p": prompts,
        "o": [{"prompt_id": p["id"], "model": "ours", "response": f"ours says {p['id']} {NASTY}"} for p in prompts],
        "t": [{"prompt_id": p["id"], "model": "theirs", "response": "theirs says"} for p in prompts],
    }.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    files = [str(tmp_path / f"{name}.jsonl") for name in "pot"]
    folder = tmp_path / "batch"
    args = ["--prompts", files[0], "--responses", files[1], "--reference", files[2], "--output", str(folder)]
    mturk.main(["export", *args, "--seed", "1"])
    return folder


def rows(folder):
    with open(folder / "batch.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def results(folder, answers, **changes):
    """A result CSV in the requester page's form: `answers` of each worker for every item."""
    path = folder / "results.csv"
    with open(path, "w", newline="") as stream:
        names = ["HITId", "WorkerId", "AssignmentStatus", "WorkTimeInSeconds", "Answer.choice.label"]
        writer = csv.DictWriter(stream, [*names, "Input.batch", "Input.item"])
        writer.writeheader()
        for row in rows(folder):
            for worker, answer in answers.items():
                record = {"WorkerId": worker, "AssignmentStatus": "Approved", "WorkTimeInSeconds": "31"}
                record |= {"Answer.choice.label": answer, "Input.batch": row["batch"], "Input.item": row["item"]}
                writer.writerow({**record, **changes})
    return path


def test_what_raters_see_is_escaped_and_blind(batch):
    template = (batch / "hit.html").read_text()
    for row in rows(batch):
        page = crowd.question(template, row)
        assert "<script>alert" not in page
        assert page.count("]]>") == 1
        assert "${" not in page
        assert page.isascii()
        assert "ours" not in row["item"]
        texts = [html.unescape(row[name]) for name in crowd.COLUMNS[2:]]
        assert "line two 🍎" in texts[0]
        assert "\n" in texts[0]
        assert sum("theirs says" in text for text in texts) == 1
        assert "\n" not in row["user_query"]


def test_sides_are_shuffled_and_recorded(batch):
    key = crowd.read_key(batch)
    assert {entry["first"] for entry in key.values()} == {"left", "right"}
    for row in rows(batch):
        expected = "ours says" if key[row["item"]]["first"] == "left" else "theirs says"
        assert row["model_response1"].startswith(expected)


def test_cost_by_hand():
    assert crowd.Cost(255, 3, 0.50).usd == pytest.approx(255 * 3 * 0.60)
    assert crowd.Cost(10, 10, 0.50).usd == pytest.approx(10 * 10 * 0.70)
    assert crowd.Cost(1, 1, 0.01).usd == pytest.approx(0.02)
    assert crowd.fair_reward(15, 120) == 0.5
    assert crowd.fair_reward(15, 121) == 0.51


def test_a_result_csv_becomes_votes_for_models_not_places(batch, tmp_path):
    path = results(batch, {"W1": FIRST, "W2": SECOND, "W3": SAME})
    mturk.main(["import", "--batch", str(batch), "--results", str(path), "--output", str(tmp_path / "v.jsonl")])
    votes = read_votes([tmp_path / "v.jsonl"])
    assert len(votes) == 18
    assert all(vote["left"] == "ours" and vote["seconds"] == 31 for vote in votes)
    assert "W1" not in (tmp_path / "v.jsonl").read_text()
    for item in {vote["item"] for vote in votes}:
        mine = [vote for vote in votes if vote["item"] == item]
        assert {vote["choice"] for vote in mine} == {"left", "right", "tie"}
        assert mine[0]["choice"] == mine[0]["first"], "W1 chose what stood first"


def test_rejected_and_unknown_answers_are_counted(batch):
    key = crowd.read_key(batch)
    with pytest.raises(UserError, match="no assignment that was not rejected"):
        crowd.votes_of_csv(results(batch, {"W1": FIRST}, AssignmentStatus="Rejected"), key)
    votes, _ = crowd.votes_of_csv(results(batch, {"W1": "Both are fine", "W2": ""}), key)
    assert [vote["unreadable"] for vote in votes[:2]] == ["unknown answer 'Both are fine'", "no answer"]


def test_a_csv_of_another_batch_is_refused(batch):
    path = results(batch, {"W1": FIRST}, **{"Input.batch": "another"})
    with pytest.raises(UserError, match=r"row 2: .* of batch 'another', expected batch"):
        crowd.votes_of_csv(path, crowd.read_key(batch))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column WorkerId"):
        crowd.votes_of_csv(path, crowd.read_key(batch))


def test_hits_are_made_once_also_after_a_kill(batch):
    market = Market()
    market.die_after = 2
    with pytest.raises(KeyboardInterrupt):
        mturk.create(market, batch)
    market.die_after = None
    assert mturk.create(market, batch) == (4, 2)
    assert mturk.create(market, batch) == (0, 6)
    hit = next(iter(market.hits.values()))
    assert (hit["Reward"], hit["MaxAssignments"]) == ("0.50", 3)
    assert len(hit["UniqueRequestToken"]) <= 64
    assert len(hit["QualificationRequirements"]) == 3


def test_ratings_are_collected_from_the_market(batch):
    market = Market()
    mturk.create(market, batch)
    begun = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    answer = json.dumps([{"choice": {"label": FIRST}}])
    fields = f"<Answer><FreeText>{html.escape(answer)}</FreeText></Answer>"
    xml = f"<QuestionFormAnswers xmlns='x'>{fields}</QuestionFormAnswers>"
    market.assignments["H0"] = [
        {
            "WorkerId": "W1",
            "AssignmentStatus": "Submitted",
            "AcceptTime": begun,
            "SubmitTime": begun + datetime.timedelta(seconds=40),
            "Answer": xml,
        }
    ]
    votes, without = mturk.collect(market, batch)
    assert without == 0
    assert [(vote["choice"], vote["seconds"]) for vote in votes] == [(votes[0]["first"], 40.0)]
    assert crowd.answer_of("not xml") is None


def test_money_is_not_spent_unasked(batch, monkeypatch):
    monkeypatch.setattr(mturk, "connect", lambda live: pytest.fail("connected before the money was agreed on"))
    with pytest.raises(UserError, match=r"allows nothing; to go ahead, give --spend-usd 10\.80"):
        mturk.main(["create", "--batch", str(batch), "--live"])
    with pytest.raises(UserError, match=r"allows \$5\.00"):
        mturk.main(["create", "--batch", str(batch), "--live", "--spend-usd", "5"])


def test_a_reply_that_no_hit_can_hold_is_named(tmp_path):
    pair = crowd.Pair("i", "long one", "q", "a", "b", "x" * 70_000, "y")
    with pytest.raises(UserError, match="'long one': its HIT has"):
        crowd.write_batch(tmp_path, [pair], 0, crowd.Cost(1, 3, 0.5))
