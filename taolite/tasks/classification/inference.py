"""A trained classifier at inference: check the command line's classmap and crop against the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from taolite.errors import UsageError
from taolite.formats.folders import read_classmap
from taolite.preprocessing import Preprocessing

__all__ = ["MARGIN", "as_judged", "check_classmap"]

MARGIN = 32  # pixels that TAO adds to each input side before the centre crop


def check_classmap(path: Path, classes: Sequence[str]) -> None:
    """Raises UsageError where the classmap at `path` differs from the model's classes, DataError where the file is not
    a classmap."""
    named = read_classmap(path)
    if named != tuple(classes):
        raise UsageError(
            f"{path}: its classes are {', '.join(named)}, and the model's are {', '.join(classes)}, in the order of "
            "their numbers; leave the classmap out, the model knows its classes"
        )


def as_judged(preprocessing: Preprocessing, *, crops: bool) -> Preprocessing:
    """The model's `preprocessing`, with centre crop (`crops`) or stretch as the `eval_config` sets it."""
    if crops == (preprocessing.fit == "cover"):
        return preprocessing
    least = min(preprocessing.input_hw) + MARGIN if crops else 0
    return dataclasses.replace(preprocessing, fit="cover" if crops else "stretch", least_side=least)
