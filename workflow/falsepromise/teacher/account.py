"""A teacher's account: its server and habits, its limits and prices, its spending, the models that answered."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
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
RESERVE_TOKENS = 4096  # for an answer without a limit, until earlier answers give an estimate
_TELLING = 20  # answers that are needed for an estimate of the next one's length
_QUANTILE = 0.99


@dataclass(eq=False, repr=False)
class Account:
    """A model behind an OpenAI-compatible base URL, with the settings for requests, the limits and the spending.

    Args:
        base_url: The API's address, such as `https://host/v1`.
        model: The model to ask for.
        store: The store of replies.
        api_key_env: The environment variable that contains the key. A server on plain http may need none.
        identity: A name that answers depend on, instead of the base URL (a local server's port
            changes); part of the store's keys, with the model.
        habits: The provider's habits; default: by the address.
        concurrency: Most simultaneous requests.
        requests_per_minute, tokens_per_minute: The account's limits; None: no limit.
        limits: Hard limits on all that the store has spent on this teacher.
        prices: Prices for the cost and `limits.usd`.
        timeout_s: Seconds for one reply, from the first byte sent to the last one read.
        attempts: Most attempts for one request.
        expected_output_tokens: Tokens of an answer for estimates, if a request has no `max_tokens`.
        reserve_tokens: Tokens of an answer for the limits, if a request has no `max_tokens` and there are no answers.
        most_failures: The share of requests that may fail before the run stops.
        batch: Whether requests go through the provider's batch API.
        batch_poll_s: Seconds between looks at a batch.
        seed: The seed of the back-off's jitter.
    """

    base_url: str
    model: str
    store: Store
    _: KW_ONLY
    api_key_env: str = "OPENAI_API_KEY"
    identity: str | None = None
    habits: Habits = None  # type: ignore[assignment]  # set below
    concurrency: int = 16
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    limits: Limits = field(default_factory=Limits)
    prices: Prices | None = None
    timeout_s: float = 120.0
    attempts: int = 12
    expected_output_tokens: int = 256
    reserve_tokens: int = RESERVE_TOKENS
    most_failures: float = 0.5
    batch: bool = False
    batch_poll_s: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"base URL {self.base_url!r}: expected http://HOST/v1 or https://HOST/v1 (or 'local')")
        if parts.username or parts.password:
            raise UserError(
                f"base URL: a user or password in it would appear in logs; put the key into ${self.api_key_env}"
            )
        if self.limits.usd is not None and self.prices is None:
            raise UserError("max_usd is set without prices: also give the prices of input and output tokens")
        if self.limits.usd is not None and self.prices and self.prices.zero and self.identity is None:
            raise UserError("max_usd is set but both prices are 0, so it would never stop; give the prices")
        self.secret = _key(self.base_url, self.api_key_env, parts.scheme)
        self.habits = self.habits or providers.habits(providers.guess(self.base_url), self.model)
        self.name = f"{self.identity or providers.address(self.base_url, self.habits, self.model)} {self.model}"
        self.paces = Pace(self.requests_per_minute), Pace(self.tokens_per_minute)
        if self.prices is not None and (count := self.store.price(self.name, self.prices)):
            log.info("%s: %d earlier requests without a price have one now", self.model, count)
        self._before = self.store.spent(self.name)
        self._lengths = self.store.lengths(self.name)
        self._usual: int | None = None
        self.watch = Watch(self.base_url, self.most_failures)
        self.retries: dict[str, int] = {}
        self.snapshots: dict[str, int] = {}
        self._unpriced_said = False

    @property
    def spent(self) -> Spent:
        """The spending since this object was made (by all processes that share the store)."""
        return self.store.spent(self.name).since(self._before)

    def facts(self) -> dict[str, Any]:
        """For a manifest: the models that answered, the retries, the cost of this run and in total."""
        return {
            "teacher": {"name": self.name, "snapshots": self.snapshots, "retries": self.retries},
            "spent": vars(self.spent),
            "spent_ever": vars(self.store.spent(self.name)),
        }

    def sent(self, request: Request) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """A request's messages and parameters in this provider's form."""
        return self.habits.sent(request.messages, request.parameters)

    def key(self, request: Request) -> str:
        """The content address of a request, as it is sent."""
        return request_key(self.name, *self.sent(request), request.sample)

    def cost(self, input_tokens: float, output_tokens: float) -> float | None:
        """US dollars; None without prices."""
        return None if self.prices is None else self.prices.cost(input_tokens, output_tokens)

    def reserve(self, request: Request) -> Charge:
        """The highest expected cost of a request, which the limits count until its real cost is known."""
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
        """Estimate the cost of `requests` without sending any."""
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
        """Log an estimate; refuse it, or only warn, if it exceeds the rest of the limits.

        Raises:
            LimitReached: names the limit, before anything is spent.
        """
        log.info("%s: %s", self.model, estimate)
        if self.prices is None and estimate.requests and not self._unpriced_said:
            self._unpriced_said = True
            log.warning("%s: without prices the cost is unknown: tokens are counted, to be priced later", self.model)
        spent = self.store.spent(self.name)
        for what, limit, before, more in (
            ("max_requests", self.limits.requests, spent.requests, estimate.requests),
            ("max_tokens", self.limits.tokens, spent.tokens, estimate.input_tokens + estimate.output_tokens),
            ("max_usd", self.limits.usd, spent.usd, estimate.usd),
        ):
            if limit is not None and before + more > limit:
                said = f"{what} is {limit:g}; {before:.6g} is spent and this run needs about {more:.6g} ({estimate})"
                if refuse:
                    raise LimitReached(f"{said}; raise {what} or ask for less. Nothing was sent")
                log.warning("%s: the run may end early", said)

    def measured(self, answer: Answer) -> None:
        """Use an answer's length to estimate the next one's."""
        self._lengths.insert(0, answer.output_tokens)
        del self._lengths[1000:]
        if self._usual is None or answer.output_tokens > self._usual or len(self._lengths) % 50 == 0:
            self._usual = None

    def count(self, answer: Answer) -> None:
        """Count the answering model; log once if it isn't the requested one."""
        if not answer.model:
            return
        if answer.model not in self.snapshots:
            self.snapshots[answer.model] = 0
            if not _same_model(self.model, answer.model):
                log.warning("%s: requested, but %s answers", self.model, answer.model)
        self.snapshots[answer.model] += 1


def _key(base_url: str, variable: str, scheme: str) -> str:
    """The key in an environment variable; empty for a server on plain http that needs none."""
    key = os.environ.get(variable, "").strip()
    if not key and scheme == "https":
        raise UserError(f"{base_url}: ${variable} is not set; export {variable} with the key for this server")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(f"${variable} has characters that no key has (a line break, a space?); set it again")
    return key


def _same_model(asked: str, answered: str) -> bool:
    """Whether a model's name in a reply is that asked for, or a snapshot, a file or a path of it."""
    one, other = (name.lower().rsplit("/", 1)[-1] for name in (asked, answered))
    return one == other or other.startswith(one) or one.startswith(other) or other.split(":")[0] == one.split(":")[0]
