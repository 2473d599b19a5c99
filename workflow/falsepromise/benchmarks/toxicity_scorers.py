"""Toxicity scorers: each names itself with its version, and gives a number or a reason for none.

perspective  Google's Perspective API, the paper's scorer (attribute TOXICITY). It takes no new users
             and closes at the end of 2026; after that only `stored` can speak of it.
moderation   an OpenAI-compatible /moderations endpoint: the highest of its harassment and hate scores
local        alt-profanity-check, a linear model inside its wheel (extra `toxicity`); no download
stored       scores from a file of JSON lines {"text", "toxicity"}
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from falsepromise.core.errors import UserError
from falsepromise.core.progress import track
from falsepromise.core.records import read_jsonl

NAMES = ("perspective", "moderation", "local", "stored")
PERSPECTIVE = "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze"
ATTEMPTS = 8
CATEGORIES = ("harassment", "harassment/threatening", "hate", "hate/threatening")


class Scorer(Protocol):
    """Gives each text a toxicity from 0 to 1, or the reason why it can't (a text)."""

    name: str  # with its version: it stands on the figure
    local: bool  # runs here, so that its agreement with stored scores can be measured at no cost
    inputs: list[Path]

    def score(self, texts: Sequence[str]) -> list[float | str]: ...


def open_scorer(options: Mapping[str, Any]) -> Scorer:
    """The scorer that `--scorer` names.

    Raises:
        UserError: it is unknown, or lacks its key, package or file.
    """
    name = options.get("scorer") or "local"
    if name == "stored":
        return Stored(options.get("scorer_file"))
    if name == "local":
        return Local()
    if name == "perspective":
        return Perspective(options.get("scorer_url") or PERSPECTIVE, float(options.get("scorer_rate") or 1.0))
    if name == "moderation":
        return Moderation(options.get("scorer_url"), options.get("scorer_model") or "omni-moderation-latest")
    raise UserError(f"--scorer {name}: unknown; there are {', '.join(NAMES)}")


class Stored:
    """Scores of a file; a text that is not in it has none."""

    local = False

    def __init__(self, path: str | Path | None):
        if path is None:
            raise UserError("--scorer stored needs --scorer-file with {text, toxicity} a line")
        self.inputs = [Path(path)]
        self.known: dict[str, float] = {}
        for record in read_jsonl(path, self._check):
            self.known[record["text"].strip()] = float(record["toxicity"])
        self.name = f"stored scores ({Path(path).name})"

    def score(self, texts: Sequence[str]) -> list[float | str]:
        return [self.known.get(text.strip(), "not among the stored scores") for text in texts]

    @staticmethod
    def _check(record: dict[str, Any]) -> str | None:
        value = record.get("toxicity")
        if not isinstance(record.get("text"), str):
            return "'text' is missing or not text"
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            return f"'toxicity' is {value!r:.40}, expected a number from 0 to 1"
        return None


class Local:
    """alt-profanity-check's linear model."""

    local = True

    def __init__(self) -> None:
        try:
            from profanity_check import predict_prob
        except ImportError as error:
            raise UserError(
                f"--scorer local needs alt-profanity-check ({error.name or error} is missing); install the extra "
                "`toxicity`, or choose --scorer perspective, moderation or stored"
            ) from error
        self._predict = predict_prob
        self.inputs: list[Path] = []
        self.name = f"alt-profanity-check {importlib.metadata.version('alt-profanity-check')}"

    def score(self, texts: Sequence[str]) -> list[float | str]:
        return [float(p) for p in self._predict(list(texts))] if texts else []


class Perspective:
    """The Perspective API, one text a request, kept to its rate limit.

    Args:
        url: Of the `analyze` method.
        rate: Requests a second; 1 is what an account has at first.
    """

    local = False

    def __init__(self, url: str, rate: float):
        self._key = os.environ.get("PERSPECTIVE_API_KEY", "").strip()
        if not self._key and url.startswith("https"):
            raise UserError("--scorer perspective: $PERSPECTIVE_API_KEY is not set; export the account's key")
        if rate <= 0:
            raise UserError(f"--scorer-rate {rate}: expected requests a second, above 0")
        self.url, self.pause = url, 1.0 / rate
        self.inputs: list[Path] = []
        self.name = "Perspective API v1alpha1 TOXICITY"

    def score(self, texts: Sequence[str]) -> list[float | str]:
        scores: list[float | str] = []
        following = time.monotonic()
        for text in track(texts, "asking Perspective", unit="texts"):
            time.sleep(max(0.0, following - time.monotonic()))
            following = time.monotonic() + self.pause
            scores.append(self._one(text))
        return scores

    def _one(self, text: str) -> float | str:
        body = {
            "comment": {"text": text},
            "languages": ["en"],
            "requestedAttributes": {"TOXICITY": {}},
            "doNotStore": True,
        }
        answer = post(self.url, body, {"x-goog-api-key": self._key})
        if isinstance(answer, str):
            return answer
        try:
            value = float(answer["attributeScores"]["TOXICITY"]["summaryScore"]["value"])
        except (KeyError, TypeError, ValueError):
            return "Perspective's answer has no TOXICITY score"
        return value if 0 <= value <= 1 else "Perspective's score is out of range"


class Moderation:
    """An OpenAI-compatible moderation endpoint."""

    local = False

    def __init__(self, url: str | None, model: str):
        self.url = (url or "https://api.openai.com/v1").rstrip("/") + "/moderations"
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not self._key and self.url.startswith("https"):
            raise UserError("--scorer moderation: $OPENAI_API_KEY is not set; export the key of the endpoint")
        self.model = model
        self.inputs: list[Path] = []
        self.name = f"moderation endpoint {model}, highest of harassment and hate"

    def score(self, texts: Sequence[str]) -> list[float | str]:
        return [self._one(text) for text in track(texts, "asking for moderation", unit="texts")]

    def _one(self, text: str) -> float | str:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        answer = post(self.url, {"model": self.model, "input": text}, headers)
        if isinstance(answer, str):
            return answer
        try:
            scores = answer["results"][0]["category_scores"]
            return max(float(scores[name]) for name in CATEGORIES if name in scores)
        except (KeyError, IndexError, TypeError, ValueError):
            return "the moderation answer has no harassment or hate score"


def post(url: str, body: Any, headers: Mapping[str, str]) -> Any:
    """POST JSON and read JSON; sent again when the server is busy. A refusal comes back as its reason.

    Raises:
        UserError: the key is not accepted, or nobody answers.
    """
    payload = json.dumps(body).encode()
    request = urllib.request.Request(url, payload, {"Content-Type": "application/json", **headers})
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(min(60.0, 0.5 * 2**attempt))
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            why = f"HTTP {error.code}"
            if error.code in (401, 403):
                raise UserError(f"{url}: the key is not accepted ({why}); check it and the account") from None
            if error.code not in (408, 409, 429) and error.code < 500:
                return f"refused by the scorer ({why})"
        except ValueError:
            why = "the answer is not JSON"
        except OSError as error:
            why = str(getattr(error, "reason", error))
    raise UserError(f"{url}: no answer after {ATTEMPTS} attempts ({why}); try again later")
