"""Download files of a Hugging Face repository, whatever its server says.

`huggingface_hub` believes the server: it writes as many bytes as come, waits as long as it is told, and follows a list
to its next page on any host with the user's token. Here a file has the size and the hash that the repository's list
gives, the token goes to the hub alone, and each reply has limits of size and time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import fnmatch
import functools
import hashlib
import json
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.text import masked
from falsepromise.sources.pace import Pace, in_time
from falsepromise.sources.room import check_room

LONGEST_LIST = 64 << 20  # bytes of one reply that is no file; a page of a list has 1,000 files in less than 1 MiB
LONGEST_LIST_S = 300.0  # seconds of such a reply
MOST_PAGES = 500  # of 1,000 files each: a list's pages may follow each other without end
LONGEST_WAIT_S = 120  # most seconds that a server may ask to wait before it is asked again
SILENT_S = 60.0  # longest silence of a server in seconds
_WAITS = ("connect", "read", "write", "pool")
_CHUNK = 1 << 20
_AT_ONCE = 8  # files
_WRAPPERS = ("DatasetGenerationError", "LocalEntryNotFoundError")  # errors that say less than their cause
_PROTOCOLS = ("hf", "file", "local", "zip", "tar")  # of these, `datasets` refuses what is outside the repository
_OWN = ("https://huggingface.co", "https://hub-ci.huggingface.co", "https://hf.co")


@functools.cache
def guard() -> None:
    """Put the limits on all requests of `huggingface_hub` and `datasets` in this process, which are for downloads."""
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # its downloads pass none of this
    import httpx2
    import huggingface_hub
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.utils._http import default_client_factory

    hosts, pages = {_origin(address) for address in (ENDPOINT, *_OWN)}, 0
    api = urllib.parse.urlsplit(ENDPOINT).path.rstrip("/") + "/api/"

    class Watched(httpx2.SyncByteStream):
        def __init__(self, response: Any, url: str, is_list: bool):
            self._stream, self._url, self._is_list = response.stream, url, is_list
            self._socket = response.extensions["network_stream"].get_extra_info("socket")

        def __iter__(self) -> Iterator[bytes]:
            start = time.monotonic()
            with Pace(self._socket.fileno()) as pace:
                try:
                    for part in self._stream:
                        pace.size += len(part)
                        if self._is_list and (pace.size > LONGEST_LIST or time.monotonic() - start > LONGEST_LIST_S):
                            raise UserError(f"{self._url}: the reply is too long for a list of files, or too slow")
                        yield part
                finally:
                    if pace.crept:
                        raise UserError(f"{self._url}: sent {pace.crept}; try again later")

        def close(self) -> None:
            self._stream.close()

    def asked(request: Any) -> None:
        if _origin(str(request.url)) not in hosts:
            request.headers.pop("Authorization", None)
        limits = request.extensions.get("timeout", {})  # most requests have none
        request.extensions["timeout"] = {what: limits.get(what) or SILENT_S for what in _WAITS}

    def answered(response: Any) -> None:
        nonlocal pages
        url, path = masked(str(response.request.url)), response.request.url.path
        is_list = path.startswith(api)
        pages += is_list and "tree" in path.removeprefix(api).split("/")[2:4]  # behind `datasets`, and one name or two
        if pages > MOST_PAGES:
            raise UserError(f"{url}: the server's list of files doesn't end ({MOST_PAGES:,} pages)")
        if response.headers.get("Content-Encoding", "identity") != "identity" and response.request.method == "GET":
            raise UserError(f"{url}: the reply is packed, which was not requested; is there a proxy between?")
        wait = response.headers.get("Retry-After", "")
        if wait.isdecimal() and (len(wait) > 6 or int(wait) > LONGEST_WAIT_S):
            response.headers["Retry-After"] = str(LONGEST_WAIT_S)
        response.headers.pop("RateLimit", None)  # it can ask for any time as well
        response.stream = Watched(response, url, is_list)

    def client() -> Any:
        made: Any = default_client_factory()
        made.headers["Accept-Encoding"] = "identity"
        hooks = made.event_hooks
        made.event_hooks = {"request": [*hooks["request"], asked], "response": [*hooks["response"], answered]}
        send = made.send

        def headers_in_time(request: Any, *, stream: bool = False, **options: Any) -> Any:
            try:
                response = in_time(functools.partial(send, request, stream=True, **options))
            except TimeoutError as error:
                raise UserError(f"{masked(str(request.url))}: {error}; try again later") from error
            if not stream:
                with contextlib.closing(response):
                    response.read()
            return response

        made.send = headers_in_time
        return made

    huggingface_hub.set_client_factory(client)
    _only_the_hub()


def _only_the_hub() -> None:
    """Refuse the other protocols that fsspec knows: a card may name any address, also one of the user's network."""
    import fsspec

    class Refused(fsspec.AbstractFileSystem):
        cachable = False

        def __init__(self, *_: object, **__: object):
            raise UserError("its card names files elsewhere than in the repository; such files are not fetched")

    for protocol in fsspec.available_protocols():
        if protocol not in _PROTOCOLS:
            fsspec.register_implementation(protocol, Refused, clobber=True)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def download(
    name: str,
    kind: str,
    revision: str,
    folder: Path,
    member: str | None = None,
    below: str | None = None,
    patterns: Sequence[str] | None = None,
) -> list[Path]:
    """Download files of a repository into a folder, and compare each with the size and hash of the repository's list.

    Args:
        name: `ORG/NAME`.
        kind: `model` or `dataset`.
        revision: The commit.
        folder: An empty folder, which gets the files under their names.
        member: One file; otherwise all files below `below`, or those that `patterns` want.
        below: A folder of the repository; all of it by default.
        patterns: Shell patterns for names of files that are in no folder.

    Returns:
        The files.

    Raises:
        UserError: a file is not what the list says, or the disk has no room for all.
        Exception: those of `huggingface_hub`; see `errors`.
    """
    guard()
    import huggingface_hub

    api = huggingface_hub.HfApi()
    about: Any = {"revision": revision, "repo_type": kind}
    listed = (
        api.get_paths_info(name, [member], **about) if member else api.list_repo_tree(name, recursive=True, **about)
    )
    files = {
        entry.path: entry
        for entry in listed
        if isinstance(entry, huggingface_hub.hf_api.RepoFile)
        and (not below or entry.path.startswith(f"{below.rstrip('/')}/"))
        and (patterns is None or fits(entry.path, patterns))
    }
    if member and not files:
        raise UserError("Entry Not Found: the repository has no such file")
    sizes = {path: _size(path, entry) for path, entry in files.items()}
    check_room(folder, sum(sizes.values()), f"the files of {name}")
    largest = max(sizes, key=lambda path: sizes[path], default="")
    most = huggingface_hub.constants.MAX_HTTP_DOWNLOAD_SIZE
    if largest and sizes[largest] > most and huggingface_hub.constants.HF_HUB_DISABLE_XET:
        raise UserError(
            f"{largest}: {sizes[largest] / 1e9:.0f} GB; above {most / 1e9:.0f} GB the hub sends files to its own "
            "client alone: set HF_HUB_DISABLE_XET=0, which fetches all files without limits of time and size"
        )
    stop = threading.Event()
    with Progress(sum(sizes.values()), f"downloading {name}", unit="B") as progress:

        def get(path: str) -> Path:
            if stop.is_set():
                raise UserError("the download was given up")
            counter = _counter(path, sizes[path], folder, progress, stop)
            found = huggingface_hub.hf_hub_download(
                name, path, repo_type=kind, revision=revision, local_dir=folder, tqdm_class=counter
            )
            _check(Path(found), files[path])
            return Path(found)

        with concurrent.futures.ThreadPoolExecutor(min(_AT_ONCE, len(files) or 1)) as pool:
            doing = [pool.submit(get, path) for path in sorted(files)]
            try:
                for done in concurrent.futures.as_completed(doing):
                    done.result()
            except BaseException:
                stop.set()
                for waiting in doing:
                    waiting.cancel()
                raise
    return [done.result() for done in doing]


