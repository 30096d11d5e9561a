"""How far a network's coverage is from its teacher's, cell by cell, for both of DetectNet's costs.

Shapes: N images, K classes, h x w cells.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["coverage_lesson"]

_LEAST = 1e-6  # of a coverage, before its logit


def coverage_lesson(cov: Tensor, wanted: Tensor, *, temperature: float, focus: float = 0.0) -> Tensor:
    """(N, K, h, w): the cost of each cell, 0 where the two coverages are equal.

    With `focus` the quality focal loss (Li et al., arXiv 2006.04388, eq. 4): cross-entropy times the difference to that
    power. Without it the Kullback-Leibler divergence. Either is multiplied by temperature ** 2, so that its gradient
    does not shrink (Hinton et al., arXiv 1503.02531, section 2).

    Args:
        cov, wanted: coverage (N, K, h, w) of the network and of its teacher, 0..1, after the sigmoid.
        temperature: divides the logits of both.
    """
    cov, wanted = (_softened(one, temperature) for one in (cov, wanted))
    entropy = F.binary_cross_entropy(cov, wanted, reduction="none")
    if focus:
        lesson = entropy * (wanted - cov).abs() ** focus
    else:
        lesson = entropy - F.binary_cross_entropy(wanted, wanted, reduction="none")
    return lesson * temperature**2


def _softened(cov: Tensor, temperature: float) -> Tensor:
    """The coverage of logits that are divided by `temperature`."""
    return cov if temperature == 1 else (cov.logit(eps=_LEAST) / temperature).sigmoid()
