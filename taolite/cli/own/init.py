"""`taolite init DIR`: a workspace for experiments, laid out as the tutorials' repository is. Nothing is overwritten."""

from __future__ import annotations

import argparse
from pathlib import Path

from taolite.wording import counted

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite init`."""
    text = "folder of the workspace; files that are there already stay as they are"
    parser.add_argument("folder", type=Path, metavar="DIR", help=text)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.workspace.layout import lay_out

    made = lay_out(options.folder)
    for path in made.written:
        print(f"made: {path}")
    if made.kept:
        names = ", ".join(str(path) for path in made.kept)
        were = "of this name was there already and stays as it is"
        if len(made.kept) > 1:
            were = "of these names were there already and stay as they are"
        print(f"{counted(len(made.kept), 'file')} {were}: {names}")
    print(f"next: cd {options.folder}, then read README.md")
    return 0
