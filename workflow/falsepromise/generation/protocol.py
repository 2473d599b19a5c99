"""Turn requests of the OpenAI protocol into requests to engines, and the results back into its form.

One thread works for all models. What waits for one model when it is free goes into one batch; a request that comes
meanwhile waits for the batch's end.
"""

from __future__ import annotations

import collections
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.generation import logprobs
from falsepromise.generation.engine import Engine
from falsepromise.generation.logprobs import Scored
from falsepromise.generation.request import Request, Result
from falsepromise.teacher.protocol import BadRequest, integer, messages, stops

log = logging.getLogger("falsepromise.generation.serve")
MOST_CHOICES = 128
MOST_ANSWERS = 4096  # of one request: prompts times choices
MOST_STOPS = 64
LOOK_S = 1.0  # seconds between two looks whether a client that waits is still there
# Fields that would change the answer and that the engine doesn't support, each with its neutral values: the protocol's,
# then those that vLLM, llama.cpp and others have added to it.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    **{name: (0,) for name in ("frequency_penalty", "presence_penalty")},
    **{name: ([], {}, "none") for name in ("tools", "functions", "tool_choice", "function_call", "logit_bias")},
    "suffix": ("",), "best_of": (1,), "response_format": ({"type": "text"},), "modalities": (["text"],),
    "web_search_options": (),
    **{name: (0,) for name in (
        "min_p", "top_a", "min_tokens", "mirostat", "dry_multiplier", "xtc_probability", "dynatemp_range",
        "no_repeat_ngram_size", "epsilon_cutoff", "eta_cutoff",
    )},
    **{name: (1,) for name in (
        "repetition_penalty", "repeat_penalty", "length_penalty", "typical_p", "tfs_z", "num_beams",
    )},
    **{name: (False,) for name in (
        "ignore_eos", "use_beam_search", "continue_final_message", "include_stop_str_in_output",
    )},
    **{name: (True,) for name in ("add_generation_prompt", "skip_special_tokens")},
    **{name: ([], {}, "") for name in (
        "stop_token_ids", "allowed_token_ids", "bad_words", "guided_choice", "guided_json", "guided_regex",
        "guided_grammar", "structured_outputs", "grammar", "json_schema", "chat_template", "chat_template_kwargs",
    )},
    **{name: () for name in ("truncate_prompt_tokens", "max_new_tokens", "n_predict")},
}  # fmt: skip
HOTTEST = 2.0  # temperature, as in the protocol


@dataclass
class Asked:
    """A request that was read.

    Attributes:
        prompts: Token ids of each prompt; `choices` answers to each.
        top: How many likeliest tokens are wanted at each place; None: no log-probabilities.
        echo: Whether the prompt comes back before the answer (completions).
    """

    chat: bool
    model: str
    prompts: list[list[int]]
    choices: int
    requests: list[Request]
    max_tokens: int | None
    stop: list[str]
    top: int | None
    echo: bool
    stream: bool
    usage: bool
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))


def read_request(engine: Engine, body: Any, chat: bool) -> Asked:
    """A request to a model, as the protocol's reference has it.

    Raises:
        BadRequest: it is malformed, too long for the model's context, or needs an unknown feature.
    """
    for name, empty in UNSUPPORTED.items():
        if body.get(name) is not None and body[name] not in empty:
            raise BadRequest(400, f"'{name}' is not supported by this server; leave it out", name, "unsupported_value")
    choices = integer(body, "n", 1, 1, MOST_CHOICES) or 1
    if chat:
        prompts = [_encoded(engine, messages(body.get("messages")))]
    else:
        prompts = _prompts(engine, body.get("prompt"), MOST_ANSWERS // choices)
    ends = tuple(stops(body))
    if len(ends) > MOST_STOPS:
        raise BadRequest(400, f"'stop' has {len(ends)} texts, this server takes {MOST_STOPS}", "stop")
    limits = [integer(body, key, None, int(chat)) for key in ("max_tokens", "max_completion_tokens")]
    limit = min((value for value in limits if value is not None), default=None if chat else 16)
    if limit is not None and limit < 0:
        raise BadRequest(400, f"'max_tokens' is {limit}, expected 0 or more", "max_tokens")
    for prompt in prompts:
        if len(prompt) + (limit != 0) > engine.max_length:
            message = f"the prompt has {len(prompt)} tokens, this model's context {engine.max_length} with the answer"
            raise BadRequest(400, message, "messages" if chat else "prompt", "context_length_exceeded")
    temperature, top_p = _number(body, "temperature", 1.0), _number(body, "top_p", 1.0)
    if not 0 <= temperature <= HOTTEST:
        raise BadRequest(400, f"temperature is {temperature:g}; expected 0 to {HOTTEST:g}", "temperature")
    top_k = min(integer(body, "top_k", 0, 0) or 0, engine.config.vocab_size)
    seed = integer(body, "seed", None)
    first = secrets.randbelow(2**31) if seed is None else seed
    asked = _asked_logprobs(body, chat)
    options = body.get("stream_options")
    try:
        requests = [
            Request(ids, limit or engine.max_length, temperature, top_p, top_k, first + choice, ends)
            for ids in prompts for choice in range(choices)
        ]  # fmt: skip
    except UserError as error:
        raise BadRequest(400, str(error)) from error
    return Asked(
        chat, str(body["model"]), prompts, choices, requests, limit, list(ends), asked,
        _flag(body, "echo") and not chat, _flag(body, "stream"),
        isinstance(options, dict) and _flag(options, "include_usage"),
    )  # fmt: skip


def _encoded(engine: Engine, prompt: Any) -> list[int]:
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], Mapping):
        prompt = [{**m, "role": "system" if m["role"] == "developer" else m["role"]} for m in prompt]
    try:
        return engine.encode(prompt)
    except UserError as error:
        raise BadRequest(400, str(error), "messages") from error


