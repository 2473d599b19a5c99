"""The common options of verbs that ask a teacher, and the teacher that they describe."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.records import Record, loads, write_jsonl
from falsepromise.core.text import masked
from falsepromise.curation.funnel import Funnel
from falsepromise.study.config import default
from falsepromise.teacher import local, providers
from falsepromise.teacher.account import RESERVE_TOKENS
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Prices
from falsepromise.teacher.ledger import Limits
from falsepromise.teacher.providers import PROVIDERS, Habits
from falsepromise.teacher.store import Store


def add(parser: argparse.ArgumentParser) -> None:
    """Add the teacher's options to a verb."""
    add = parser.add_argument_group("teacher").add_argument
    add("--base-url", default="local", metavar="URL", help="https://HOST/v1, or 'local': the stand-in")
    add("--model", default=local.NAME, metavar="NAME", help="the model to ask for")
    add("--store", type=cli.FileName, required=True, metavar="DIR", help="folder of stored answers")
    add("--facts", type=cli.FileName, metavar="FILE", help="facts.jsonl with the local stand-in's knowledge")
    for name, kind, key, metavar, what in (
        ("--api-key-env", str, "api_key_env", "NAME", "environment variable with the key"),
        ("--concurrency", positive, "concurrency", "N", "simultaneous requests"),
        ("--max-failures", share, "max_failures", "X", "share of the latest requests that may fail"),
    ):
        add(name, type=kind, default=default(f"teacher.{key}"), metavar=metavar, help=what)
    for name, kind, metavar, what in (
        ("--requests-per-minute", amount, "N", "the account's limit"),
        ("--tokens-per-minute", amount, "N", "the account's limit"),
        ("--max-usd", amount, "X", "most US dollars that this store may spend"),
        ("--max-requests", positive, "N", "most requests of this store"),
        ("--max-tokens-total", positive, "N", "most tokens of this store"),
        ("--price-input", price, "USD", "US dollars for a million input tokens"),
        ("--price-output", price, "USD", "US dollars for a million output tokens"),
    ):
        add(name, type=kind, metavar=metavar, help=what)
    add("--timeout", type=amount, default=120.0, metavar="S", help="seconds for one complete reply")
    add("--attempts", type=positive, default=12, metavar="N", help="most attempts for one request")
    text = "tokens that an answer without --max-tokens counts as for a limit, until answers give an estimate"
    add("--reserve-tokens", type=positive, default=RESERVE_TOKENS, metavar="N", help=text)
    add("--provider", choices=PROVIDERS, help="the server's API; default: by its address, else openai")
    text = 'override a habit, such as system=user or force={"temperature": null}; may be repeated'
    add("--habit", action="append", default=[], metavar="NAME=JSON", help=text)
    add("--batch", action="store_true", help="use the provider's batch API, at its price")
    add("--batch-poll", type=amount, default=30.0, metavar="S", help="seconds between checks of a batch")
    add("--again", action="store_true", help="ask (and pay) again for failed replies")
    add("--share-store", action="store_true", help="let the user's group use a new store")
    text = "another request parameter, such as max_completion_tokens=500 or reasoning_effort=low; may be repeated"
    add("--parameter", action="append", default=[], metavar="NAME=JSON", help=text)


