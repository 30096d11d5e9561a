"""A trained classifier in use: what a command line says of its classes and crop, held against what it knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from taolite.errors import UsageError
from taolite.formats.folders import read_classmap
from taolite.preprocessing import Preprocessing

__all__ = ["MARGIN", "as_judged", "check_classmap"]

MARGIN = 32  # pixels that TAO adds to the input's sides before it crops the centre


def check_classmap(path: Path, classes: Sequence[str]) -> None:
    """Raises UsageError where the classmap at `path` does not say what the model says, DataError where it is none."""
    named = read_classmap(path)
    if named != tuple(classes):
        raise UsageError(
            f"{path}: its classes are {', '.join(named)}, and the model's are {', '.join(classes)}, in the order of "
            "their numbers; leave the classmap out, the model knows its classes"
        )


def as_judged(preprocessing: Preprocessing, *, crops: bool) -> Preprocessing:
    """That of a model, its pictures cropped at their centre or stretched as an `eval_config` says."""
    if crops == (preprocessing.fit == "cover"):
        return preprocessing
    least = min(preprocessing.input_hw) + MARGIN if crops else 0
    return dataclasses.replace(preprocessing, fit="cover" if crops else "stretch", least_side=least)
