"""What the programs of jetson-inference and pytorch-ssd share: the key, and runs to resume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from taolite.cli.keys import opening_key
from taolite.errors import PathError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key

__all__ = ["OPEN_KEY", "add_key", "key_of", "ours", "resume_place", "teacher_place"]

OPEN_KEY = "nvidia_tlt"
"""The key that seals models where none is given. It is public: NVIDIA's published models use it."""

PARENT = "parent"
"""`tasks.teaching.PARENT`, without loading specs for --help."""


def add_key(add: Any) -> None:
    """Add -k with `add`, a parser's or a group's `add_argument`."""
    text = f"key that seals and opens models: KEY, @FILE, or the variable TAOLITE_KEY (default: {OPEN_KEY})"
    add("-k", "--key", metavar="KEY", help=text)


def key_of(option: str | None) -> Key:
    """The key given by flag or environment, else the open key."""
    from taolite.artifacts.keys import Key

    return opening_key(option) or Key(OPEN_KEY)


def resume_place(what: str | None, root: Path, *, theirs: str, newest: str) -> Path | None:
    """What --resume means: `root` for the run in it, a file of weights to start from, or None.

    A checkpoint that `root`'s run wrote means that run, which resumes from its newest state. For another run's folder,
    the file `newest` in it is used. A name that ends with `theirs` means our file where only ours exists.
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
        raise PathError(f"--resume {what}: no run and no weights there ({path}); leave --resume out to start a new run")
    if holds_run and path.suffix == ".tlt" and root.absolute() in path.absolute().parents:
        return root
    return path.absolute()


def teacher_place(what: str | None) -> str | None:
    """What --teacher means in a spec: the file, absolute; `parent` stays."""
    return what if what in (None, PARENT) else str(Path(what).expanduser().absolute())


def ours(path: Path, theirs: str) -> Path:
    """`model_best.tlt` for `model_best.pth.tar`, whose ending is `theirs`, where only the `.tlt` exists."""
    twin = path.with_name(path.name.removesuffix(theirs) + ".tlt")
    return twin if path.name.endswith(theirs) and twin.is_file() and not path.is_file() else path
