"""The rating page: what is stored, what strangers can't see, what untrusted text can't do."""

import contextlib
import http.client
import json
import sqlite3
import threading

import pytest

from falsepromise.core.errors import UserError
from falsepromise.preference import rate
from falsepromise.preference.ballots import Ballots, read_votes
from falsepromise.preference.pairs import Pair
from falsepromise.preference.rate import markdown


def pairs(n=5):
    return [Pair(f"ours/theirs/{i}", str(i), f"Q{i}", "ours", "theirs", f"L{i}", f"R{i}") for i in range(n)]


def call(server, path, body=None, headers=None):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    with contextlib.closing(connection):
        send = {"Content-Type": "application/json", **(headers or {})} if body is not None else headers or {}
        content = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", path, content, send)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers


def state(server, rater="ann"):
    return json.loads(call(server, f"/{server.token}/state?rater={rater}")[1])


def post(server, verb, **body):
    status, content, _ = call(server, f"/{server.token}/{verb}", {"rater": "ann", **body})
    return status, json.loads(content)


def test_a_rater_rates_everything_and_the_votes_name_models(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        shown = state(server)
        for done in range(5):
            assert (shown["rated"], shown["total"]) == (done, 5)
            choice = "first" if "L" in shown["pair"]["first"][:5] else "second"
            status, shown = post(server, "vote", item=shown["pair"]["item"], choice=choice, seconds=1.5)
            assert (status, shown["stored"]) == (200, True)
        assert shown["pair"] is None
    rate.main(["--database", str(tmp_path / "r.sqlite"), "--export", str(tmp_path / "votes.jsonl")])
    votes = [json.loads(line) for line in (tmp_path / "votes.jsonl").read_text().splitlines()]
    assert [vote["choice"] for vote in votes] == ["left"] * 5, "the rater always chose ours"
    assert {vote["prompt_id"] for vote in votes} == set("01234")
    assert votes[0]["seconds"] == 1.5


@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm"])
def test_an_export_is_no_file_of_the_database(serving, tmp_path, end):
    file = tmp_path / "r.sqlite"
    with serving(file, pairs()) as server:
        post(server, "vote", item=state(server)["pair"]["item"], choice="first")
    before = file.read_bytes()
    (tmp_path / "same").symlink_to(f"{file}{end}")
    for export in (f"{file}{end}", tmp_path / "same"):
        with pytest.raises(UserError, match=r"--export .* file of --database"):
            rate.main(["--database", str(file), "--export", str(export)])
    assert file.read_bytes() == before


def test_a_vote_is_stored_once_whatever_tabs_do(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        item = state(server)["pair"]["item"]
        assert post(server, "vote", item=item, choice="first")[1]["stored"] is True
        again = post(server, "vote", item=item, choice="second")[1]
        assert (again["stored"], again["rated"]) == (False, 1)
        threads = [
            threading.Thread(
                target=post, args=(server, "vote"), kwargs={"item": again["pair"]["item"], "choice": "tie"}
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert state(server)["rated"] == 2
    assert len(read_votes(tmp_path / "r.sqlite")) == 2


def test_ratings_go_on_after_a_restart_and_raters_are_apart(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        following = post(server, "vote", item=state(server)["pair"]["item"], choice="tie")[1]["pair"]
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        assert state(server)["pair"] == following
        assert state(server, "bob")["rated"] == 0


def test_undo_takes_back_the_last_vote_alone(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        first = state(server)["pair"]["item"]
        second = post(server, "vote", item=first, choice="first")[1]["pair"]["item"]
        post(server, "vote", item=second, choice="first")
        assert post(server, "undo", item=first)[1]["stored"] is False, "another tab has gone on since"
        back = post(server, "undo", item=second)[1]
        assert (back["rated"], back["pair"]["item"], back["last"]) == (1, second, first)
    with contextlib.closing(sqlite3.connect(tmp_path / "r.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM undone").fetchone() == (1,)


def test_orders_and_sides_differ_between_raters(tmp_path):
    with contextlib.closing(Ballots(tmp_path / "r.sqlite", pairs(40))) as ballots:
        ann, bob = ballots.order("ann"), ballots.order("bob")
        assert ann == ballots.order("ann")
        assert [item for item, _ in ann] != [item for item, _ in bob]
        assert sorted(item for item, _ in ann) == sorted(item for item, _ in bob)
        assert dict(ann) != dict(bob)


def test_the_page_is_blind(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        text = json.dumps(state(server))
        assert "ours" not in text
        assert "theirs" not in text


def test_nothing_is_there_without_the_token(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        for path in (
            "/",
            "/state?rater=ann",
            "/wrong/",
            "/wrong/state?rater=ann",
            f"/{server.token}",
            "/../etc/passwd",
        ):
            assert call(server, path)[0] == 404
        assert call(server, "/wrong/vote", {"rater": "ann", "item": 0, "choice": "tie"})[0] == 404
        assert call(server, f"/{server.token}/", headers={"Host": "evil.example:80"})[0] == 404
        assert call(server, f"/{server.token}/")[0] == 200
        assert state(server)["rated"] == 0


def test_the_policy_is_strict_on_every_answer(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        for path in ("", "app.js", "style.css", "state?rater=ann", "nothing"):
            headers = call(server, f"/{server.token}/{path}")[2]
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b"x" * 5000,
        {"rater": "", "item": 0, "choice": "tie"},
        {"rater": "ann", "item": 99, "choice": "tie"},
        {"rater": "ann", "item": [0], "choice": "tie"},
        {"rater": "ann", "item": 0, "choice": "left"},
        {"rater": "ann", "item": 0},
    ],
)
def test_bad_votes_are_refused(serving, tmp_path, body):
    with serving(tmp_path / "r.sqlite", pairs()) as server:
        assert call(server, f"/{server.token}/vote", body)[0] == 400
        assert call(server, f"/{server.token}/vote", {"item": 0}, {"Content-Type": "text/plain"})[0] == 400
        assert state(server)["rated"] == 0


def test_untrusted_markdown_is_text(nasty):
    page = markdown().render(nasty + "\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    for part in ("<script", "<img", "<a ", "</div>"):
        assert part not in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page
    assert "<li>a</li>" in page
    assert "<table>" in page


def test_ratings_of_other_pairs_are_refused(tmp_path):
    Ballots(tmp_path / "r.sqlite", pairs(3)).close()
    with pytest.raises(UserError, match="has ratings of other pairs or another seed"):
        Ballots(tmp_path / "r.sqlite", pairs(4))
    with pytest.raises(UserError, match="has no ratings yet"):
        read_votes(tmp_path / "r.sqlite")
    with pytest.raises(UserError, match="does not exist"):
        read_votes(tmp_path / "other.sqlite")
    (tmp_path / "text.sqlite").write_text("this is no database, only some text that is long enough" * 20)
    with pytest.raises(UserError, match="can't be opened"):
        Ballots(tmp_path / "text.sqlite", pairs(3))


TABLE = "create table votes(number integer primary key, rater text, item text, vote text);"


@pytest.mark.parametrize(
    "script",
    [
        "create table votes(a);",
        "create view votes as with recursive c(number, vote) as (select 1, '{}' union all select number + 1, vote "
        "from c) select number, '' rater, '' item, vote from c;",
        *(f"{TABLE} insert into votes values(1, 'a', 'b', {v});" for v in ("5", "null", "x'ff00'", "'{}'", "'[1]'")),
    ],
)
def test_a_database_that_is_none_of_ours_is_one_line(script, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "r.sqlite")) as db:
        db.executescript(script)
    with pytest.raises(UserError, match=r"r\.sqlite"):
        read_votes(tmp_path / "r.sqlite")


def test_another_programs_database_gets_no_tables_of_ours(tmp_path):
    path = tmp_path / "replies.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE replies (key TEXT)")
        db.commit()
    before = path.read_bytes()
    for use in (read_votes, lambda file: Ballots(file, pairs())):
        with pytest.raises(UserError, match=r"replies\.sqlite: .*another program's"):
            use(path)
    assert path.read_bytes() == before


def test_one_name_is_one_rater_however_it_is_typed(serving, tmp_path):
    with serving(tmp_path / "r.sqlite", pairs(1)) as server:
        stored = [
            post(server, "vote", rater=name, item=0, choice="tie")[1]["stored"]
            for name in ("Zo\u00eb  B.", " Zoe\u0308 B. ", "Zo\u00eb\u00a0B.", "\ufeffZo\u00eb\tB.\u200b", "Zoe B.")
        ]
        assert stored == [True, False, False, False, True]
