"""Use a server of the OpenAI protocol as the model under test: ChatGPT, GPT-4, or vLLM with an exported model.

The teacher's client sends the requests, with its pace and retries. It stores each answer and pays for it once, so a
killed run goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import loads
from falsepromise.generation.request import Request, Result
from falsepromise.teacher import providers
from falsepromise.teacher.client import Teacher
from falsepromise.teacher.cost import Request as Question
from falsepromise.teacher.transport import Lost, Reply, Transport, Unsent

LISTING_S = 20.0  # seconds for a server's list of its models


def served_model(base_url: str, api_key_env: str) -> str:
    """The name of the one model that a server has.

    Raises:
        UserError: it has several models, or doesn't list them.
    """
    try:
        reply = asyncio.run(_listed(base_url, os.environ.get(api_key_env, "").strip()))
    except (Unsent, Lost) as error:
        raise UserError(f"{base_url}: no server answers ({error}); is it running, and is the URL right?") from error
    except ValueError as error:
        raise UserError(f"{base_url}: is no address ({error})") from error
    if reply.status >= 500:
        raise UserError(f"{base_url}: answers with HTTP {reply.status}; is it still loading? try again")
    try:
        names = [model["id"] for model in loads(reply.body)["data"]]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{base_url}: doesn't list its models (HTTP {reply.status}); name the one to ask for with --ask-for "
            "(and see that the URL ends as the server wants it, mostly in /v1)"
        ) from error
    if len(names) != 1 or not isinstance(names[0], str):
        listed = ", ".join(f"{name!s:.80}" for name in names[:5])
        raise UserError(f"{base_url}: serves {len(names)} models ({listed}); name one of them with --ask-for")
    return names[0]


async def _listed(base_url: str, key: str) -> Reply:
    """The server's list of models; of the two places where it may be, the one that is there."""
    transport = Transport(base_url, providers.habits(providers.guess(base_url), ""), "", key, LISTING_S, 1)
    try:
        reply = await transport.request("/models")
        other = transport.other_base()
        return await transport.request("/models", base=other) if reply.status == 404 and other else reply
    finally:
        await transport.close()


def generate(
    teacher: Teacher,
    requests: Iterable[Request],
    progress: Progress | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Iterator[Result]:
    """Results in the requests' order; of a `Result`, `ids` has as many places as the server counted tokens.

    Raw text becomes a user's message: the protocol has nothing else for a chat model. Stop strings
    are applied here, since some servers take none. A request that was filtered, refused or rejected
    has an empty text and that as its finish reason.

    Args:
        teacher: The server.
        requests: As for the engine; `top_k` and token ids are not in the protocol.
        parameters: Further fields of each request.

    Raises:
        UserError: the server can't be reached, or a limit is spent.
    """
    places = list(requests)
    seen: dict[str, int] = {}
    questions = []
    for request in places:
        fields: dict[str, Any] = {"temperature": request.temperature, "max_tokens": request.max_tokens}
        if request.top_p < 1:
            fields["top_p"] = request.top_p
        messages = _messages(request.prompt)
        # A repeated question asks for another sample, which has a separate place in the store.
        key = hashlib.sha256(repr((messages, fields)).encode("utf-8", "surrogatepass")).hexdigest()
        seen[key] = seen.get(key, -1) + 1
        questions.append(Question(messages, {**fields, **(parameters or {})}, seen[key], whole=False))
    teacher.check_cost(teacher.estimate(questions))
    for index, answer in enumerate(teacher.ask_many(questions, progress)):
        request = places[index]
        text, reason = answer.text, answer.failure or "stop"
        if answer.failure == "empty":
            reason = "stop"
        elif answer.failure not in (None, "length"):
            text, reason = "", answer.failure.partition(":")[0]
        ends = [at for stop in request.stop if (at := text.find(stop)) >= 0]
        if ends:
            text, reason = text[: min(ends)], "stop"
        yield Result(index, text, reason, [-1] * answer.output_tokens, None, request.tag)


def _messages(prompt: Any) -> Sequence[Mapping[str, str]]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [{"role": message["role"], "content": message["content"]} for message in prompt]
