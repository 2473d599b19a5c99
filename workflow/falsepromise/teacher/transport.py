"""One HTTP request to a server of the protocol, and its whole reply within bounds of time and size."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from falsepromise.core.errors import UserError
from falsepromise.teacher.providers import Habits, address
from falsepromise.teacher.words import shown

LONGEST_REPLY = 16 * 2**20  # bytes of one reply, as it comes and unpacked
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
    """Nobody took the request: nothing was sent."""


class Lost(Exception):
    """The request left, and its reply did not come whole: it may have cost its full price."""


class TooLarge(Lost):
    """The reply is larger than any answer is: asking again won't help."""


class Transport:
    """Connections to one server.

    Args:
        base_url: As the user gave it, with or without the API's path, a query, or `/chat/completions`.
        habits: Of the provider.
        model: For the path of servers that name it there.
        key: The key, or empty.
        timeout_s: For one reply, from the first byte sent to the last one read.
        concurrency: Connections that are kept.

    Attributes:
        base: The URL below which the API's endpoints lie, without a slash at its end.
    """

    def __init__(self, base_url: str, habits: Habits, model: str, key: str, timeout_s: float, concurrency: int):
        parts = urlsplit(base_url)
        self._given_path = parts.path.strip("/") not in ("", "chat/completions")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.base = address(base_url, habits, model)
        self.query = {**habits.query, **dict(parse_qsl(parts.query))}
        if self.base.endswith("/openai/v1"):
            self.query.pop("api-version", None)  # Azure's newer path takes none
        self.headers = {
            name.lower(): text.replace("{key}", key)
            for name, text in habits.headers.items()
            if text and (key or "{key}" not in text)
        }
        self.timeout_s = timeout_s
        own = parts.hostname in _LOOPBACK
        verify = ssl.create_default_context() if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client = httpx2.AsyncClient(
            verify=verify,
            trust_env=not own,  # a proxy is no way to this machine itself
            timeout=httpx2.Timeout(None, connect=min(CONNECT_S, timeout_s)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency),
            headers={"accept": "application/json", "accept-encoding": "gzip", "user-agent": "false-promise"},
        )

    def other_base(self) -> str | None:
        """The base with `/v1` where the given one has none, and without where it has; None where that is no guess."""
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
            path: Below the base, as `/chat/completions`.
            body: To be posted, or None to get.
            content_type: Of the body.
            method: In place of POST or GET.
            base: In place of `self.base`.
            longest: Bytes that the reply may have.
            timeout_s: In place of `self.timeout_s`.

        Raises:
            Unsent, Lost: there is no whole reply.
            UserError: the server sends us somewhere else.
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
        """Where a redirect leads, if that is the same host; the key goes nowhere else."""
        target = urljoin(url, response.headers.get("location", ""))
        old, new = urlsplit(url), urlsplit(target)
        same = new.hostname == old.hostname and (new.port == old.port or (old.scheme, new.scheme) == ("http", "https"))
        safe = new.scheme == old.scheme or new.scheme == "https"
        if same and safe and response.status_code != 303 and target != url:
            return target.partition("?")[0] if self.query else target
        raise UserError(
            f"{self.base}: redirects to {shown(target) or 'nowhere'} ({response.status_code}); if that is the server "
            "that is meant, make it the base URL (the key was not sent there)"
        )

    async def close(self) -> None:
        """End the connections."""
        await self.client.aclose()


async def _whole(response: httpx2.Response, longest: int) -> bytes:
    """The body, unpacked; never more than `longest` bytes of it are held."""
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
        raise Lost(f"the reply is packed by {shown(coding)!r}, which was not asked for")
    unpack = zlib.decompressobj(47 if coding != "deflate" or raw[:1] == b"\x78" else -15)
    try:
        plain = unpack.decompress(raw, longest + 1)
    except zlib.error as error:
        raise Lost("the reply is packed and broken") from error
    if len(plain) > longest:
        raise TooLarge(f"the reply is over {longest >> 20} MiB when unpacked")
    if not unpack.eof:
        raise Lost("the reply is packed and breaks off")
    return plain
