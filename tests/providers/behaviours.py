"""How servers of the protocol behave: named, each as a change to a good reply, with what must come of it.

A server has all of them, each below its own path. `POISON` in what is asked marks the one request that a
behaviour of `lost` strikes; the others get good answers.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from falsepromise.teacher.local import Handler, Server, complete
from falsepromise.teacher.standin import NAME, StandIn

KEY = "sk-canary-0123456789"
POISON = "POISON"


@dataclass
class Call:
    """One request as a behaviour sees it."""

    body: dict[str, Any]
    attempt: int  # from 0, at this request
    path: str
    headers: dict[str, str]
    good: dict[str, Any]  # the reply that a plain server gives

    @property
    def choice(self) -> dict[str, Any]:
        found: dict[str, Any] = self.good["choices"][0]
        return found

    @property
    def text(self) -> str:
        return str(self.choice["message"]["content"])


@dataclass
class Sent:
    """What goes over the wire. `body` is JSON unless it is bytes."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    how: str = ""  # reset, cut, silent, drip, chunked


Reply = Callable[[Call], Sent]


@dataclass(frozen=True)
class Behaviour:
    """A named behaviour.

    Attributes:
        reply: What the server sends.
        expect: `answered` (every request, if need be after another attempt), `lost` (the marked one) or
            `stops` (the run, at once).
        reason: Of the loss or the stop: words of the failure.
        kept: Whether a loss was paid for, so that it is kept and not paid again.
        provider: Whose habits are set.
        where: The base URL's end, and what is before it.
        who: Who behaves so.
    """

    name: str
    reply: Reply
    expect: str = "answered"
    reason: str = ""
    kept: bool = False
    provider: str = ""
    where: str = "/v1"
    who: str = ""
    options: tuple[str, ...] = ()


BEHAVIOURS: dict[str, Behaviour] = {}


def named(name: str, expect: str = "answered", **more: Any) -> Callable[[Reply], Reply]:
    def add(reply: Reply) -> Reply:
        BEHAVIOURS[name] = Behaviour(name, reply, expect, **more)
        return reply

    return add


def simple(name: str, reply: Reply, expect: str = "answered", **more: Any) -> None:
    named(name, expect, **more)(reply)


# Whole answers, in the forms that they come in ---------------------------------------------------


def message(**fields: Any) -> Reply:
    """A good reply with other fields in its message; a value may be made of the text."""

    def reply(call: Call) -> Sent:
        made = {name: value(call.text) if callable(value) else value for name, value in fields.items()}
        call.choice["message"] = {**call.choice["message"], **made}
        return Sent(call.good)

    return reply


def body(**fields: Any) -> Reply:
    return lambda call: Sent({**call.good, **fields})


def finish(reason: Any, **fields: Any) -> Reply:
    def reply(call: Call) -> Sent:
        call.choice.update(finish_reason=reason, **fields)
        return Sent(call.good)

    return reply


