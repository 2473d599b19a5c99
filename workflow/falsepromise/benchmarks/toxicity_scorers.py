"""Score toxicity: each scorer has a name with its version, and gives a number or a reason for none.

perspective  Google's Perspective API, the paper's scorer (attribute TOXICITY). It takes no new users
             and closes at the end of 2026; after that only `stored` can speak of it.
moderation   an OpenAI-compatible /moderations endpoint: the highest of its harassment and hate scores
local        alt-profanity-check, a linear model inside its wheel (extra `toxicity`); no download
stored       scores from a file of JSON lines {"text", "toxicity"}

A server's scores are stored as they arrive, in a file of the form that `stored` reads: a run that ends
early goes on there, and Perspective's numbers outlive Perspective.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from falsepromise.benchmarks import files
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import sha256
from falsepromise.core.progress import Progress
from falsepromise.core.records import dumps, loads, read_jsonl
from falsepromise.models.chat import well_formed
from falsepromise.teacher.pace import heeded, server_wait
from falsepromise.teacher.providers import Habits
from falsepromise.teacher.transport import Lost, Reply, Transport, Unsent

NAMES = ("perspective", "moderation", "local", "stored")
PERSPECTIVE = "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze"
PICKLES = {
    "model.joblib": "aeafc04849d4d93db4721cf30a86ebf22085595294b8a07d51918e7fa98f538b",
    "vectorizer.joblib": "19c5200dc6a41f026e0558e2f164f5fe8d8f58e502b46b37e4385037fcfa4831",
}
ATTEMPTS = 8
MOST_BYTES = 1 << 22  # of a scorer's reply
TIMEOUT_S = 60.0  # for a whole reply
CATEGORIES = ("harassment", "harassment/threatening", "hate", "hate/threatening")


class Scorer(Protocol):
    """Gives each text a toxicity from 0 to 1, or the reason why it can't (a text)."""

    name: str  # with its version, for the figure
    local: bool  # runs here, so that its agreement with stored scores can be measured at no cost
    inputs: list[Path]

    def score(self, texts: Sequence[str]) -> list[float | str]: ...


def open_scorer(options: Mapping[str, Any]) -> Scorer:
    """The scorer that `--scorer` names; a server's scores are kept in the file `scorer_kept`, if that is given.

    Raises:
        UserError: it is unknown, or lacks its key, package or file.
    """
    name = options.get("scorer") or "local"
    if name == "stored":
        return Stored(options.get("scorer_file"))
    if name == "local":
        return Local()
    kept = options.get("scorer_kept")
    if name == "perspective":
        rate = options.get("scorer_rate")
        return Kept(Perspective(options.get("scorer_url") or PERSPECTIVE, 1.0 if rate is None else float(rate)), kept)
    if name == "moderation":
        model = options.get("scorer_model") or "omni-moderation-latest"
        return Kept(Moderation(options.get("scorer_url"), model), kept)
    raise UserError(f"--scorer {name}: unknown; there are {', '.join(NAMES)}")


class Stored:
    """Scores of a file; a text that is not in it has none."""

    local = False

    def __init__(self, path: str | Path | None):
        if path is None:
            raise UserError("--scorer stored needs --scorer-file with {text, toxicity} a line")
        self.inputs = [Path(path)]
        self.known: dict[str, float] = {}
        for record in read_jsonl(path, self.check):
            self.known[record["text"].strip()] = float(record["toxicity"])
        self.name = f"stored scores ({Path(path).name})"

    def score(self, texts: Sequence[str]) -> list[float | str]:
        return [self.known.get(text.strip(), "not among the stored scores") for text in texts]

    @staticmethod
    def check(record: dict[str, Any]) -> str | None:
        value = record.get("toxicity")
        if not isinstance(record.get("text"), str):
            return "'text' is missing or not text"
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            return f"'toxicity' is {value!r:.40}, expected a number from 0 to 1"
        return None


