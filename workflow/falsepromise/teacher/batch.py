"""Ask through the provider's batch API, at its lower price, with the same store and ledger.

A batch goes through these states. Each is stored before the step that it allows, so a killed run can go on:

    made      its requests are claimed and reserved; nothing has left this machine
    uploaded  the provider has the file
    sent      it may have been created: the reserve counts until the provider tells the outcome
    open      it has the provider's number; any process that shares the store may watch and fetch it
    done      every request is settled: answered, rejected, or free to be asked again
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.records import loads, stored
from falsepromise.core.text import shown
from falsepromise.teacher import faults, ledger
from falsepromise.teacher.account import Account
from falsepromise.teacher.batch_api import BatchApi, reasons, word
from falsepromise.teacher.cost import Request
from falsepromise.teacher.faults import Rejected, Retry
from falsepromise.teacher.ledger import Charge, LimitReached
from falsepromise.teacher.pace import backoff, heeded
from falsepromise.teacher.reply import read_answer
from falsepromise.teacher.sending import Sender
from falsepromise.teacher.store import Answer
from falsepromise.teacher.transport import Reply

log = logging.getLogger("falsepromise.teacher")
FIRST_LOOK_S = 1.0  # after a batch was sent; then 1.5 times as long each time, up to the teacher's pace
ROUNDS = 3  # of batches, for requests that expired or failed for a passing reason in the one before
_RUNNING = ("validating", "in_progress", "finalizing", "cancelling", "notRunning", "running", "pending")
_ENDED = ("completed", "expired", "cancelled", "failed")
_LINES = 200  # settled in one transaction


@dataclass(frozen=True)
class Batch:
    """A row of the store's table `batches`."""

    id: str
    state: str
    file: str | None
    batch: str | None
    worker: str


def ask(
    teacher: Account,
    connect: Callable[[], Sender],
    runner: asyncio.Runner,
    requests: Iterable[Request],
    progress: Progress | None,
    counts: bool,
) -> Iterator[Answer]:
    """The answers to many requests through batches, in order; see `Teacher.ask_many`.

    Args:
        teacher: Who is asked.
        connect: The sender of the running event loop.
        runner: Of the event loop.
        requests, progress, counts: As in `Teacher.ask_many`.
    """
    if not teacher.habits.batch:
        raise UserError(
            f"{teacher.base_url}: this provider has no known batch API; leave batch out, or name its protocol "
            "with --habit batch=openai"
        )

    async def all_answers() -> Iterator[Answer]:
        return await _Batches(teacher, connect(), progress).all(requests, counts)

    return runner.run(all_answers())


def wait(teacher: Account, connect: Callable[[], Sender], runner: asyncio.Runner, progress: Progress | None) -> None:
    """Wait for the batches of an earlier run, before their requests are asked one by one."""

    async def all_done() -> None:
        await _Batches(teacher, connect(), progress).watch()

    log.info("%s: waiting for batches of an earlier run; cancel them at the provider to ask now", teacher.model)
    runner.run(all_done())


