"""The teacher: any server of the OpenAI protocol, asked carefully and paid once for each request.

    with Teacher("https://host/v1", "model", Store("results/store")) as teacher:
        for answer in teacher.ask_many(requests): ...

Concurrency, requests and tokens a minute are limited; failed requests are sent again after the
time that the server names, or with back-off; limits on requests, tokens and money stop it for
good. Answers go into the store as they arrive. Failures (truncated, filtered, refused, empty,
rejected) come back as such and are never stored.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.teacher.cost import Estimate, Prices, Request, expected_tokens
from falsepromise.teacher.pace import LONGEST_SERVER_WAIT_S, Pace, backoff, limits_wait
from falsepromise.teacher.store import Answer, Limits, Spent, Store, request_key

if TYPE_CHECKING:
    import openai

log = logging.getLogger("falsepromise.teacher")
UNREACHABLE_ATTEMPTS = 3  # while the server has never been heard
QUIET_S = 15.0  # without an answer, after which progress is shown all the same
REJECTED_IN_A_ROW = 5  # with no answer yet: the requests themselves are wrong


class LimitReached(UserError):
    """A limit on requests, tokens or money: the user's own, and no failure."""


class Teacher:
    """A model behind an OpenAI-compatible base URL.

    Args:
        base_url: As `https://host/v1`.
        model: The model to ask for.
        store: Where answers are kept.
        api_key_env: The environment variable that holds the key. A server on plain http may do
            without.
        identity: What the answers depend on, in place of the base URL (a local server's port
            changes); part of the store's keys with the model.
        concurrency: Requests under way at once.
        requests_per_minute, tokens_per_minute: The account's limits; None is none.
        limits: Hard stops, over all that the store has spent on this teacher.
        prices: For cost and `limits.usd`.
        timeout_s: For one reply.
        attempts: How often one request is sent at most.
        expected_output_tokens: For estimates where a request has no `max_tokens`.
        seed: Of the jitter in back-off.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        store: Store,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        identity: str | None = None,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        limits: Limits | None = None,
        prices: Prices | None = None,
        timeout_s: float = 120.0,
        attempts: int = 12,
        expected_output_tokens: int = 256,
        seed: int = 0,
    ):
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"base URL {base_url!r}: expected http://HOST/v1 or https://HOST/v1 (or 'local')")
        if parts.username or parts.password:
            raise UserError(f"base URL: a user or password in it would end up in logs; put the key into ${api_key_env}")
        limits = limits or Limits()
        if limits.usd is not None and prices is None:
            raise UserError("max_usd is set but no prices: give the price of input and output tokens with it")
        self._key = os.environ.get(api_key_env, "").strip()
        if not self._key and parts.scheme == "https":
            raise UserError(f"{base_url}: ${api_key_env} is not set; export {api_key_env} with the key for this server")
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            raise UserError(f"${api_key_env} holds characters that no key has (a line break, a space?); set it again")
        self.base_url, self.model, self.store, self.api_key_env = base_url, model, store, api_key_env
        self.name = f"{identity or base_url.rstrip('/')} {model}"
        self.limits, self.prices = limits, prices or Prices()
        self.concurrency, self.timeout_s, self.attempts = concurrency, timeout_s, attempts
        self.expected_output_tokens = expected_output_tokens
        self._loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        self._requests, self._tokens = Pace(requests_per_minute), Pace(tokens_per_minute)
        self._rng = random.Random(seed)
        self._pause_until = 0.0
        self._heard = False
        self._answered = self._rejected = 0
        self._fatal: UserError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: asyncio.Runner | None = None
        self._before = store.spent(self.name)
        self.retries: dict[str, int] = {}
        self.snapshots: dict[str, int] = {}

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; the store stays open."""
        if self._runner is not None:
            if self._loop is not None:
                self._runner.run(self._client.close())
            self._runner.close()
            self._runner = self._loop = None

    @property
    def spent(self) -> Spent:
        """What was spent since this teacher was made (by all processes that share its store)."""
        return self.store.spent(self.name).since(self._before)

    def facts(self) -> dict[str, Any]:
        """For a manifest: who answered, how often was retried, what it cost now and ever."""
        return {
            "teacher": {"name": self.name, "snapshots": self.snapshots, "retries": self.retries},
            "spent": vars(self.spent),
            "spent_ever": vars(self.store.spent(self.name)),
        }

    def key(self, request: Request) -> str:
        """The content address of a request."""
        return request_key(self.name, request.messages, request.parameters, request.sample)

    def estimate(self, requests: Iterable[Request]) -> Estimate:
        """What `requests` would cost, without sending any. Tokens are estimated."""
        sizes: dict[str, tuple[int, int]] = {}
        total = 0
        for request in requests:
            total += 1
            sizes[self.key(request)] = expected_tokens(request, self.expected_output_tokens)
        absent = set(self.store.absent(list(sizes)))
        asked = sum(sizes[key][0] for key in absent)
        answered = sum(sizes[key][1] for key in absent)
        return Estimate(len(absent), total - len(absent), asked, answered, self.prices.cost(asked, answered))

    def check_cost(self, estimate: Estimate, refuse: bool = True) -> None:
        """Log an estimate; refuse it, or only say so, if it doesn't fit into what the limits leave.

        Raises:
            LimitReached: names the limit, before anything is spent.
        """
        log.info("%s: %s", self.model, estimate)
        spent = self.store.spent(self.name)
        for what, limit, before, more in (
            ("max_requests", self.limits.requests, spent.requests, estimate.requests),
            ("max_tokens", self.limits.tokens, spent.tokens, estimate.input_tokens + estimate.output_tokens),
            ("max_usd", self.limits.usd, spent.usd, estimate.usd),
        ):
            if limit is not None and before + more > limit:
                said = f"{what} is {limit:g}; {before:.6g} are spent and about {more:.6g} would be added ({estimate})"
                if refuse:
                    raise LimitReached(f"{said}; raise {what} or ask for less. Nothing was sent")
                log.warning("%s: it may end before all is done", said)

    async def ask(self, messages: Sequence[Mapping[str, str]], sample: int = 0, **parameters: Any) -> Answer:
        """The answer to one chat, from the store or the server.

        Raises:
            UserError: a limit is reached, the key is not accepted, the server can't be reached, or
                the request failed on every attempt.
        """
        return await self._ask(Request(messages, parameters, sample))

    def ask_many(
        self, requests: Iterable[Request], progress: Progress | None = None, counts: bool = True
    ) -> Iterator[Answer]:
        """The answers to many requests, in their order, asked concurrently.

        Requests are taken from the iterable as places become free. On an error that stops
        everything, requests under way are let finish (and stored) before it is raised.

        Args:
            requests: Any number.
            progress: Counts the answers and notes what was spent.
            counts: False where `progress` counts something else: then only the note is new.
        """
        if self._runner is None:
            self._runner = asyncio.Runner()
        runner, source = self._runner, enumerate(requests)
        results: asyncio.Queue[tuple[int, Answer] | BaseException | None] = asyncio.Queue()
        runner.run(self._start(source, results))
        waiting: dict[int, Answer] = {}
        following, workers, error = 0, self.concurrency, None
        try:
            while workers:
                batch = runner.run(_batch(results))
                for item in batch:
                    if item is None:
                        workers -= 1
                    elif isinstance(item, BaseException):
                        error = error or item
                    else:
                        waiting[item[0]] = item[1]
                if progress is not None:
                    answered = sum(isinstance(item, tuple) for item in batch)
                    progress.update(answered if counts else 0, _note(self.spent))
                while error is None and following in waiting:
                    yield waiting.pop(following)
                    following += 1
        finally:
            if workers:
                runner.run(self._cancel())
        if error is not None:
            raise error

    async def _start(self, source: Iterator[tuple[int, Request]], results: asyncio.Queue[Any]) -> None:
        self._workers = [asyncio.create_task(self._work(source, results)) for _ in range(self.concurrency)]

    async def _cancel(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self, source: Iterator[tuple[int, Request]], results: asyncio.Queue[Any]) -> None:
        try:
            while self._fatal is None:
                place = next(source, None)
                if place is None:
                    break
                index, request = place
                found = self.store.get(self.key(request))
                if found is None:
                    found = await self._ask(request)
                else:
                    self._count(found)
                await results.put((index, found))
        except Exception as error:
            await results.put(error)
        finally:
            await results.put(None)

    async def _ask(self, request: Request) -> Answer:
        key = self.key(request)
        size = expected_tokens(request, self.expected_output_tokens)
        self._connect()
        async with self._slots:
            wait = 0.05
            while True:
                claim = self.store.claim(key, self.name, sum(size), self.prices.cost(*size), self.limits)
                if isinstance(claim, Answer):
                    self._count(claim)
                    return claim
                if claim == "mine":
                    break
                if claim not in ("taken", "wait"):
                    raise self._stop(
                        LimitReached(f"{self.model}: {claim}; answers so far are stored, raise it to go on")
                    )
                await self._sleep(wait)
                wait = min(1.0, wait * 1.5)
            answer = None
            try:
                answer = await self._send(request, size)
            finally:
                cost = self.prices.cost(answer.input_tokens, answer.output_tokens) if answer else 0.0
                self.store.finish(key, self.name, answer, cost)
            self._count(answer)
            return answer

    async def _send(self, request: Request, size: tuple[int, int]) -> Answer:
        """Send a request until there is an answer; what useless replies cost is added to it."""
        import openai

        from falsepromise.teacher.reply import Rejected, Retry, judge, read

        wasted_input = wasted_output = 0
        why = ""
        for attempt in range(1, self.attempts + 1):
            await self._turn(sum(size))
            if not self.store.attempt(self.name, self.limits.requests):
                raise self._stop(
                    LimitReached(f"{self.model}: max_requests {self.limits.requests} is reached; raise it")
                )
            try:
                try:
                    raw = await self._client.chat.completions.with_raw_response.create(
                        model=self.model,
                        messages=list(request.messages),  # type: ignore[arg-type]
                        extra_body=dict(request.parameters),
                    )
                    self._heard = True
                    answer = read(raw.http_response, size[0])
                    self._pause(limits_wait(raw.headers, sum(size), refused=False))
                except openai.APIError as error:
                    self._heard = self._heard or isinstance(error, openai.APIStatusError)
                    raise judge(error, self.base_url, self.model, self.api_key_env, self._key, sum(size)) from error
                except UnicodeEncodeError as error:
                    raise Rejected("the text has half a surrogate pair, which UTF-8 can't carry") from error
            except Rejected as rejected:
                self._rejected += 1
                if not self._answered and self._rejected >= REJECTED_IN_A_ROW:
                    message = (
                        f"{self.base_url}: rejected the first {self._rejected} requests ({rejected.why}); mend them"
                    )
                    raise self._stop(UserError(message)) from None
                return Answer("", "", "", wasted_input, wasted_output, failure=f"rejected: {rejected.why}")
            except UserError as error:
                raise self._stop(error) from error.__cause__
            except Retry as retry:
                why = retry.why
                kind = why.partition(":")[0].partition(" (")[0]
                self.retries[kind] = self.retries.get(kind, 0) + 1
                wasted_input += retry.input_tokens
                wasted_output += retry.output_tokens
                if retry.unreachable and not self._heard and attempt >= UNREACHABLE_ATTEMPTS:
                    message = f"{self.base_url}: nobody answers there ({why}); is the server running, is the URL right?"
                    raise self._stop(UserError(message)) from None
                wait = backoff(attempt, self._rng) if retry.wait_s is None else retry.wait_s
                if retry.everybody:
                    self._pause(wait)
                log.debug("attempt %d: %s; again in %.1f s", attempt, why, wait)
                if attempt < self.attempts:
                    await self._sleep(wait)
            else:
                self._tokens.correct(answer.input_tokens + answer.output_tokens - sum(size))
                return replace(
                    answer,
                    input_tokens=answer.input_tokens + wasted_input,
                    output_tokens=answer.output_tokens + wasted_output,
                )
        message = f"{self.base_url}: a request failed {self.attempts} times, at last with: {why}"
        raise self._stop(UserError(f"{message}; answers so far are stored, run again to go on"))

    async def _turn(self, tokens: int) -> None:
        """Wait until the limits per minute and the server's pause let one more request leave."""
        wait = max(self._requests.reserve(), self._tokens.reserve(tokens))
        if wait:
            await self._sleep(wait)
        while (left := self._pause_until - time.monotonic()) > 0:
            await self._sleep(left)

    def _pause(self, seconds: float | None) -> None:
        """Let no request leave for a while."""
        if seconds is not None:
            self._pause_until = max(self._pause_until, time.monotonic() + min(seconds, LONGEST_SERVER_WAIT_S))

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not past an error that stops everything."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._fatal is not None:
                raise self._fatal
            await asyncio.sleep(min(left, 0.5))

    def _stop(self, error: UserError) -> UserError:
        self._fatal = self._fatal or error
        return self._fatal

    def _count(self, answer: Answer) -> None:
        if answer.failure is None:
            self._answered += 1
        if answer.model:
            self.snapshots[answer.model] = self.snapshots.get(answer.model, 0) + 1

    def _connect(self) -> None:
        """Make the client for the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        import openai

        self._loop, self._slots = loop, asyncio.Semaphore(self.concurrency)
        self._client: openai.AsyncOpenAI = openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=openai.Timeout(self.timeout_s, connect=min(10.0, self.timeout_s)),
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if self._loopback else None,
        )


async def _batch(results: asyncio.Queue[Any]) -> list[Any]:
    """All results that are there, at least one; none if none comes for a while."""
    try:
        batch = [await asyncio.wait_for(results.get(), QUIET_S)]
    except TimeoutError:
        return []
    while not results.empty():
        batch.append(results.get_nowait())
    return batch


def _note(spent: Spent) -> str:
    return f"{spent.requests:,} requests, {spent.tokens:,} tokens, ${spent.usd:.4f} spent"
