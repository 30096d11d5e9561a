"""Who may talk to the local server: only the person who started it.

A page on this machine can be reached by every web site that the user visits, and by every user of the machine. So:

    token           each start makes one; it comes in the address that is printed, and from then on in a cookie that
                    scripts cannot read, or as `Authorization: Bearer TOKEN`
    Host header     an address, `localhost` or this machine's name: a foreign domain that is pointed at 127.0.0.1 (DNS
                    rebinding) is refused
    changes         need a header that a form or a link of another site cannot send, and an Origin that is ours
    every answer    forbids foreign content, frames and readers (CSP, CORP); there is no CORS

The files below `static/` hold no secret and need no token.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CHANGE", "Guard", "new_token"]

CHANGE = "x-taolite"
"""The header, with any value, that a request needs which changes something."""

_OPEN = "/static/"
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_REFUSED = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>taolite: the address is not complete</title>
<link rel="stylesheet" href="/static/common.css">
<main class="notice">
<h1>{head}</h1>
<p>{text}</p>
</main>
</html>
"""
_WITHOUT_TOKEN = (
    "This address is not complete",
    "The page opens with the whole address that taolite printed in the terminal; it ends in ?token=... . Copy that "
    "address. A new start of taolite has a new address.",
)
_FOREIGN_HOST = (
    "This page is not reached by that name",
    "Open it by the address that taolite printed in the terminal. Other host names are refused, so that no web "
    "site can reach this page.",
)
_FOREIGN_CHANGE = "this change was not asked for by taolite's own page; reload the page and try again"


def new_token() -> str:
    """A token nobody can guess: 192 random bits."""
    return secrets.token_urlsafe(24)


class Guard:
    """ASGI middleware around an application; see the module."""

    def __init__(self, app: ASGIApp, *, token: str, port: int, hosts: Collection[str] = ()) -> None:
        """Args:
        port: the server's; part of the cookie's name, because browsers keep one set of cookies for all ports.
        hosts: further host names by which the server may be reached.
        """
        self._app, self._token, self._cookie = app, token, f"taolite-{port}"
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own}.local", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        path, fresh = scope["path"], self._given(scope)
        refused: Response | None = None
        if not self._is_ours(headers.get("host", "")):
            refused = _page(*_FOREIGN_HOST)
        elif not path.startswith(_OPEN) and not (fresh or self._known(headers)):
            refused = _page(*_WITHOUT_TOKEN) if path == "/" else _error(" ".join(_WITHOUT_TOKEN))
        elif scope["method"] not in ("GET", "HEAD") and not self._from_us(headers):
            refused = _error(_FOREIGN_CHANGE)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                outgoing = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    outgoing[name] = value
                if fresh and refused is None:
                    secure = "; Secure" if scope["scheme"] == "https" else ""
                    outgoing.append(
                        "set-cookie", f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict{secure}"
                    )
            await send(message)

        await (self._app if refused is None else refused)(scope, receive, answer)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine: an address, or a name that is known."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name.lower() in self._hosts
        return True

    def _given(self, scope: Scope) -> bool:
        """Whether the page's address has the token."""
        if scope["path"] != "/" or scope["method"] != "GET":
            return False
        return any(self._same(token) for token in parse_qs(scope["query_string"].decode("latin-1")).get("token", ()))

    def _known(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._same(token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and self._same(cookie.value)

    def _same(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    def _from_us(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        ours = origin is None or origin.partition("://")[2] == headers.get("host")
        return ours and CHANGE in headers


def _page(head: str, text: str) -> Response:
    return HTMLResponse(_REFUSED.format(head=head, text=text), status_code=403)


def _error(text: str) -> Response:
    return JSONResponse({"error": text}, status_code=403)
