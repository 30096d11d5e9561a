"""`taolite rekey FILE... -k OLD --new NEW`: sealed files get another key, and keep their content."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.keys import opening_key, option_of, sealing_key
from taolite.cli.parsing import TaoParser, mount_flag, whole
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key

__all__ = ["configure"]


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite rekey`."""
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help=".tlt, .etlt or checkpoint")
    text = "key that the files have now: KEY, @FILE, or the variable TAOLITE_KEY"
    whole(add("-k", "--key", "--old", dest="key", metavar="OLD", help=text))
    whole(add("--new", metavar="NEW", help="key that the files get: KEY or @FILE (default: ask for it)"))
    add("-o", "--output", type=Path, metavar="OUT", help="write here (default: replace FILE)")
    mount_flag(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.artifacts.keys import terminal_prompt
    from taolite.artifacts.rekey import check_opens, reseal
    from taolite.artifacts.signing import signature_path
    from taolite.workspace.mounts import Mounts

    resolve = Mounts.load(options.mount).resolve
    if options.output is not None and len(options.files) > 1:
        raise UsageError(f"-o {options.output}: one output cannot hold {len(options.files)} files; leave -o out")
    prompt = terminal_prompt()
    old = opening_key(options.key)
    if old is None:
        if prompt is None:
            raise UsageError("the old key is needed; give -k KEY, -k @FILE, or set TAOLITE_KEY")
        old = sealing_key(option_of(prompt("old key: ")))
    new = _new_key(options.new, prompt)
    paths = [resolve(path) for path in options.files]
    for path in paths:
        check_opens(path, key=old)  # all of them, before one is changed
    for file, path in zip(options.files, paths, strict=True):
        name = options.output or file
        written = reseal(path, old=old, new=new, output=resolve(options.output) if options.output else None)
        print(f"{name}: sealed with the new key")
        if signature_path(written).is_file():
            print(f"warning: {name}: its signature does not fit any more; sign it again", file=sys.stderr)
    return 0


def _new_key(option: str | None, prompt: Callable[[str], str] | None) -> Key:
    if option is not None:
        return sealing_key(option)
    if prompt is None:
        raise UsageError("the new key is needed; give --new KEY or --new @FILE")
    typed = prompt("new key: ")
    if prompt("new key again: ") != typed:
        raise UsageError("the two new keys differ; nothing was changed")
    return sealing_key(option_of(typed))
