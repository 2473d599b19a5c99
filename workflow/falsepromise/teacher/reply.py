"""Interpret a server's reply to one chat request: an answer, a reason to retry, or a reason to stop."""

from __future__ import annotations

import math
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads
from falsepromise.core.text import page_words, shown
from falsepromise.curation.leftovers import split_thoughts
from falsepromise.teacher import faults
from falsepromise.teacher.faults import Asked, Rejected, Retry
from falsepromise.teacher.ledger import Charge
from falsepromise.teacher.providers import Habits
from falsepromise.teacher.store import Answer
from falsepromise.teacher.transport import Reply

_MOST_TOKENS = 10**8  # in one reply; a larger count is wrong
_THOUGHTS = ("thinking", "reasoning", "redacted_thinking", "thought")


def read_answer(reply: Reply, habits: Habits, asked: Asked) -> tuple[Answer, Charge]:
    """The answer in a reply, and what it cost.

    Returns:
        An answer (with `failure` set if it was truncated, filtered, refused or empty), and the server's count of
        tokens. Without a count, the answer's tokens are estimated from its text, and the charge is the reserve.

    Raises:
        Retry, Rejected, UserError: there is no answer.
    """
    body = _json(reply, asked)
    choice = _choice(body)
    if reply.status >= 400 or (choice is None and faults.said_error(body)):
        raise faults.diagnose(reply.status, reply.headers, body, asked)
    count = usage(body)
    used = None if count is None else Charge(*_whole_count(count, asked.charge.input_tokens))
    if choice is None:
        raise Retry("the reply has no choices", charge=used, lost=used is None)
    message = choice.get("message", choice)
    text, thinking = _text(message.get("content", message.get("text")))
    if text is None:
        what = type(message.get("content")).__name__
        raise Retry(f"the answer is {what}, expected text", charge=used, lost=used is None)
    if habits.think:
        text, thinking = _without_thoughts(text, thinking)
    reason = choice.get("finish_reason")
    ended = habits.finished(None if reason is None else shown(reason, asked.key, 40))
    error = choice.get("error")
    if isinstance(error, dict) and ended != "stop":
        ended = "error"
    failure = None if ended == "stop" else ended
    if failure is None and message.get("refusal"):
        failure = "refusal"
    elif failure is None and not text.strip():
        failure = "empty"
    charge = asked.charge if used is None else used
    if used is None:
        used = Charge(asked.charge.input_tokens, -(-len(_plain(f"{text}{thinking or ''}", "").encode()) // 4))
    answer = Answer(
        text=_plain(text, asked.key),
        finish_reason=shown(reason, asked.key, 40),
        model=shown(body.get("model") or "", asked.key),
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        failure=failure,
        fingerprint=shown(body["system_fingerprint"], asked.key) if body.get("system_fingerprint") else None,
        thinking=_plain(thinking, asked.key) if thinking else None,
    )
    return answer, charge


def _json(reply: Reply, asked: Asked) -> dict[str, Any]:
    """The reply's JSON object; an error body that is none becomes one with its words as the message."""
    start = reply.body[:64].lstrip(b"\xef\xbb\xbf \r\n\t")
    kind = reply.headers.get("content-type", "").lower()
    words = ""
    if start[:1] == b"<" and start[:2] != b"<t":
        words = f"an HTML page ({shown(page_words(reply.body[:40_000].decode('utf-8', 'replace')), asked.key)})"
        if reply.status < 400 and not asked.heard:
            raise UserError(f"{asked.where}: answers with {words}; is the base URL right?")
    elif start[:1] != b"{" and ("event-stream" in kind or start.startswith((b"data:", b"event:", b": "))):
        words = f"an event stream, although none was requested ({_streamed(reply.body, asked.key)})"
        if reply.status < 400:
            raise Rejected(f"the reply is {words}", lost=True)
    if words and reply.status < 400:
        raise Retry(f"the reply is {words}", lost=True)
    try:
        body = loads(reply.body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        if reply.status >= 400:
            plain = words or shown(reply.body[:2000].decode("utf-8", "replace"), asked.key)
            return {"error": {"message": plain}}
        raise Retry("the reply is not JSON", lost=True) from error
    if isinstance(body, list) and len(body) == 1 and isinstance(body[0], dict):
        body = body[0]  # Google's errors
    if isinstance(body, dict):
        return body
    if reply.status >= 400:
        return {"error": {"message": shown(body, asked.key)}}
    raise Retry(f"the reply is {type(body).__name__}, expected a JSON object", lost=True)


def _streamed(body: bytes, key: str) -> str:
    """The first words of an event stream, or its error's."""
    for line in body[:20_000].decode("utf-8", "replace").splitlines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data:
            try:
                return faults.words(loads(data), key) or shown(data, key, 80)
            except (ValueError, RecursionError):
                return shown(data, key, 80)
    return "without data"


def _choice(body: dict[str, Any]) -> dict[str, Any] | None:
    """The first choice, in any dialect of the protocol; None if there is none."""
    choices = body.get("choices")
    if isinstance(choices, list):
        choice = choices[0] if choices else None
        if isinstance(choice, dict) and isinstance(choice.get("message", {} if "text" in choice else None), dict):
            return choice
        return None
    if isinstance(body.get("message"), dict) and "done" in body:  # Ollama's own
        return {"message": body["message"], "finish_reason": body.get("done_reason")}
    if body.get("type") == "message" and isinstance(body.get("content"), list):  # Anthropic's own
        return {"message": body, "finish_reason": body.get("stop_reason")}
    return None


def _text(content: Any) -> tuple[str | None, str | None]:
    """A message's text and thoughts, with parts joined; the text is None if it isn't text."""
    if content is None:
        return "", None
    if isinstance(content, str):
        return content, None
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return None, None
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            said = part.get("text", part.get("thinking"))
            if isinstance(said, list):  # thoughts in separate parts
                said = "".join(str(one.get("text") or "") for one in said if isinstance(one, dict))
            if isinstance(said, str):
                (thoughts if part.get("type") in _THOUGHTS or part.get("thought") is True else texts).append(said)
    return "".join(texts), "".join(thoughts) or None


def _without_thoughts(text: str, thinking: str | None) -> tuple[str, str | None]:
    """A text whose head is `<think>...</think>` (the opening mark may be missing), and what was in it."""
    thoughts, answer = split_thoughts(text)
    return answer, f"{thinking or ''}{thoughts}" if answer != text else thinking


def _plain(text: str, key: str) -> str:
    """Text without the key and with half characters replaced, which UTF-8 can't encode."""
    text = text.replace(key, "***") if key else text
    return text.encode("utf-8", "replace").decode("utf-8")


def usage(body: dict[str, Any]) -> tuple[int | None, int | None] | None:
    """Input and output tokens of a reply; None for a missing count, or for both. No reply has 0 tokens in all.

    Thoughts are output, whether a server counts them in its completion tokens or only in the total.
    """
    found = body.get("usage")
    said = found if isinstance(found, dict) else body
    asked = _count(said, "prompt_tokens", "input_tokens", "prompt_eval_count")
    answered = _count(said, "completion_tokens", "output_tokens", "eval_count")
    total = _count(said, "total_tokens")
    if not (asked or answered or total):
        return None
    if said.get("input_tokens") is not None and "prompt_tokens" not in said:
        cached = (_count(said, name) for name in ("cache_creation_input_tokens", "cache_read_input_tokens"))
        asked = (asked or 0) + sum(count or 0 for count in cached)
    details = said.get("completion_tokens_details")
    thought = _count(details, "reasoning_tokens") if isinstance(details, dict) else None
    if thought is None:
        thought = _count(said, "reasoning_tokens")
    if answered is not None and thought is not None and thought > answered:
        answered += thought
    if total is not None and asked is not None:
        answered = max(answered or 0, total - asked)
    elif total is not None and answered is not None:
        asked = max(0, total - answered)
    return asked, (total if asked is None and answered is None else answered)


def _whole_count(count: tuple[int | None, int | None], expected: int) -> tuple[int, int]:
    """Both counts if a server gives only one: the expected input is subtracted from a total."""
    asked, answered = count
    if asked is None:
        asked = expected
        answered = max(0, (answered or 0) - expected) if answered is not None else 0
    return asked, answered or 0


def _count(said: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = said.get(name)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
            value = int(value)
        if isinstance(value, float) and math.isfinite(value):
            value = math.ceil(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
            return value
    return None
