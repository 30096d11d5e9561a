"""The SSD cost: cross-entropy over matched priors and the hardest background priors, smooth L1 over matched priors
(reference/jetson_workflows.md 4.10, reference/tao_classification_ssd.md 4.5).

Legend: N images, P priors, K classes and the background, which is channel 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from taolite.tasks.base import WHOLE, Cost, Part
from taolite.tasks.ssd.coding import encode_tensor
from taolite.tasks.ssd.plan import CostRule
from taolite.tasks.ssd.targets import BACKGROUND, LABELS, OFFSETS

__all__ = ["SsdObjective", "hard_negatives"]

_SURE = 0.5  # probability of an object from which a prior is one of the teacher's
_LEAST = 1e-15  # scores are clamped to this before the logarithm; TAO's value


class SsdObjective:
    """Stateless. In evaluation mode the network gives boxes, so `priors_p4` (P, 4), relative centres, and their
    `variances` turn them back into offsets. float32 corners are exact to about 1e-7 of the input, so costs agree to
    about 1e-4 for a prior of a tenth of the input."""

    def __init__(self, rule: CostRule, priors_p4: NDArray[np.float32], variances: Sequence[float]) -> None:
        self._rule = rule
        self._priors = torch.from_numpy(np.asarray(priors_p4, np.float32))
        self._variances = tuple(variances)

    def cost(
        self,
        outputs: tuple[Tensor, ...],
        targets: Mapping[str, Tensor],
        *,
        training: bool = True,
        part: Part = WHOLE,
    ) -> Cost:
        """The cost of a batch, divided by the number of matched priors in the whole batch.

        Args:
            outputs: logits (N, P, K + 1) and offsets (N, P, 4); in evaluation mode scores, after the softmax, and
                boxes, relative corners. An export that ends in NMS gives neither: its cost is NaN.
            targets: `ssd_labels` (N, P) and `ssd_offsets` (N, P, 4).
        """
        if not training and len(outputs) == 1:
            return Cost(torch.tensor(float("nan")))
        scores, places = (output.float() for output in outputs)
        if training:
            log_npk, offsets = functional.log_softmax(scores, dim=-1), places
        else:
            log_npk = scores.clamp(min=_LEAST).log()
            offsets = encode_tensor(places, self._priors.to(places.device), self._variances)
        labels = targets[LABELS].long()
        boxes = labels > BACKGROUND
        entropy = -log_npk.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        chosen = boxes | hard_negatives(-log_npk[..., 0].detach(), labels, self._rule, part)
        count = part.total(boxes.sum()).clamp(min=1)
        classification = entropy[chosen].sum() / count / part.share
        regression = (
            self._rule.alpha
            * functional.smooth_l1_loss(offsets[boxes], targets[OFFSETS][boxes], reduction="sum")
            / count
            / part.share
        )
        parts = {"regression": float(regression.detach()), "classification": float(classification.detach())}
        return Cost(classification + regression, parts)

    def taught(
        self,
        outputs: tuple[Tensor, ...],
        wanted: tuple[Tensor, ...],
        targets: Mapping[str, Tensor],
        *,
        temperature: float = 1.0,
        part: Part = WHOLE,
    ) -> Cost:
        """How far a batch is from the teacher's classes and offsets.

        Classes: Kullback-Leibler divergence of the softened logits, times temperature ** 2 (Hinton et al., arXiv
        1503.02531, section 2). The weight of a prior is the probability of an object there, the network's or the
        teacher's, whichever is greater, so that the many priors on background do not drown the few on objects. Offsets:
        smooth L1 on priors whose probability of an object is more than `_SURE` for the teacher; it is the weight. Both
        are divided by the sum of their weights over the whole batch, at least 1.

        Args:
            outputs, wanted: logits (N, P, K + 1) and offsets (N, P, 4), as `cost` takes them in training.
        """
        (logits, offsets), (taught, places) = outputs, wanted
        found_log, taught_log = ((one / temperature).log_softmax(dim=-1) for one in (logits, taught))
        apart_np = functional.kl_div(found_log, taught_log, reduction="none", log_target=True).sum(dim=-1)
        own_np, sure_np = (1 - one.softmax(dim=-1)[..., 0] for one in (logits.detach(), taught))
        weight_np, boxes = torch.maximum(own_np, sure_np), sure_np > _SURE
        trust_b = sure_np[boxes]
        sums = part.total(torch.stack([weight_np.sum(), trust_b.sum()]).double().cpu()).clamp(min=1).tolist()
        classification = (apart_np * weight_np).sum() * temperature**2 / sums[0] / part.share
        moved_b = functional.smooth_l1_loss(offsets[boxes], places[boxes], reduction="none").sum(dim=-1)
        regression = self._rule.alpha * (moved_b * trust_b).sum() / sums[1] / part.share
        parts = {"regression": float(regression.detach()), "classification": float(classification.detach())}
        return Cost(classification + regression, parts)

    def end_epoch(self) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


def hard_negatives(hardness: Tensor, labels: Tensor, rule: CostRule, part: Part = WHOLE) -> Tensor:
    """(N, P) bool: the background priors that count in the cost: the hardest `rule.negatives` for each matched prior,
    in an image or in the whole batch that this is a `part` of. Of equally hard priors the first is taken. With mining
    "image", an image without boxes, which pytorch-ssd cannot read, counts as if it had one matched prior.

    Args:
        hardness: (N, P), the cost of classifying the prior as background.
        labels: (N, P) int64: 0 is background, above 0 a box, below 0 neither.
    """
    background, boxes = labels == BACKGROUND, labels > BACKGROUND
    hardness = hardness.masked_fill(~background, -torch.inf)
    if rule.mining == "batch":
        positives, candidates = part.total(torch.stack([boxes.sum(), background.sum()])).tolist()
        most = min(int(positives * rule.negatives), candidates)
        return _hardest(hardness.flatten(), most, part).view_as(background)
    wanted = boxes.sum(dim=1).clamp(min=1)
    order = hardness.argsort(dim=1, descending=True, stable=True)
    first = torch.arange(order.shape[1], device=order.device) < (wanted * rule.negatives).long()[:, None]
    return torch.zeros_like(first).scatter(1, order, first) & background


def _hardest(hardness: Tensor, most: int, part: Part) -> Tensor:
    """(M,) bool: which of this process's `hardness` (M,) are among the `most` hardest of all processes."""
    if not most:
        return torch.zeros_like(hardness, dtype=torch.bool)
    own = hardness.argsort(descending=True, stable=True)[:most]
    offered = functional.pad(hardness[own], (0, most - len(own)), value=-torch.inf)
    table = part.side_by_side(offered)
    chosen = torch.zeros(table.numel(), dtype=torch.bool, device=table.device)
    chosen[table.flatten().argsort(descending=True, stable=True)[:most]] = True
    mine = chosen.view_as(table)[part.rank, : len(own)]
    return torch.zeros_like(hardness, dtype=torch.bool).scatter(0, own, mine)
