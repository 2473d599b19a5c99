"""The client against a server that fails in all the ways that servers fail."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty import PASSING, FaultyServer

from falsepromise.core.errors import UserError
from falsepromise.teacher import pace
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Prices, Request
from falsepromise.teacher.faults import Asked, Rejected, diagnose
from falsepromise.teacher.ledger import Charge, Limits
from falsepromise.teacher.local import serving
from falsepromise.teacher.reply import _without_thoughts, usage
from falsepromise.teacher.standin import NAME, StandIn
from falsepromise.teacher.store import Store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in milliseconds; the servers' own waits stay."""
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.002)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")


def chat(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"what is the capital of Land{number}?"}]


def requests(n: int) -> Iterator[Request]:
    return (Request(chat(number), {"temperature": 0.0}) for number in range(n))


def failing(fault: str | None, times: int = 1) -> Callable[[int], str | None]:
    return lambda attempt: fault if attempt < times else None


def test_every_prompt_is_answered_once_though_a_third_fail(known: StandIn, store: Store) -> None:
    server = FaultyServer(known, 0.33, timeout_s=12.0)  # a slow machine answers within the time that the client waits
    with serving(server) as url, Teacher(url, NAME, store, concurrency=32, timeout_s=10.0) as teacher:
        answers = list(teacher.ask_many(requests(200)))
        assert [a.text for a in answers[:60]] == [f"City{i}" for i in range(60)]
        assert all(answer.failure is None for answer in answers)
        assert set(PASSING) <= set(server.faults), "every kind of fault came up"
        assert len(server.answered) == 200
        assert max(server.answered.values()) == 1
        assert teacher.spent.requests == sum(server.attempts.values())
        sent = sum(server.attempts.values())
        again = list(teacher.ask_many(requests(200)))
        assert [a.text for a in again] == [a.text for a in answers]
        assert all(answer.stored for answer in again)
        assert sum(server.attempts.values()) == sent


@pytest.mark.parametrize("fault", PASSING)
def test_each_fault_passes(known: StandIn, store: Store, fault: str) -> None:
    patience = 1.5 if fault == "timeout" else 60.0
    server = FaultyServer(known, script=failing(fault), timeout_s=2 * patience)
    with serving(server) as url, Teacher(url, NAME, store, timeout_s=patience) as teacher:
        start = time.monotonic()
        (answer,) = teacher.ask_many([Request(chat(5))])
        took = time.monotonic() - start
    assert answer.text == "City5"
    assert sum(server.attempts.values()) == 2
    assert sum(teacher.retries.values()) == 1
    if fault == "429 retry-after":
        assert took >= 0.2, "the server's wait is obeyed"


@pytest.mark.parametrize("fault", ["length", "content_filter", "refusal", "empty"])
def test_what_is_no_answer_is_paid_once_and_kept_as_what_it_is(known: StandIn, store: Store, fault: str) -> None:
    server = FaultyServer(known, script=failing(fault))
    with serving(server) as url, Teacher(url, NAME, store, prices=Prices(1e6, 1e6)) as teacher:
        (first,) = teacher.ask_many([Request(chat(5))])
        assert first.failure == fault
        assert teacher.spent.answers == 0
        assert teacher.spent.usd == first.input_tokens + first.output_tokens > 0
        (second,) = teacher.ask_many([Request(chat(5))])
        assert (second.failure, second.stored) == (fault, True)
        assert sum(server.attempts.values()) == 1
        again = Store(store.path.parent, again=True)
        with Teacher(url, NAME, again) as teacher:
            (third,) = teacher.ask_many([Request(chat(5))])
        again.close()
        assert (third.text, third.failure, third.stored) == ("City5", None, False)
    (last,) = [store.get(store_key) for store_key in [teacher.key(Request(chat(5)))]]
    assert last is not None
    assert last.failure is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("401", r"\$OPENAI_API_KEY is not accepted"),
        ("403", r"\$OPENAI_API_KEY may not"),
        ("429 quota", "no quota left"),
    ],
)
def test_a_wrong_key_stops_at_once(known: StandIn, store: Store, fault: str, said: str) -> None:
    server = FaultyServer(known, script=lambda attempt: fault)
    with serving(server) as url, Teacher(url, NAME, store, concurrency=1) as teacher:
        with pytest.raises(UserError, match=said) as caught:
            list(teacher.ask_many(requests(50)))
        assert "sk-secret" not in str(caught.value)
        assert sum(server.attempts.values()) == 1


def test_an_unknown_model_stops_at_once(known: StandIn, store: Store) -> None:
    with (
        serving(FaultyServer(known)) as url,
        Teacher(url, "gpt-5", store) as teacher,
        pytest.raises(UserError, match="no model 'gpt-5'"),
    ):
        list(teacher.ask_many(requests(3)))