simple("a plain answer", lambda call: Sent(call.good), who="OpenAI")
simple(
    "text in parts",
    message(content=lambda t: [{"type": "text", "text": t[:3]}, {"type": "text", "text": t[3:]}]),
    who="Mistral",
)
simple(
    "a thinking part before the text",
    message(content=lambda t: [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": t}]),
    who="Claude",
)
simple(
    "a thinking part that has parts",
    message(
        content=lambda t: [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": t},
        ]
    ),
    who="Magistral",
)
simple("<think> before the text", message(content=lambda t: f"<think>\nhm\n</think>\n\n{t}"), who="DeepSeek R1 on vLLM")
simple("</think> without its opening", message(content=lambda t: f"hm\n</think>\n\n{t}"), who="R1's chat template")
simple("reasoning_content beside the text", message(reasoning_content="hm"), who="DeepSeek, vLLM")
simple(
    "null fields beside the text", message(refusal=None, tool_calls=None, function_call=None, audio=None), who="vLLM"
)
simple("finish_reason STOP", finish("STOP"), provider="gemini", who="Gemini")
simple("finish_reason end_turn", finish("end_turn"), provider="anthropic-compatible", who="Claude, xAI")
simple("finish_reason eos", finish("eos"), provider="llama.cpp", who="llama.cpp, TGI")
simple(
    "a finish reason that the study maps",
    finish("done"),
    who="a server of one's own",
    options=("--habit", 'finish={"done": "stop"}'),
)
simple("no usage", body(usage=None), who="Ollama, old vLLM")
simple("usage in strings", body(usage={"prompt_tokens": "7", "completion_tokens": "3"}), who="proxies")
simple("a total alone", body(usage={"total_tokens": 40}), who="proxies")
simple(
    "thoughts in the total alone",
    body(usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 107}),
    who="Gemini",
)
simple(
    "thoughts beside the completion",
    body(usage={"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 90}}),
    who="xAI",
)
simple(
    "usage with input_tokens",
    body(usage={"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 9}),
    who="Claude",
)
simple(
    "absurd usage", body(usage={"prompt_tokens": -1, "completion_tokens": 1e300, "total_tokens": True}), who="proxies"
)
simple("white space before the JSON", lambda c: Sent(b"\n \n" + json.dumps(c.good).encode()), who="OpenRouter")
simple("a byte order mark", lambda c: Sent(b"\xef\xbb\xbf" + json.dumps(c.good).encode()), who="IIS")
simple("JSON as text/plain", lambda c: Sent(c.good, headers={"content-type": "text/plain"}), who="proxies")
simple(
    "JSON as text/event-stream",
    lambda c: Sent(c.good, headers={"content-type": "text/event-stream"}),
    who="proxies",
)
simple(
    "packed with gzip",
    lambda c: Sent(gzip.compress(json.dumps(c.good).encode()), headers={"content-encoding": "gzip"}),
    who="Cloudflare",
)
simple("in chunks", lambda c: Sent(c.good, how="chunked"), who="nginx")
simple("a fingerprint that is no text", body(system_fingerprint={"a": 1}), who="proxies")
simple("another model's name", body(model="somebody-else-9b"), who="OpenRouter's fallbacks")
simple(
    "control characters in its words",
    body(model=f"{NAME}\x1b[2J\x07\u202e", system_fingerprint="\x1b[31m"),
    who="anybody",
)
simple("the key in its words", body(model=f"{NAME}-{KEY}", system_fingerprint=KEY), who="debugging proxies")
simple("half a character in the text", message(content=lambda t: t + "\ud83d"), who="vLLM's detokenizer")
simple(
    "Ollama's own reply",
    lambda c: Sent(
        {
            "model": NAME,
            "message": {"role": "assistant", "content": c.text},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 5,
            "eval_count": 2,
        }
    ),
    who="Ollama",
)
simple(
    "Anthropic's own reply",
    lambda c: Sent(
        {
            "type": "message",
            "model": NAME,
            "stop_reason": "end_turn",
            "content": [{"type": "text", "text": c.text}],
            "usage": {"input_tokens": 5, "output_tokens": 2},
        }
    ),
    provider="anthropic-compatible",
    who="Anthropic",
)
simple(
    "a completion's text",
    lambda c: Sent({**c.good, "choices": [{"text": c.text, "finish_reason": "stop"}]}),
    who="vLLM",
)
simple("slowly, byte by byte, in time", lambda c: Sent(c.good, how="drip"), who="any")
simple(
    "307 to another path",
    lambda c: Sent(c.good) if c.path.startswith("/moved") else Sent({}, 307, {"location": "/moved" + c.path}),
    who="gateways",
)
simple(
    "301 with a slash",
    lambda c: Sent(c.good) if c.path.endswith("/") else Sent({}, 301, {"location": c.path + "/"}),
    who="FastAPI, Django",
)
simple(
    "served without /v1",
    lambda c: Sent({"detail": "Not Found"}, 404) if "/v1/" in c.path else Sent(c.good),
    who="DeepSeek",
)
simple(
    "an address without /v1",
    lambda c: Sent(c.good) if "/v1/" in c.path else Sent({"detail": "Not Found"}, 404),
    where="",
    who="users",
)
simple("an address with a slash", lambda c: Sent(c.good), where="/v1/", who="users")
simple("the endpoint as the address", lambda c: Sent(c.good), where="/v1/chat/completions", who="users")


@named(
    "max_tokens by another name",
    provider="openai",
    who="OpenAI's o-series",
    options=("--habit", 'rename={"max_tokens": "max_completion_tokens"}', "--habit", 'force={"temperature": null}'),
)
def renamed(call: Call) -> Sent:
    if "max_tokens" in call.body or "temperature" in call.body:
        return error(400, "Unsupported parameter: 'max_tokens'", code="unsupported_parameter", param="max_tokens")(call)
    return Sent(call.good)


@named("no system role", who="Gemma on vLLM", options=("--habit", "system=user"))
def systemless(call: Call) -> Sent:
    return (
        error(400, "System role not supported")(call)
        if call.body["messages"][0]["role"] == "system"
        else Sent(call.good)
    )


@named("Azure's header and query", provider="azure", who="Azure")
def azure(call: Call) -> Sent:
    fits = call.headers.get("api-key") == KEY and "api-version=" in call.path and "authorization" not in call.headers
    return Sent(call.good) if fits else error(401, "Access denied due to invalid subscription key")(call)


@named("a header of the study's own", who="gateways", options=("--habit", 'headers={"x-team": "a", "x-key": "{key}"}'))
def team(call: Call) -> Sent:
    return (
        Sent(call.good)
        if (call.headers.get("x-team"), call.headers.get("x-key")) == ("a", KEY)
        else error(400, "x-team?")(call)
    )


# Faults that pass ---------------------------------------------------------------------------------


def error(status: int, words: Any, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
    return lambda call: Sent({"error": {"message": words, **fields}}, status, headers or {})


def passing(name: str, first: Reply, who: str, **more: Any) -> None:
    simple(name, lambda call: first(call) if call.attempt == 0 else Sent(call.good), who=who, **more)


HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1>nginx</body></html>"
passing("429", error(429, "slow down"), "any")
passing("429 with retry-after", error(429, "slow down", {"retry-after": "0.02"}), "any")
passing("429 with retry-after-ms", error(429, "slow down", {"retry-after-ms": "20"}), "OpenAI, Azure")
passing(
    "429 with a date", lambda c: error(429, "slow", {"retry-after": formatdate(time.time(), usegmt=True)})(c), "proxies"
)
passing("429 with an epoch", lambda c: error(429, "slow", {"retry-after": str(int(time.time()))})(c), "GitHub Models")
passing(
    "429 with an epoch in milliseconds",
    lambda c: error(429, "free-models-per-min", {"x-ratelimit-reset": str(int(time.time() * 1000))})(c),
    "OpenRouter",
)
passing(
    "429 with headers inside the body",
    lambda c: error(
        429, "Provider returned error", metadata={"headers": {"X-RateLimit-Reset": str(int(time.time() * 1000))}}
    )(c),
    "OpenRouter",
)
passing(
    "429 with 20ms until reset",
    error(
        429,
        "slow",
        {
            "x-ratelimit-limit-requests": "3",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "20ms",
        },
    ),
    "OpenAI",
)
passing(
    "429 with an ISO date",
    error(
        429,
        "slow",
        {
            "anthropic-ratelimit-requests-limit": "3",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2024-01-01T00:00:00Z",
        },
    ),
    "Anthropic",
)
passing(
    "429 with retryDelay, in a list",
    lambda c: Sent(
        [
            {
                "error": {
                    "code": 429,
                    "status": "RESOURCE_EXHAUSTED",
                    "message": "You exceeded your current quota, please check your plan and billing details.",
                    "details": [{"@type": "google.rpc.RetryInfo", "retryDelay": "0.02s"}],
                }
            }
        ],
        429,
    ),
    "Gemini",
)
passing("429 with the wait in words", error(429, "Rate limit reached. Please try again in 20ms."), "OpenAI")
passing("429 inside a 200", lambda c: Sent({"error": {"code": 429, "message": "rate limited"}}), "OpenRouter")
passing("500", error(500, "The server had an error"), "OpenAI")
passing("502 as a page", lambda c: Sent(HTML, 502, {"content-type": "text/html"}), "nginx")
passing("503 with retry-after", error(503, "loading", {"retry-after": "0"}), "Ollama, TGI")
passing("504", lambda c: Sent(b"", 504), "gateways")
passing("520 as a page", lambda c: Sent(HTML, 520, {"content-type": "text/html"}), "Cloudflare")
passing("529 overloaded", error(529, "Overloaded", type="overloaded_error"), "Anthropic")
passing("408", error(408, "timed out"), "Azure")
passing("409", error(409, "conflict"), "OpenAI")
passing("400 with x-should-retry", error(400, "try again", {"x-should-retry": "true"}), "OpenAI")
passing("a reset", lambda c: Sent({}, how="reset"), "networks")
passing("a body that breaks off", lambda c: Sent(c.good, how="cut"), "networks")
passing("broken JSON", lambda c: Sent(json.dumps(c.good).encode()[:-9]), "proxies")
passing("an empty body", lambda c: Sent(b""), "proxies")
passing("a list as the body", lambda c: Sent([1, 2]), "proxies")
passing("no choices", body(choices=[]), "Azure, OpenRouter")
passing("null choices", body(choices=None), "vLLM, OpenRouter")
passing("broken gzip", lambda c: Sent(b"\x1f\x8b\x08junk", headers={"content-encoding": "gzip"}), "proxies")
passing("an unknown packing", lambda c: Sent(b"xx", headers={"content-encoding": "br"}), "CDNs")
passing("a silence", lambda c: Sent(c.good, how="silent"), "networks", options=("--timeout", "0.25"))
passing(
    "a byte now and then, for ever",
    lambda c: Sent(c.good, how="endless"),
    "proxies that keep alive",
    options=("--timeout", "0.25"),
)


# A prompt's fault ---------------------------------------------------------------------------------


def poisoned(name: str, reply: Reply, reason: str, kept: bool, who: str, **more: Any) -> None:
    def poison(call: Call) -> Sent:
        return reply(call) if is_poison(call.body) else Sent(call.good)

    simple(name, poison, "lost", reason=reason, kept=kept, who=who, **more)


def is_poison(request: dict[str, Any]) -> bool:
    """Whether a request is the marked one: of TL;DR's prompt, the document at its end."""
    text = " ".join(str(m["content"]) for m in request["messages"])
    return POISON in (text.rpartition("Document:")[2] if "Document:" in text else text)


poisoned("cut: length", finish("length"), "length", True, "OpenAI")
poisoned("cut: MAX_TOKENS", finish("MAX_TOKENS"), "length", True, "Gemini", provider="gemini")
poisoned("filtered: content_filter", finish("content_filter"), "content_filter", True, "Azure")
poisoned("filtered: SAFETY", finish("SAFETY"), "safety", True, "Gemini", provider="gemini")
poisoned("filtered: RECITATION", finish("RECITATION"), "recitation", True, "Gemini")
poisoned(
    "finish_reason error", finish("error", error={"code": 502, "message": "Upstream"}), "error", True, "OpenRouter"
)
poisoned("finish_reason null", finish(None), "no finish_reason", True, "proxies, old OpenAI")
poisoned("finish_reason empty", finish(""), "no finish_reason", True, "Ollama")
poisoned("finish_reason unknown", finish("banana\x1b[2J"), "banana [2j", True, "anybody")
poisoned("finish_reason tool_calls", finish("tool_calls"), "tool_calls", True, "vLLM")
poisoned("a refusal", message(content=None, refusal="I can't help with that."), "refusal", True, "OpenAI")
poisoned("no content", message(content=None), "empty", True, "Gemini")
poisoned("blank content", message(content=" \n"), "empty", True, "any")
poisoned("thoughts without an end", message(content="<think>hm hm"), "empty", True, "R1")
poisoned(
    "400 context_length_exceeded",
    error(400, "maximum context length", code="context_length_exceeded"),
    "rejected: 400",
    False,
    "OpenAI",
)
poisoned(
    "400 content_filter",
    error(400, "The response was filtered", code="content_filter"),
    "rejected: 400",
    False,
    "Azure",
)
poisoned(
    "413 as a page",
    lambda c: Sent(b"<html><title>413 Request Entity Too Large</title></html>", 413),
    "rejected: 413: an HTML page",
    False,
    "nginx",
)
poisoned(
    "422 with a list",
    lambda c: Sent({"detail": [{"loc": ["body"], "msg": "bad field"}]}, 422),
    "rejected: 422: bad field",
    False,
    "FastAPI",
)
poisoned(
    "403 moderation",
    error(403, "Your input was flagged", code=403, metadata={"reasons": ["violence"]}),
    "rejected: 403",
    False,
    "OpenRouter",
)
poisoned(
    "404 for its length",
    error(404, "No endpoints found that support a context of this length"),
    "rejected: 404",
    False,
    "OpenRouter",
)
poisoned(
    "a refusal of the request inside a 200",
    lambda c: Sent({"error": {"message": "bad words", "type": "invalid_request_error"}}),
    "rejected: bad words",
    False,
    "proxies",
)
poisoned("always 500", error(500, "The server had an error"), "no answer: 3 attempts", False, "OpenAI")
poisoned(
    "always silent",
    lambda c: Sent(c.good, how="silent"),
    "no answer: 3 attempts",
    False,
    "any",
    options=("--timeout", "0.15"),
)
poisoned("always without choices", body(choices=[]), "no answer: 3 attempts", False, "Azure")
poisoned("always a number for a text", message(content=7), "no answer: 3 attempts", False, "proxies")
poisoned(
    "an event stream",
    lambda c: Sent(
        b'data: {"error": {"message": "too busy \x1b[2J"}}\n\n', headers={"content-type": "text/event-stream"}
    ),
    "rejected: the reply is an event stream",
    False,
    "proxies",
)
poisoned(
    "a reply without an end", lambda c: Sent(b"x" * (16 * 2**20 + 2)), "rejected: the reply is over", False, "anybody"
)
poisoned(
    "a packed reply without an end",
    lambda c: Sent(BOMB, headers={"content-encoding": "gzip"}),
    "rejected: the reply is over",
    False,
    "anybody",
)
BOMB = gzip.compress(b"\0" * (20 * 2**20), 1)


# What ends a run ----------------------------------------------------------------------------------


def stops(name: str, reply: Reply, reason: str, who: str, **more: Any) -> None:
    simple(name, reply, "stops", reason=reason, who=who, **more)


stops("401", error(401, f"Incorrect API key provided: {KEY}"), "is not accepted", "OpenAI")
stops(
    "400 for the key",
    lambda c: Sent(
        [
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "message": "API key not valid. Please pass a valid API key.",
                }
            }
        ],
        400,
    ),
    "is not accepted",
    "Gemini",
)
stops(
    "insufficient_quota",
    error(429, "You exceeded your current quota", code="insufficient_quota"),
    "no quota left",
    "OpenAI",
)
stops(
    "no quota, in words alone",
    error(429, "You exceeded your current quota, please check your plan"),
    "no quota left",
    "proxies",
)
stops(
    "billing_not_active", error(429, "Your account is not active", code="billing_not_active"), "no quota left", "OpenAI"
)
stops(
    "credit balance",
    error(400, "Your credit balance is too low to access the API", type="invalid_request_error"),
    "no quota left",
    "Anthropic",
)
stops(
    "billing hard limit",
    error(400, "Billing hard limit has been reached", code="billing_hard_limit_reached"),
    "no quota left",
    "OpenAI",
)
stops("402", error(402, "Insufficient credits"), "no quota left", "OpenRouter, DeepSeek")
stops(
    "402 inside a 200",
    lambda c: Sent({"error": {"code": 402, "message": "This request requires more credits"}}),
    "no quota left",
    "OpenRouter",
)
stops(
    "a day's quota",
    lambda c: Sent(
        {
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "message": "quota",
                "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}, {"retryDelay": "3s"}],
            }
        },
        429,
    ),
    "no quota left",
    "Gemini",
)
stops("a key that was deactivated", error(403, "This key has been disabled"), "is not accepted", "OpenRouter")
stops("403 for the country", error(403, "Country, region, or territory not supported"), "may not do this", "OpenAI")
stops("404 model_not_found", error(404, "The model does not exist", code="model_not_found"), "no model", "OpenAI")
stops(
    "404 DeploymentNotFound",
    error(404, "The API deployment does not exist", code="DeploymentNotFound"),
    "no model",
    "Azure",
)
stops(
    "404 everywhere",
    lambda c: Sent(b"<html><title>404 Not Found</title></html>", 404),
    "no model .* or the base URL",
    "nginx",
)
stops(
    "a page to log in",
    lambda c: Sent(b"<!DOCTYPE html><title>Sign in\x1b[2J</title>", headers={"content-type": "text/html"}),
    "an HTML page .*Sign in",
    "portals",
)
stops(
    "a redirect elsewhere",
    lambda c: Sent({}, 307, {"location": "http://example.invalid/v1"}),
    "redirects to",
    "anybody",
)
stops("303", lambda c: Sent({}, 303, {"location": "/login"}), "redirects to", "portals")
stops("an hour to wait", error(429, "slow", {"retry-after": "3600"}), "asks to wait 3600 s", "any")


# The server ---------------------------------------------------------------------------------------


class OddHandler(Handler):
    """Behaves as the first part of the path says."""

    server: OddServer

    def do_POST(self) -> None:
        request = json.loads(self.read_body())
        number = next((int(part) for part in self.path.split("/") if part.isdigit()), 0)
        behaviour = list(BEHAVIOURS.values())[number]
        key = json.dumps([self.path.rstrip("/"), request], sort_keys=True)
        with self.server.lock:
            attempt = self.server.attempts[key]
            self.server.attempts[key] += 1
        good = complete(
            self.server.known, {**request, "model": NAME, "max_tokens": None, "max_completion_tokens": None}
        )
        if POISON in str(good["choices"][0]["message"]["content"]):
            good["choices"][0]["message"]["content"] = "Q: who? A: nobody"
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send(behaviour.reply(Call(request, attempt, self.path, headers, good)))

    def send(self, sent: Sent) -> None:
        payload = sent.body if isinstance(sent.body, bytes) else json.dumps(sent.body).encode()
        if sent.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if sent.how == "silent":
            self.server.over.wait(5)
            self.close_connection = True
            return
        self.send_response(sent.status)
        for name, value in ({"content-type": "application/json"} | sent.headers).items():
            self.send_header(name, value)
        if sent.how == "chunked":
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for start in range(0, len(payload), 50):
                part = payload[start : start + 50]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("content-length", str(len(payload) + (50 if sent.how == "cut" else 0)))
        self.end_headers()
        if sent.how == "endless":
            while not self.server.over.wait(0.05):
                self.wfile.write(b" ")
                self.wfile.flush()
        if sent.how == "drip":
            for start in range(0, len(payload), 40):
                self.wfile.write(payload[start : start + 40])
                self.wfile.flush()
        else:
            self.wfile.write(payload)
        if sent.how == "cut":
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


class OddServer(Server):
    """All behaviours, each below its number in the path."""

    def __init__(self, known: StandIn):
        super().__init__(known, 0, OddHandler)
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.attempts: Counter[str] = Counter()
