"""The cost of DetectNet_v2: weighted cross-entropy for coverage, weighted L1 for boxes, re-balanced after each epoch
(reference 7.1, 7.2, 7.4). The training loop adds regularisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from taolite.tasks.base import WHOLE, Cost, Part
from taolite.tasks.detectnet.lesson import coverage_lesson

__all__ = ["OBJECTIVES", "ClassWeights", "DetectNetObjective", "balance"]

_LOG_GUARD = 1e-5
OBJECTIVES = ("cov", "bbox")


@dataclass(frozen=True)
class ClassWeights:
    """`cost_function_config` of one class. Weights are in the order (cov, bbox), not yet normalised."""

    name: str
    class_weight: float
    coverage_foreground_weight: float
    initial: tuple[float, float]
    target: tuple[float, float]


class DetectNetObjective:
    """The cost, with objective weights that change after each epoch.

    After every epoch, each objective's weight is set so that its share of the cost approaches its `weight_target`.
    The state is the weights and the sums of costs from which they are computed.
    """

    def __init__(self, classes: Sequence[ClassWeights], *, autoweight: bool, least: float, most: float) -> None:
        self._classes = tuple(classes)
        self._autoweight = autoweight
        self._clamp = (least, most)
        shares = torch.tensor([c.class_weight for c in classes])
        self._class_share = shares / shares.sum()
        initial = torch.tensor([c.initial for c in classes])
        self.weights = initial / initial.sum(dim=1, keepdim=True)  # (K, 2)
        self._sums = torch.zeros(len(classes), 2, dtype=torch.float64)

    def cost(
        self,
        outputs: tuple[torch.Tensor, ...],
        targets: Mapping[str, torch.Tensor],
        *,
        training: bool = True,
        part: Part = WHOLE,
    ) -> Cost:
        """The cost of a batch. Only costs in training count for the next epoch's weights.

        Args:
            outputs: cov (N, K, h, w) after the sigmoid and bbox (N, 4K, h, w), float32.
            targets: cov (N, K, h, w), bbox (N, K, 4, h, w), norm (N, K, h, w), float32; where the cost is masked or
                weighted, also mask (N, K, 2, h, w), its factors for cov and bbox.
        """
        losses = self._losses(outputs, targets)
        if training:
            self._sums += part.total(losses.detach().double().cpu() * part.share)
        return self._weighed(losses)

    def taught(
        self,
        outputs: tuple[torch.Tensor, ...],
        wanted: tuple[torch.Tensor, ...],
        targets: Mapping[str, torch.Tensor],
        *,
        temperature: float = 1.0,
        part: Part = WHOLE,
    ) -> Cost:
        """How far a batch is from the teacher's coverage and boxes, with the weights that `cost` has now; these do not
        depend on it.

        Coverage is learned on every cell: the teacher also knows what lies in masked regions, so no mask counts. Boxes
        are learned on the cells of objects, weighted by the teacher's coverage there.

        Args:
            outputs, wanted: as `cost` takes outputs.
            targets: norm (N, K, h, w), float32.
        """
        (cov, bbox), (sure, taught) = outputs, wanted
        weight = self._foreground_weight(sure)
        cov_loss = (coverage_lesson(cov, sure, temperature=temperature) * weight).mean(dim=(0, 2, 3))
        apart = (bbox - taught).abs().view(*cov.shape[:2], 4, *cov.shape[2:])
        box_loss = (apart * (targets["norm"] * sure)[:, :, None]).mean(dim=(0, 2, 3, 4))
        return self._weighed(torch.stack([cov_loss, box_loss], dim=1))

    def _weighed(self, losses: torch.Tensor) -> Cost:
        """The cost of losses (K, 2)."""
        weights = (self.weights * self._class_share[:, None]).to(losses.device)
        parts = (losses.detach() * weights).sum(dim=0).tolist()
        return Cost((losses * weights).sum(), dict(zip(OBJECTIVES, parts, strict=True)))

    def _foreground_weight(self, cov: torch.Tensor) -> torch.Tensor:
        """(N, K, h, w): the weight of each cell's coverage (N, K, h, w)."""
        foreground = torch.tensor([c.coverage_foreground_weight for c in self._classes], device=cov.device)
        fore_k11 = foreground[None, :, None, None]
        return torch.where(cov > 0.5, fore_k11, 1 - fore_k11)

    def _losses(self, outputs: tuple[torch.Tensor, ...], targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(K, 2): mean coverage and box losses of every class."""
        cov, bbox = outputs
        wanted = targets["cov"]
        weight = self._foreground_weight(wanted)
        entropy = wanted * torch.log(cov + _LOG_GUARD) + (1 - wanted) * torch.log(1 - cov + _LOG_GUARD)
        norm = targets["norm"]
        if (mask := targets.get("mask")) is not None:
            weight, norm = weight * mask[:, :, 0], norm * mask[:, :, 1]
        cov_loss = -(entropy * weight).mean(dim=(0, 2, 3))
        shaped = bbox.view(bbox.shape[0], -1, 4, *bbox.shape[2:])
        box_loss = ((shaped - targets["bbox"]).abs() * norm[:, :, None]).mean(dim=(0, 2, 3, 4))
        return torch.stack([cov_loss, box_loss], dim=1)

    def end_epoch(self) -> None:
        """Re-balance the objectives by their costs in this epoch."""
        if self._autoweight:
            rows = [
                balance(tuple(sums.tolist()), c.target, tuple(old.tolist()), least=self._clamp[0], most=self._clamp[1])
                for sums, c, old in zip(self._sums, self._classes, self.weights, strict=True)
            ]
            self.weights = torch.tensor(rows, dtype=self.weights.dtype)
        self._sums = torch.zeros_like(self._sums)

    def state(self) -> dict[str, Any]:
        """Weights and sums, without rounding: floats are stored as hexadecimal text."""
        return {
            "weights": [[value.hex() for value in row] for row in self.weights.tolist()],
            "sums": [[value.hex() for value in row] for row in self._sums.tolist()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a value of `state`."""
        self.weights = torch.tensor([[float.fromhex(v) for v in row] for row in state["weights"]])
        self._sums = torch.tensor([[float.fromhex(v) for v in row] for row in state["sums"]], dtype=torch.float64)


def balance(
    sums: Sequence[float], targets: Sequence[float], old: Sequence[float], *, least: float, most: float
) -> list[float]:
    """New weights of one class's objectives, from the sum of each objective's cost over an epoch (reference 7.4).

    The weights are clamped, lower bound first, and not normalised again. If all costs are 0, `old` is kept.

    >>> [round(w, 4) for w in balance((2.0, 1.0), (1.0, 10.0), (0.5, 0.5), least=0.0, most=1.0)]
    [0.0476, 0.9524]
    """
    pull = [target / total if total else 0.0 for target, total in zip(targets, sums, strict=True)]
    if not sum(pull):
        return list(old)
    return [min(max(value / sum(pull), least), most) for value in pull]