def test_one_rejected_request_is_a_failure_and_many_are_an_error(known: StandIn, store: Store) -> None:
    with serving(FaultyServer(known, script=lambda attempt: "400")) as url:
        with Teacher(url, NAME, store) as teacher:
            (answer,) = teacher.ask_many([Request(chat(1))])
            assert answer.failure == "rejected: 400: too long"
        with Teacher(url, NAME, store) as teacher, pytest.raises(UserError, match=r"first 5 requests failed.*too long"):
            list(teacher.ask_many(requests(20)))


def test_text_that_utf8_cannot_carry_is_rejected_not_fatal(known: StandIn, store: Store) -> None:
    with serving(FaultyServer(known)) as url, Teacher(url, NAME, store) as teacher:
        bad = Request([{"role": "user", "content": "\ud800"}])
        answers = list(teacher.ask_many([bad, Request(chat(5))]))
    assert "surrogate" in (answers[0].failure or "")
    assert answers[1].text == "City5"


def test_nobody_listens(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        Teacher(f"http://127.0.0.1:{port}/v1", "m", store) as teacher,
        pytest.raises(UserError, match="no server answers"),
    ):
        list(teacher.ask_many(requests(3)))


def test_a_server_that_never_recovers_ends_in_one_line(known: StandIn, store: Store) -> None:
    server = FaultyServer(known, script=lambda attempt: "503")
    with serving(server) as url, Teacher(url, NAME, store, attempts=3) as teacher:
        (answer,) = teacher.ask_many(requests(1))
        assert answer.failure == "no answer: 3 attempts failed; the last error: 503: overloaded"
        with pytest.raises(UserError, match=r"first 5 requests failed.*the last error: 503: overloaded"):
            list(teacher.ask_many(requests(9)))


def test_the_request_limit_is_hard_and_survives_restarts(known: StandIn, store: Store) -> None:
    server = FaultyServer(known, 0.3, faults=["500", "malformed"])
    with serving(server) as url:
        for _ in range(2):
            with (
                Teacher(url, NAME, store, limits=Limits(requests=20)) as teacher,
                pytest.raises(UserError, match="max_requests"),
            ):
                list(teacher.ask_many(requests(100)))
    assert sum(server.attempts.values()) == 20
    assert store.spent(teacher.name).answers == len(server.answered) > 5, "what was paid is stored"


def test_the_money_limit_is_hard(known: StandIn, store: Store) -> None:
    prices = Prices(1000.0, 1000.0)  # a tenth of a cent a token
    with serving(FaultyServer(known)) as url:
        options = {"prices": prices, "limits": Limits(usd=0.5), "expected_output_tokens": 20, "reserve_tokens": 20}
        with Teacher(url, NAME, store, **options) as teacher:
            estimate = teacher.estimate(requests(100))
            assert estimate.requests == 100
            with pytest.raises(UserError, match=r"max_usd is 0\.5; 0 is spent.*Nothing was sent"):
                teacher.check_cost(estimate)
            assert teacher.spent.requests == 0
            with pytest.raises(UserError, match=r"max_usd is 0\.5 and"):
                list(teacher.ask_many(requests(100)))
            assert 0.4 < teacher.spent.usd <= 0.5


def test_limits_in_money_need_prices(store: Store) -> None:
    with pytest.raises(UserError, match="without prices"):
        Teacher("http://127.0.0.1:1/v1", "m", store, limits=Limits(usd=1.0))


@pytest.mark.parametrize("url", ["api.openai.com/v1", "ftp://x/v1", "", "http://user:pass@host/v1"])
def test_a_wrong_base_url_is_named_without_its_password(store: Store, url: str) -> None:
    with pytest.raises(UserError, match="base URL") as caught:
        Teacher(url, "m", store)
    assert "pass@" not in str(caught.value)


def test_https_needs_a_key(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match=r"\$MY_KEY is not set"):
        Teacher("https://host/v1", "m", store, api_key_env="MY_KEY")


@pytest.mark.parametrize("key", ["sk-a\nb", "sk a", "clé"])
def test_a_mangled_key_is_refused_and_not_shown(store: Store, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="has characters that no key has") as caught:
        Teacher("https://host/v1", "m", store)
    assert key not in str(caught.value)


def test_the_same_request_twice_in_one_list_is_paid_once(known: StandIn, store: Store) -> None:
    server = FaultyServer(known)
    with serving(server) as url, Teacher(url, NAME, store) as teacher:
        answers = list(teacher.ask_many([Request(chat(5))] * 10 + [Request(chat(5), sample=1)]))
    assert {answer.text for answer in answers} == {"City5"}
    assert sum(server.attempts.values()) == 2


