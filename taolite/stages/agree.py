"""Checks that a model is of the wanted task and agrees with a spec. A mismatch would give wrong numbers later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from taolite.errors import ModelError
from taolite.preprocessing import Preprocessing
from taolite.tasks.base import Experiment
from taolite.tasks.registry import find_use
from taolite.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Described", "agree", "expect"]


class Described(Protocol):
    """An opened model: its file, its classes and its preprocessing."""

    @property
    def source(self) -> Path: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def preprocessing(self) -> Preprocessing: ...


def expect(task: str | None, found: str, source: Path) -> None:
    """Check the task of the model at `source`. Raises ModelError where `found` is not `task`; None accepts any task."""
    if task is not None and task != found:
        theirs, ours = find_use(found).title, find_use(task).title
        raise ModelError(
            f"{source}: this is a model for {theirs}, and this command takes those for {ours}; use `taolite {found}` "
            "for it"
        )


_OWN_SPEC = "Give the spec that the model was trained with"


def agree(experiment: Experiment, model: Described, *, way_out: str = _OWN_SPEC) -> None:
    """Raises ModelError where the model's input or classes differ from the experiment's; `way_out` ends the message."""
    differences = [*_inputs(experiment.preprocessing, model.preprocessing), *_classes(experiment, model)]
    if differences:
        raise ModelError(
            f"{model.source} and {experiment.source} do not belong together: {'; '.join(differences)}. {way_out}"
        )


def _inputs(asked: Preprocessing, own: Preprocessing) -> list[str]:
    """The differences between the spec's input and the model's; crops may differ."""
    found = []
    if asked.channels != own.channels:
        found.append(f"the model takes {own.channels}-channel images and the spec makes {asked.channels}-channel ones")
    if asked.input_hw != own.input_hw:
        found.append(f"the model's input is {_size(own)} pixels (width x height) and the spec's is {_size(asked)}")
    if _normalisation(asked) != _normalisation(own):
        found.append(f"the model computes pixels as {_normalisation(own)} and the spec as {_normalisation(asked)}")
    return found


def _classes(experiment: Experiment, model: Described) -> list[str]:
    if experiment.classes == model.classes:
        return []
    return [f"the model finds {_listed(model.classes)} and the spec has {_listed(experiment.classes)}"]


def _listed(names: Sequence[str]) -> str:
    return f"{counted(len(names), 'class', 'classes')} ({', '.join(names)})"


def _size(preprocessing: Preprocessing) -> str:
    return f"{preprocessing.input_hw[1]} x {preprocessing.input_hw[0]}"


def _normalisation(preprocessing: Preprocessing) -> str:
    """The pixel normalisation, written as a formula."""
    channels = preprocessing.channels
    order = "grey" if channels == 1 else "BGR" if preprocessing.bgr else "RGB"
    means, deviations = preprocessing.offsets[:channels], preprocessing.stds[:channels]
    return f"{preprocessing.scale!r} * ({order} - {means}) / {deviations}"