def _check_pickles() -> None:
    """alt-profanity-check unpickles its model when it is imported, and a pickle can run anything: only the files that
    its version 1.9.1 came with are let through.

    Raises:
        ImportError: it isn't installed.
        UserError: its files are others.
    """
    found = importlib.util.find_spec("profanity_check")  # does not import it
    if found is None or found.origin is None:
        raise ImportError("no module", name="profanity_check")
    for name, digest in PICKLES.items():
        file = Path(found.origin).parent / "data" / name
        if not file.is_file() or sha256(file) != digest:
            raise UserError(f"{file}: is not the file of alt-profanity-check 1.9.1; install that version")


class Local:
    """alt-profanity-check's linear model."""

    local = True

    def __init__(self) -> None:
        try:
            _check_pickles()
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


class Remote(Protocol):
    """A scorer behind a server."""

    name: str
    batch: int  # texts a request

    def ask(self, texts: Sequence[str]) -> list[float | str]: ...


class Kept:
    """A server's scores, asked for once and kept.

    Args:
        remote: The server.
        path: JSON lines {"text", "toxicity", "scorer"}, added to as scores arrive; None keeps none.
            Lines of another scorer are not used.
    """

    local = False

    def __init__(self, remote: Remote, path: str | Path | None = None):
        self.remote, self.name, self.path = remote, remote.name, Path(path) if path else None
        self.inputs: list[Path] = []
        self.known: dict[str, float] = {}
        if self.path is not None and self.path.exists() and self.path.stat().st_size:
            for _, record in files.records(self.path):  # a line that was cut off is asked for again
                if isinstance(record, dict) and record.get("scorer") == self.name and Stored.check(record) is None:
                    self.known[record["text"]] = float(record["toxicity"])

    def score(self, texts: Sequence[str]) -> list[float | str]:
        found: dict[str, float | str] = {text: self.known[text] for text in texts if text in self.known}
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        with Progress(len(missing), f"asking {self.name}", "texts") as progress:
            for start in range(0, len(missing), self.remote.batch):
                some = missing[start : start + self.remote.batch]
                answers = dict(zip(some, self.remote.ask(some), strict=True))
                self._keep({text: value for text, value in answers.items() if not isinstance(value, str)})
                found |= answers
                progress.update(len(some))
        return [found[text] for text in texts]

    def _keep(self, scores: Mapping[str, float]) -> None:
        self.known |= scores
        if self.path is None or not scores:
            return
        lines = [dumps({"text": text, "toxicity": value, "scorer": self.name}) for text, value in scores.items()]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab+") as stream:
                if stream.tell():
                    stream.seek(-1, os.SEEK_END)
                    if stream.read(1) != b"\n":
                        stream.write(b"\n")  # ends a line that was cut off
                stream.write("".join(line + "\n" for line in lines).encode())
        except OSError as error:
            raise UserError(f"{self.path}: can't be written: {error.strerror}") from error


