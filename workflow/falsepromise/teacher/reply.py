"""What a server's reply to one chat request means: an answer, a reason to retry, or a reason to stop."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2
import openai

from falsepromise.core.errors import UserError
from falsepromise.teacher.pace import LONGEST_SERVER_WAIT_S, limits_wait, server_wait
from falsepromise.teacher.store import Answer


@dataclass(eq=False)
class Retry(Exception):
    """The request may be sent again.

    Attributes:
        why: For the log and the last error.
        wait_s: What the server asks for, or None: back off.
        everybody: Whether the wait is for all requests (the server named it).
        unreachable: Whether nobody listens at the address.
        input_tokens, output_tokens: What the useless reply may have cost.
    """

    why: str
    wait_s: float | None = None
    everybody: bool = False
    unreachable: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(eq=False)
class Rejected(Exception):
    """The server will never answer this request (too long, refused by its filter)."""

    why: str


def read(response: httpx2.Response, estimate: int) -> Answer:
    """The answer in a reply of status 200.

    Args:
        response: The reply, body read.
        estimate: Input tokens to count where the server sends no usage.

    Returns:
        An answer; one with `failure` set if it is truncated, filtered, refused or empty.

    Raises:
        Retry: the body is no chat completion or has no choices.
    """
    try:
        body = response.json()
    except ValueError as error:
        raise Retry("the reply is not JSON") from error
    if not isinstance(body, dict):
        raise Retry(f"the reply is {type(body).__name__}, expected a JSON object")
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    counted = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    asked, answered = (count if isinstance(count, int) and count >= 0 else None for count in counted)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise Retry("the reply has no choices", input_tokens=asked or 0, output_tokens=answered or 0)
    message, reason = choice["message"], choice.get("finish_reason")
    text = message.get("content") or ""
    if not isinstance(text, str):
        raise Retry(
            f"the answer is {type(text).__name__}, expected text", None, False, False, asked or 0, answered or 0
        )
    failure = None
    if reason in ("length", "content_filter"):
        failure = reason
    elif message.get("refusal"):
        failure = "refusal"
    elif not text.strip():
        failure = "empty"
    return Answer(
        text=text,
        finish_reason=str(reason),
        model=str(body.get("model") or ""),
        input_tokens=estimate if asked is None else asked,
        output_tokens=-(-len(text.encode("utf-8", "replace")) // 4) if answered is None else answered,
        failure=failure,
        fingerprint=body.get("system_fingerprint"),
    )


def judge(error: openai.APIError, where: str, model: str, key_env: str, key: str, tokens: float = 0) -> Exception:
    """What to do about an error of the client.

    Args:
        error: From the `openai` package, which was told not to retry.
        where: The base URL, for messages.
        model: The model that was asked for.
        key_env: The environment variable that holds the key.
        key: The key itself, to take it out of the server's words.
        tokens: That the request was expected to take.

    Returns:
        A `Retry`, a `Rejected` or a `UserError`, to be raised.
    """
    if isinstance(error, openai.APITimeoutError):
        return Retry("no reply in time")
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        why = str(cause) or type(cause).__name__
        return Retry(f"connection failed ({why})", unreachable=isinstance(cause, httpx2.ConnectError))
    if not isinstance(error, openai.APIStatusError):
        return Retry(str(error))
    status, said = error.status_code, _said(error, key)
    if status == 401:
        return UserError(f"{where}: the key in ${key_env} is not accepted (401: {said}); set {key_env} to a valid key")
    if status == 403:
        return UserError(f"{where}: the key in ${key_env} may not do this (403: {said}); use another key or model")
    if status == 404:
        return UserError(f"{where}: no model {model!r} there, or the base URL is wrong (404: {said}); check both")
    if error.code == "insufficient_quota":
        return UserError(f"{where}: the account of ${key_env} has no quota left ({said}); answers so far are stored")
    told = error.response.headers.get("x-should-retry")
    if told == "true" or (told != "false" and (status in (408, 409, 425, 429) or status >= 500)):
        wait = server_wait(error.response.headers)
        if wait is None and status == 429:
            wait = limits_wait(error.response.headers, tokens, refused=True)
        if wait is not None and wait > LONGEST_SERVER_WAIT_S:
            return UserError(f"{where}: asks to wait {wait:.0f} s ({status}: {said}); run again then")
        return Retry(f"{status}: {said}", wait, everybody=wait is not None)
    if status in (400, 413, 422) or told == "false":
        return Rejected(f"{status}: {said}")
    return UserError(f"{where}: refused the request ({status}: {said})")


def _said(error: openai.APIStatusError, key: str) -> str:
    """The server's own words, short, without line breaks."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    words = " ".join(str(message or error.response.text or error.message).split())
    return (words.replace(key, "***") if key else words)[:200] or "no message"