def test_two_clients_share_the_work(known: StandIn, tmp_path: Path) -> None:
    server = FaultyServer(known, 0.2, faults=["500"])
    texts: list[list[str]] = []

    def work(url: str) -> None:
        store = Store(tmp_path / "shared")
        with Teacher(url, NAME, store, concurrency=8) as teacher:
            texts.append([answer.text for answer in teacher.ask_many(requests(60))])
        store.close()

    with serving(server) as url:
        threads = [threading.Thread(target=work, args=(url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == [[f"City{i}" for i in range(60)]] * 2
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == 60


def test_leaving_early_leaves_no_claim_behind(known: StandIn, store: Store) -> None:
    with serving(FaultyServer(known)) as url:
        with Teacher(url, NAME, store, concurrency=4) as teacher:
            for answer in teacher.ask_many(requests(50)):
                assert answer.text == "City0"
                break
        assert store._db.execute("SELECT count(*) FROM claims").fetchone() == (0,)
        with Teacher(url, NAME, store) as teacher:
            assert len(list(teacher.ask_many(requests(50)))) == 50


def test_ask_works_inside_an_event_loop(known: StandIn, store: Store) -> None:
    async def both(url: str) -> list[str]:
        teacher = Teacher(url, NAME, store)
        answers = await asyncio.gather(teacher.ask(chat(1)), teacher.ask(chat(2), temperature=0.5))
        return [answer.text for answer in answers]

    with serving(FaultyServer(known)) as url:
        assert asyncio.run(both(url)) == ["City1", "City2"]


def test_the_pace_is_kept(known: StandIn, store: Store) -> None:
    with serving(FaultyServer(known)) as url, Teacher(url, NAME, store, requests_per_minute=600) as teacher:
        start = time.monotonic()
        list(teacher.ask_many(requests(20)))
        assert time.monotonic() - start >= (20 - 11) / 10


def test_a_run_of_which_too_much_fails_ends_with_the_commonest_reason(known: StandIn, store: Store) -> None:
    """After half of 200 were answered, every further one is refused: the run ends soon, not after all of them."""
    server = FaultyServer(known)
    server.script = lambda attempt: "400" if len(server.answered) >= 100 else None
    with (
        serving(server) as url,
        Teacher(url, NAME, store, concurrency=4) as teacher,
        pytest.raises(UserError, match=r"51 of the last 100 requests failed; the most common reason: rejected: 400"),
    ):
        list(teacher.ask_many(requests(10_000)))
    assert sum(server.attempts.values()) < 170
    assert len(server.answered) == store.spent(teacher.name).answers


def test_cut_answers_count_as_failures_only_where_a_whole_one_is_wanted(known: StandIn, store: Store) -> None:
    server = FaultyServer(known, script=lambda attempt: "length")
    with serving(server) as url:
        with Teacher(url, NAME, store) as teacher:
            verdicts = (Request(chat(number), {"a": 1}, whole=False) for number in range(60))
            assert {answer.failure for answer in teacher.ask_many(verdicts)} == {"length"}
        with Teacher(url, NAME, store) as teacher, pytest.raises(UserError, match=r"requests failed.*length"):
            list(teacher.ask_many(requests(60)))


def test_another_models_name_is_said_once(
    known: StandIn, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faulty

    complete = faulty.complete
    monkeypatch.setattr(faulty, "complete", lambda *a: {**complete(*a), "model": "other-9b\x1b[2J"})
    with serving(FaultyServer(known)) as url, Teacher(url, NAME, store) as teacher:
        list(teacher.ask_many(requests(20)))
    (said,) = [record.getMessage() for record in caplog.records if "answers" in record.getMessage()]
    assert said == f"{NAME}: requested, but other-9b [2J answers"


@pytest.mark.parametrize(
    "address", ["https://h", "https://h/", "https://h/v1", "https://h/v1/", "https://h/v1/chat/completions"]
)
def test_an_address_is_one_however_it_is_written(address: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Teacher(address, "m", store).name == "https://h/v1 m"


def test_an_answer_about_marks_of_thoughts_keeps_what_is_before_them() -> None:
    about = "Reasoning models write </think> before their answer.\n\nThat is a mark, not HTML."
    assert _without_thoughts(about, "hm") == (about, "hm")
    fenced = "It looks so:\n\n```\nhm\n</think>\n\nanswer\n```"
    assert _without_thoughts(fenced, None) == (fenced, None)
    assert _without_thoughts("hm\n</think>\n\nanswer", None) == ("answer", "hm")
    assert _without_thoughts("hm.</think>\n\nanswer", "so ") == ("answer", "so hm.")


def test_no_tokens_at_all_are_no_count() -> None:
    """Else a limit in money would never be reached."""
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert usage({"usage": nothing}) is None
    assert usage({"usage": {**nothing, "prompt_tokens": 5}}) == (5, 0)


def test_what_never_fits_into_a_minute_is_not_sent_again() -> None:
    said = "Request too large on tokens per min (TPM): Limit 10000, Requested 12000. The {} tokens must be reduced."
    asked = Asked("https://host/v1", "m", "KEY", "", Charge(12_000, 10), heard=True)
    error = diagnose(429, {}, {"error": {"message": said, "code": "rate_limit_exceeded"}}, asked)
    assert isinstance(error, Rejected)
    assert "must be reduced" in error.why
