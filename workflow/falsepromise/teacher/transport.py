"""Send one HTTP request to a server of the protocol, and read its reply within limits of time and size."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from falsepromise.core.errors import UserError
from falsepromise.core.text import shown
from falsepromise.teacher.providers import Habits, address

LONGEST_REPLY = 16 * 2**20  # bytes of one reply, packed and unpacked
CONNECT_S = 10.0
_REDIRECTS = 3
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Reply:
    """A server's whole reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unsent(Exception):
    """The connection failed before the request was sent."""


class Lost(Exception):
    """The request was sent, but its reply is incomplete: it may have cost its full price."""


class TooLarge(Lost):
    """The reply is larger than any answer: asking again won't help."""


def _filled(values: Mapping[str, str], key: str) -> dict[str, str]:
    """Headers or query parameters with the key; without a key, those that need none."""
    return {name: text.replace("{key}", key) for name, text in values.items() if key or "{key}" not in text}


class Transport:
    """Connections to one server.

    Args:
        base_url: The user's address, with or without the API's path, a query, or `/chat/completions`.
        habits: The provider's habits.
        model: The model, for servers with its name in the path.
        key: The key, or empty.
        timeout_s: Seconds for one reply, from the first byte sent to the last one read.
        concurrency: Connections to keep.

    Attributes:
        base: The base URL of the API's endpoints, without a final slash.
    """

    def __init__(self, base_url: str, habits: Habits, model: str, key: str, timeout_s: float, concurrency: int):
        parts = urlsplit(base_url)
        self._given_path = parts.path.strip("/") not in ("", "chat/completions")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.base = address(base_url, habits, model)
        self.query = {**_filled(habits.query, key), **dict(parse_qsl(parts.query))}
        if self.base.endswith("/openai/v1"):
            self.query.pop("api-version", None)  # Azure's newer path takes none
        self.headers = {name.lower(): text for name, text in _filled(habits.headers, key).items() if text}
        self.timeout_s = timeout_s
        own = parts.hostname in _LOOPBACK
        verify = ssl.create_default_context() if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client = httpx2.AsyncClient(
            verify=verify,
            trust_env=not own,  # no proxy for this machine itself
            timeout=httpx2.Timeout(None, connect=min(CONNECT_S, timeout_s)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency),
            headers={"accept": "application/json", "accept-encoding": "gzip", "user-agent": "false-promise"},
        )

    def other_base(self) -> str | None:
        """The base with `/v1` if the given one has none, or without it; None if neither is plausible."""
        if not self._given_path:
            return self.origin
        if self.base.endswith("/v1"):
            return self.base.removesuffix("/v1")
        return None if "/v1" in self.base.removeprefix(self.origin) else f"{self.base}/v1"

    async def request(
        self,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        method: str | None = None,
        base: str | None = None,
        longest: int = LONGEST_REPLY,
        timeout_s: float | None = None,
    ) -> Reply:
        """Send one request.

        Args:
            path: The path below the base, such as `/chat/completions`.
            body: The body of a POST, or None for a GET.
            content_type: The body's type.
            method: Another method than POST or GET.
            base: Another base than `self.base`.
            longest: Most bytes of the reply.
            timeout_s: Another timeout than `self.timeout_s`.

        Raises:
            Unsent, Lost: there is no complete reply.
            UserError: the server redirects to another host.
        """
        path, _, more = path.partition("?")
        query = {**self.query, **dict(parse_qsl(more))}
        url = (base or self.base) + path
        headers = {**self.headers, **({"content-type": content_type} if body is not None else {})}
        method = method or ("GET" if body is None else "POST")
        try:
            async with asyncio.timeout(timeout_s or self.timeout_s):
                for _ in range(_REDIRECTS + 1):
                    request = self.client.build_request(
                        method, url, content=body, headers=headers, params=query or None
                    )
                    response = await self.client.send(request, stream=True)
                    try:
                        if response.status_code in (301, 302, 303, 307, 308):
                            url = self._elsewhere(url, response)
                            continue
                        return Reply(response.status_code, response.headers, await _whole(response, longest))
                    finally:
                        await response.aclose()
                raise UserError(f"{self.base}: redirects in a circle; check the base URL")
        except TimeoutError as error:
            raise Lost("no reply in time") from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as error:
            raise Unsent(shown(error) or type(error).__name__) from error
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.LocalProtocolError) as error:
            raise UserError(f"{self.base}: no request can be sent there ({shown(error)})") from error
        except httpx2.HTTPError as error:
            raise Lost(f"connection failed ({shown(error) or type(error).__name__})") from error

    def _elsewhere(self, url: str, response: httpx2.Response) -> str:
        """The target of a redirect, if it is on the same host; the key is sent to no other."""
        target = response.headers.get("location", "")
        with contextlib.suppress(ValueError):  # no address
            target = urljoin(url, target)
            old, new = urlsplit(url), urlsplit(target)
            upgrade = (old.scheme, new.scheme) == ("http", "https")
            same = new.hostname == old.hostname and (new.port == old.port or upgrade)
            safe = new.scheme == old.scheme or new.scheme == "https"
            if same and safe and response.status_code != 303 and target != url:
                return target.partition("?")[0] if self.query else target
        raise UserError(
            f"{self.base}: redirects to {shown(target) or 'nowhere'} ({response.status_code}); if this is the "
            "right server, make it the base URL (the key was not sent there)"
        )

    async def close(self) -> None:
        """End the connections."""
        await self.client.aclose()


async def _whole(response: httpx2.Response, longest: int) -> bytes:
    """The unpacked body; at most `longest` bytes of it are kept in memory."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > longest:
            raise TooLarge(f"the reply is over {longest >> 20} MiB")
        parts.append(part)
    raw = b"".join(parts)
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity") or not raw:
        return raw
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Lost(f"the reply is packed by {shown(coding)!r}, which was not requested")
    unpack = zlib.decompressobj(47 if coding != "deflate" or raw[:1] == b"\x78" else -15)
    try:
        plain = unpack.decompress(raw, longest + 1)
    except zlib.error as error:
        raise Lost("the packed reply is damaged") from error
    if len(plain) > longest:
        raise TooLarge(f"the reply is over {longest >> 20} MiB when unpacked")
    if not unpack.eof:
        raise Lost("the packed reply is truncated")
    return plain