class _Batches:
    """One call's batches.

    Args:
        teacher: Who is asked.
        sender: With its connections.
        progress: Shows what the provider says.
    """

    def __init__(self, teacher: Account, sender: Sender, progress: Progress | None):
        self.teacher, self.store, self.progress = teacher, teacher.store, progress
        self.sender = sender
        self.failures: dict[str, str] = {}
        self.api = BatchApi(self.sender, teacher.batch_poll_s)

    async def all(self, requests: Iterable[Request], counts: bool) -> Iterator[Answer]:
        """Request all answers that the store lacks; iterate over all answers."""
        await self.watch()  # what an earlier run has left
        keys = await self._submit_all(requests)
        for number in range(ROUNDS):
            await self.watch()
            while left := [key for key in self.store.absent(keys) if key not in self.failures]:
                with self.store.transaction() as db:
                    theirs = [key for key in left if self.store.claimed(db, key)]
                if not theirs:
                    break
                await self.sender.sleep(self.teacher.batch_poll_s)  # another process is at them
                await self.watch()
            if not left or number == ROUNDS - 1:
                break
            log.info("%s: %d requests of ended batches are asked again", self.teacher.model, len(left))
            await self._submit_all(self._asked(left))
        return self._answers(keys, counts)

    def _answers(self, keys: list[str], counts: bool) -> Iterator[Answer]:
        teacher = self.teacher
        for key in keys:
            answer = self.store.get(key) or Answer(
                "", "", "", 0, 0, failure=self.failures.get(key, "no answer: its batch ended without it")
            )
            teacher.count(answer)
            if self.progress is not None:
                note = teacher.watch.note(teacher.spent, teacher.limits) if teacher.watch.due() else ""
                self.progress.update(1 if counts else 0, note)
            yield answer

    def _asked(self, keys: Iterable[str]) -> Iterator[Request | tuple[str, Request]]:
        """Requests out of the store, with the keys that they have."""
        for key in keys:
            with self.store.transaction() as db:
                found = db.execute("SELECT request FROM asked WHERE key = ?", (key,)).fetchone()
            if found:
                yield key, Request(**stored(zlib.decompress(found[0]), "the store"))

    # Submitting -------------------------------------------------------------------------------

    async def _submit_all(self, requests: Iterable[Request | tuple[str, Request]]) -> list[str]:
        """Submit what isn't in the store, in as many batches as it takes; the keys of all requests, in order."""
        habits = self.teacher.habits
        keys: list[str] = []
        chunk: dict[str, tuple[Request, str]] = {}
        seen: set[str] = set()
        size = 0
        for item in requests:
            key, request = item if isinstance(item, tuple) else (self.teacher.key(item), item)
            keys.append(key)
            if key in seen or self.store.get(key):
                continue
            seen.add(key)
            try:
                line = self._line(key, request)
            except UnicodeEncodeError:
                self.failures[key] = "rejected: the text has half a surrogate pair, which UTF-8 can't carry"
                continue
            if chunk and (len(chunk) == habits.batch_requests or size + len(line) > habits.batch_bytes):
                await self._submit(chunk)
                chunk, size = {}, 0
            chunk[key], size = (request, line), size + len(line)
        if chunk:
            await self._submit(chunk)
        return keys

    def _line(self, key: str, request: Request) -> str:
        body = self.sender.body(request).decode()
        return f'{{"custom_id": "{key}", "method": "POST", "url": "{self.api.endpoint}", "body": {body}}}\n'

    async def _submit(self, chunk: Mapping[str, tuple[Request, str]]) -> None:
        """Claim, upload and create one batch; as many of its requests as the limits leave room for."""
        local = uuid.uuid4().hex
        lines, full = self._claim(local, chunk)
        if not lines:
            if full:
                raise LimitReached(f"{self.teacher.model}: {full}; answers so far are stored, raise it to go on")
            return
        try:
            file = await self.api.upload(local, "".join(lines).encode())
        except UserError:
            self._settle_rest(local, "released")
            raise
        self._mark(local, "uploaded", file=file)
        self._mark(local, "sent")
        await self._create(local, file)
        if full:
            await self.watch()
            raise LimitReached(f"{self.teacher.model}: {full}; answers so far are stored, raise it to go on")

    def _claim(self, local: str, chunk: Mapping[str, tuple[Request, str]]) -> tuple[list[str], str | None]:
        """Enter a batch's requests; the lines of those that are ours, and which limit cut them off."""
        teacher, worker = self.teacher, f"batch/{local}"
        share = teacher.habits.batch_price
        lines: list[str] = []
        full = None
        with self.store.transaction() as db:
            now, (_, open_tokens, open_usd) = ledger.spent(db, teacher.name), ledger.under_way(db, teacher.name)
            tokens, usd, limits = now.tokens + open_tokens, now.usd + open_usd, teacher.limits
            for key, (request, line) in chunk.items():
                if self.store.claimed(db, key):
                    continue  # another process is asking it
                charge = teacher.reserve(request)
                charge = replace(charge, usd=None if charge.usd is None else charge.usd * share, share=share)
                tokens, usd = tokens + charge.tokens, usd + (charge.usd or 0.0)
                if limits.usd is not None and usd > limits.usd + 1e-9:
                    full = f"max_usd is {limits.usd:g}, and the next request would pass it"
                elif limits.tokens is not None and tokens > limits.tokens:
                    full = f"max_tokens is {limits.tokens:g}, and the next request would pass it"
                elif limits.requests is not None and now.requests + len(lines) + 1 > limits.requests:
                    full = f"max_requests is {limits.requests:g}, and the next request would pass it"
                if full:
                    break
                db.execute("INSERT INTO claims VALUES (?, ?)", (key, worker))
                ledger.reserve(db, key, teacher.name, worker, charge)
                self.store.note(db, key, teacher.name, request)
                lines.append(line)
            if lines:
                db.execute(
                    "INSERT INTO batches VALUES (?, ?, 'made', NULL, NULL, ?, ?)",
                    (local, teacher.name, self.store.worker, time.time()),
                )
        return lines, full

    def _mark(self, local: str, state: str, **values: str) -> None:
        """Write a batch's next state down."""
        sets = "".join(f", {name} = ?" for name in values)
        with self.store.transaction() as db:
            db.execute(f"UPDATE batches SET state = ?{sets} WHERE id = ?", (state, *values.values(), local))
            if state == "sent":
                db.execute(
                    "UPDATE attempts SET state = 'sent', sent = ? WHERE worker = ? AND ended IS NULL",
                    (time.time(), f"batch/{local}"),
                )

    async def _create(self, local: str, file: str) -> None:
        """Create an uploaded batch, once: after a lost reply, look for the batch before creating it again."""
        for attempt in range(1, self.teacher.attempts + 1):
            try:
                found: dict[str, Any] | None = await self.api.create(file, local)
            except Retry as retry:
                await self.sender.sleep(heeded(retry.wait_s, backoff(attempt, self.sender.rng), attempt))
                found = await self.api.find(local)
            except UserError:
                self._settle_rest(local, "released")
                raise
            if found is not None:
                self._mark(local, "open", batch=word(found, "id"))
                log.info("%s: batch %s submitted", self.teacher.model, shown(found["id"]))
                return
        raise UserError(f"{self.teacher.base_url}: the batch could not be created; run again to go on")

    # Watching and fetching --------------------------------------------------------------------

    def _rows(self, which: str, *values: str) -> list[Batch]:
        with self.store.transaction() as db:
            rows = db.execute(f"SELECT id, state, file, batch, worker FROM batches WHERE {which} ORDER BY made", values)
            return [Batch(*row) for row in rows]

    async def watch(self) -> None:
        """Wait until every batch of this teacher is done, also those of other processes."""
        looks = 0
        while rows := self._rows("teacher = ? AND state != 'done'", self.teacher.name):
            waiting = []
            for row in rows:
                if row.state == "open":
                    waiting += await self._look(row)
                elif self.store.lives(row.worker) and row.worker != self.store.worker:
                    waiting.append(f"{row.state} by another process")
                else:
                    await self._recover(row)
            if waiting:
                if self.progress is not None:
                    self.progress.update(0, f"{len(waiting)} batches: {', '.join(waiting[:3])}")
                await self.sender.sleep(min(self.teacher.batch_poll_s, FIRST_LOOK_S * 1.5**looks))
                looks = min(looks + 1, 30)

    async def _recover(self, row: Batch) -> None:
        """Continue a batch whose process died before it had the provider's number."""
        found = await self.api.find(row.id) if row.state == "sent" else None
        if found is not None:
            self._mark(row.id, "open", batch=word(found, "id"))
        else:
            self._settle_rest(row.id, "released")

    async def _look(self, row: Batch) -> list[str]:
        """Check a batch, and fetch it if it has ended; otherwise return its state for the progress line."""
        try:
            found = await self.api.call(f"/batches/{row.batch}")
        except UserError as error:
            if "404" not in str(error):
                raise
            log.warning("%s: batch %s is gone at the provider; its reserve stays", self.teacher.model, row.batch)
            self._settle_rest(row.id, "lost")
            return []
        state = found.get("status")
        if not isinstance(state, str):  # it would be waited for without end
            where = f"{self.teacher.base_url}: batch {shown(row.batch)}"
            raise UserError(f"{where} has no state ({state!r:.60}); is this a batch API? Run again to look again")
        counts = found.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        if state not in _ENDED:
            if state not in _RUNNING:
                log.warning("%s: batch %s is %s, an unknown state", self.teacher.model, row.batch, shown(state))
            done, total = counts.get("completed", 0), counts.get("total", 0)
            return [f"{shown(done)} of {shown(total)} done ({shown(state)})"]
        replied: set[str] = set()
        for name in ("output_file_id", "error_file_id"):
            if found.get(name):
                replied |= await self._fetch(row, word(found, name))
        seen, completed = len(replied), counts.get("completed")
        missing = isinstance(completed, int) and completed > seen
        if missing:
            said = f"completed {completed} requests, but {seen} are in its files"
            log.warning("%s: batch %s %s", self.teacher.model, row.batch, said)
        self._settle_rest(row.id, "lost" if missing else "released")
        if state == "failed":
            why = reasons(found, self.sender.key)
            raise UserError(f"{self.teacher.base_url}: batch {shown(row.batch)} failed: {why}")
        if state != "completed":
            log.warning("%s: batch %s has %s, with %d replies", self.teacher.model, row.batch, state, seen)
        return []

    async def _fetch(self, row: Batch, name: str) -> set[str]:
        """Settle the requests in one of a batch's files; those of ours that have a reply of status 200 in it."""
        data = await self.api.content(f"/files/{name}/content")
        lines = data.decode("utf-8", "replace").split("\n")
        good: set[str] = set()
        broken = 0
        fatal: UserError | None = None
        for start in range(0, len(lines), _LINES):
            with self.store.transaction() as db:
                for line in lines[start : start + _LINES]:
                    if not line.strip():
                        continue
                    try:
                        entry = loads(line)
                        key, response = str(entry["custom_id"]), entry.get("response") or {}
                        status = int(response.get("status_code") or 0)
                    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                        broken += 1
                        continue
                    try:
                        if self._take(db, row, key, status, response.get("body"), entry.get("error")) and status == 200:
                            good.add(key)
                    except UserError as error:
                        fatal = fatal or error
        if broken:
            log.warning("%s: %d lines of batch %s can't be read", self.teacher.model, broken, row.batch)
        if fatal is not None:
            raise fatal
        return good

    def _take(self, db: Any, row: Batch, key: str, status: int, body: Any, error: Any) -> bool:
        """Settle one request of a batch by its line; whether it is one of the batch's."""
        teacher, worker, now = self.teacher, f"batch/{row.id}", time.time()
        found = db.execute(
            "SELECT id, ended, input_tokens, output_tokens, usd, share FROM attempts WHERE key = ? AND worker = ?",
            (key, worker),
        ).fetchone()
        if found is None or found[1] is not None:
            return found is not None  # settled before, or none of ours
        attempt, reserve = found[0], Charge(*found[2:])

        def priced(charge: Charge) -> float | None:
            cost = teacher.cost(charge.input_tokens, charge.output_tokens)
            return None if cost is None else cost * reserve.share

        reply = Reply(status or 500, {}, json.dumps(body if body is not None else {"error": error}).encode())
        try:
            if status == 0 and error:
                raise Retry(faults.words({"error": error}) or "its batch ended")
            answer, used = read_answer(reply, teacher.habits, self.sender.asked(reserve))
        except (Retry, Rejected) as failed:
            charge = getattr(failed, "charge", None)
            if charge is not None:
                ledger.settle(db, attempt, "answered", now, replace(charge, usd=priced(charge)), failed.why[:200])
            else:
                state = "lost" if failed.lost and status == 200 else "refused" if status else "released"
                ledger.settle(db, attempt, state, now, None, failed.why)
            db.execute("DELETE FROM claims WHERE key = ? AND worker = ?", (key, worker))
            if isinstance(failed, Rejected):
                self.failures[key] = f"rejected: {failed.why}"
                teacher.watch.add(self.failures[key])
            return True
        except UserError:
            ledger.settle(db, attempt, "refused", now, None)
            db.execute("DELETE FROM claims WHERE key = ? AND worker = ?", (key, worker))
            raise
        used = replace(used, usd=priced(used))
        answer = replace(answer, usd=used.usd)
        self.store.keep(db, key, attempt, answer, used)
        teacher.watch.add(answer.failure)
        teacher.measured(answer)
        return True

    def _settle_rest(self, local: str, state: str) -> None:
        """End the rest of a batch: `released`, because only completed requests are billed, or `lost`."""
        worker, now = f"batch/{local}", time.time()
        with self.store.transaction() as db:
            rows = db.execute("SELECT id FROM attempts WHERE worker = ? AND ended IS NULL", (worker,)).fetchall()
            for (attempt,) in rows:
                ledger.settle(db, attempt, state, now, None, "its batch ended")
            db.execute("DELETE FROM claims WHERE worker = ?", (worker,))
            db.execute("UPDATE batches SET state = 'done' WHERE id = ?", (local,))
