"""Batches, their cost, and ratings coming back; through boto3, from a local server that speaks its protocol."""

import csv
import datetime
import html
import io
import json
import zipfile

import pytest
from threads import in_thread
from turk_market import Market

from falsepromise.core.errors import UserError
from falsepromise.preference import crowd, mturk
from falsepromise.preference import results as result_files
from falsepromise.preference.votes import read_votes

FIRST, SECOND, SAME = crowd.ANSWERS
NASTY = "<script>alert(1)</script> ]]> ${user_query} $5 'quoted' \"twice\"\nline two 🍎\x00"


@pytest.fixture
def market(monkeypatch):
    """A running stand-in that boto3 takes for the sandbox and for the live market."""
    pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-a-test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with Market() as server, in_thread(server):
        monkeypatch.setattr(mturk, "SANDBOX", server.url)
        monkeypatch.setattr(mturk, "LIVE", server.url)
        yield server


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
    with pytest.raises(UserError, match="no rating that was accepted"):
        result_files.votes_of_csv(results(batch, {"W1": FIRST}, AssignmentStatus="Rejected"), key)
    found = results(batch, {"W1": "Both are fine", "W2": "", "W3": SAME})
    votes = result_files.votes_of_csv(found, key).votes
    assert [vote["unreadable"] for vote in votes[:2]] == ["unknown answer 'Both are fine'", "no answer"]


def test_an_import_of_which_nothing_was_read_is_refused(batch):
    with pytest.raises(UserError, match=r"none of its 6 answers could be read, the first being unknown answer 'A'"):
        result_files.votes_of_csv(results(batch, {"W1": "A"}), crowd.read_key(batch))


