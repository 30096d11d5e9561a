"""Decode a classifier's scores into its answer. NumPy only, for edge devices. Legend: K classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import ModelError
from taolite.tasks.found import NO_BOXES, Found

__all__ = ["decode", "of_every_class"]


def decode(scores_k: NDArray[np.float32], decoding: Mapping[str, Any]) -> Found:
    """Rank the (K,) scores of one picture: all K classes, best first. Equal scores stay in class order.

    `decoding` has `top`, the number of classes in the answer, or `threshold`, the least score of a tag in the answer.
    With `logits`, raw outputs are turned into scores first. Raises ModelError for scores that are not finite.

    >>> found = decode(np.float32([0.1, 0.7, 0.2]), {"top": 2})
    >>> found.classes_n.tolist(), found.given
    ([1, 2, 0], 2)
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
    return Found(NO_BOXES, ranked, classes, given)


def of_every_class(decoding: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """A copy of `decoding` whose answer is all `classes`, tags below their threshold included."""
    return {**decoding, **({"threshold": 0.0} if "threshold" in decoding else {"top": classes})}


def _softmax(logits_k: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits_k - logits_k.max())
    return np.asarray(powers / powers.sum(), np.float32)


def _sigmoid(logits_k: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-logits_k)), np.float32)
