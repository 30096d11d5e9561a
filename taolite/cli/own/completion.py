"""`taolite completion SHELL`: a script that completes taolite's commands, flags and their choices in a shell.

shtab generates it once from the parsers, so completion does not start Python.
"""

from __future__ import annotations

import argparse

from taolite.errors import UsageError

__all__ = ["configure"]

_SHELLS = ("bash", "zsh", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite completion`."""
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))
    parser.epilog = "In bash, for now and for later: taolite completion bash >> ~/.bash_completion"
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.main import GROUPS, parser_for

    try:
        import shtab
    except ImportError as error:
        raise UsageError("completion needs the package shtab: pip install shtab") from error
    print(shtab.complete(parser_for(*GROUPS), shell=options.shell))
    return 0
