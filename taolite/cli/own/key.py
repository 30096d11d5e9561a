"""`taolite key new FILE`: a random key, or with --signing the pair of keys that signs models."""

from __future__ import annotations

import argparse
from pathlib import Path

from taolite.cli.parsing import TaoParser

__all__ = ["configure"]


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite key`."""
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    new = tasks.add_parser("new", help="make a key", description="Make a key. A file that exists is not replaced.")
    add = new.add_argument
    add("file", type=Path, metavar="FILE", help="file to write; you alone can read it (mode 600)")
    text = "make keys that sign models: a private one in FILE, a public one in FILE.pub"
    add("--signing", action="store_true", help=text)
    new.set_defaults(run=_new)


def _new(options: argparse.Namespace) -> int:
    from taolite.artifacts.keyfiles import new_key, new_signer

    path: Path = options.file.expanduser()
    if options.signing:
        public = new_signer(path)
        print(f"{path}: private key; sign with it: taolite sign MODEL --signer-key {path}")
        print(f"{public}: public key, for everybody who checks: taolite verify MODEL --signer {public}")
    else:
        new_key(path)
        print(f"{path}: new random key; use it as -k @{path}")
        print("keep a copy in a safe place: without the key, nothing opens what it sealed")
    return 0
