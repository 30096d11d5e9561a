"""`--set PATH=VALUE` on every command that reads a spec: the flag, and the new values while the command runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from taolite.cli.parsing import whole
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.spec import Setting

__all__ = ["set_flag", "set_flag_of_tao", "with_settings"]

_TAOS = ("experiment_spec", "experiment_spec_file", "dataset_export_spec")
_OURS = ("spec", "data", "file", "files")
"""The names (argparse's `dest`) of flags and arguments that name a spec."""


def set_flag(parser: argparse.ArgumentParser, *, dest: str = "settings", needed: bool = False) -> None:
    """Add --set to a command that reads a spec. The values are set in each spec that it reads; with another `dest`, the
    command itself sets them."""
    text = "set a field of SPEC, e.g. training_config.num_epochs=40; may be repeated"
    whole(
        parser.add_argument(
            "--set", dest=dest, type=setting, action="append", default=[], required=needed, metavar="PATH=VALUE",
            help=text,
        )
    )  # fmt: skip


def set_flag_of_tao(parser: argparse.ArgumentParser) -> None:
    """Add --set to a task of TAO's, where it has a flag for a spec."""
    if any(action.dest in _TAOS for action in parser._actions):
        set_flag(parser)


def setting(word: str) -> Setting:
    """PATH=VALUE as argparse's `type`."""
    from taolite.spec import parse_setting

    try:
        return parse_setting(word)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--set ")) from error


def with_settings(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command; the specs that it reads have the values of --set."""
    settings: list[Setting] = getattr(options, "settings", [])
    if not settings:
        return run(options)
    from taolite.spec import in_force

    flags = " ".join(f"--set {one.word}" for one in settings)
    if not _names_a_spec(options):
        raise UsageError(f"{flags}: no spec is given; name it with -e SPEC, or leave --set out")
    with in_force(settings) as specs:
        code = run(options)
    if not specs:
        print(f"warning: {flags} has no effect: with these flags no spec is read", file=sys.stderr)
    return code


def _names_a_spec(options: argparse.Namespace) -> bool:
    """True for `detectnet train` without -e too: TAO's built-in spec is read then."""
    return any(getattr(options, name, None) for name in (*_TAOS, *_OURS)) or getattr(options, "task", "") == "train"