def fits(path: str, patterns: Sequence[str]) -> bool:
    """Whether a file is in no folder and its name fits a pattern."""
    return "/" not in path and any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _size(path: str, entry: Any) -> int:
    size = entry.lfs.size if entry.lfs else entry.size
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 60:
        raise UserError(f"{path}: the repository's list gives the size {str(size)[:40]}")
    return size


def _counter(path: str, most: int, folder: Path, progress: Progress, stop: threading.Event) -> Any:
    """The bar that `huggingface_hub` moves with each piece of a file: it ends a download that is too long."""

    class Counter:
        def __init__(self, *_: object, **options: Any):
            self.done = options.get("initial") or 0

        def __enter__(self) -> Counter:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            self.done += int(n or 0)
            if stop.is_set():
                raise UserError("the download was given up")
            if self.done > most:
                raise UserError(
                    f"{path}: the server sends more than the {most:,} bytes that the repository's list gives"
                )
            check_room(folder, 0, path)
            progress.update(int(n or 0))

        def close(self) -> None:
            pass

        def set_postfix_str(self, *_: object, **__: object) -> None:
            pass

    return Counter


def _check(path: Path, entry: Any) -> None:
    """Compare a file with the list: by SHA-256 if it is large (LFS), or by git's hash of it."""
    size = path.stat().st_size
    found: Any = hashlib.sha256() if entry.lfs else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    expected = str(entry.lfs.sha256 if entry.lfs else entry.blob_id)
    if size != _size(entry.path, entry) or found.hexdigest() != expected:
        kind = "SHA-256" if entry.lfs else "git's hash"
        raise UserError(
            f"{entry.path}: {size:,} bytes with {kind} {found.hexdigest()}, but the repository's list has "
            f"{_size(entry.path, entry):,} and {expected[:80]}; it was damaged on its way: try again"
        )


@contextlib.contextmanager
def errors(where: str) -> Iterator[None]:
    """Turn errors of the hub and its libraries into a one-line `UserError`, under the limits of `guard`."""
    guard()
    import huggingface_hub.errors

    try:
        yield
    except UserError as error:
        if str(error).startswith("hub:"):
            raise
        raise UserError(f"{where}: {error}") from error
    except huggingface_hub.errors.GatedRepoError as error:
        raise UserError(f"{where}: it is gated: accept its terms on the hub, and set HF_TOKEN") from error
    except Exception as error:  # datasets passes on any error of its readers
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise  # writing failed, not reading
        cause = (type(error).__name__ in _WRAPPERS and error.__cause__) or error
        if isinstance(cause, json.JSONDecodeError):
            raise UserError(f"{where}: the server's answer is not JSON; is something else than a hub there?") from error
        scripts = "; name one of its files with --member" if re.search(r"\bscripts?\b", str(cause)) else ""
        raise UserError(f"{where}: {type(cause).__name__}: {str(cause)[:600]}{scripts}") from error