def _prompts(engine: Engine, value: Any, most: int) -> list[list[int]]:
    """The protocol's four forms: text, texts, token ids, lists of token ids."""
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        value = [value]
    if not isinstance(value, list) or not value:
        raise BadRequest(400, "'prompt' must be text, token ids, or a list of either", "prompt")
    if len(value) > most:
        raise BadRequest(400, f"{len(value)} prompts with 'n' answers each: send at most {most} at once", "prompt")
    for prompt in value:
        ids = prompt if isinstance(prompt, list) else []
        whole = all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < engine.config.vocab_size for i in ids)
        if not isinstance(prompt, str | list) or not whole:
            expected = f"text or token ids from 0 to {engine.config.vocab_size - 1}"
            raise BadRequest(400, f"'prompt' must be {expected}, found {prompt!r:.60}", "prompt")
    return [_encoded(engine, prompt) for prompt in value]


def _number(body: Mapping[str, Any], key: str, default: float) -> float:
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(400, f"'{key}' must be a number, found {value!r:.40}", key)
    try:
        return float(value)
    except OverflowError:
        raise BadRequest(400, f"'{key}' is out of its range", key) from None


def _flag(body: Mapping[str, Any], key: str) -> bool:
    value = body.get(key)
    if value not in (None, True, False):  # the text "false" too: it would be taken for true
        raise BadRequest(400, f"'{key}' must be true or false, found {value!r:.40}", key)
    return bool(value)


def _asked_logprobs(body: dict[str, Any], chat: bool) -> int | None:
    if not chat:
        return integer(body, "logprobs", None, 0, 20)
    wanted, top = _flag(body, "logprobs"), integer(body, "top_logprobs", 0, 0, 20)
    if top and not wanted:
        raise BadRequest(400, "'top_logprobs' needs 'logprobs': true", "top_logprobs")
    return top if wanted else None


class Job:
    """One request under way; iterating gives what happens: `(place, text so far)`, `(place, Result, Scored or None)`.

    Args:
        left: Says whether the client has left.

    Raises:
        ConnectionAbortedError: the client has left.
        Exception: what went wrong in the worker.
    """

    def __init__(self, engine: Engine, asked: Asked, left: Callable[[], bool] = lambda: False):
        self.engine, self.asked, self.left = engine, asked, left
        self.gone = False  # nobody listens any more
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while True:
            try:
                event = self.events.get(timeout=LOOK_S)
            except queue.Empty:
                if self.left():
                    raise ConnectionAbortedError from None
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event


class _Abandoned(Exception):
    """All who asked for a batch are gone."""


