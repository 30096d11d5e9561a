"""GET over HTTP, the one way in which this library asks a server: for shards (`ranges`) and downloads (`transfer`).

urllib3 keeps the connections, speaks TLS and goes through proxies. What is decided here:

- Redirections are followed, 5 at most, never from https to http. Who logs in is decided for each host anew (`login`).
- Proxies come from http_proxy, https_proxy, all_proxy and no_proxy.
- A fault that may pass raises `Passing`, and `with_retries` tries again; any other is an error of ours at once.
- Bounds: 60 s without a byte, and 8 KiB/s on average after the first minute, below which a transfer counts as broken.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from taolite.errors import PathError, UsageError
from taolite.formats.login import TOKENS_VARIABLE, login_headers

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = ["Passing", "RefusedError", "blocks", "get", "shown", "with_retries"]

T = TypeVar("T")
_TIMEOUT_S = 60.0
_SLOWEST = 8 << 10  # bytes a second
_MOST_REDIRECTIONS = 5
_LONGEST_BACKOFF_S, _LONGEST_WAIT_S = 30.0, 120.0
_MOVED = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429)  # and 500 and more: worth another attempt
_CONNECTIONS = 64  # that stay open, for each server: one for each thread that reads
_BLOCK = 1 << 18  # bytes read at once
_managers: dict[str, PoolManager] = {}
_making = threading.Lock()


class Passing(Exception):  # noqa: N818  (not an error yet)
    """A fault that may pass. wait_s: how long the server asks to wait, 0 where it does not say."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class RefusedError(PathError):
    """The server answers with a status that another attempt does not change. reason: `HTTP 404 Not Found`."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


def shown(url: str) -> str:
    """An address as messages have it: without name, password and query, which may hold secrets. A path stays as it is.

    >>> shown("https://me:pw@host/a.tar?X-Amz-Signature=5f")
    'https://host/a.tar?***'
    """
    head, mark, _ = url.partition("?")
    scheme, slashes, rest = head.partition("://")
    if not slashes:
        return url
    place, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{place.rpartition('@')[2]}{slash}{path}{'?***' if mark else ''}"


def with_retries(once: Callable[[], T], *, retries: int, pause: Callable[[float], None] | None = None) -> T:
    """What `once` gives. Where it raises Passing it is called again, `retries` times: after 1, 2, 3 ... 30 seconds, or
    what the server asks for (Retry-After), 120 seconds at most. The last Passing is raised."""
    attempt = 0
    while True:
        try:
            return once()
        except Passing as fault:
            attempt += 1
            if attempt > retries:
                raise
            wait_s = max(min(float(attempt), _LONGEST_BACKOFF_S), min(fault.wait_s, _LONGEST_WAIT_S))
        (pause or time.sleep)(wait_s)


@contextmanager
def get(url: str, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
    """The answer of a server, of status 200, 206 or 416; `blocks` reads its body.

    Raises:
        Passing: no connection, or a status that may be another one soon.
        RefusedError: any other status.
        PathError: an address or certificate that cannot be used, or too many redirections.
        UsageError: a proxy, a netrc file or tokens that cannot be used.
    """
    target = _checked(url, shown(url))
    for _ in range(_MOST_REDIRECTIONS + 1):
        with _asked(target, headers, shown(url)) as response:
            if response.status not in _MOVED or not response.headers.get("Location"):
                _check_status(response, target, shown(url))
                yield response
                return
            target = _next(target, response.headers["Location"], shown(url))
    raise PathError(f"{shown(url)}: more than {_MOST_REDIRECTIONS} redirections; use the address of the file itself")


def blocks(response: BaseHTTPResponse, most: int) -> Iterator[bytes]:
    """The body of an answer as it comes; reading ends after `most` bytes, even where there are more.

    Raises Passing for a transfer that breaks off or is too slow. A body may be short: compare its length.
    """
    from urllib3.exceptions import HTTPError

    begin, count = time.monotonic(), 0
    while count < most:
        try:
            block = response.read1(min(_BLOCK, most - count), decode_content=False)
        except (HTTPError, OSError) as error:
            raise Passing(_reason(error)) from error
        if not block:
            return
        count += len(block)
        if count < (time.monotonic() - begin - _TIMEOUT_S) * _SLOWEST:
            raise Passing(f"slower than {_SLOWEST >> 10} KiB/s")
        yield block


def _checked(url: str, name: str) -> str:
    """An address that can be asked for."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise PathError(f"{name}: this is no address; http://HOST[:PORT]/PATH or https://... is needed")
    if parts.username is not None:
        raise PathError(
            f"{name}: this address holds a name or password, which would be written to logs and specs; put them into "
            f"~/.netrc: machine {parts.hostname} login NAME password PASSWORD"
        )
    return parts._replace(fragment="").geturl()


