"""Send one request until there is an answer: concurrency, pace, back-off, and each attempt in the ledger."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from dataclasses import replace

from falsepromise.core.errors import UserError
from falsepromise.core.text import shown
from falsepromise.teacher.account import Account
from falsepromise.teacher.cost import Request, estimate_tokens
from falsepromise.teacher.faults import Asked, Rejected, Retry
from falsepromise.teacher.ledger import Charge, LimitReached
from falsepromise.teacher.pace import LONGEST_SERVER_WAIT_S, Pace, backoff, heeded, limits_wait
from falsepromise.teacher.reply import read_answer
from falsepromise.teacher.store import Answer
from falsepromise.teacher.transport import Lost, TooLarge, Transport, Unsent

log = logging.getLogger("falsepromise.teacher")
UNREACHABLE_ATTEMPTS = 3  # if the server has never answered
USELESS_REPLIES = 4  # to one request, then it isn't sent again: replies that cost without an answer, and timeouts
LONGEST_ALONE_S = 8.0  # of back-off, if no other request fails


class Sender:
    """Sends a teacher's requests, within one event loop.

    Args:
        teacher: The account.
        key: The key for its server.
        requests, tokens: The rate limits.
        seed: The seed of the back-off's jitter.

    Attributes:
        retries: The number of repeated requests, by cause.
    """

    def __init__(self, teacher: Account, key: str, requests: Pace, tokens: Pace, seed: int):
        self.teacher, self.key = teacher, key
        self._requests, self._tokens = requests, tokens
        self.rng = random.Random(seed)
        self._slots = asyncio.Semaphore(teacher.concurrency)
        self.transport = Transport(
            teacher.base_url, teacher.habits, teacher.model, key, teacher.timeout_s, teacher.concurrency
        )
        self._pause_until = 0.0
        self._heard = False  # a reply of any kind
        self._answers = 0
        self._failing: set[str] = set()  # requests that failed since the last answer
        self._moved = False  # whether it uses the other base path
        self._in_a_row = 0  # failures since the last answer
        self._slowed = False  # whether the last failure was a rate limit
        self._fatal: UserError | None = None
        self.retries: dict[str, int] = {}

    async def close(self) -> None:
        """End the connections."""
        await self.transport.close()

    @property
    def stopped(self) -> bool:
        """Whether an error has ended the run."""
        return self._fatal is not None

    async def ask(self, request: Request) -> Answer:
        """Send a request until there is an answer, or its attempts are used up.

        Raises:
            UserError: no more requests may be sent.
        """
        teacher, store = self.teacher, self.teacher.store
        key = teacher.key(request)
        mine = False
        answer: Answer | None = None
        try:
            body = self.body(request)
        except UnicodeEncodeError:
            return self._ended(request, "rejected: the text has half a surrogate pair, which UTF-8 can't carry")
        why, wait, failed, useless = "", 0.05, 0, 0
        before = self._answers  # when it failed first
        try:
            while answer is None and failed < teacher.attempts and useless < USELESS_REPLIES:
                async with self._slots:
                    charge = teacher.reserve(request)
                    taken = store.take(key, teacher.name, charge, teacher.limits, mine)
                    if isinstance(taken, Answer):
                        teacher.count(taken)
                        return taken
                    if isinstance(taken, int):
                        mine = True
                        try:
                            answer = await self._send(key, taken, request, body, charge, failed)
                        except Rejected as rejected:
                            return self._ended(request, f"rejected: {rejected.why}")
                        except Retry as retry:
                            failed, why = failed + 1, retry.why
                            useless += retry.charge is not None or retry.silent
                            before = self._answers if failed == 1 else before
                            wait = self._wait(key, retry, failed, self._answers > before)
                if isinstance(taken, str):
                    if taken not in ("taken", "wait"):
                        reached = f"{teacher.model}: {taken}; answers so far are stored, raise it to go on"
                        raise self.stop(LimitReached(reached))
                    wait = min(1.0, wait * 1.5)
                if answer is None and failed < teacher.attempts and useless < USELESS_REPLIES:
                    await self.sleep(wait)
        finally:
            if mine and answer is None:
                store.release(key)
        if answer is None:
            return self._ended(request, f"no answer: {failed} attempts failed; the last error: {why}")
        teacher.count(answer)
        if error := teacher.watch.add(answer.failure, request.whole):
            raise self.stop(error)
        return answer

    def _ended(self, request: Request, failure: str) -> Answer:
        """The result of a request without a reply."""
        if error := self.teacher.watch.add(failure, request.whole):
            raise self.stop(error)
        return Answer("", "", "", 0, 0, failure=failure)

    async def _send(self, key: str, attempt: int, request: Request, body: bytes, charge: Charge, failed: int) -> Answer:
        """One attempt, entered into the ledger with what it cost.

        Raises:
            Retry, Rejected: it gave no reply to keep.
            UserError: no more requests may be sent.
        """
        teacher, store = self.teacher, self.teacher.store
        expected = estimate_tokens(request.messages)
        state, paid, why = "released", None, "not sent"
        try:
            await self._turn(expected)
            store.depart(attempt)
            state, why = "lost", "no reply"
            base = self.transport.base
            try:
                reply = await self.transport.request("/chat/completions", body)
            except TooLarge as error:
                raise Rejected(str(error), lost=True) from error
            except Lost as error:
                raise Retry(str(error), lost=True, silent=isinstance(error.__cause__, TimeoutError)) from error
            except Unsent as error:
                state = "released"
                raise self._unreachable(str(error), failed + 1) from error
            self._heard = True
            if reply.status == 404 and self._other_path(base, reply.body):
                raise Retry("404: no such path", 0.0)
            try:
                answer, used = read_answer(reply, teacher.habits, self.asked(charge))
            except UserError:
                state = "refused"
                raise
            used = replace(used, usd=teacher.cost(used.input_tokens, used.output_tokens))
            answer = replace(answer, usd=used.usd)
            store.finish(key, attempt, teacher.name, request, answer, used)
            state = "answered"
        except (Retry, Rejected) as error:
            if state == "lost" and not error.lost:
                state = "refused"
            if isinstance(error, Retry) and error.charge is not None:
                paid = replace(error.charge, usd=teacher.cost(error.charge.input_tokens, error.charge.output_tokens))
                state = "answered"
            why = error.why
            raise
        except UserError as error:
            why = str(error)
            raise self.stop(error) from error.__cause__
        finally:
            if state != "answered" or paid is not None:
                store.settle(attempt, state, paid, why[:200] or "no reply")
        self._pause(limits_wait(reply.headers, charge.tokens, refused=False))
        self._answers, self._in_a_row, self._slowed = self._answers + 1, 0, False
        self._failing.clear()
        self._tokens.correct(answer.input_tokens + answer.output_tokens - expected)
        teacher.measured(answer)
        return answer

    def body(self, request: Request) -> bytes:
        """A request's JSON, in UTF-8."""
        messages, parameters = self.teacher.sent(request)
        whole = {"model": self.teacher.model, "messages": messages, **parameters}
        return json.dumps(whole, ensure_ascii=False).encode()

    def asked(self, charge: Charge) -> Asked:
        """The server and model of a reply."""
        teacher = self.teacher
        return Asked(teacher.base_url, teacher.model, teacher.api_key_env, self.key, charge, self._answers > 0)

    def _unreachable(self, why: str, failed: int) -> Exception:
        """The exception for a request that no server accepted, `failed` times."""
        if not self._heard and failed >= UNREACHABLE_ATTEMPTS:
            where = self.teacher.base_url
            return UserError(f"{where}: no server answers ({why}); is it running, and is the URL right?")
        return Retry(f"connection failed ({why})")

    def _other_path(self, base: str, body: bytes) -> bool:
        """Whether to try another base path: no request was answered yet, and the error isn't about the model."""
        if base != self.transport.base:
            return True
        other = self.transport.other_base()
        said = shown(body[:2000].decode("utf-8", "replace"), longest=1000).lower()
        if self._answers or self._moved or other is None or "model" in said or "deployment" in said:
            return False
        self._moved = True
        log.info("%s: no API under %s; trying %s", self.teacher.base_url, self.transport.base, other)
        self.transport.base = other
        return True

    def _wait(self, key: str, retry: Retry, failed: int, others_answered: bool) -> float:
        """Seconds until a request is sent again; if the server asks for it, others wait too.

        A request that fails while others are answered doesn't wait longer each time, because the fault is its own; one
        that hits the rate limit does. A single rate-limit refusal among answers concerns only that request; the second
        in a row concerns all.
        """
        kind = retry.why.partition(":")[0].partition(" (")[0]
        self.retries[kind] = self.retries.get(kind, 0) + 1
        everybody = retry.slow_down and self._slowed
        self._slowed = retry.slow_down
        self._in_a_row += 1
        self._failing.add(key)
        count = failed if retry.slow_down else 1 if others_answered else min(failed, self._in_a_row)
        wait = backoff(count, self.rng)
        if len(self._failing) == 1 and not retry.slow_down:
            wait = min(wait, LONGEST_ALONE_S)
        wait = heeded(retry.wait_s, wait, count)
        if everybody:
            self._pause(retry.wait_s)
        log.debug("attempt %d: %s; again in %.1f s", failed, retry.why, wait)
        return wait

    async def _turn(self, tokens: int) -> None:
        """Wait until the limits per minute and the server's pause allow one more request."""
        await self.sleep(max(self._requests.reserve(), self._tokens.reserve(tokens)))
        while (left := self._pause_until - time.monotonic()) > 0:
            await self.sleep(left)

    def _pause(self, seconds: float | None) -> None:
        """Send no request for a while."""
        if seconds is not None:
            self._pause_until = max(self._pause_until, time.monotonic() + min(seconds, LONGEST_SERVER_WAIT_S))

    async def sleep(self, seconds: float) -> None:
        """Sleep, but wake up for an error that ends the run."""
        end = time.monotonic() + seconds
        while True:
            if self._fatal is not None:
                raise self._fatal
            left = end - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, 0.5))

    def stop(self, error: UserError) -> UserError:
        """Keep the error that ends the run; the first one is raised."""
        self._fatal = self._fatal or error
        return self._fatal