class Worker:
    """The thread that works for all models, a batch at a time."""

    def __init__(self) -> None:
        self._waiting: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, job: Job) -> Job:
        """Put a job into the queue."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        return job

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                engine = self._waiting[0].engine
                batch = [job for job in self._waiting if job.engine is engine]
                self._waiting = collections.deque(job for job in self._waiting if job.engine is not engine)
            end: BaseException | None = None
            try:
                self._work(engine, [job for job in batch if not job.gone])
            except _Abandoned:
                pass
            except Exception as error:  # one batch's fault is not the next one's
                log.error("a batch failed: %s: %s", type(error).__name__, str(error)[:500])
                log.debug("where it failed", exc_info=error)
                end = error
            for job in batch:
                job.events.put(end)

    def _work(self, engine: Engine, jobs: list[Job]) -> None:
        places = [(job, place) for job in jobs for place in range(len(job.asked.requests))]
        asked = [(job, place) for job, place in places if job.asked.max_tokens != 0]

        def show(index: int, text: str) -> bool:
            job, place = asked[index]
            if all(job.gone for job in jobs):
                raise _Abandoned
            if job.asked.stream:
                job.events.put((place, text))
            return not job.gone

        for job, place in places:
            if job.asked.max_tokens == 0:
                self._done(job, place, Result(place, "", "length", []))
        requests = [job.asked.requests[place] for job, place in asked]
        for result in engine.generate(requests, on_text=show):
            self._done(*asked[result.index], result)

    def _done(self, job: Job, place: int, result: Result) -> None:
        scored = None
        if job.asked.top is not None and not job.gone:
            prompt = job.asked.prompts[place // job.asked.choices]
            scored = logprobs.score(job.engine, [*prompt, *result.ids], job.asked.top)
        job.events.put((place, result, scored))


class Answer:
    """A job's events in the protocol's form."""

    def __init__(self, job: Job):
        self.job, self.asked, self.engine = job, job.asked, job.engine
        self.made = 0

    def whole(self) -> dict[str, Any]:
        """The one document of a request without streaming."""
        choices: dict[int, dict[str, Any]] = {}
        for event in self.job:
            if len(event) == 3:
                place, result, scored = event
                self.made += len(result.ids)
                text = self._echoed(place) + result.text
                said = {"message": {"role": "assistant", "content": text, "refusal": None}}
                choices[place] = {"index": place, **(said if self.asked.chat else {"text": text})}
                choices[place] |= {"logprobs": self._logprobs(place, scored), "finish_reason": result.finish_reason}
        return {**self._head(), "choices": [choices[place] for place in sorted(choices)], "usage": self.usage()}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """The documents of a stream. Log-probabilities come with the last piece of a choice's text."""
        sent = [""] * len(self.asked.requests)
        for place in range(len(sent)):
            if self.asked.chat or self.asked.echo:
                yield self._chunk(place, self._echoed(place), None, role=True)
        held_back = max(map(len, self.asked.stop), default=1) - 1  # may be the beginning of a stop string
        for event in self.job:
            place = event[0]
            text, reason, scores = event[1], None, None
            if len(event) == 3:
                self.made += len(event[1].ids)
                text, reason = event[1].text, event[1].finish_reason
                scores = self._logprobs(place, event[2])
            else:
                ends = [at for stop in self.asked.stop if (at := text.find(stop)) >= 0]
                text = text[: min(ends)] if ends else text[: max(len(text) - held_back, 0)]
                text = text.rstrip("\ufffd")  # a character whose last bytes are still to come
            new = text[len(sent[place]) :] if text.startswith(sent[place]) else ""
            sent[place] += new
            if new or scores:
                yield self._chunk(place, new, None, scores)
            if reason:
                yield self._chunk(place, "", reason)
        if self.asked.usage:
            yield {**self._head(), "choices": [], "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Tokens of the prompts and of the answers so far."""
        asked = sum(map(len, self.asked.prompts))
        return {"prompt_tokens": asked, "completion_tokens": self.made, "total_tokens": asked + self.made}

    def _head(self) -> dict[str, Any]:
        kind = "chat.completion" if self.asked.chat else "text_completion"
        kind += ".chunk" if self.asked.chat and self.asked.stream else ""
        name = f"{'chatcmpl' if self.asked.chat else 'cmpl'}-{self.asked.id}"
        head = {"id": name, "object": kind, "created": self.asked.created, "model": self.asked.model}
        return {**head, "system_fingerprint": None}

    def _chunk(
        self, place: int, text: str, reason: str | None, scores: Any = None, role: bool = False
    ) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant"} if role else {}
        said = {"delta": {} if reason else {**delta, "content": text}} if self.asked.chat else {"text": text}
        choice = {"index": place, **said, "logprobs": scores, "finish_reason": reason}
        return {**self._head(), "choices": [choice], **({"usage": None} if self.asked.usage else {})}

    def _echoed(self, place: int) -> str:
        ids = self.asked.prompts[place // self.asked.choices]
        return self.engine.tokenizer.decode(ids) if self.asked.echo else ""

    def _logprobs(self, place: int, scored: Scored | None) -> dict[str, Any] | None:
        if scored is None:
            return None
        prompt = len(self.asked.prompts[place // self.asked.choices])
        if self.asked.chat:
            return logprobs.of_chat(self.engine.tokenizer, scored, prompt, self.engine.ends)
        return logprobs.of_completion(self.engine.tokenizer, scored, prompt, self.asked.echo)
