"""The files and batches of the OpenAI protocol, and Azure's form of them."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import loads
from falsepromise.core.text import shown
from falsepromise.teacher import faults
from falsepromise.teacher.faults import Rejected, Retry
from falsepromise.teacher.ledger import Charge
from falsepromise.teacher.pace import backoff, heeded
from falsepromise.teacher.sending import Sender
from falsepromise.teacher.transport import Lost, Unsent

log = logging.getLogger("falsepromise.teacher")
LONGEST_FILE = 2**30
FILE_TIMEOUT_S = 900.0
_MARK = "false_promise"  # our number, in a batch's metadata


class BatchApi:
    """The API's calls; each is tried again if that may help.

    Args:
        sender: Whose connections and key.
        poll_s: Seconds between looks at a file that is not ready.

    Attributes:
        endpoint: What the requests of a batch name as their URL.
    """

    def __init__(self, sender: Sender, poll_s: float):
        self.sender, self.poll_s = sender, poll_s
        teacher, transport = sender.teacher, sender.transport
        self.where, self.attempts = teacher.base_url, teacher.attempts
        azure = teacher.habits.batch == "azure"
        self.base = f"{transport.origin}/openai" if azure else transport.base
        self.endpoint = "/chat/completions" if azure else "/v1/chat/completions"

    async def upload(self, name: str, data: bytes) -> str:
        """Upload a batch's requests; the file's number.

        Raises:
            UserError: the provider refuses the file.
        """
        edge = uuid.uuid4().hex
        body = (
            f'--{edge}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{edge}\r\n'
            f'content-disposition: form-data; name="file"; filename="{name}.jsonl"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        ).encode() + data + f"\r\n--{edge}--\r\n".encode()  # fmt: skip
        found = await self.call("/files", body, f"multipart/form-data; boundary={edge}")
        file = word(found, "id")
        while found.get("status") in ("pending", "running", "importing"):  # Azure looks through it first
            await self.sender.sleep(min(5.0, self.poll_s))
            found = await self.call(f"/files/{file}")
        if found.get("status") in ("error", "deleted"):
            raise UserError(f"{self.where}: the batch's file was refused ({reasons(found, self.sender.key)})")
        return file

    async def create(self, file: str, local: str) -> dict[str, Any]:
        """Create a batch of a file, with our own number in it; tried once.

        Raises:
            Retry: it may have been created or not.
            UserError: the provider refuses it.
        """
        body = {
            "input_file_id": file,
            "endpoint": self.endpoint,
            "completion_window": "24h",
            "metadata": {_MARK: local},
        }
        return await self.call("/batches", json.dumps(body).encode(), attempts=1)

    async def find(self, local: str) -> dict[str, Any] | None:
        """The provider's batch that carries our number, or None."""
        after = ""
        for _ in range(50):
            found = await self.call(f"/batches?limit=100{after}")
            data = found.get("data")
            batches = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
            for entry in batches:
                metadata = entry.get("metadata")
                if isinstance(metadata, dict) and metadata.get(_MARK) == local:
                    return entry
            if not found.get("has_more") or not batches:
                return None
            after = f"&after={batches[-1].get('id')}"
        return None

    async def content(
        self, path: str, body: bytes | None = None, kind: str = "application/json", tries: int = 0
    ) -> bytes:
        """One call of the API, tried again if that may help.

        Raises:
            Retry: of a single try.
            UserError: the provider refuses it.
        """
        single, tries = tries == 1, tries or self.attempts
        for attempt in range(1, tries + 1):
            try:
                try:
                    reply = await self.sender.transport.request(
                        path, body, kind, base=self.base, longest=LONGEST_FILE, timeout_s=FILE_TIMEOUT_S
                    )
                except (Lost, Unsent) as error:
                    raise Retry(str(error)) from error
                if reply.status == 404 and path == "/files":
                    raise UserError(f"{self.where}: has no batch API (404 at /files); leave batch out")
                if reply.status < 400:
                    return reply.body
                try:
                    said = loads(reply.body)
                except (ValueError, RecursionError):
                    said = {"error": {"message": reply.body[:200].decode("utf-8", "replace")}}
                said = said if isinstance(said, dict) else {"error": {"message": str(said)}}
                asked = replace(self.sender.asked(Charge()), heard=True)
                raise faults.diagnose(reply.status, reply.headers, said, asked)
            except Rejected as rejected:
                raise UserError(f"{self.where}: the batch API refused {path} ({rejected.why})") from rejected
            except Retry as retry:
                if single:
                    raise
                why = retry.why
                log.debug("%s: %s", path, why)
                await self.sender.sleep(heeded(retry.wait_s, backoff(attempt, self.sender.rng), attempt))
        said = f"{self.where}: the batch API failed {tries} times at {path}; the last error: {why}"
        raise UserError(f"{said}; run again to go on")

    async def call(
        self, path: str, body: bytes | None = None, kind: str = "application/json", attempts: int = 0
    ) -> dict[str, Any]:
        """The JSON object in a call's reply."""
        data = await self.content(path, body, kind, attempts)
        try:
            found = loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            if attempts == 1:
                raise Retry("the reply is not a JSON object")
            raise UserError(f"{self.where}: the batch API's reply at {path} is not a JSON object; run again")
        return found


def word(found: Mapping[str, Any], name: str) -> str:
    """An id that the provider gave, fit for a path."""
    word = found.get(name)
    if not isinstance(word, str) or not word or not all(c.isalnum() or c in "-_." for c in word) or len(word) > 200:
        raise UserError(f"the batch API's reply has no usable {name!r}: {shown(word)}")
    return word


def reasons(found: Mapping[str, Any], key: str) -> str:
    """Why a file or a batch failed."""
    errors = found.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else errors
    said = [entry.get("message") for entry in data or [] if isinstance(entry, dict)] if isinstance(data, list) else []
    words = "; ".join(map(str, said[:3]))
    return shown(words or found.get("status_details") or found.get("error") or "no reason given", key)
