"""The cost of a classifier, and mixup. Legend: N pictures, K classes.

Targets are (N, K) shares in 0..1, so that label smoothing and mixup can be computed on them. TAO reads
`label_smoothing` and never applies it (reference/tao_classification_ssd.md 3.3); taolite applies it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from taolite.tasks.base import WHOLE, Cost, Mix, Part

__all__ = ["TARGET", "ClassificationObjective", "mixup"]

TARGET = "classes"
_LEAST = 1e-7  # least score before the logarithm; Keras's epsilon
_TOP = 5  # the k of train.py's Acc@5; reported with at least that many classes
_AUXILIARY = 0.3  # weight of an auxiliary classifier's cost, as in googlenet's training


class ClassificationObjective:
    """Cross-entropy of one class per picture, or binary cross-entropy of `tags`, mean over pictures (and tags).

    A tag is predicted where its score is `threshold` or more. `smoothing` is the share of a label that is spread over
    all classes, or over yes and no for a tag; training only. Each auxiliary classifier in training has the weight
    `_AUXILIARY`.
    """

    def __init__(self, *, smoothing: float = 0.0, tags: bool = False, threshold: float = 0.5) -> None:
        self._smoothing = smoothing
        self._tags = tags
        self._threshold = threshold

    def cost(
        self,
        outputs: tuple[Tensor, ...],
        targets: Mapping[str, Tensor],
        *,
        training: bool = True,
        part: Part = WHOLE,
    ) -> Cost:
        """Args:
        outputs: logits (N, K), then the logits of auxiliary classifiers; in evaluation mode scores (N, K) in 0..1.
        targets: `classes` (N, K), shares in 0..1.
        """
        wanted = targets[TARGET]
        threshold = math.log(self._threshold / (1 - self._threshold)) if training else self._threshold
        readings = {"accuracy": self._accuracy(outputs[0].detach(), wanted, threshold=threshold)}
        if not self._tags and wanted.shape[1] >= _TOP:
            readings[f"top_{_TOP}"] = self._top(outputs[0].detach(), wanted)
        if not training:
            return Cost(self._of_scores(outputs[0].clamp(_LEAST, 1 - _LEAST), wanted), readings)
        first, *others = (self._of_logits(logits, self._smoothed(wanted)) for logits in outputs)
        return Cost(sum((_AUXILIARY * other for other in others), first), readings)

    def taught(
        self,
        outputs: tuple[Tensor, ...],
        wanted: tuple[Tensor, ...],
        targets: Mapping[str, Tensor],
        *,
        temperature: float = 1.0,
        part: Part = WHOLE,
    ) -> Cost:
        """How far the classes' probabilities are from the teacher's: Kullback-Leibler divergence of the softened
        logits, times temperature ** 2 (Hinton et al., arXiv 1503.02531, section 2), mean over pictures; of `tags` the
        divergence of each tag's sigmoid, mean over pictures and tags. Auxiliary classifiers are not taught.

        Args:
            outputs, wanted: logits (N, K), as `cost` takes them in training.
        """
        found_nk, taught_nk = outputs[0] / temperature, wanted[0] / temperature
        if self._tags:
            shares_nk = taught_nk.sigmoid()
            least = functional.binary_cross_entropy_with_logits(taught_nk, shares_nk)
            lesson = functional.binary_cross_entropy_with_logits(found_nk, shares_nk) - least
        else:
            logs = found_nk.log_softmax(dim=1), taught_nk.log_softmax(dim=1)
            lesson = functional.kl_div(*logs, reduction="batchmean", log_target=True)
        return Cost(lesson * temperature**2)

    def end_epoch(self) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass

    def _smoothed(self, wanted_nk: Tensor) -> Tensor:
        spread = 0.5 if self._tags else 1 / wanted_nk.shape[1]
        return wanted_nk * (1 - self._smoothing) + self._smoothing * spread

    def _of_logits(self, logits_nk: Tensor, wanted_nk: Tensor) -> Tensor:
        if self._tags:
            return functional.binary_cross_entropy_with_logits(logits_nk, wanted_nk)
        return functional.cross_entropy(logits_nk, wanted_nk)

    def _of_scores(self, scores_nk: Tensor, wanted_nk: Tensor) -> Tensor:
        if self._tags:
            return -(wanted_nk * scores_nk.log() + (1 - wanted_nk) * (1 - scores_nk).log()).mean()
        return -(wanted_nk * scores_nk.log()).sum(dim=1).mean()

    def _accuracy(self, outputs_nk: Tensor, wanted_nk: Tensor, *, threshold: float) -> float:
        if self._tags:
            return float(((outputs_nk >= threshold) == (wanted_nk >= 0.5)).float().mean())
        return float((outputs_nk.argmax(dim=1) == wanted_nk.argmax(dim=1)).float().mean())

    def _top(self, outputs_nk: Tensor, wanted_nk: Tensor) -> float:
        """Top-k accuracy with k = `_TOP`: the share of pictures whose true class is among the k highest scores."""
        likeliest = outputs_nk.topk(_TOP, dim=1).indices
        return float((likeliest == wanted_nk.argmax(dim=1, keepdim=True)).any(dim=1).float().mean())


def mixup(alpha: float) -> Mix:
    """Mixup: blend the pictures and targets of a batch with those of the reversed batch.

    Each picture keeps a share of at least one half, drawn from Beta(alpha, alpha), as in TAO.
    """

    def mix(
        pixels_nchw: Tensor, targets: Mapping[str, Tensor], places: Sequence[int], count: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        drawn = torch.distributions.Beta(alpha, alpha).sample((count,))[list(places)]
        share_n = torch.maximum(drawn, 1 - drawn).to(pixels_nchw.device)

        def blended(values: Tensor) -> Tensor:
            share = share_n.view(-1, *[1] * (values.ndim - 1))
            return share * values + (1 - share) * values.flip(0)

        return blended(pixels_nchw), {name: blended(values) for name, values in targets.items()}

    return mix
