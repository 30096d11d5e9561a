"""`taolite help [COMMAND...]`: the same as `taolite COMMAND... --help`."""

from __future__ import annotations

import argparse

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite help`."""
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="a command, with its task: detectnet train")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.main import main

    return main([*options.words, "--help"])
