"""What can count as the importance of a channel beside TAO's rule, by torch-pruning's classes.

A group is ranked as a whole: the values of all its layers that speak of a channel are averaged. The values of all
groups are compared with one threshold ("global ranking").

- "l1", "l2": the sum of the absolute, or squared, weights that go with a channel, in the filters that make it and in
  the layers that read it, divided by the mean of its group: 1 is an average channel (Fang et al. 2023, "DepGraph",
  arXiv 2301.12900, 3.2; for single layers Li et al. 2017, arXiv 1608.08710).
- "bn": the absolute scale (gamma) of its batch norms (Liu et al. 2017, "Network Slimming", arXiv 1708.06519). Groups
  without a batch norm are not pruned.
- "taylor": the sum of |weight x gradient| over the same weights as in "l1", without a division: a first-order estimate
  of how the cost changes without the channel (Molchanov et al. 2019, arXiv 1906.10771, in torch-pruning's form).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from taolite.errors import UsageError
from taolite.pruning.groups import Group, convolutions, trace, traceable
from taolite.pruning.importance import Statistic

__all__ = ["Criterion", "importances"]

Criterion = Literal["tao", "l1", "l2", "bn", "taylor"]


def importances(
    model: nn.Module,
    example: Tensor,
    groups: Sequence[Group],
    *,
    criterion: Criterion,
    gradients: Mapping[str, Tensor] | None = None,
) -> list[Statistic | None]:
    """(n,) float64 for each of the groups of `model`, which is left as it is; None where the criterion says nothing.

    Args:
        example: (N, C, H, W), an input that the model accepts.
        criterion: any but "tao".
        gradients: for "taylor": of the cost, by the name of the parameter. A missing one counts as 0.

    Raises UsageError where the criterion says nothing of any group, and without gradients for "taylor".
    """
    import torch_pruning

    if criterion == "taylor" and gradients is None:
        raise UsageError("prune: --importance taylor needs training data; give the spec with -e SPEC")
    twin = traceable(model)
    graph, layers = trace(twin, example), convolutions(twin)
    for name, parameter in twin.named_parameters():
        found = (gradients or {}).get(name)
        parameter.grad = parameter.new_zeros(parameter.shape) if found is None else found.to(parameter)
    estimate = _estimator(criterion)
    values: list[Statistic | None] = []
    for group in groups:
        channels = list(range(group.depth))
        found = graph.get_pruning_group(layers[group.members[0]], torch_pruning.prune_conv_out_channels, channels)
        value = estimate(found)
        values.append(None if value is None else np.asarray(value.double().cpu().numpy()))
    if all(value is None for value in values):
        raise UsageError(f"prune: --importance {criterion} has nothing to look at: this network has no batch norms")
    return values


def _estimator(criterion: Criterion) -> Any:
    import torch_pruning

    weighted = [nn.modules.conv._ConvNd, nn.Linear]
    if criterion in ("l1", "l2"):
        return torch_pruning.importance.GroupMagnitudeImportance(p=int(criterion[1]), target_types=weighted)
    if criterion == "bn":
        return torch_pruning.importance.BNScaleImportance(normalizer=None)
    return torch_pruning.importance.GroupTaylorImportance(normalizer=None, target_types=weighted)