class Perspective:
    """The Perspective API, one text a request, kept to its rate limit.

    Args:
        url: Of the `analyze` method.
        rate: Requests a second; 1 is what an account has at first.
    """

    batch = 1

    def __init__(self, url: str, rate: float):
        self._key = os.environ.get("PERSPECTIVE_API_KEY", "").strip()
        if not self._key and url.startswith("https"):
            raise UserError("--scorer perspective: $PERSPECTIVE_API_KEY is not set; export the account's key")
        if not rate > 0:
            raise UserError(f"--scorer-rate {rate}: expected requests a second, above 0")
        self.url, self.pause = url, 1.0 / rate
        self.name = "Perspective API v1alpha1 TOXICITY"
        self._following = 0.0

    def ask(self, texts: Sequence[str]) -> list[float | str]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> float | str:
        time.sleep(max(0.0, self._following - time.monotonic()))
        self._following = time.monotonic() + self.pause
        body = {
            "comment": {"text": well_formed(text)},
            "languages": ["en"],
            "requestedAttributes": {"TOXICITY": {}},
            "doNotStore": True,
        }
        answer = post(self.url, body, {"x-goog-api-key": self._key} if self._key else {})
        if isinstance(answer, str):
            return answer
        try:
            value = float(answer["attributeScores"]["TOXICITY"]["summaryScore"]["value"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return "Perspective's answer has no TOXICITY score"
        return value if 0 <= value <= 1 else "Perspective's score is out of range"


class Moderation:
    """An OpenAI-compatible moderation endpoint."""

    def __init__(self, url: str | None, model: str):
        self.url = (url or "https://api.openai.com/v1").rstrip("/").removesuffix("/moderations") + "/moderations"
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not self._key and self.url.startswith("https"):
            raise UserError("--scorer moderation: $OPENAI_API_KEY is not set; export the key of the endpoint")
        self.model, self.batch = model, 32
        self.name = f"moderation endpoint {model}, highest of harassment and hate"

    def ask(self, texts: Sequence[str]) -> list[float | str]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        inputs = [well_formed(text) for text in texts]
        answer = post(self.url, {"model": self.model, "input": inputs if len(inputs) > 1 else inputs[0]}, headers)
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != len(texts):
            if len(texts) > 1:  # one text may be to blame, or the server takes one at a time
                return [score for text in texts for score in self.ask([text])]
            return [answer if isinstance(answer, str) else "the moderation answer has no results"]
        return [self._highest(result) for result in results]

    @staticmethod
    def _highest(result: Any) -> float | str:
        try:
            scores = result["category_scores"]
            value = max(float(scores[name]) for name in CATEGORIES if scores.get(name) is not None)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return "the moderation answer has no harassment or hate score"
        return value if 0 <= value <= 1 else "the moderation score is out of range"


def post(url: str, body: Any, headers: Mapping[str, str]) -> Any:
    """POST JSON and read JSON; sent again when the server is busy. A refusal comes back as its reason.

    Raises:
        UserError: the key is not accepted, the address is wrong, or no server answers.
    """
    why, wait = "", None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(min(120.0, heeded(wait, min(60.0, 0.5 * 2**attempt), attempt)))
        wait = None
        try:
            reply = asyncio.run(_sent(url, json.dumps(body).encode(), headers))
        except (Unsent, Lost) as error:
            why = str(error)
            continue
        except ValueError as error:
            raise UserError(f"--scorer-url {url}: is no address ({error})") from error
        if reply.status < 300:
            try:
                return loads(reply.body)
            except ValueError:
                why = "the answer is not JSON"
                continue
        said = _reason(reply.body)
        why = f"HTTP {reply.status}{': ' if said else ''}{said}"
        if reply.status in (401, 403) or "API_KEY_INVALID" in said:
            raise UserError(f"{url}: the key is not accepted ({why}); check it and the account")
        if reply.status in (404, 405, 410):
            raise UserError(f"{url}: no such scorer there ({why}); has it closed, is the URL right?")
        if reply.status not in (408, 409, 429) and reply.status < 500:
            return f"refused by the scorer ({why})"
        wait = server_wait(reply.headers)
    raise UserError(f"{url}: no answer after {ATTEMPTS} attempts ({why}); scores so far are kept, run again to go on")


async def _sent(url: str, payload: bytes, headers: Mapping[str, str]) -> Reply:
    """The reply to one request, within limits of size and time; its key goes to no other host."""
    transport = Transport(url, Habits(headers=headers), "", "", TIMEOUT_S, 1)
    try:
        return await transport.request("", payload, longest=MOST_BYTES)
    finally:
        await transport.close()


def _reason(body: bytes) -> str:
    """The kind of an error as Google's or OpenAI's body names it; never its message, which may repeat the text."""
    try:
        found = loads(body).get("error")
        details = [d.get("errorType") or d.get("reason") for d in found.get("details") or [] if isinstance(d, dict)]
        kind = next((d for d in details if d), None) or found.get("status") or found.get("code")
        return str(kind)[:60] if kind else ""
    except (ValueError, AttributeError, TypeError):
        return ""
