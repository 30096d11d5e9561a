"""From a classifier's scores to its answer. NumPy only, for edge devices. Legend: K classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import ModelError

__all__ = ["Ranking", "decode", "of_every_class"]


@dataclass(frozen=True)
class Ranking:
    """All K classes of one picture, the likeliest first: `classes_k` (K,) indices and `scores_k` (K,) of 0..1. The
    first `given` of them are the answer: one class, or every tag that passes its threshold."""

    classes_k: NDArray[np.int64]
    scores_k: NDArray[np.float32]
    given: int

    @property
    def by_class_k(self) -> NDArray[np.float32]:
        """(K,) the scores in the order of the classes."""
        scores = np.empty_like(self.scores_k)
        scores[self.classes_k] = self.scores_k
        return scores


def decode(scores_k: NDArray[np.float32], decoding: Mapping[str, Any]) -> Ranking:
    """Rank the (K,) scores of one picture; of two equal ones the first class comes first.

    `decoding` has `top`, how many classes are the answer, or `threshold`, which the score of a tag has to reach; with
    `logits` the scores are made here of raw outputs. Raises ModelError for scores that are not finite.

    >>> decode(np.float32([0.1, 0.7, 0.2]), {"top": 2})
    Ranking(classes_k=array([1, 2, 0]), scores_k=array([0.7, 0.2, 0.1], dtype=float32), given=2)
    """
    if not np.isfinite(scores_k).all():
        raise ModelError(
            "the network's scores are not finite numbers; where an fp16 or int8 engine overflows, use fp32, otherwise "
            "train again with a lower learning rate or from pretrained weights"
        )
    if decoding.get("logits"):
        scores_k = _sigmoid(scores_k) if "threshold" in decoding else _softmax(scores_k)
    classes = np.argsort(-scores_k, kind="stable")
    ranked = scores_k[classes]
    given = (
        int((ranked >= decoding["threshold"]).sum()) if "threshold" in decoding else min(decoding["top"], len(ranked))
    )
    return Ranking(classes, ranked, given)


def of_every_class(decoding: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """`decoding` that gives all `classes` of a picture, tags below their threshold too."""
    return {**decoding, **({"threshold": 0.0} if "threshold" in decoding else {"top": classes})}


def _softmax(logits_k: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits_k - logits_k.max())
    return np.asarray(powers / powers.sum(), np.float32)


def _sigmoid(logits_k: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-logits_k)), np.float32)
