"""Batches, their cost, and ratings coming back; through boto3, from a local server that speaks its protocol."""

import csv
import datetime
import html
import http.server
import json
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from falsepromise.core.errors import UserError
from falsepromise.preference import crowd, mturk
from falsepromise.preference.votes import read_votes

FIRST, SECOND, SAME = crowd.ANSWERS
NASTY = "<script>alert(1)</script> ]]> ${user_query} $5 'quoted' \"twice\"\nline two 🍎\x00"
SERVICE = "MTurkRequesterServiceV20170117."


class Market(http.server.ThreadingHTTPServer):
    """A stand-in for Mechanical Turk: its JSON protocol, paging, unique tokens and balance, over HTTP.

    The client's side is boto3 itself, which checks each request against the service's own model.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hits, self.assignments, self.calls = {}, {}, []
        self.balance, self.fail_after, self.hide = "10000.00", None, False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, call, asked):
        self.calls.append(call)
        return getattr(self, call)(asked)

    def CreateHIT(self, asked):
        if self.fail_after is not None and len(self.hits) >= self.fail_after:
            return 400, {"__type": "ServiceFault", "Message": "try later"}
        if asked["UniqueRequestToken"] in self.hits:
            message = "a HIT with this token exists (AWS.MechanicalTurk.HITAlreadyExists)"
            return 400, {"__type": "RequestError", "Message": message}
        assert len(asked["UniqueRequestToken"]) <= 64
        assert len(asked["Question"].encode()) <= 65_535
        ElementTree.fromstring(asked["Question"])
        hit = {"HITId": f"H{len(self.hits)}", **asked}
        self.hits[asked["UniqueRequestToken"]] = hit
        return 200, {"HIT": {"HITId": hit["HITId"]}}

    def ListHITs(self, asked):
        start = int(asked.get("NextToken") or 0)
        hits = [] if self.hide else list(self.hits.values())
        page = [{key: hit[key] for key in ("HITId", "RequesterAnnotation")} for hit in hits[start : start + 2]]
        more = {"NextToken": str(start + 2)} if start + 2 < len(hits) else {}
        return 200, {"NumResults": len(page), "HITs": page, **more}

    def ListAssignmentsForHIT(self, asked):
        wanted = [
            a for a in self.assignments.get(asked["HITId"], []) if a["AssignmentStatus"] in asked["AssignmentStatuses"]
        ]
        start = int(asked.get("NextToken") or 0)
        more = {"NextToken": str(start + 1)} if start + 1 < len(wanted) else {}
        return 200, {"NumResults": len(wanted), "Assignments": wanted[start : start + 1], **more}

    def GetAccountBalance(self, asked):
        return 200, {"AvailableBalance": self.balance}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = self.server.answer(self.headers["X-Amz-Target"].removeprefix(SERVICE), asked)
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def market(monkeypatch):
    """A running stand-in that boto3 takes for the sandbox and for the live market."""
    pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-a-test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with Market() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(mturk, "SANDBOX", server.url)
        monkeypatch.setattr(mturk, "LIVE", server.url)
        yield server
        server.shutdown()
        thread.join()


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


def test_a_worker_who_rated_an_item_twice_is_named(batch):
    path = results(batch, {"W1": FIRST})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(UserError, match=r"row 8: worker W1 rated item \w+ already, in row 2"):
        crowd.votes_of_csv(path, crowd.read_key(batch))


def test_a_csv_of_another_batch_is_refused(batch):
    path = results(batch, {"W1": FIRST}, **{"Input.batch": "another"})
    with pytest.raises(UserError, match=r"row 2: .* of batch 'another', expected batch"):
        crowd.votes_of_csv(path, crowd.read_key(batch))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column WorkerId"):
        crowd.votes_of_csv(path, crowd.read_key(batch))


def create(batch, *more):
    mturk.main(["create", "--batch", str(batch), *more])


def test_hits_are_made_once_also_after_a_failure(batch, market):
    market.fail_after = 2
    with pytest.raises(UserError, match=r"ServiceFault.*try later.*nothing is lost.*give the command again"):
        create(batch)
    market.fail_after = None
    create(batch)
    create(batch)
    assert len(market.hits) == 6
    assert market.calls.count("CreateHIT") == 2 + 1 + 4
    assert "GetAccountBalance" not in market.calls, "the sandbox costs nothing"
    hit = next(iter(market.hits.values()))
    assert (hit["Reward"], hit["MaxAssignments"]) == ("0.50", 3)
    approval, country = hit["QualificationRequirements"][0], hit["QualificationRequirements"][2]
    assert (approval["Comparator"], approval["IntegerValues"]) == ("GreaterThanOrEqualTo", [95])
    assert {"Country": "US"} in country["LocaleValues"]


def test_a_hit_whose_answer_was_lost_is_not_made_twice(batch, market, caplog):
    create(batch)
    market.hide = True  # the list lags behind
    with caplog.at_level("INFO"):
        create(batch)
    assert len(market.hits) == 6
    assert "0 HITs made, 6 were there, in the sandbox" in caplog.text


def assignment(worker, answer, status="Submitted", seconds=40):
    begun = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).timestamp()
    fields = f"<Answer><FreeText>{html.escape(json.dumps([{'choice': {'label': answer}}]))}</FreeText></Answer>"
    return {
        **{"AssignmentId": f"A{worker}", "WorkerId": worker, "AssignmentStatus": status},
        **{"AcceptTime": begun, "SubmitTime": begun + seconds},
        "Answer": f"<QuestionFormAnswers xmlns='x'>{fields}</QuestionFormAnswers>",
    }


def test_ratings_are_collected_from_the_market(batch, market, tmp_path, caplog):
    collect = ["collect", "--batch", str(batch), "--output", str(tmp_path / "v.jsonl")]
    with pytest.raises(UserError, match=r"no ratings yet \(6 items without a HIT\); come back later"):
        mturk.main(collect)
    create(batch)
    market.assignments["H0"] = [assignment("W1", FIRST), assignment("W2", SAME), assignment("W3", FIRST, "Rejected")]
    market.assignments["H1"] = [assignment("W1", "Both are fine", "Approved")]
    with caplog.at_level("INFO"):
        mturk.main(collect)
    votes = read_votes([tmp_path / "v.jsonl"])
    assert [vote["choice"] for vote in votes] == [votes[0]["first"], "tie", None]
    assert votes[0]["seconds"] == 40.0
    assert votes[2]["unreadable"] == "unknown answer 'Both are fine'"
    assert votes[0]["rater"] == votes[2]["rater"] != votes[1]["rater"]
    assert "3 ratings, 1 rejected ones left out, 0 items without a HIT" in caplog.text
    assert "items by their number of ratings: 1: 1, 2: 1" in caplog.text
    assert crowd.answer_of("not xml") is None


def test_money_is_not_spent_unasked(batch, market):
    with pytest.raises(UserError, match=r"allows nothing; to go ahead, give --spend-usd 10\.80"):
        create(batch, "--live")
    assert not market.calls, "refused before anything was asked"
    with pytest.raises(UserError, match=r"allows \$5\.00"):
        create(batch, "--live", "--spend-usd", "5")
    market.balance = "1.00"
    with pytest.raises(UserError, match=r"the account holds \$1\.00"):
        create(batch, "--live", "--spend-usd", "10.80")
    assert not market.hits
    market.balance = "100.00"
    create(batch, "--live", "--spend-usd", "10.80")
    assert len(market.hits) == 6
    create(batch, "--live", "--spend-usd", "0")  # nothing is missing: nothing to pay


def test_missing_credentials_are_one_line(batch, market, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match=r"Unable to locate credentials.*AWS_ACCESS_KEY_ID"):
        create(batch)


def test_a_reply_that_no_hit_can_hold_is_named(tmp_path):
    pair = crowd.Pair("i", "long one", "q", "a", "b", "x" * 70_000, "y")
    with pytest.raises(UserError, match="'long one': its HIT has"):
        crowd.write_batch(tmp_path, [pair], 0, crowd.Cost(1, 3, 0.5))
