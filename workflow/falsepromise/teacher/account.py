"""A teacher's account: its server and habits, its limits and prices, what was spent, whose answers came."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from falsepromise.core.errors import UserError
from falsepromise.teacher import providers
from falsepromise.teacher.cost import Estimate, Prices, Request, bound_of, estimate_tokens, expected_tokens
from falsepromise.teacher.ledger import Charge, LimitReached, Limits, Spent
from falsepromise.teacher.pace import Pace
from falsepromise.teacher.providers import Habits
from falsepromise.teacher.store import Answer, Store, request_key
from falsepromise.teacher.watch import Watch

log = logging.getLogger("falsepromise.teacher")
RESERVE_TOKENS = 4096  # of an answer without a bound, before there are enough answers to tell
_TELLING = 20  # answers from which on their lengths tell the next one's
_QUANTILE = 0.99


class Account:
    """A model behind an OpenAI-compatible base URL: how it is asked, what it may cost, what it has cost.

    Args:
        base_url: As `https://host/v1`.
        model: The model to ask for.
        store: Where replies are kept.
        api_key_env: The environment variable that holds the key. A server on plain http may do
            without.
        identity: What the answers depend on, in place of the base URL (a local server's port
            changes); part of the store's keys with the model.
        habits: Of the provider; by default, of the one that the address tells.
        concurrency: Requests under way at once.
        requests_per_minute, tokens_per_minute: The account's limits; None is none.
        limits: Hard stops, over all that the store has spent on this teacher.
        prices: For cost and `limits.usd`.
        timeout_s: For one reply, from the first byte sent to the last one read.
        attempts: How often one request is sent at most.
        expected_output_tokens: For estimates where a request has no `max_tokens`.
        reserve_tokens: For the limits where a request has no `max_tokens`, before there are answers.
        most_failures: The share of requests that may fail before the run stops.
        batch: Whether requests go through the provider's batch API.
        batch_poll_s: Seconds between looks at a batch.
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
        habits: Habits | None = None,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        limits: Limits | None = None,
        prices: Prices | None = None,
        timeout_s: float = 120.0,
        attempts: int = 12,
        expected_output_tokens: int = 256,
        reserve_tokens: int = RESERVE_TOKENS,
        most_failures: float = 0.5,
        batch: bool = False,
        batch_poll_s: float = 30.0,
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
        if limits.usd is not None and prices is not None and prices.zero and identity is None:
            raise UserError("max_usd is set but both prices are 0, so that nothing would ever stop it; give the prices")
        self.secret = _key(base_url, api_key_env, parts.scheme)
        self.base_url, self.model, self.store, self.api_key_env = base_url, model, store, api_key_env
        self.habits = habits or providers.habits(providers.guess(base_url), model)
        self.name = f"{identity or providers.address(base_url, self.habits, model)} {model}"
        self.limits, self.prices = limits, prices
        self.concurrency, self.timeout_s, self.attempts = concurrency, timeout_s, attempts
        self.expected_output_tokens, self.reserve_tokens = expected_output_tokens, reserve_tokens
        self.batch, self.batch_poll_s = batch, batch_poll_s
        self.paces, self.seed = (Pace(requests_per_minute), Pace(tokens_per_minute)), seed
        if prices is not None and (count := store.price(self.name, prices)):
            log.info("%s: %d requests that had no price have one now", model, count)
        self._before = store.spent(self.name)
        self._lengths = store.lengths(self.name)
        self._usual: int | None = None
        self.watch = Watch(base_url, most_failures)
        self.retries: dict[str, int] = {}
        self.snapshots: dict[str, int] = {}
        self._unpriced_said = False

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

    def sent(self, request: Request) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """A request's messages and parameters as this provider wants them."""
        return self.habits.sent(request.messages, request.parameters)

    def key(self, request: Request) -> str:
        """The content address of a request, as it is sent."""
        return request_key(self.name, *self.sent(request), request.sample)

    def cost(self, input_tokens: float, output_tokens: float) -> float | None:
        """US dollars; None without prices."""
        return None if self.prices is None else self.prices.cost(input_tokens, output_tokens)

    def reserve(self, request: Request) -> Charge:
        """The most that a request is expected to cost, as the limits count it until its cost is known."""
        bound = bound_of(request)
        if bound is None:
            if len(self._lengths) < _TELLING:
                bound = max([self.reserve_tokens, *self._lengths])
            else:
                if self._usual is None:
                    self._usual = sorted(self._lengths)[int(_QUANTILE * (len(self._lengths) - 1) + 0.999)]
                bound = self._usual
        asked = estimate_tokens(request.messages)
        return Charge(asked, bound, self.cost(asked, bound))

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
        share = self.habits.batch_price if self.batch else 1.0
        return Estimate(len(absent), total - len(absent), asked, answered, (self.cost(asked, answered) or 0.0) * share)

    def check_cost(self, estimate: Estimate, refuse: bool = True) -> None:
        """Log an estimate; refuse it, or only warn, if it doesn't fit into what the limits leave.

        Raises:
            LimitReached: names the limit, before anything is spent.
        """
        log.info("%s: %s", self.model, estimate)
        if self.prices is None and estimate.requests and not self._unpriced_said:
            self._unpriced_said = True
            log.warning("%s: without prices, what this costs isn't known: tokens are counted, to be priced", self.model)
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

    def measured(self, answer: Answer) -> None:
        """Learn from an answer how long the next may be."""
        self._lengths.insert(0, answer.output_tokens)
        del self._lengths[1000:]
        if self._usual is None or answer.output_tokens > self._usual or len(self._lengths) % 50 == 0:
            self._usual = None

    def count(self, answer: Answer) -> None:
        """Count whose answer it is; another model's than the one asked for is said once."""
        if not answer.model:
            return
        if answer.model not in self.snapshots:
            self.snapshots[answer.model] = 0
            if not _same_model(self.model, answer.model):
                log.warning("%s: asked for, but %s answers", self.model, answer.model)
        self.snapshots[answer.model] += 1


def _key(base_url: str, variable: str, scheme: str) -> str:
    """The key in an environment variable; empty where a server on plain http may do without."""
    key = os.environ.get(variable, "").strip()
    if not key and scheme == "https":
        raise UserError(f"{base_url}: ${variable} is not set; export {variable} with the key for this server")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(f"${variable} holds characters that no key has (a line break, a space?); set it again")
    return key


def _same_model(asked: str, answered: str) -> bool:
    """Whether a model's name in a reply is that asked for, or a snapshot, a file or a path of it."""
    one, other = (name.lower().rsplit("/", 1)[-1] for name in (asked, answered))
    return one == other or other.startswith(one) or one.startswith(other) or other.split(":")[0] == one.split(":")[0]