def _next(target: str, location: str, name: str) -> str:
    """Where a redirection leads to."""
    found = _checked(urljoin(target, location), f"{name} (redirected to {shown(location)})")
    if target.startswith("https:") and found.startswith("http:"):
        raise PathError(f"{name}: redirected from https to {shown(found)}, which is not secure; use another address")
    return found


@contextmanager
def _asked(target: str, headers: Mapping[str, str], name: str) -> Iterator[BaseHTTPResponse]:
    """The answer to one request. Its connection is kept where the body was read to its end."""
    from urllib3 import Timeout
    from urllib3.exceptions import HTTPError, LocationParseError, SSLError

    own = {"Accept-Encoding": "identity", "User-Agent": "taolite", **headers, **login_headers(target)}
    timeout = Timeout(connect=_TIMEOUT_S, read=_TIMEOUT_S)
    try:
        response = _manager(target).request(
            "GET",
            target,
            headers=own,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            enforce_content_length=False,  # who reads says which bytes are missing
        )
    except LocationParseError as error:
        raise PathError(f"{name}: this is no address ({_reason(error)}); correct it") from error
    except SSLError as error:
        raise PathError(
            f"{name}: no secure connection to {urlsplit(target).netloc} ({_reason(error)}); for a certificate of your "
            "own, set SSL_CERT_FILE to the file of the authority that signed it"
        ) from error
    except (HTTPError, OSError) as error:
        raise Passing(_reason(error)) from error
    try:
        yield response
        if response.length_remaining == 0:
            response.drain_conn()  # it was read to its end: the connection can be used again
    finally:
        response.close()


def _check_status(response: BaseHTTPResponse, target: str, name: str) -> None:
    status, reason = response.status, f"HTTP {response.status} {response.reason or ''}".rstrip()
    if status in (200, 206, 416):
        return
    if status >= 500 or status in _PASSING:
        raise Passing(reason, _retry_after_s(response.headers.get("Retry-After", "")))
    host, way_out = urlsplit(target).hostname, "correct the address"
    if status in (401, 403):
        way_out = (
            f"correct the address, or log in with a line in ~/.netrc (machine {host} login NAME password PASSWORD) or "
            f"with {TOKENS_VARIABLE}={host}=TOKEN"
        )
    elif status == 407:
        way_out = "give name and password of the proxy, as in http_proxy=http://NAME:PASSWORD@HOST:PORT"
    raise RefusedError(f"{name}: the server says HTTP {status}; {way_out}", status, reason)


def _retry_after_s(text: str) -> float:
    """The seconds of a Retry-After header; 0 for one that cannot be read."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        return float(Retry().parse_retry_after(text)) if text else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _reason(error: BaseException) -> str:
    """What went wrong, without urllib3's objects: the system's own words where an error of the system is the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        inner = next((one for one in cause.args if isinstance(one, BaseException)), None)
        cause = inner or cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _manager(target: str) -> PoolManager:
    """The connections for an address: those of its proxy, where the environment names one."""
    parts = urlsplit(target)
    proxies = {} if proxy_bypass(parts.hostname or "") else getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    with _making:
        if proxy not in _managers:
            _managers[proxy] = _made(proxy)
        return _managers[proxy]


def _made(proxy: str) -> PoolManager:
    from urllib3 import PoolManager, ProxyManager, make_headers
    from urllib3.exceptions import HTTPError
    from urllib3.util import parse_url

    if not proxy:
        return PoolManager(maxsize=_CONNECTIONS)
    try:
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        secret = make_headers(proxy_basic_auth=unquote(parts.auth)) if parts.auth else None
        return ProxyManager(parts._replace(auth=None).url, maxsize=_CONNECTIONS, proxy_headers=secret)
    except (HTTPError, ValueError) as error:
        raise UsageError(
            f"{shown(proxy)}: this proxy of the environment cannot be used; http://HOST:PORT is needed, or unset "
            "http_proxy, https_proxy and all_proxy"
        ) from error


def _forget() -> None:
    """In a process made by a fork: connections belong to the process that opened them."""
    global _making
    _managers.clear()
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
