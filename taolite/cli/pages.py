"""A page in a browser, as the commands that show one start it: its flags, its address, and the server until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from taolite.cli.parsing import whole
from taolite.cli.values import count

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["add_server", "serve_page"]


def add_server(add: Callable[..., argparse.Action], *, https: str = "certificate (PEM): the page is https") -> None:
    """Add the flags of the server. https: the help of --ssl-cert."""
    text = "address to listen on (default: 127.0.0.1). Any other can be reached by other machines"
    whole(
        add("--port", type=count(0), help="port of the page; 0 for any free one (default: 8420, or any free one)"),
        add("--host", default="127.0.0.1", help=text),
        add("--ssl-cert", type=Path, metavar="FILE", help=https),
        add("--ssl-key", type=Path, metavar="FILE", help="key of the certificate (PEM)"),
    )


def serve_page(app: ASGIApp, options: argparse.Namespace, root: Path, *, opens: bool, plain: str = "") -> None:
    """Serve a page about `root` until Ctrl-C.

    Args:
        opens: open it in a browser, too.
        plain: what else is said where other machines reach the page without https.

    Raises UsageError as `serve`; KeyboardInterrupt after Ctrl-C.
    """
    from taolite.web.serving import Serving, serve

    serving = Serving(options.host, options.port, options.ssl_cert, options.ssl_key)

    def announce(address: str) -> None:
        if not serving.is_local:
            _warn(f"--host {serving.host}: every machine of the network can reach this page; its address is its key")
            if serving.certificate is None:
                _warn(f"without --ssl-cert and --ssl-key the page is not encrypted{plain}")
        print(f"{root}: open this page in a browser; Ctrl-C ends it\n  {address}", flush=True)
        if opens:
            _open_browser(address, Path(folder))

    with TemporaryDirectory(prefix="taolite-") as folder:
        serve(app, serving, announce=announce)


def _open_browser(address: str, folder: Path) -> None:
    """Open the page by a file that leads there: what a program is called with, here the browser, all users can see."""
    import webbrowser

    path = folder / "open.html"  # the folder is the user's alone
    path.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">', encoding="utf-8")
    if not webbrowser.open(path.as_uri()):
        _warn("no browser could be opened here; open the address yourself")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
