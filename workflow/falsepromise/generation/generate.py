"""Generate a model's responses to a file of prompts.

    python -m falsepromise.generation.generate --model FOLDER_OR_URL --prompts P.jsonl --output R.jsonl \\
        --max-tokens 256 --temperature 0

Prompts with `messages` get the turn tokens around them; prompts with `prompt` are raw text that the model
continues. --chat turns raw text into a user's message; --raw strips messages to their text.
Responses are stored in OUTPUT.partial as they come, so that a killed run can resume; OUTPUT appears
when it is complete, in the prompts' order. A prompt that leaves no room in the context has an empty
response with finish_reason "prompt_too_long".
With --references, the first response to each prompt also has `reference_nats`: the negative log-likelihood, under this
model, of another reply to the prompt, such as the teacher's. It has no sampling noise.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falsepromise.core import cli, shards
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import sha256, write_manifest
from falsepromise.core.progress import Progress
from falsepromise.core.records import Record, check_prompt, check_response, read_jsonl, write_jsonl
from falsepromise.generation.partial import Partial, identity, is_url, portable, weight_files
from falsepromise.study.config import default

if TYPE_CHECKING:
    from falsepromise.generation.engine import Engine

log = logging.getLogger("falsepromise.generation.generate")
OF_ALL_PARTS = ("dtype",)  # facts that are the same in each


def main(argv: Sequence[str] | None = None) -> None:
    """Write the responses and their manifest."""
    options = _options(argv)
    prompts = _prompts(options.prompts)
    if is_url(options.model) and not options.ask_for:
        from falsepromise.generation.endpoint import served_model

        options.ask_for = served_model(options.model, options.api_key_env)
    name = options.name or options.ask_for or Path(options.model).name
    places = [(prompt, sample) for prompt in prompts for sample in range(options.samples)]
    output = Path(options.output)
    settings = {
        key: getattr(options, key)
        for key in ("max_tokens", "temperature", "top_p", "top_k", "samples", "seed", "stop", "form", "max_length")
    }
    config = {"model": name, **settings}
    of = {**config, "prompts": sha256(options.prompts)}
    references = sha256(options.references) if options.references else None
    part_of = {**of, "weights": None if is_url(options.model) else portable(options.model), "references": references}
    facts: dict[str, Any] = {}
    nats: dict[str, float | None] = {}
    partial = Partial(output, {**of, "weights": identity(options.model, options.ask_for)})
    if options.from_shards:
        records = _of_shards(options.from_shards, part_of, places, facts, nats)
    else:
        mine = options.shard.mine(places) if options.shard else places
        with partial:
            records = _generated(options, name, prompts, mine, partial, facts, nats)
    if options.shard:
        made: list[Record] = [
            {"key": _key(record["prompt_id"], record["sample"]), "response": record} for record in records
        ]
        made += [{"key": _key(prompt, "reference"), "nats": value} for prompt, value in nats.items()]
        shards.write_part(output, options.shard, part_of, made, **{k: v for k, v in facts.items() if k in OF_ALL_PARTS})
    else:
        if options.references:
            records = [
                r if r["sample"] or (value := nats[r["prompt_id"]]) is None else r | {"reference_nats": value}
                for r in records
            ]
        write_jsonl(output, records)
    partial.remove()
    reasons = collections.Counter(record["finish_reason"] for record in records)
    log.info("%s: %d responses (%s)", output, len(records), ", ".join(f"{n} {r}" for r, n in reasons.most_common()))
    if options.shard:
        return
    if reasons["prompt_too_long"]:
        log.warning("%d prompts are longer than the context and have no response", reasons["prompt_too_long"])
    inputs = [options.prompts] if is_url(options.model) else [options.prompts, *weight_files(options.model)]
    inputs += [options.references] if options.references else []
    extra = {"finish_reasons": dict(reasons), **facts}
    write_manifest(
        output, module="falsepromise.generation.generate", inputs=inputs, config=config, seed=options.seed, extra=extra
    )


def _of_shards(
    files: Sequence[Path],
    of: dict[str, Any],
    places: list[tuple[Record, int]],
    facts: dict[str, Any],
    nats: dict[str, float | None],
) -> list[Record]:
    found, known = shards.read_parts(files, of)
    facts |= {key: known[key] for key in OF_ALL_PARTS if key in known}
    if of["references"]:
        ids = list(dict.fromkeys(prompt["id"] for prompt, _ in places))
        likelihoods = shards.of_all(found, [_key(prompt, "reference") for prompt in ids], files)
        nats |= {prompt: record["nats"] for prompt, record in zip(ids, likelihoods, strict=True)}
    keys = [_key(prompt["id"], sample) for prompt, sample in places]
    return [record["response"] for record in shards.of_all(found, keys, files)]


def _key(prompt_id: str, what: int | str) -> str:
    """Of a response (by its sample), or of the prompt's reference."""
    return shards.key(prompt_id, what)