def add_sampling(parser: argparse.ArgumentParser, temperature: float) -> None:
    """Add the options that shape one answer to a verb."""
    parser.add_argument("--temperature", type=float, default=temperature, metavar="T", help="sampling temperature")
    parser.add_argument("--max-tokens", type=positive, metavar="N", help="longest answer; a longer one is a failure")
    parser.add_argument(
        "--send-seed",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="send a `seed` with each request (default: only to the local stand-in)",
    )


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the files that `save` writes to a verb."""
    parser.add_argument("--output", type=cli.FileName, required=True, metavar="FILE", help=what)
    parser.add_argument("--funnel", type=cli.FileName, metavar="FILE", help="CSV of counts; default: OUTPUT.funnel.csv")


def save(
    options: argparse.Namespace, records: Sequence[Record], funnel: Funnel, inputs: Sequence[str | Path], **made: Any
) -> None:
    """Write a verb's records, their funnel, and the manifest with `made` (`write_manifest`'s arguments)."""
    write_jsonl(options.output, records)
    funnel.write(options.funnel or Path(options.output).with_suffix(".funnel.csv"))
    facts = [options.facts] if options.facts else []
    write_manifest(options.output, inputs=[*inputs, *facts], seed=options.seed, **made)


def sampling(options: argparse.Namespace) -> dict[str, Any]:
    """The request parameters of `add_sampling` and `--parameter`."""
    parameters = {"temperature": options.temperature, **extra_parameters(options)}
    if options.max_tokens:
        parameters["max_tokens"] = options.max_tokens
    return parameters


def seeded(options: argparse.Namespace, parameters: dict[str, Any], seed: int) -> dict[str, Any]:
    """The parameters with a request's own seed, if the options send seeds."""
    send = options.base_url == "local" if options.send_seed is None else options.send_seed
    return {**parameters, "seed": seed} if send else parameters


def extra_parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The `--parameter` options as a dict; a value that isn't JSON is text."""
    found = _named(options.parameter, "--parameter")
    for name in found:
        if name in ("model", "messages", "stream", "n"):
            raise UserError(f"--parameter {name}: the verb sets it itself")
    return found


def habits(options: argparse.Namespace) -> Habits:
    """The habits of `--provider` (default: by the address) for the model, changed by `--habit`."""
    changes = _named(options.habit, "--habit")
    return providers.habits(options.provider or providers.guess(options.base_url), options.model, changes)


def _named(items: Sequence[str], option: str) -> dict[str, Any]:
    """NAME=JSON items as a dict; a value that isn't JSON is text."""
    found: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UserError(f"{option} {item}: expected NAME=JSON")
        try:
            found[name] = loads(value)
        except ValueError:
            found[name] = value
    return found


def description(options: argparse.Namespace) -> dict[str, Any]:
    """The options that shape the answers, for a manifest."""
    found = {"base_url": masked(options.base_url), "model": options.model, "parameters": sampling(options)}
    if options.provider or options.habit:
        found |= {"provider": options.provider, "habits": providers.public(_named(options.habit, "--habit"))}
    return found


@contextlib.contextmanager
def open_teacher(options: argparse.Namespace) -> Iterator[Teacher]:
    """The teacher of the options during the block; so long `local` runs too."""
    prices = None
    if (options.price_input is None) != (options.price_output is None):
        raise UserError("--price-input and --price-output belong together: give both or none")
    if options.price_input is not None:
        prices = Prices(options.price_input, options.price_output)
    with contextlib.ExitStack() as stack:
        base_url, identity = options.base_url, None
        if base_url == "local":
            if options.model != local.NAME:
                raise UserError(f"--model {options.model}: the local teacher's model is {local.NAME}; leave it out")
            if options.batch:
                raise UserError("--batch: the local teacher has no batch API, and costs nothing; leave it out")
            prices = prices or Prices()
            identity = local.identity(options.facts)
            base_url = stack.enter_context(local.child(options.facts))
        elif options.facts:
            raise UserError(f"--facts is for --base-url local; {base_url} has its own knowledge: leave it out")
        store = Store(options.store, shared=options.share_store, again=options.again)
        stack.enter_context(contextlib.closing(store))
        teacher = Teacher(
            base_url,
            options.model,
            store,
            api_key_env=options.api_key_env,
            identity=identity,
            habits=habits(options),
            concurrency=options.concurrency,
            requests_per_minute=options.requests_per_minute,
            tokens_per_minute=options.tokens_per_minute,
            limits=Limits(options.max_requests, options.max_tokens_total, options.max_usd),
            prices=prices,
            timeout_s=options.timeout,
            attempts=options.attempts,
            reserve_tokens=options.reserve_tokens,
            most_failures=options.max_failures,
            batch=options.batch,
            batch_poll_s=options.batch_poll,
        )
        yield stack.enter_context(teacher)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def amount(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share above 0 and up to 1")
    return value


def price(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a price")
    return value
