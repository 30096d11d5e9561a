"""`taolite board DIR`: the runs below a folder, on a page in the browser. It reads, and changes nothing."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from taolite.cli import pages
from taolite.cli.parsing import TaoParser

__all__ = ["configure"]


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite board`."""
    add = parser.add_argument
    text = "folder that holds runs, at any depth (default: the current folder)"
    add("root", type=Path, metavar="DIR", nargs="?", default=Path(), help=text)
    pages.add_server(add)
    text = "do not open the page in a browser (default: it is opened where this terminal has a screen)"
    add("--no-browser", action="store_true", help=text)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.web.board import board_app

    try:
        pages.serve_page(board_app(options.root), options, options.root, opens=not options.no_browser and _has_screen())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return 0


def _has_screen() -> bool:
    """Whether a browser would come to a screen before the person at this terminal."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