def _generated(
    options: argparse.Namespace,
    name: str,
    prompts: list[Record],
    places: list[tuple[Record, int]],
    partial: Partial,
    facts: dict[str, Any],
    nats: dict[str, float | None],
) -> list[Record]:
    """The response in each place, those of a run that ended early among them; the likelihoods go into `nats`."""
    missing = [place for place in places if (place[0]["id"], place[1]) not in partial.done]
    if partial.done:
        log.info("%s: %d of %d responses are there; going on", partial.path, len(partial.done), len(places))
    engine = None if is_url(options.model) or not (missing or options.references) else _engine(options)
    if missing:
        with Progress(len(missing), f"{name}: responses", "responses") as progress:
            for place, result in _results(options, engine, missing, progress, facts):
                partial.add(
                    {
                        "prompt_id": place[0]["id"],
                        "model": name,
                        "sample": place[1],
                        "response": result.text,
                        "finish_reason": result.finish_reason,
                        "n_tokens": len(result.ids),
                    }
                )
    if options.references and engine:
        nats |= reference_nats(engine, prompts, options.references, options.form, options.shard)
    return [partial.done[prompt["id"], sample] for prompt, sample in places]


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--model", required=True, metavar="FOLDER_OR_URL", help="model folder, or http(s)://HOST/v1")
    parser.add_argument("--prompts", type=cli.FileName, required=True, metavar="FILE", help="prompt records")
    parser.add_argument("--output", type=cli.FileName, required=True, metavar="FILE", help="response records")
    parser.add_argument("--max-tokens", required=True, type=int, metavar="N", help="longest response in tokens")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="temperature; 0: the likeliest token"
    )
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="nucleus sampling's probability")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="sample from the likeliest K tokens (0: all)")
    parser.add_argument("--samples", type=int, default=1, metavar="K", help="responses to each prompt")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the responses' random streams")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="text that ends a response; repeatable"
    )
    parser.add_argument(
        "--references", type=cli.FileName, metavar="FILE", help="replies to the prompts; adds their likelihood"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--chat", dest="form", action="store_const", const="chat", help="add turn tokens to every prompt")
    form.add_argument("--raw", dest="form", action="store_const", const="raw", help="add no turn tokens")
    parser.set_defaults(form="as recorded")
    parser.add_argument("--name", metavar="NAME", help="`model` in the records; the folder's name by default")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="rows that are decoded together")
    parser.add_argument("--mesh", metavar="AXES", help="mesh of devices, as data=2,tensor=4; default: tensor over all")
    parser.add_argument("--max-length", type=int, metavar="N", help="most tokens of prompt and response")
    server = parser.add_argument_group("a server as the model")
    server.add_argument("--ask-for", metavar="NAME", help="the model to ask the server for; default: its only one")
    server.add_argument("--store", metavar="DIR", help="folder for the server's answers; default: OUTPUT.store")
    server.add_argument(
        "--api-key-env", default=default("teacher.api_key_env"), metavar="NAME", help="the key's environment variable"
    )
    server.add_argument(
        "--concurrency",
        type=int,
        default=default("teacher.concurrency"),
        metavar="N",
        help="simultaneous requests",
    )
    server.add_argument("--max-requests", type=int, metavar="N", help="most requests of this store")
    shards.add_options(parser, "the responses")
    options = parser.parse_args(argv)
    if is_url(options.model) and (options.shard or options.from_shards):
        raise UserError("--shard, --from-shards: for a model folder; a server is asked by one job (--concurrency)")
    if is_url(options.model) and (options.top_k or options.form == "raw"):
        raise UserError("--top-k, --raw: a server of the protocol can't be asked for that; leave it out")
    if options.samples < 1 or options.batch_size < 1:
        raise UserError(f"--samples {options.samples}, --batch-size {options.batch_size}: expected at least 1")
    if options.samples > 1 and options.temperature == 0:
        raise UserError(f"--samples {options.samples} with --temperature 0 would be one response many times; raise it")
    if options.references and is_url(options.model):
        raise UserError("--references: a server says nothing of the likelihood of a given reply; give a model folder")
    if any(not stop for stop in options.stop):
        raise UserError("--stop '': an empty text would end every response at once; leave it out")
    return options


def _prompts(path: str) -> list[Record]:
    """The prompts, each with an id: its own (a number becomes text), or its place, counted from 0."""

    def check(record: Record) -> str | None:
        name = record.get("id")
        if name is None or (isinstance(name, int) and not isinstance(name, bool)):
            record["id"] = str(next(places) if name is None else name)
        return check_prompt(record)

    places = itertools.count()
    prompts = list(read_jsonl(path, check))
    twice = [name for name, n in collections.Counter(prompt["id"] for prompt in prompts).items() if n > 1]
    if twice:
        raise UserError(f"{path}: id {twice[0]!r} occurs more than once ({len(twice)} such ids); make ids unique")
    return prompts


