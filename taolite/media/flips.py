"""Pictures turned and mirrored: by a name that the user gives, or by what a video's header says of its frames.

x points right, y down. All eight ways are a swap of rows and columns (or none), then mirrors.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flip", "flipped", "upright"]

Flip = Literal[
    "none",
    "counterclockwise",
    "rotate-180",
    "clockwise",
    "horizontal",
    "vertical",
    "upper-right-diagonal",
    "upper-left-diagonal",
]
"""Names of jetson-inference and of GStreamer's videoflip (reference/jetson_workflows.md 11.2). `horizontal` swaps left
and right. A diagonal is the line through the named corner, which the picture is mirrored at."""

_WAYS: dict[Flip, tuple[bool, bool, bool]] = {  # rows and columns swap; then left and right; then top and bottom
    "none": (False, False, False),
    "counterclockwise": (True, False, True),
    "rotate-180": (False, True, True),
    "clockwise": (True, True, False),
    "horizontal": (False, True, False),
    "vertical": (False, False, True),
    "upper-right-diagonal": (True, True, True),
    "upper-left-diagonal": (True, False, False),
}


def flipped(image_hwc: NDArray[np.uint8], flip: Flip) -> NDArray[np.uint8]:
    """(H, W, 3) -> (H, W, 3), or (W, H, 3) for quarter turns and diagonals; contiguous, the same array for "none"."""
    return _moved(image_hwc, *_WAYS[flip])


def upright(image_hwc: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A video's frame as a player shows it. `matrix`: a, b, c, d of its header, where (x, y) of the stored frame is
    shown at (a x + c y, b x + d y); only signs and zeros count, so angles between quarter turns are not applied."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        return _moved(image_hwc, True, c < 0, b < 0)
    return _moved(image_hwc, False, a < 0, d < 0)


def _moved(image_hwc: NDArray[np.uint8], swap: bool, left_right: bool, top_bottom: bool) -> NDArray[np.uint8]:
    turned = image_hwc.swapaxes(0, 1) if swap else image_hwc
    return np.ascontiguousarray(turned[:: -1 if top_bottom else 1, :: -1 if left_right else 1])
