"""Run an application on this machine behind its `Guard`, until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from taolite.errors import UsageError
from taolite.web.guard import Guard, new_token

__all__ = ["LOOPBACK", "PORT", "Serving", "serve"]

LOOPBACK = "127.0.0.1"
PORT = 8420
"""The first port that is tried where none is asked for."""

_LAST_PORT = 65535
_GRACE_S = 2  # seconds that requests have to end after Ctrl-C


@dataclass(frozen=True)
class Serving:
    """Where a server listens. port: None for `PORT`, or any free one where that is taken; 0 for any free one.

    certificate, key: files in PEM form; with them the server speaks https.
    """

    host: str = LOOPBACK
    port: int | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


def serve(app: ASGIApp, serving: Serving, *, announce: Callable[[str], None]) -> None:
    """Serve `app` until SIGINT or SIGTERM.

    Args:
        announce: called once with the address, token included, when the server can be reached.

    Raises:
        UsageError: the port is taken, or there is no such host here.
        KeyboardInterrupt: after Ctrl-C, when the server has stopped.
    """
    import uvicorn

    for path in (serving.certificate, serving.key):
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: no such file")
    if (serving.certificate is None) != (serving.key is None):
        raise UsageError("https needs a certificate and its key; give both files, or none")
    if serving.port is not None and serving.port > _LAST_PORT:
        raise UsageError(f"--port {serving.port}: ports end at {_LAST_PORT}; --port 0 takes a free one")
    listening = _listen(serving.host, serving.port)
    port, token = listening.getsockname()[1], new_token()
    config = uvicorn.Config(
        Guard(app, token=token, port=port, hosts=(serving.host,)),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=serving.certificate,
        ssl_keyfile=str(serving.key) if serving.key else None,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        listening.close()
        raise UsageError(
            f"{serving.certificate}: no certificate with this key ({error}); give both in PEM form"
        ) from error
    scheme = "https" if serving.certificate else "http"
    name = socket.gethostname() if serving.host in ("0.0.0.0", "::") else serving.host
    shown = f"[{name}]" if ":" in name else name
    with listening:
        announce(f"{scheme}://{shown}:{port}/?token={token}")
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int | None) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port if port is not None else PORT, type=socket.SOCK_STREAM)[
            0
        ]
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        raise UsageError(f"--host {host}: this machine has no such address; give {LOOPBACK} or 0.0.0.0") from error
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen()
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE and port is None:
            return _listen(host, 0)
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: another program uses this port; --port 0 takes a free one") from error
        if error.errno == errno.EACCES:
            raise UsageError(f"--port {port}: this port is not for users; give 1024 or more") from error
        raise UsageError(f"--host {host}: this machine has no such address; give {LOOPBACK} or 0.0.0.0") from error
    return made
