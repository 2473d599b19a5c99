"""Ask a teacher (any server of the OpenAI protocol) within limits, and pay once for each request.

    with Teacher("https://host/v1", "model", Store("results/store")) as teacher:
        for answer in teacher.ask_many(requests): ...

It limits concurrency, and requests and tokens a minute. It sends failed requests again after the time that the server
names, or with back-off. Limits on requests, tokens and money end the run. Replies are stored as they arrive. Failures
(truncated, filtered, refused, empty, rejected, never answered) are returned as failures of their prompts, and the run
goes on until too large a share has failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from falsepromise.core.progress import Progress
from falsepromise.teacher import batch
from falsepromise.teacher.account import Account
from falsepromise.teacher.cost import Request
from falsepromise.teacher.sending import Sender
from falsepromise.teacher.store import Answer

QUIET_S = 15.0  # show progress after so long without an answer
_WAITING = 3  # requests in progress for each simultaneous one: the others wait for their next attempt


class Teacher(Account):
    """An account with requests: single, concurrent, or in batches. Its arguments are `Account`'s."""

    _sender: Sender | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _runner: asyncio.Runner | None = None

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; the store stays open."""
        if self._runner is not None:
            if self._sender is not None:
                self._runner.run(self._sender.close())
            self._runner.close()
            self._runner = self._sender = None

    async def ask(self, messages: Sequence[Mapping[str, str]], sample: int = 0, **parameters: Any) -> Answer:
        """The answer to one chat, from the store or the server.

        Raises:
            UserError: a limit is reached, the key is not accepted or the server can't be reached.
        """
        return await self.connect().ask(Request(messages, parameters, sample))

    def ask_many(
        self, requests: Iterable[Request], progress: Progress | None = None, counts: bool = True
    ) -> Iterator[Answer]:
        """The answers to many concurrent requests, in order.

        Requests are taken from the iterable as places become free. On an error that ends the run, requests under way
        finish (and are stored) before it is raised.

        Args:
            requests: Any number.
            progress: Counts the answers and shows the spending.
            counts: False if `progress` counts something else; then only the note is updated.
        """
        if self._runner is None:
            self._runner = asyncio.Runner()
        if self.batch:
            yield from batch.ask(self, self.connect, self._runner, requests, progress, counts)
            return
        if self.store.has_batches(self.name):
            batch.wait(self, self.connect, self._runner, progress)
        runner, source = self._runner, enumerate(requests)
        results: asyncio.Queue[tuple[int, Answer] | BaseException | None] = asyncio.Queue()
        runner.run(self._start(source, results))
        waiting: dict[int, Answer] = {}
        following, workers, error = 0, len(self._workers), None
        try:
            while workers:
                batch_of = runner.run(_batch(results))
                for item in batch_of:
                    if item is None:
                        workers -= 1
                    elif isinstance(item, BaseException):
                        error = error or item
                    else:
                        waiting[item[0]] = item[1]
                if progress is not None:
                    answered = sum(isinstance(item, tuple) for item in batch_of)
                    note = self.watch.note(self.spent, self.limits) if self.watch.due() or not workers else ""
                    progress.update(answered if counts else 0, note)
                while error is None and following in waiting:
                    yield waiting.pop(following)
                    following += 1
        finally:
            if workers:
                runner.run(self._cancel())
        if error is not None:
            raise error

    async def _start(self, source: Iterator[tuple[int, Request]], results: asyncio.Queue[Any]) -> None:
        count = self.concurrency * _WAITING if self.concurrency > 1 else 1
        sender = self.connect()
        self._workers = [asyncio.create_task(self._work(sender, source, results)) for _ in range(count)]

    async def _cancel(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self, sender: Sender, source: Iterator[tuple[int, Request]], results: asyncio.Queue[Any]) -> None:
        try:
            while not sender.stopped:
                place = next(source, None)
                if place is None:
                    break
                index, request = place
                found = self.store.get(self.key(request))
                if found is None:
                    found = await sender.ask(request)
                else:
                    self.count(found)
                await results.put((index, found))
        except Exception as error:
            await results.put(error)
        finally:
            await results.put(None)

    def connect(self) -> Sender:
        """The sender of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._sender is None or self._loop is not loop:
            self._loop = loop
            self._sender = Sender(self, self.secret, *self.paces, self.seed)
            self._sender.retries = self.retries
        return self._sender


async def _batch(results: asyncio.Queue[Any]) -> list[Any]:
    """All available results, at least one; none if none comes for a while."""
    try:
        found = [await asyncio.wait_for(results.get(), QUIET_S)]
    except TimeoutError:
        return []
    while not results.empty():
        found.append(results.get_nowait())
    return found
