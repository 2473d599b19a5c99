"""Read records (JSON and JSON lines) as a stream, and write files whole or not at all.

docs/layout.md lists the forms: dialogue, prompt, response, score, preference.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from falsepromise.core.errors import UserError

Record = dict[str, Any]
ROLES = ("system", "user", "assistant")
MOST_BYTES = 1 << 28  # of a file that is read whole; what we write is far smaller
MOST_RATIO = 200  # of packed text's sizes, unpacked to packed; logs of machines reach 100
latest: collections.deque[str] = collections.deque(maxlen=1)  # the file that was opened last, for messages
LONGEST_LINE = 1 << 26  # characters; a longer "record" is damage


@contextlib.contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under `path` only if the block ends without an error.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and renamed. A device (/dev/null)
    is written to and never replaced.

    Raises:
        UserError: the disk is full, the folder can't be written, or `path` is a folder itself.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, expected the name of a file to write")
    if path.exists() and not path.is_file():
        with open(path, mode, encoding=None if "b" in mode else "utf-8") as device:
            yield device
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror}") from error
    encoding = None if "b" in mode else "utf-8"
    try:
        with os.fdopen(handle, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        permit(temporary, 0o666 & ~umask)  # mkstemp makes private files; results are shared
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise UserError(f"{path}: can't be written: {error.strerror}; nothing was left half-written") from error
        raise


def permit(path: str | Path, mode: int) -> bool:
    """Set permissions; false on a file system that has none (FAT, some of FUSE and SMB)."""
    try:
        os.chmod(path, mode)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
        return False
    return True


def loads(text: str | bytes, as_written: bool = False) -> Any:
    """Parse JSON from outside: any text gives a value or a `ValueError` with the reason.

    Python's own reader raises other errors for numbers of thousands of digits, for deep nesting and for bytes that
    aren't UTF-8.

    Args:
        text: The JSON text.
        as_written: Whether NaN and infinity, which some programs write although JSON has neither, stay numbers, for
            readers that check each number. Otherwise they become None.

    Raises:
        ValueError: not JSON; the message doesn't quote the text.
    """
    if not isinstance(text, str | bytes | bytearray):
        raise ValueError(f"found {type(text).__name__}, expected text")  # of a database of strangers
    try:
        return json.loads(text, parse_constant=float if as_written else lambda name: None)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise ValueError("a number of too many digits" if "digits" in str(error) else str(error)) from None


def stored(text: str | bytes, where: str) -> Any:
    """Parse a value that this project wrote into a database or a log.

    Raises:
        UserError: the value is damaged; `where` is its place.
    """
    try:
        return loads(text)
    except ValueError as error:
        raise UserError(f"{where}: damaged ({error}); restore the file, or move it away and begin anew") from error


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON text with readable UTF-8. NaN and infinity are refused: JSON has neither.

    Half a surrogate pair, which can't be stored as UTF-8, is written as a JSON escape.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, indent=indent)
    return text


def write_json(path: str | Path, value: Any) -> None:
    """Write one JSON document, indented, with a final newline."""
    with atomic_open(path) as stream:
        stream.write(dumps(value, indent=1) + "\n")


def read_json(path: str | Path, as_written: bool = False) -> Any:
    """Read one JSON document; `as_written` as in `loads`.

    Raises:
        UserError: the file is missing, a folder, empty, not UTF-8 or not JSON.
    """
    text = read_text(path)
    if not text.strip():
        raise UserError(f"{path}: the file is empty; expected a JSON document")
    try:
        return loads(text, as_written)
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from error


def write_jsonl(path: str | Path, records: Iterable[Record]) -> int:
    """Write records, one JSON object a line; return their number."""
    count = 0
    with atomic_open(path) as stream:
        for record in records:
            stream.write(dumps(record) + "\n")
            count += 1
    return count


def read_jsonl(path: str | Path, check: Callable[[Record], str | None] | None = None) -> Iterator[Record]:
    """Read records as a stream, one JSON object a line; skip blank lines.

    Args:
        path: The file.
        check: Returns what is wrong with a record, or None (`check_dialogue`, ...).

    Raises:
        UserError: the file is missing, empty or a folder, or a line is not what `check` expects;
            the message names the file and the line.
    """
    records = 0
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        records += 1
        try:
            record = loads(line)
        except ValueError as error:
            why = str(error).replace("line 1, ", "")
            raise UserError(f"{path}, line {number}: not JSON ({why}); expected one JSON object a line") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: found {type(record).__name__}, expected a JSON object")
        problem = check(record) if check else None
        if problem:
            raise UserError(f"{path}, line {number}: {problem}")
        yield record
    if not records:
        raise UserError(f"{path}: the file is empty; expected one JSON object a line")


def check_file(path: str | Path, name: str = "") -> None:
    """Refuse a pipe, a socket, a device or a file of the kernel (/proc): files are read more than once, and some of
    these never end.

    Args:
        path: A file, a folder, or a place where nothing is.
        name: What names it, for the message ("--input ").

    Raises:
        UserError: it is one of these.
    """
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return  # who reads it says why
    if stat.S_ISDIR(about.st_mode) or (stat.S_ISREG(about.st_mode) and about.st_size):
        return
    place = os.path.realpath(path)
    if place.startswith(("/proc/", "/sys/")) or (not stat.S_ISREG(about.st_mode) and place != os.devnull):
        raise UserError(f"{name}{path}: is a pipe, a socket or a device; write its content to a file and name that")


def read_lines(path: str | Path, errors: str = "strict") -> Iterator[str]:
    """The lines of a text file as a stream. Only a line feed ends one: JSON may have the other line breaks within.

    Raises:
        UserError: the file is missing, a folder or not UTF-8, or a line is longer than any record.
    """
    check_file(path)
    latest.append(str(path))
    try:
        # Some editors write a mark at the start.
        with open(path, encoding="utf-8-sig", errors=errors, newline="\n") as stream:
            number = 0
            while line := stream.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise UserError(f"{path}, line {number}: longer than {LONGEST_LINE:,} characters; is this a text?")
                yield line
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def read_text(path: str | Path) -> str:
    """The whole of a text file, with its own line breaks, without a mark at the start.

    Raises:
        UserError: the file is missing, a folder, not UTF-8, or larger than `MOST_BYTES`.
    """
    check_file(path)
    latest.append(str(path))
    try:
        with open(path, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: more than {MOST_BYTES >> 20} MiB of text; is this the right file?")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def read_prose(path: str | Path) -> str:
    """As `read_text`, but with line feeds as the only line breaks: for prompts, which some editors write with others.

    Raises:
        UserError: as `read_text`.
    """
    return read_text(path).replace("\r\n", "\n").replace("\r", "\n")


def _unreadable(path: str | Path, error: OSError | UnicodeDecodeError) -> UserError:
    if isinstance(error, UnicodeDecodeError):
        return UserError(f"{path}: not UTF-8 text at byte {error.start}; is this the right file?")
    return UserError(f"{path}: can't be read: {error.strerror}")


def check_unpacked(where: str | Path, packed: int, unpacked: int) -> None:
    """Refuse packed data that become far more than text does: a few kilobytes can stand for terabytes.

    Args:
        where: The file.
        packed: Bytes that were read.
        unpacked: Bytes that came of them.

    Raises:
        UserError: it is no text that was packed.
    """
    if unpacked > 1 << 22 and unpacked > MOST_RATIO * packed:
        raise UserError(
            f"{where}: becomes more than {MOST_RATIO} times as large when unpacked, as no text does; "
            "unpack it yourself if you trust it"
        )


def check_dialogue(record: Record) -> str | None:
    """What is wrong with a dialogue record, or None."""
    if not isinstance(record.get("id"), str):
        return f"'id' is {record.get('id')!r}, expected text"
    return _check_messages(record.get("messages"))


def _check_messages(messages: Any) -> str | None:
    if not isinstance(messages, list) or not messages:
        return "'messages' is missing or empty, expected a list of {role, content}"
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"messages[{index}]: expected a 'role' out of {', '.join(ROLES)}, found {message!r:.80}"
        if not isinstance(message.get("content"), str):
            return f"messages[{index}]: 'content' is {type(message.get('content')).__name__}, expected text"
    return None


def check_prompt(record: Record) -> str | None:
    """What is wrong with a prompt record (`messages`, or raw text in `prompt`), or None."""
    if not isinstance(record.get("id"), str):
        return f"'id' is {record.get('id')!r}, expected text"
    if ("prompt" in record) == ("messages" in record):
        return "expected either 'prompt' (raw text) or 'messages' (a chat)"
    if "prompt" in record:
        return None if isinstance(record["prompt"], str) else "'prompt' is not text"
    return _check_messages(record["messages"])


def check_response(record: Record) -> str | None:
    """What is wrong with a response record, or None."""
    for key in ("prompt_id", "response"):
        if not isinstance(record.get(key), str):
            return f"'{key}' is {record.get(key)!r:.80}, expected text"
    model = record.get("model")
    return None if model is None or isinstance(model, str) else f"'model' is {model!r:.80}, expected text"


def query_of(record: Record) -> str:
    """The first user message of a dialogue or prompt record; the raw text of a raw prompt."""
    if "prompt" in record:
        return record["prompt"]
    return next((m["content"] for m in record["messages"] if m["role"] == "user"), "")
