"""Download a file over https; after a break, go on from there if the file is still the same."""

from __future__ import annotations

import functools
import hashlib
import http.client
import logging
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any, Protocol

from falsepromise.core.errors import UserError
from falsepromise.core.progress import Progress
from falsepromise.core.text import masked
from falsepromise.sources.pace import Pace, in_time
from falsepromise.sources.room import check_room

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_LOOK = 1 << 26  # bytes after which the disk is looked at again
_BREAKS = 4  # give up after so many breaks in a row without a new byte
_VERSIONS = 4  # give up after so many versions of the file within one download
_CHANGES = ": changed several times during the download; try again later"
_REFUSALS = 2  # give up after so many breaks if the server never answered
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0  # longest wait in seconds that a server may ask for
# The last: of a host's name
_BROKEN = (
    http.client.HTTPException, urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, UnicodeError
)  # fmt: skip


class Writable(Protocol):
    """The methods that a source needs of its output file."""

    def write(self, data: bytes, /) -> int: ...

    def restart(self) -> None:
        """Delete all that was written."""

    def check_room(self, needed: int) -> None:
        """Raise a `UserError` if the disk has no room for so many more bytes."""


class Hashing:
    """A file that keeps the SHA-256 of what was written, and that doesn't fill its disk.

    Args:
        stream: The file.
        name: What is written, for messages.
    """

    def __init__(self, stream: IO[bytes], name: str):
        self._stream, self._name = stream, name
        self._unseen = 0  # bytes since the disk was looked at
        self.digest = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self._unseen += len(data)
        if self._unseen > _LOOK:
            self.check_room(len(data))
        self.digest.update(data)
        return self._stream.write(data)

    def check_room(self, needed: int) -> None:
        self._unseen = 0
        check_room(self._stream.fileno(), needed, self._name)

    def restart(self) -> None:
        self._unseen = 0
        self._stream.seek(0)
        self._stream.truncate()
        self.digest = hashlib.sha256()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to `https:` only: anybody on the way may change what comes over `http:` or `ftp:`."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.lower().startswith("https:"):
            raise UserError(f"{masked(req.full_url)}: redirects to {masked(newurl)[:300]}, which is not https:")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError as error:  # `https://[::1`
            place = masked(str(headers.get("Location") or headers.get("URI")))[:300]
            raise UserError(f"{masked(req.full_url)}: redirects to {place}, which is no address ({error})") from error

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def download(url: str, out: Writable, checked: bool) -> None:
    """Download a file.

    Args:
        url: An `https:` address.
        out: The output.
        checked: Whether the caller checks the SHA-256 afterwards. If not, a download goes on after a break only if
            the server names the file's version (an ETag or a date) and it has not changed.

    Raises:
        UserError: the server refuses, or the connection breaks again and again.
    """
    done, total, breaks, versions = 0, None, 0, 0
    version: str | None = None
    shown = masked(url)
    opener = urllib.request.build_opener(_Redirects)
    name = urllib.parse.urlsplit(url).path.rpartition("/")[2] or shown
    with Progress(None, f"downloading {name}", unit="B") as progress:
        while True:
            before, wait = done, 0.0
            pace: Pace | None = None
            if done and version is None and not checked:
                done = _again(out, progress, done)
            request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
            if done:
                request.add_header("Range", f"bytes={done}-")
                if version is not None:
                    request.add_header("If-Range", version)
            try:
                with in_time(functools.partial(opener.open, request, timeout=60)) as answer:
                    found, skip = _version(answer), 0
                    part, size = answer.status == 206, _size(answer)
                    fits = total in (None, size) or size is None
                    if part:  # without any size nobody could tell whether it is the whole rest
                        fits = fits and _goes_on(answer, done) and (total or size) is not None
                    if done and fits and (found == version or (part and found is None)):
                        skip = 0 if part else done  # a server without ranges sends the whole file again
                    elif done or not fits:
                        log.info("%s has changed: beginning again", shown)
                        versions += 1
                        total, done = None, _again(out, progress, done)
                        if part:
                            version = None
                            if versions <= _VERSIONS:
                                continue
                            raise UserError(f"{shown}{_CHANGES}")
                    version = found or version
                    if total is None and size is not None:
                        total = progress.total = size
                        out.check_room(total - done)
                    with Pace(answer.fileno()) as pace:
                        while chunk := answer.read1(_CHUNK):
                            pace.size += len(chunk)
                            new, skip = chunk[skip:], max(skip - len(chunk), 0)
                            out.write(new)
                            done += len(new)
                            progress.update(len(new))
                if not pace.crept and total in (None, done):
                    return
                if total is not None and done > total:
                    raise UserError(f"{shown}: received {done:,} of {total:,} bytes; the server contradicts itself")
                why = pace.crept or f"received {done:,} of {total:,} bytes"
            except urllib.error.HTTPError as error:
                why = f"the server answered {error.code} {error.reason}"
                if error.code == 416 and done:
                    versions += 1
                    if versions > _VERSIONS:
                        raise UserError(f"{shown}{_CHANGES}") from error
                    total, done = None, _again(out, progress, done)
                elif error.code not in _TRY_AGAIN:
                    raise UserError(f"{shown}: {why}") from error
                asked = error.headers.get("Retry-After", "")
                wait = min(float(asked), _LONGEST_WAIT) if asked.isdecimal() and len(asked) < 9 else 0.0
            except _BROKEN as error:
                why = (pace and pace.crept) or str(getattr(error, "reason", error))
            breaks = 0 if done > before and not (pace and pace.crept) else breaks + 1
            if breaks >= (_BREAKS if total is not None else _REFUSALS):
                heard = total is not None or why.startswith("the server")
                raise UserError(f"{shown}: {'' if heard else 'cannot be reached: '}{masked(why)}; try again")
            if breaks or wait:
                time.sleep(max(wait, 2.0 ** (breaks - 1)))
            log.info("%s broke off: %s; going on", shown, why)


def _again(out: Writable, progress: Progress, done: int) -> int:
    """Delete the output to begin again; return its new size, 0."""
    out.restart()
    progress.update(-done)
    return 0


def _version(answer: http.client.HTTPResponse) -> str | None:
    """The version of a file: a strong ETag, or else the date."""
    etag = answer.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    return answer.headers.get("Last-Modified")


def _size(answer: http.client.HTTPResponse) -> int | None:
    """The size of the whole file, if an answer tells it; the length of one that has the rest is the rest's."""
    whole = answer.headers.get("Content-Length") or ""
    told = (answer.headers.get("Content-Range") or "").rpartition("/")[2] if answer.status == 206 else whole
    return int(told) if told.isdecimal() and len(told) < 40 else None


def _goes_on(answer: http.client.HTTPResponse, done: int) -> bool:
    """Whether an answer has the rest of a file from a given byte."""
    place = (answer.headers.get("Content-Range") or "").removeprefix("bytes ")
    return place.partition("-")[0] == str(done)
