"""`taolite spec derive BASE --set ... -o NEW`, `diff A B` and `fmt FILE...`: the texts of specs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.parsing import mount_flag
from taolite.cli.settings import set_flag
from taolite.errors import PathError, UsageError, printable
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.spec import Reading, SpecModel
    from taolite.spec.compare import Difference, Side

__all__ = ["add_commands"]

Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_commands(add: Add) -> None:
    """Add derive, diff and fmt with `add`: name, function, line of help."""
    derive = add("derive", _derive, "write a spec that is another with some fields set; comments and layout stay")
    derive.add_argument("base", type=Path, metavar="BASE", help="the spec to start from")
    set_flag(derive, dest="changes", needed=True)
    derive.add_argument("-o", "--output", type=Path, required=True, metavar="NEW", help="the spec to write")
    derive.add_argument("--force", action="store_true", help="replace NEW if it exists")
    diff = add("diff", _diff, "fields in which two specs differ, with values and lines")
    diff.add_argument("first", type=Path, metavar="A", help="a spec file")
    diff.add_argument("second", type=Path, metavar="B", help="a spec file of the same kind")
    diff.add_argument("--json", action="store_true", help="print one JSON object")
    diff.add_argument("--exit-code", action="store_true", help="exit with 1 if the specs differ (default: 0)")
    layout = add("fmt", _fmt, "print specs in the usual layout; comments stay")
    layout.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a spec file")
    layout.add_argument("--write", action="store_true", help="write the layout into the files; print their names")
    layout.add_argument("--check", action="store_true", help="print the files of another layout; exit with 1 if any")
    for command in (derive, diff, layout):
        mount_flag(command.add_argument)


def _derive(options: argparse.Namespace) -> int:
    from taolite import spec
    from taolite.cli.own.spec import model_of
    from taolite.files import write_text
    from taolite.spec.compare import differences
    from taolite.spec.files import read_text
    from taolite.workspace.mounts import Mounts

    mounts = Mounts.load(options.mount)
    base, new = mounts.resolve(options.base), mounts.resolve(options.output)
    if new.exists() and not options.force:
        raise PathError(f"{new}: exists already; choose another name, or give --force to replace it")
    model, text = model_of(spec.identify(base), base), read_text(base)
    before = spec.reads(text, model, path=base)
    written, after = spec.edited(text, model, path=base, settings=options.changes)
    for warning in after.warnings:
        print(f"warning: {base}: {warning.said}", file=sys.stderr)
    write_text(new, written)
    print(_table(differences(before, after), base, new))
    return 0


def _diff(options: argparse.Namespace) -> int:
    from taolite.spec.compare import differences
    from taolite.workspace.mounts import Mounts

    mounts = Mounts.load(options.mount)
    first, second = mounts.resolve(options.first), mounts.resolve(options.second)
    found = differences(*_same_kind(first, second))
    print(_json(found, first, second) if options.json else _table(found, first, second))
    return 1 if found and options.exit_code else 0


def _same_kind(first: Path, second: Path) -> tuple[Reading[SpecModel], Reading[SpecModel]]:
    """Both specs. Raises UsageError where they are of two kinds."""
    from taolite import spec
    from taolite.cli.own.spec import model_of

    kinds = [spec.identify(file) for file in (first, second)]
    if kinds[0] is not kinds[1]:
        words = " and ".join(f"{file} ({kind.value})" for file, kind in zip((first, second), kinds, strict=True))
        raise UsageError(f"{words} are specs of two kinds; compare specs of one kind")
    model = model_of(kinds[0], first)
    return spec.read(first, model), spec.read(second, model)


def _table(found: Sequence[Difference], first: Path, second: Path) -> str:
    if not found:
        return f"{first} and {second}: no field differs"
    rows = [("", str(first), str(second))]
    rows += [(one.path, _side(one.first), _side(one.second)) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"  {path:<{widths[0]}}  {one:<{widths[1]}}  {other}" for path, one, other in rows]
    differ = "field differs" if len(found) == 1 else "fields differ"
    return "\n".join([f"{len(found)} {differ}", *(line.rstrip() for line in lines)])


def _side(side: Side) -> str:
    from taolite.spec.write import literal

    if side.value is None:
        return "not set"
    value = printable(side.value) or '""' if isinstance(side.value, str) else literal(side.value)
    return f"{value} ({'default' if side.line is None else f'line {side.line}'})"


def _json(found: Sequence[Difference], first: Path, second: Path) -> str:
    rows = [
        {
            "path": one.path,
            "a": {"value": one.first.value, "line": one.first.line},
            "b": {"value": one.second.value, "line": one.second.line},
        }
        for one in found
    ]
    return json.dumps({"a": str(first), "b": str(second), "differences": rows}, indent=2, ensure_ascii=False)


def _fmt(options: argparse.Namespace) -> int:
    from taolite.files import write_text
    from taolite.spec.files import read_text
    from taolite.spec.layout import laid_out
    from taolite.workspace.mounts import Mounts

    mounts = Mounts.load(options.mount)
    files = [mounts.resolve(file) for file in options.files]
    texts = {file: read_text(file) for file in files}
    written = {file: laid_out(text, path=file) for file, text in texts.items()}
    others = [file for file in files if written[file] != texts[file]]
    if not (options.write or options.check):
        print("".join(written.values()), end="")
        return 0
    for file in others:
        if options.write:
            write_text(file, written[file])
        print(f"{file}: {'written in' if options.write else 'not in'} the usual layout")
    if not others:
        print(f"{counted(len(files), 'spec')} in the usual layout")
    return 1 if others and not options.write else 0
