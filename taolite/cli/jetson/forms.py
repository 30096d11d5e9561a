"""Second forms of TAO's tasks: commands of jetson-inference and pytorch-ssd without a spec file.

`hang` puts a form on the parser of TAO's task; which is meant is told from the words. The rest is what their flags
share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taolite.cli.parsing import TaoParser
from taolite.errors import PathError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key

__all__ = ["OPEN_KEY", "Form", "count", "hang", "key_of", "number", "ours", "resume_place", "truth"]

OPEN_KEY = "nvidia_tlt"
"""What seals models where no key is given; everybody knows it, as it is that of NVIDIA's published models."""


@dataclass(frozen=True)
class Form:
    """A second form of the task `name`; `is_meant` tells from the words whether it is, `example` is one in short."""

    name: str
    add_flags: Callable[[TaoParser], None]
    run: Callable[[argparse.Namespace], int]
    is_meant: Callable[[Sequence[str]], bool]
    example: str


def hang(tasks: argparse._SubParsersAction[Any], forms: Iterable[Form], *, of: str) -> None:
    """Put `forms`, which are those of the project `of`, on the tasks they are second forms of."""
    for one in forms:
        task = tasks.choices[one.name]
        form = TaoParser(prog=task.prog, description=f"{of}'s form of this command.")
        one.add_flags(form)
        form.set_defaults(run=one.run)
        task.other_form, task.example = (one.is_meant, form), one.example
        task.formatter_class = argparse.RawDescriptionHelpFormatter
        task.epilog = f"Or, without a spec file:\n\n{form.format_help()}"


def key_of(option: str | None) -> Key:
    """The key that is given by flag or environment, else the open one."""
    from taolite.artifacts.keys import Key, find_key_if_given

    return find_key_if_given(option) or Key(OPEN_KEY)


def resume_place(what: str | None, root: Path, *, theirs: str, newest: str) -> Path | None:
    """Where --resume leads: `root` for the run that is in it, a file of weights to start from, or None.

    A checkpoint that `root`'s run wrote means that run, which goes on from its newest state. Of another run's folder
    the file `newest` is taken. Names that end as `theirs` are taken for ours where only those are there.
    """
    if what is None:
        return None
    holds_run = (root / "manifest.json").is_file()
    path = root if what in ("last", "best") else ours(Path(what).expanduser(), theirs)
    if path.is_dir():
        if path.absolute() != root.absolute():
            path = path / newest
        elif holds_run:
            return root
    if not path.is_file():
        raise PathError(f"--resume {what}: there is nothing to go on from ({path}); leave it out to start a new run")
    if holds_run and path.suffix == ".tlt" and root.absolute() in path.absolute().parents:
        return root
    return path.absolute()


def ours(path: Path, theirs: str) -> Path:
    """`model_best.tlt` for `model_best.pth.tar`, whose ending is `theirs`, where only the former is there."""
    twin = path.with_name(path.name.removesuffix(theirs) + ".tlt")
    return twin if path.name.endswith(theirs) and twin.is_file() and not path.is_file() else path


def count(least: int) -> Callable[[str], int]:
    """Whole numbers from `least` on, as an argument's type."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} needs to be a whole number, {least} or more")
        return int(text)

    return whole


def number(low: float, high: float | None, *, least: bool = False) -> Callable[[str], float]:
    """Numbers above `low`, or from it on with `least`, below `high`, as an argument's type."""

    def real(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not (low < value or (least and value == low)) or (high is not None and value >= high):
            lower = f"{low:g} or more" if least else f"more than {low:g}"
            upper = "" if high is None else f" and less than {high:g}"
            raise argparse.ArgumentTypeError(f"{text} needs to be {lower}{upper}")
        return value

    return real


def truth(text: str) -> bool:
    """train.py's scripts take every word for yes, `False` too; here it says what it means."""
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} needs to be true or false")
    return text.lower() in ("true", "1", "yes")