def rewritten(path, rows, delimiter=",", encoding="utf-8", before=""):
    """The same rows as another program would have saved them."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes((before + stream.getvalue()).encode(encoding))
    return path


@pytest.mark.parametrize(
    ("delimiter", "encoding", "before"),
    [(";", "utf-8-sig", ""), ("\t", "utf-16", ""), (";", "cp1252", "sep=;\r\n"), (",", "utf-8", "")],
)
@pytest.mark.parametrize("form", ["label", "taskAnswers", "columns"])
def test_files_are_read_in_every_form_in_which_they_occur(batch, form, delimiter, encoding, before):
    def answered(label):
        if form == "label":
            return {"Answer.choice.label": label}
        if form == "taskAnswers":
            return {"Answer.taskAnswers": json.dumps([{"choice": {"label": label}}])}
        return {f"Answer.choice.{one}": str(one == label).lower() for one in crowd.ANSWERS}

    made = [
        {
            **{"Title": "Größe, \"quoted\"; und", "Input.user_query": row["user_query"], **answered(label)},
            **{"Approve": "", "Reject": "", "WorkTimeInSeconds": "31,5", "Input.item": row["item"]},
            **{"AssignmentStatus": "Submitted", "WorkerId": worker, "Input.batch": row["batch"]},
        }
        for row in rows(batch)
        for worker, label in (("W1", FIRST), ("W2", SECOND), ("W3", SAME))
    ]
    key = crowd.read_key(batch)
    found = result_files.votes_of_csv(rewritten(batch / "r.csv", made, delimiter, encoding, before), key)
    assert len(found.votes) == 18
    assert {vote["seconds"] for vote in found.votes} == {31.5}
    for row, label, vote in zip(made, [FIRST, SECOND, SAME] * 6, found.votes, strict=True):
        first = key[row["Input.item"]]["first"]
        assert vote["choice"] == ("tie" if label == SAME else first if label == FIRST else crowd._OTHER_SIDE[first])


def test_a_rejected_assignment_may_be_handed_in_again_and_a_row_twice_is_one(batch):
    row = rows(batch)[0]
    common = {"WorkerId": "W1", "Input.item": row["item"], "Input.batch": row["batch"], "Answer.choice.label": FIRST}
    made = [
        {**common, "AssignmentId": "A1", "AssignmentStatus": "Rejected", "Reject": ""},
        {**common, "AssignmentId": "A2", "AssignmentStatus": "Submitted", "Reject": "too fast"},
        {**common, "AssignmentId": "A3", "AssignmentStatus": "Approved", "Reject": ""},
        {**common, "AssignmentId": "A3", "AssignmentStatus": "Approved", "Reject": ""},
        dict.fromkeys([*common, "AssignmentId", "AssignmentStatus", "Reject"], ""),
    ]
    found = result_files.votes_of_csv(rewritten(batch / "r.csv", made), crowd.read_key(batch))
    assert (len(found.votes), found.rejected, found.again) == (1, 2, 1)


def test_a_first_row_that_is_shorter_than_the_header_hides_no_column(batch):
    one, two, three = (row["item"] for row in rows(batch)[:3])
    path = batch / "r.csv"
    lines = ["WorkerId,Input.item,Answer.choice.label,AssignmentStatus,Reject", f"W1,{one},{FIRST}"]
    lines += [f"W1,{two},{FIRST},Rejected", f"W1,{three},{FIRST},Submitted,too fast"]
    path.write_text("\n".join(lines) + "\n")
    found = result_files.votes_of_csv(path, crowd.read_key(batch))
    assert (len(found.votes), found.rejected) == (1, 2)


def test_a_false_or_empty_reason_is_no_rejection(batch):
    common = {"Input.item": rows(batch)[0]["item"], "Answer.choice.label": FIRST}
    reasons = ["", "FALSE", "0", "NaN", "x", "No English"]
    made = [{**common, "WorkerId": f"W{n}", "Reject": reason} for n, reason in enumerate(reasons)]
    found = result_files.votes_of_csv(rewritten(batch / "r.csv", made), crowd.read_key(batch))
    assert (len(found.votes), found.rejected) == (4, 2)


def test_ratings_of_nobody_and_workbooks_are_refused(batch):
    made = [{"WorkerId": " ", "Input.item": rows(batch)[0]["item"], "Answer.choice.label": FIRST}]
    with pytest.raises(UserError, match="row 2: WorkerId is empty"):
        result_files.votes_of_csv(rewritten(batch / "r.csv", made), crowd.read_key(batch))
    with zipfile.ZipFile(batch / "r.xlsx", "w") as workbook:
        workbook.writestr("[Content_Types].xml", "")
    with pytest.raises(UserError, match="save it as CSV"):
        result_files.votes_of_csv(batch / "r.xlsx", crowd.read_key(batch))


def test_ids_begin_with_a_letter_and_one_that_became_a_number_is_explained(batch):
    assert all(row[name][0].isalpha() for row in rows(batch) for name in ("item", "batch"))
    made = [{"WorkerId": "W1", "Input.item": "7,4E+15", "Answer.choice.label": FIRST}]
    with pytest.raises(UserError, match=r"row 2: item '7,4E\+15'.*a spreadsheet made a number of the id"):
        result_files.votes_of_csv(rewritten(batch / "r.csv", made), crowd.read_key(batch))


def test_prolifics_participants_and_who_gave_up(batch):
    made = [
        {"item": row["item"], "PROLIFIC_PID": person, "choice": FIRST}
        for row in rows(batch)
        for person in ("5f1a", "60bb", "61cc")
    ]
    people = [
        {"Submission id": "s", "Participant id": person, "Status": status, "Time taken": "600"}
        for person, status in (("5f1a", "APPROVED"), ("60bb", "TIMED-OUT"), ("61cc", "AWAITING REVIEW"))
    ]
    files = rewritten(batch / "r.csv", made), crowd.read_key(batch), rewritten(batch / "s.csv", people)
    found = result_files.votes_of_csv(*files)
    assert (len(found.votes), found.rejected) == (12, 6)
    assert len({vote["rater"] for vote in found.votes}) == 2
    assert "seconds" not in found.votes[0], "Prolific's time is the whole session's"


def people_of(batch, listed, **ids):
    """What is read of a survey that 5f1a answered, by Prolific's list of submissions; `ids`: of the ratings."""
    made = [{"item": row["item"], "PROLIFIC_PID": "5f1a", "choice": FIRST, **ids} for row in rows(batch)]
    people = [{"Submission id": s, "Participant id": "5f1a", "Status": status} for s, status in listed]
    files = rewritten(batch / "r.csv", made), crowd.read_key(batch), rewritten(batch / "s.csv", people)
    return result_files.votes_of_csv(*files)


def test_a_participant_with_two_submissions_counts_by_the_one_that_was_accepted(batch):
    """The last row decided, so that a rating counted or not by the order of Prolific's rows."""
    listed = [("s1", "APPROVED"), ("s2", "RETURNED")]
    for order in (listed, listed[::-1]):
        assert people_of(batch, order).rejected == 0
        assert people_of(batch, order, SESSION_ID="s1").rejected == 0
        with pytest.raises(UserError, match="no rating that was accepted"):
            people_of(batch, order, SESSION_ID="s2")
    with pytest.raises(UserError, match="no rating that was accepted"):
        people_of(batch, [("s1", "TIMED-OUT"), ("s2", "RETURNED")])


def test_a_running_batch_keeps_its_key(batch, tmp_path):
    files = [str(tmp_path / f"{name}.jsonl") for name in "pot"]
    args = ["export", "--prompts", files[0], "--responses", files[1], "--reference", files[2], "--output", str(batch)]
    before = {path.name: path.read_bytes() for path in batch.iterdir()}
    with pytest.raises(UserError, match=f"has batch '{crowd.read_key(batch).popitem()[1]['batch']}', whose results"):
        mturk.main([*args, "--seed", "2"])
    assert {path.name: path.read_bytes() for path in batch.iterdir()} == before
    (batch / "key.jsonl").unlink()  # the same batch again makes the same key
    mturk.main([*args, "--seed", "1"])
    assert (batch / "key.jsonl").read_bytes() == before["key.jsonl"]
    (batch / "batch.json").write_text("[]")
    with pytest.raises(UserError, match=r"has batch \[\], whose results need its key"):
        mturk.main([*args, "--seed", "1"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("31", 31), ("31.5", 31.5), ("31,5", 31.5), ("0,125", 0.125), ("1,234", None), ("-1", None)]
)
def test_a_time_that_can_be_two_times_is_none(batch, text, seconds):
    found = result_files.votes_of_csv(results(batch, {"w": FIRST}, WorkTimeInSeconds=text), crowd.read_key(batch))
    assert found.votes[0].get("seconds") == seconds


