"""The cost of `taolite { loss { ... } }`: quality focal loss for coverage, generalised IoU for boxes.

Coverage learns the IoU that its cell's own box reaches (Li et al., arXiv 2006.04388, eq. 4), so that the best box of an
object has the highest score. Both parts are sums over the batch, divided by its number of object cells.

Shapes: N images, K classes, h x w cells, P object cells. Distances are left, top, right, bottom of a cell's reference
point, in pixels of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from taolite.tasks.base import WHOLE, Cost, Part
from taolite.tasks.detectnet.lesson import coverage_lesson

__all__ = ["QualityObjective", "overlap"]

_LEAST = 1e-6  # of a probability, before its logarithm
_SURE = 0.1  # coverage of a teacher's cell from which its box is learned
_SHORT = 4.0  # pixels: shorter sides, also negative ones, bend towards 0 in the cost


@dataclass(frozen=True)
class QualityObjective:
    """The cost; it has no state. class_weights: one a class, of mean 1. scale: pixels of one unit of the box outputs.
    The other fields are those of the spec's `loss`."""

    class_weights: tuple[float, ...]
    scale: float
    quality: bool = True
    focus: float = 2.0
    box: Literal["GIOU", "L1"] = "GIOU"
    box_weight: float = 1.5

    def cost(
        self,
        outputs: tuple[Tensor, ...],
        targets: Mapping[str, Tensor],
        *,
        training: bool = True,
        part: Part = WHOLE,
    ) -> Cost:
        """The cost of a batch.

        Args:
            outputs: cov (N, K, h, w) after the sigmoid and bbox (N, 4K, h, w), float32.
            targets: of `assign`, stacked: cov (N, K, h, w) and bbox (N, K, 4, h, w), float32; where the cost is masked
                or weighted, also mask (N, K, 2, h, w), its factors for cov and bbox.
        """
        cov, bbox = outputs
        cells = targets["cov"] > 0
        weights = torch.tensor(self.class_weights, device=cov.device)[:, None, None].expand_as(cov)
        masks = targets.get("mask")
        on_cov, on_box = (weights, weights) if masks is None else (weights * masks[:, :, 0], weights * masks[:, :, 1])
        found_p4 = _at(bbox.view_as(targets["bbox"]), cells) * self.scale
        true_p4 = _at(targets["bbox"], cells) * self.scale
        iou_p, giou_p = overlap(_bent(found_p4), true_p4)
        learned = cells.float()
        if self.quality:
            learned[cells] = iou_p.detach()
        sure = cov.clamp(_LEAST, 1 - _LEAST)
        entropy = F.binary_cross_entropy(sure, learned, reduction="none")
        cov_cost = (entropy * (learned - cov).abs() ** self.focus * on_cov).sum()
        box_cost = (self._boxes(found_p4, true_p4, giou_p) * on_box[cells]).sum() * self.box_weight
        count = part.total(cells.sum().double().cpu()).item()
        share = max(count, 1.0) * part.share
        parts = {"cov": float(cov_cost.detach()) / share, "bbox": float(box_cost.detach()) / share}
        return Cost((cov_cost + box_cost) / share, parts)

    def taught(
        self,
        outputs: tuple[Tensor, ...],
        wanted: tuple[Tensor, ...],
        targets: Mapping[str, Tensor],
        *,
        temperature: float = 1.0,
        part: Part = WHOLE,
    ) -> Cost:
        """How far a batch is from the teacher's coverage and boxes, with the weights of `cost`.

        The boxes of cells whose coverage is more than `_SURE` for the teacher are learned, each by this coverage. Both
        parts are divided by the sum of it. The teacher also knows what lies in masked regions, so no mask counts.

        Args:
            outputs, wanted: as `cost` takes outputs.
        """
        cov, bbox = outputs
        sure, taught = wanted
        weights = torch.tensor(self.class_weights, device=cov.device)[:, None, None].expand_as(cov)
        cov_cost = (coverage_lesson(cov, sure, temperature=temperature, focus=self.focus) * weights).sum()
        cells, planes = sure > _SURE, (*cov.shape[:2], 4, *cov.shape[2:])
        found_p4, true_p4 = (_bent(_at(one.view(planes), cells) * self.scale) for one in (bbox, taught))
        trust_p = sure[cells]
        costs_p = self._boxes(found_p4, true_p4, overlap(found_p4, true_p4)[1])
        box_cost = (costs_p * weights[cells] * trust_p).sum() * self.box_weight
        count = part.total(trust_p.sum().double().cpu()).item()
        share = max(count, 1.0) * part.share
        parts = {"cov": float(cov_cost.detach()) / share, "bbox": float(box_cost.detach()) / share}
        return Cost((cov_cost + box_cost) / share, parts)

    def _boxes(self, found_p4: Tensor, true_p4: Tensor, giou_p: Tensor) -> Tensor:
        """(P,) the cost of each object cell's box."""
        if self.box == "GIOU":
            return 1 - giou_p
        width_p, height_p = true_p4[:, 0] + true_p4[:, 2], true_p4[:, 1] + true_p4[:, 3]
        sides_p4 = torch.stack([width_p, height_p, width_p, height_p], dim=1)
        return ((found_p4 - true_p4).abs() / sides_p4).mean(dim=1)

    def end_epoch(self) -> None:
        """Nothing changes between epochs."""

    def state(self) -> dict[str, object]:
        """Nothing: the cost has no state."""
        return {}

    def restore(self, state: Mapping[str, object]) -> None:
        """Nothing to restore."""


def overlap(found_p4: Tensor, true_p4: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al., arXiv 1902.09630), each (P,), of boxes that share a reference point.

    Args:
        found_p4, true_p4: (P, 4) distances; the sums of opposite ones are above 0.
    """
    inside, around = torch.minimum(found_p4, true_p4), torch.maximum(found_p4, true_p4)
    shared = (inside[:, 0] + inside[:, 2]).clamp(min=0) * (inside[:, 1] + inside[:, 3]).clamp(min=0)
    union = _area(found_p4) + _area(true_p4) - shared
    hull = _area(around)
    iou = shared / union
    return iou, iou - (hull - union) / hull


def _area(distances_p4: Tensor) -> Tensor:
    return (distances_p4[:, 0] + distances_p4[:, 2]) * (distances_p4[:, 1] + distances_p4[:, 3])


def _at(planes_nk4hw: Tensor, cells_nkhw: Tensor) -> Tensor:
    """(P, 4): the four planes at the object cells."""
    return planes_nk4hw.permute(0, 1, 3, 4, 2)[cells_nkhw]


def _bent(distances_p4: Tensor) -> Tensor:
    """The distances of the same boxes, but sides below `_SHORT` follow a hyperbola to 0, with a gradient everywhere.
    Where the reference point is outside its box, a distance is below 0 and stays so."""
    low, high = distances_p4[:, :2], distances_p4[:, 2:]
    sides, middles = low + high, (high - low) / 2
    bent = torch.where(sides > _SHORT, sides, _SHORT / (2 - sides.clamp(max=_SHORT) / _SHORT))
    return torch.cat([bent / 2 - middles, bent / 2 + middles], dim=1)
