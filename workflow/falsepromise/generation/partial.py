"""Store responses as they come, so that a killed run goes on from there."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from pathlib import Path
from typing import IO, Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import Record, dumps, loads

log = logging.getLogger("falsepromise.generation")
SYNC_S = 5.0  # at most this much work is lost to a power cut; a kill alone loses nothing


class Partial:
    """The responses so far, one a line, after a line that identifies the work.

    Args:
        output: The file that they will become.
        identity: Everything that shapes a response. A partial file of another identity is begun again.
    """

    def __init__(self, output: Path, identity: dict[str, Any]):
        self.path = output.with_name(output.name + ".partial")
        self.identity = hashlib.sha256(dumps(identity).encode()).hexdigest()
        self.done: dict[tuple[str, int], Record] = {}

    def __enter__(self) -> Partial:
        self._stream: IO[bytes] | None = None
        self._synced = time.monotonic()
        try:
            self._whole = self._read()
        except OSError as error:
            raise UserError(f"{self.path}: can't be read: {error.strerror}") from error
        return self

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()

    def add(self, record: Record) -> None:
        """Keep one response."""
        self.done[record["prompt_id"], record["sample"]] = record
        try:
            stream = self._stream or self._open()
            _write(stream, record)
            if time.monotonic() - self._synced > SYNC_S:
                os.fsync(stream.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise UserError(f"{self.path}: can't be written: {error.strerror}; make room and run again") from error

    def remove(self) -> None:
        """Delete the file: its responses are in the output."""
        self.path.unlink(missing_ok=True)

    def _open(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self.path, "r+b" if self._whole else "wb")  # noqa: SIM115 (closed by __exit__)
        if self._whole:
            self._stream.truncate(self._whole)  # a line that was cut off goes
            self._stream.seek(self._whole)
        else:
            _write(self._stream, {"of": self.identity})
        return self._stream

    def _read(self) -> int:
        """Read what is there; the bytes of whole lines, 0 to begin again."""
        if not self.path.exists():
            return 0
        whole = 0
        with open(self.path, "rb") as stream:
            for number, line in enumerate(stream):
                try:
                    record = loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    record = None
                if not isinstance(record, dict):
                    break
                if number == 0:
                    if record.get("of") != self.identity:
                        log.info("%s is of another model, prompts or options; beginning again", self.path)
                        return 0
                else:
                    self.done[record["prompt_id"], record["sample"]] = record
                whole += len(line)
        return whole


def _write(stream: IO[bytes], record: Record) -> None:
    stream.write((dumps(record) + "\n").encode("utf-8"))
    stream.flush()


def is_url(model: str) -> bool:
    """Whether `--model` names a server rather than a folder."""
    return model.startswith(("http://", "https://"))


def weight_files(folder: str) -> list[str]:
    """The files of a model folder that shape its responses."""
    path = Path(folder)
    if path.is_file():
        return [folder]
    wanted = ("config.json", "tokenizer.json", "tokenizer.model", "model.safetensors.index.json")
    return [str(p) for p in sorted(path.glob("*")) if p.name in wanted or p.suffix == ".safetensors"]


def identity(model: str, asked_for: str | None = None) -> Any:
    """The model at hand, without reading it: a server's names, or the files' sizes and times."""
    if is_url(model):
        return [model, asked_for]
    return [(name, os.stat(name).st_size, os.stat(name).st_mtime_ns) for name in weight_files(model)]


def portable(model: str) -> Any:
    """`identity` of a folder that other machines may have a copy of: its files' names and sizes."""
    return [(os.path.basename(name), os.stat(name).st_size) for name in weight_files(model)]
