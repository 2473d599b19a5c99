"""Decide what a server's error means: give up this request, wait, or end the run.

Servers express the same error by status, code, type or words alone, and some in a body of status 200.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.text import shown
from falsepromise.teacher.ledger import Charge
from falsepromise.teacher.pace import LONGEST_SERVER_WAIT_S, asked_wait, duration, limits_wait, server_wait


@dataclass(frozen=True)
class Asked:
    """The server and model of a reply, for messages, and its possible cost.

    Attributes:
        where: The base URL.
        model: The requested model.
        key_env: The environment variable that contains the key.
        key: The key itself, to remove it from the server's words.
        charge: The reserve.
        heard: Whether this server has answered before, with this key and model.
    """

    where: str
    model: str
    key_env: str
    key: str
    charge: Charge
    heard: bool


@dataclass(eq=False)
class Retry(Exception):
    """The request may be sent again.

    Attributes:
        why: For the log and the last error.
        wait_s: Seconds that the server asks to wait, or None: back off.
        slow_down: Whether the server refused it because of a rate limit.
        charge: The useless reply's cost, as the server states it.
        lost: Whether it may have cost up to its reserve.
        silent: Whether the reply timed out.
    """

    why: str
    wait_s: float | None = None
    slow_down: bool = False
    charge: Charge | None = None
    lost: bool = False
    silent: bool = False


@dataclass(eq=False)
class Rejected(Exception):
    """The server will never answer this request (too long, refused by its filter)."""

    why: str
    lost: bool = False


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# Codes, types and words for: no money left, a bad key, a key without permission, a request that a filter caught,
# a request that is too long.
_NO_CREDIT = frozenset({
    "insufficient_quota", "billing_not_active", "billing_hard_limit_reached", "insufficient_user_quota",
    "insufficient_balance", "insufficient_funds", "insufficient_credits", "payment_required",
    "account_suspended", "billing_error", "credits_exhausted", "arrearage",
})  # fmt: skip
_NO_CREDIT_WORDS = _any(
    r"credit balance is too low",
    r"insufficient (?:credit|balance|quota|fund)",
    r"billing hard limit|hard limit (?:has been |was |is )?(?:reached|exceeded)",
    r"out of credits?|no credits?\b|more credits|purchase credits",
    r"billing (?:is )?not active|account is not active|payment (?:is )?required",
    r"(?:account|credits?|budget|spend(?:ing)?)(?: limit)?(?: ha(?:s|ve) been)? (?:exhausted|exceeded|used up)",
    r"exceeded budget|in arrears|overdue|reached your (?:specified )?(?:api )?usage limit|余额不足|欠费",
)
_QUOTA_WORDS = _any("exceeded your current quota")
_BAD_KEY = frozenset({
    "invalid_api_key", "authentication_error", "invalid_authentication", "account_deactivated",
    "unauthenticated",
})  # fmt: skip
_BAD_KEY_WORDS = _any(
    r"(?:incorrect|invalid|bad|unknown|expired|revoked|disabled|missing) api[ _-]?key",
    r"api[ _-]?key (?:is |was |has |been )*(?:not valid|invalid|incorrect|expired|revoked|disabled)",
    r"(?:key|account) (?:has been |was |is )?(?:deactivated|suspended|terminated|disabled|revoked|expired|banned)",
    r"key limit exceeded|(?:no|missing) (?:auth|credentials|api key)|user not found",
)
_NOT_ALLOWED = _any(
    r"not (?:allowed|authori[sz]ed|permitted|supported in)|permission|denied|unauthori[sz]ed|no access|have access",
    r"country|region|territory|your (?:key|project|organi[sz]ation|account|ip)\b|access to (?:the )?model",
)
_MODERATED = _any(
    r"moderat|flagged|content|safety|policy|policies|violat|harm|filter|inappropriate|prohibited|sensitive"
)
_MODERATED_CODES = frozenset({"content_policy_violation", "content_filter", "moderation"})
_TOO_LONG = _any(r"context|too (?:long|large|many)|length|maximum|tokens|prompt|input")
_NEVER_FITS = _any(r"tokens must be reduced")  # one request beyond the tokens of a minute
_NO_MODEL = _any(r"model .{0,200}(?:exist|found)")
_NO_MODEL_CODES = frozenset({"model_not_found", "deploymentnotfound"})
_TOO_LONG_CODES = {"context_length_exceeded", "string_above_max_length", "request_too_large"}
_LOST = {408, 499, 502, 504, 520, 522, 523, 524}  # a gateway gave up: the server behind it may have answered


def said_error(body: Mapping[str, Any]) -> bool:
    """Whether a body reports an error."""
    return bool(body.get("error")) or any(isinstance(body.get(name), str) for name in ("detail", "message", "msg"))


def words(body: Any, key: str = "") -> str:
    """The server's message in an error body, without the key, safe for a terminal; empty if there is none."""
    error = _error(body)
    found = next((error[name] for name in ("message", "msg", "detail", "error", "reason") if error.get(name)), "")
    if isinstance(found, list):  # FastAPI's: what is wrong with each field
        found = "; ".join(str(item.get("msg", item)) if isinstance(item, dict) else str(item) for item in found)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    reasons = metadata.get("reasons") if isinstance(metadata, dict) else None
    if isinstance(reasons, list) and reasons:
        found = f"{found} ({', '.join(map(str, reasons[:5]))})"
    return shown(f"{found}: {raw}" if raw and raw != found else found, key)


