"""How important a filter is, and how many are kept: TAO's statistic and selection, in NumPy (reference 9.1 to 9.3).

Shapes: n filters of a layer, m layers of a group. Statistics are float64.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Equalization", "Normalizer", "Statistic", "equalize", "filter_norms", "keep_count", "normalize", "select"]

Normalizer = Literal["max", "L2"]
Equalization = Literal["union", "intersection", "arithmetic_mean", "geometric_mean"]
Statistic = NDArray[np.float64]


def filter_norms(kernel_oihw: NDArray[Any]) -> Statistic:
    """(n,) float64, the L2 norm of each of the n output filters of a kernel (n, I, H, W); bias and batch norm do not
    count (reference 9.1)."""
    kernel = np.asarray(kernel_oihw, np.float64)
    return np.asarray(np.sqrt((kernel**2).reshape(len(kernel), -1).sum(axis=1)))


def normalize(norms_n: Statistic, normalizer: Normalizer) -> Statistic:
    """(n,) norms made comparable between layers. `max`: norms / max(norms). `L2`: n * norms / sqrt(sum norms^2). Zeros
    stay zeros."""
    if not norms_n.any():
        return norms_n.copy()
    if normalizer == "max":
        return np.asarray(norms_n / norms_n.max())
    return np.asarray(norms_n / np.sqrt((norms_n**2).sum()) * len(norms_n))


def equalize(statistics_mn: Statistic, criterion: Equalization) -> Statistic:
    """(m, n) -> (n,), one statistic for a group of m layers: the largest (`union`), smallest (`intersection`) or mean
    value of each filter."""
    if criterion == "union":
        return np.asarray(statistics_mn.max(axis=0))
    if criterion == "intersection":
        return np.asarray(statistics_mn.min(axis=0))
    if criterion == "arithmetic_mean":
        return np.asarray(statistics_mn.mean(axis=0))
    # As a product of roots: a product of many norms of 1000 layers would leave the range of a double.
    return np.asarray((statistics_mn ** (1 / len(statistics_mn))).prod(axis=0))


def keep_count(above: int, depth: int, *, granularity: int, min_filters: int) -> int:
    """How many of `depth` filters are kept where `above` of them exceed the threshold (reference 9.2).

    >>> keep_count(19, 64, granularity=8, min_filters=16)
    24
    """
    keep = max(above, min(min_filters, depth))
    return min(math.ceil(keep / granularity) * granularity, depth)


def select(statistic_n: Statistic, *, threshold: float, granularity: int, min_filters: int) -> tuple[int, ...]:
    """Indices, ascending, of the filters to keep: those strictly above `threshold`, and the next largest up to
    `keep_count`. Of equal values the lower index is kept."""
    above = int((statistic_n > threshold).sum())
    keep = keep_count(above, len(statistic_n), granularity=granularity, min_filters=min_filters)
    largest = np.argsort(-statistic_n, kind="stable")[:keep]
    return tuple(sorted(int(index) for index in largest))
