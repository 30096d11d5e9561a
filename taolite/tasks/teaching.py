"""A teacher: a trained model whose outputs training learns from beside the labels; usually the model before pruning.

Here: the block `teacher { ... }` of the specs' `taolite { ... }`, which is the same for every task, and the value that
stages take. The cost is `tasks.base.Objective.taught`. No torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from taolite.spec import Float, SpecModel, field

__all__ = ["PARENT", "TeacherConfig", "Teaching", "teaching_of"]

PARENT = "parent"
"""The `model` that means the model which the pruned one was made from."""


class TeacherConfig(SpecModel):
    """A trained model that teaches this one: its outputs are learned beside the labels."""

    model: str = field(
        PARENT, zero_is_default=True, doc='The teacher (.tlt); "parent" is the model before it was pruned.'
    )
    weight: Float = field(1.0, gt=0, doc="Weight of the teacher's part of the cost.")
    temperature: Float = field(1.0, gt=0, doc="Divides the logits of both networks; above 1 small scores count more.")


@dataclass(frozen=True)
class Teaching:
    """The settings of a teacher. model: its file on this machine; None: the model before it was pruned."""

    model: Path | None
    weight: float
    temperature: float


def teaching_of(config: TeacherConfig | None, *, resolve: Callable[[str], Path]) -> Teaching | None:
    """The settings that `config` describes; `resolve` maps the spec's paths to this machine's."""
    if config is None:
        return None
    model = None if config.model == PARENT else Path(resolve(config.model))
    return Teaching(model, config.weight, config.temperature)