def _error(body: Any) -> dict[str, Any]:
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {"message": body} if isinstance(body, str) else {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    return {**body, "message": error} if isinstance(error, str) else body


def _names(error: Mapping[str, Any]) -> set[str]:
    """The codes and types of an error, in lower case."""
    found = [error.get(name) for name in ("code", "type", "status")]
    inner = error.get("innererror")
    found += [inner.get("code")] if isinstance(inner, dict) else []
    return {name.strip().lower() for name in found if isinstance(name, str)}


def diagnose(status: int, headers: Mapping[str, str], body: Mapping[str, Any], asked: Asked) -> Exception:
    """The exception for an error.

    Args:
        status: The reply's status; for 200, the code in the body is used.
        headers: The reply's headers.
        body: The reply's JSON.
        asked: The server and model.

    Returns:
        A `Retry`, a `Rejected` or a `UserError`, to be raised.
    """
    error = _error(body)
    names, said = _names(error), words(body, asked.key) or "no message"
    inside = status < 400
    if inside:
        status = _status_of(error)
    where, env = asked.where, f"${asked.key_env}"
    named = f"{status}: {said}" if status else said
    wait = _hint(status, headers, error, said, asked.charge.tokens)
    # Google uses the same code for a minute's quota, with the time to wait or the quota's name.
    quota = bool(_QUOTA_WORDS.search(said)) and wait is None and "resource_exhausted" not in names
    if status == 402 or names & _NO_CREDIT or _NO_CREDIT_WORDS.search(said) or quota or _per_day(error):
        return UserError(f"{where}: the account of {env} has no quota left ({named}); answers so far are stored")
    if status == 401 or names & _BAD_KEY or (status < 500 and _BAD_KEY_WORDS.search(said)):
        return UserError(f"{where}: the key in {env} is not accepted ({named}); set {asked.key_env} to a valid key")
    flagged = bool(_MODERATED.search(said) or names & _MODERATED_CODES)
    if status == 403 and not asked.heard and not flagged and _NOT_ALLOWED.search(said):
        return UserError(f"{where}: the key in {env} may not do this ({named}); use another key or model")
    if status == 404 and not asked.heard and (names & _NO_MODEL_CODES or not _long(said, names)):
        gone = f"no model {asked.model!r} (it may be retired), or the base URL is wrong ({named})"
        return UserError(f"{where}: {gone}; check both")
    lost = status in _LOST
    told = headers.get("x-should-retry", "").strip().lower()
    unnamed = inside and status == 0 and "invalid_request_error" not in names
    transient = status in (408, 409, 425, 429, 499) or status >= 500 or unnamed
    transient = transient and not _NEVER_FITS.search(said)
    if told == "true" or (told != "false" and transient):
        if wait is not None and wait > LONGEST_SERVER_WAIT_S:
            return UserError(f"{where}: asks to wait {wait:.0f} s ({named}); run again then")
        return Retry(named, wait, slow_down=status == 429 or (wait is not None and status == 503), lost=lost)
    return Rejected(named + _remedy(names, said, error), lost=lost)


def _status_of(error: Mapping[str, Any]) -> int:
    """The status that a body of status 200 names, or 0."""
    for name in ("code", "status", "status_code"):
        value = error.get(name)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return 0


def _hint(status: int, headers: Mapping[str, str], error: Mapping[str, Any], said: str, tokens: int) -> float | None:
    """Seconds to wait: from the headers, else Google's body, else the message, else the rest of the limits."""
    wait = server_wait(headers)
    for detail in _details(error):
        metadata = detail.get("metadata")
        delay = detail.get("retryDelay") or (metadata.get("quotaResetDelay") if isinstance(metadata, dict) else None)
        if wait is None and isinstance(delay, str):
            wait = duration(delay)
    if wait is None and status in (0, 429, 503):
        wait = asked_wait(said)
    if wait is None and status == 429:
        metadata = error.get("metadata")
        inner = metadata.get("headers") if isinstance(metadata, dict) else None
        lowered = {str(k).lower(): str(v) for k, v in inner.items()} if isinstance(inner, dict) else {}
        wait = limits_wait({**lowered, **headers}, tokens, refused=True)
    return wait


def _per_day(error: Mapping[str, Any]) -> bool:
    """Whether Google's daily quota is used up: its hint to wait some seconds is for the quota of a minute."""
    for detail in _details(error):
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else []:
            if isinstance(violation, dict) and "perday" in str(violation.get("quotaId", "")).lower():
                return True
    return False


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The details of one of Google's errors."""
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _long(said: str, names: set[str]) -> bool:
    """Whether an error is about the length of the request."""
    return bool(names & _TOO_LONG_CODES or (_TOO_LONG.search(said) and not _NO_MODEL.search(said)))


def _remedy(names: set[str], said: str, error: Mapping[str, Any]) -> str:
    """A hint for a parameter that the model doesn't accept."""
    if not names & {"unsupported_parameter", "unsupported_value"} and "nsupported" not in said:
        return ""
    param = shown(error.get("param") or "", longest=40)
    if param == "max_tokens" or "max_completion_tokens" in said:
        return """; add --habit 'rename={"max_tokens": "max_completion_tokens"}'"""
    return f"; add --habit 'force={{\"{param}\": null}}'" if param else ""