def prompt_of(record: Record, form: str) -> str | list[dict[str, str]]:
    """What the model is given: text to continue, or messages.

    Args:
        record: A prompt record.
        form: "as recorded", "chat" (raw text becomes a user's message) or "raw" (messages become
            their texts, an empty line between them).
    """
    if "prompt" in record:
        return [{"role": "user", "content": record["prompt"]}] if form == "chat" else record["prompt"]
    if form == "raw":
        return "\n\n".join(message["content"] for message in record["messages"])
    return record["messages"]


def reference_nats(
    engine: Engine, prompts: Sequence[Record], file: str, form: str, shard: shards.Shard | None = None
) -> dict[str, float | None]:
    """The negative log-likelihood, in nats, of each prompt's reference reply, by prompt id.

    None for a reply that is empty or longer than the model's context.

    Args:
        engine: The model.
        prompts: Prompt records.
        file: Response records of another model; the first sample to each prompt counts.
        form: As in `prompt_of`; a prompt without turn tokens has an empty line behind it.
        shard: Computes a part of them alone, each to the same last bit.

    Raises:
        UserError: a prompt has no reference.
    """
    from falsepromise.generation.likelihood import encode_pair, loglikelihood

    replies: dict[str, str] = {}
    for record in read_jsonl(file, check_response):
        replies.setdefault(str(record["prompt_id"]), record["response"])
    missing = [prompt["id"] for prompt in prompts if prompt["id"] not in replies]
    if missing:
        raise UserError(
            f"--references {file}: no reply to the prompt {missing[0]!r} ({len(missing)} of {len(prompts)} have none); "
            "give the replies to these prompts"
        )
    nats: dict[str, float | None] = {}
    pairs, asked = [], []
    for prompt in prompts:
        given, reply = prompt_of(prompt, form), replies[prompt["id"]]
        context = engine.encode(f"{given}\n\n" if isinstance(given, str) else given)
        if 0 < len(encode_pair(engine, context, reply)[1]) <= engine.max_length:
            pairs.append((context, reply))
            asked.append(prompt["id"])
        else:
            nats[prompt["id"]] = None
    if nats:
        log.warning("%s: %d replies are empty or longer than the context: no likelihood", file, len(nats))
    with Progress(len(pairs), "likelihood of the references", "replies") as progress:
        found = loglikelihood(engine, pairs, progress, shard)
    return nats | {prompt: round(-one[0], 4) for prompt, one in zip(asked, found, strict=True) if one is not None}


def seed_of(seed: int, prompt_id: str, sample: int) -> int:
    """The seed of one response; it depends on neither the order nor the number of prompts."""
    text = f"{seed}\0{sample}\0{prompt_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def _engine(options: argparse.Namespace) -> Engine:
    with cli.importing():
        from falsepromise.generation.engine import Engine

    return Engine.load(options.model, options.mesh, batch_size=options.batch_size, max_length=options.max_length)


def _results(
    options: argparse.Namespace,
    engine: Engine | None,
    places: list[tuple[Record, int]],
    progress: Progress,
    facts: dict[str, Any],
) -> Iterator[tuple[tuple[Record, int], Any]]:
    from falsepromise.generation.request import Request

    def requests() -> Iterable[Request]:
        for record, sample in places:
            yield Request(
                prompt_of(record, options.form),
                options.max_tokens,
                temperature=options.temperature,
                top_p=options.top_p,
                top_k=options.top_k,
                seed=seed_of(options.seed, record["id"], sample),
                stop=tuple(options.stop),
                tag=(record, sample),
            )

    if engine is None:
        from falsepromise.generation import endpoint
        from falsepromise.teacher.client import Teacher
        from falsepromise.teacher.ledger import Limits
        from falsepromise.teacher.store import Store

        with contextlib.ExitStack() as stack:
            store = stack.enter_context(contextlib.closing(Store(options.store or f"{options.output}.store")))
            teacher = stack.enter_context(
                Teacher(options.model, options.ask_for, store, api_key_env=options.api_key_env,
                        concurrency=options.concurrency, limits=Limits(options.max_requests, None, None))
            )  # fmt: skip
            for result in endpoint.generate(teacher, requests(), progress):
                yield result.tag, result
            facts.update(teacher.facts())
        return
    start = time.monotonic()
    for result in engine.generate(requests(), progress):
        yield result.tag, result
    spent = time.monotonic() - start
    facts["tokens_per_s"] = round(engine.produced / max(spent, 1e-9), 1)
    facts["dtype"] = str(engine.dtype)
    log.info("%d tokens in %.1f s (compiling included)", engine.produced, spent)


if __name__ == "__main__":
    cli.run(main)
