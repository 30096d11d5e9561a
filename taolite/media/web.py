"""What an http address holds: a picture, a video, or a stream without an end. One request tells.

A name and a password in the address go to its own host only. Certificates are checked.
"""

from __future__ import annotations

import http.client
import io
import socket
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    OpenerDirector,
    build_opener,
)

from taolite.errors import DataError, PathError
from taolite.media.places import Address
from taolite.media.readers import STALL_S
from taolite.pictures import EXTENSIONS

__all__ = ["WebPicture", "WebVideo", "ask", "unreachable"]

_MOST_BYTES = 256 << 20  # of a picture; the largest that `pictures` decodes has 360 MB as RGB
_PORTS = {"rtsp": 554, "http": 80, "https": 443}
_PLAYLISTS = ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl")


@dataclass(frozen=True)
class WebPicture:
    """A picture: a file name for it, its address for messages, and its bytes."""

    name: str
    shown: str
    body: bytes

    def open(self) -> IO[bytes]:
        """The bytes as a stream."""
        return io.BytesIO(self.body)


@dataclass(frozen=True)
class WebVideo:
    """A video or a stream. is_live: it has no end that the server knows of."""

    is_live: bool


def ask(address: Address) -> WebPicture | WebVideo:
    """What is behind the address. Raises PathError where it cannot be had, DataError for what cannot be looked at."""
    url, opener = _with_password(address.url)
    shown = address.shown
    try:
        with opener.open(url, timeout=STALL_S) as answer:
            kind, length = answer.headers.get_content_type(), answer.headers.get("Content-Length")
            if kind.startswith("image/") or (
                kind in ("application/octet-stream", "text/plain") and _name(url).lower().endswith(EXTENSIONS)
            ):
                body = answer.read(_MOST_BYTES + 1)
                if len(body) > _MOST_BYTES:
                    raise DataError(f"{shown}: this picture has more than {_MOST_BYTES >> 20} MB")
                return WebPicture(_name(url), shown, body)
            if kind in ("text/html", "application/xhtml+xml"):
                raise DataError(
                    f"{shown}: the server answers with a web page ({kind}); give the address of the picture or the "
                    "stream itself"
                )
            if kind in _PLAYLISTS:
                return WebVideo(is_live=b"#EXT-X-ENDLIST" not in answer.read(_MOST_BYTES))
            return WebVideo(is_live=length is None)
    except HTTPError as error:
        with error:
            raise PathError(f"{shown}: {_refused(error.code, error.reason)}") from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        cause = error.reason if isinstance(error, URLError) else error
        why = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause) or type(cause).__name__
        raise PathError(f"{shown}: it cannot be opened ({why})") from None


def unreachable(address: Address) -> str:
    """Why no connection to an address can be made; "" where one can, or where nothing is connected (`rtp://`)."""
    if address.scheme not in _PORTS:
        return ""
    try:
        port = address.port or _PORTS[address.scheme]
        socket.create_connection((address.host, port), timeout=STALL_S).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return ""


def _with_password(url: str) -> tuple[str, OpenerDirector]:
    """The address without name and password, and what opens it with them."""
    parts = urlsplit(url)
    who, _, where = parts.netloc.rpartition("@")
    bare = quote(urlunsplit(parts._replace(netloc=where)), safe="%/:=&?~#+!$,;'@()*[]")
    passwords = HTTPPasswordMgrWithDefaultRealm()
    if who:
        name, _, password = who.partition(":")
        passwords.add_password(None, bare, unquote(name), unquote(password))
    return bare, build_opener(HTTPBasicAuthHandler(passwords), HTTPDigestAuthHandler(passwords))


def _name(url: str) -> str:
    """The file name at the end of an address; "picture.jpg" where it has none."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name if name.lower().endswith(EXTENSIONS) else f"{name or 'picture'}.jpg"


def _refused(code: int, reason: str) -> str:
    if code in (401, 403):
        return f"the server refuses it ({code} {reason}); give name and password, as in http://NAME:PASSWORD@HOST/PATH"
    return f"the server answers {code} {reason}"