def test_attention_checks_are_planted_and_the_inattentive_named(tmp_path, batch, caplog):
    files = [str(tmp_path / f"{name}.jsonl") for name in "pot"]
    folder = tmp_path / "checked"
    inputs = ["--prompts", files[0], "--responses", files[1], "--reference", files[2]]
    mturk.main(["export", *inputs, "--checks", "2", "--output", str(folder)])
    key = crowd.read_key(folder)
    checks = {item: entry for item, entry in key.items() if "expected" in entry}
    assert (len(key), len(checks)) == (8, 2)
    assert json.loads((folder / "batch.json").read_text())["items"] == 8
    made = []
    for row in rows(folder):
        first = key[row["item"]]["first"]
        right = FIRST if checks.get(row["item"], {}).get("expected", "left") == first else SECOND
        if row["item"] in checks:
            good = row["model_response1" if right == FIRST else "model_response2"]
            assert good == "theirs says", "the real reply is the one to choose"
        for worker, label in (("careful", right), ("careless", SAME)):
            made.append({"WorkerId": worker, "Input.item": row["item"], "Answer.choice.label": label})
    arguments = ["import", "--batch", str(folder), "--results", str(rewritten(folder / "r.csv", made))]
    with caplog.at_level("INFO"):
        mturk.main([*arguments, "--output", str(tmp_path / "v.jsonl")])
        mturk.main([*arguments, "--attentive", "--output", str(tmp_path / "w.jsonl")])
    assert len(read_votes([tmp_path / "v.jsonl"])) == 12
    assert len(read_votes([tmp_path / "w.jsonl"])) == 6
    assert "attention checks: 2 passed, 2 failed; failed more than they passed:" in caplog.text
    assert "(6 ratings left out)" in caplog.text
    with pytest.raises(UserError, match="--checks 9: expected at most 6"):
        mturk.main(["export", *inputs, "--checks", "9", "--output", str(tmp_path / "more")])


def test_the_cost_is_told_before_anything_is_written(capsys):
    mturk.main(["cost", "--items", "255"])
    assert capsys.readouterr().out == "255 items x 3 ratings x $0.50 with fees: $459.00\n"


@pytest.mark.parametrize(
    "wrong",
    [
        ["cost", "--items", "-5"], ["cost", "--items", "2.5"], ["cost", "--items", "5", "--seconds", "inf"],
        *(["cost", "--items", "5", "--reward", reward] for reward in ("nan", "0", "0.005", "0.015", "-1", "free")),
        ["cost", "--items", "5", "--ratings", "0"], ["cost", "--items", "5", "--hourly", "-3"],
        *(["create", "--batch", "B", "--live", "--spend-usd", most] for most in ("nan", "inf", "-1")),
    ],
)  # fmt: skip
def test_money_and_counts_are_numbers_above_zero(wrong, capsys):
    with pytest.raises(SystemExit):
        mturk.main(wrong)
    assert f"argument {wrong[-2]}: {wrong[-1]!r} is no" in capsys.readouterr().err


def test_a_worker_who_rated_an_item_twice_is_named(batch):
    path = results(batch, {"W1": FIRST})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(UserError, match=r"row 8: worker W1 rated item \w+ already, in row 2"):
        result_files.votes_of_csv(path, crowd.read_key(batch))


def test_a_csv_of_another_batch_is_refused(batch):
    path = results(batch, {"W1": FIRST}, **{"Input.batch": "another"})
    with pytest.raises(UserError, match=r"row 2: .* of batch 'another', expected batch"):
        result_files.votes_of_csv(path, crowd.read_key(batch))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column WorkerId"):
        result_files.votes_of_csv(path, crowd.read_key(batch))


def create(batch, *more):
    mturk.main(["create", "--batch", str(batch), *more])


def test_hits_are_made_once_also_after_a_failure(batch, market):
    market.fail_after = 2
    with pytest.raises(UserError, match=r"ServiceFault.*try later.*nothing is lost.*run the command again"):
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
    assert "3 ratings, 1 rejected ones left out" in caplog.text
    assert "0 items without a HIT" in caplog.text
    assert "items by their number of ratings: 1: 1, 2: 1" in caplog.text
    assert crowd.free_texts("not xml") == []


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
