"""The eight flips against GStreamer's videoflip and a slow reference, and headers of videos against both."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from taolite.media.flips import Flip, flipped, upright

PICTURE = np.array([[[10 * y + x] * 3 for x in range(4)] for y in range(3)], np.uint8)
VIDEOFLIP = {  # what GStreamer 1.22's element of that name makes of PICTURE, by its `method`
    "none": [[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]],
    "counterclockwise": [[3, 13, 23], [2, 12, 22], [1, 11, 21], [0, 10, 20]],
    "rotate-180": [[23, 22, 21, 20], [13, 12, 11, 10], [3, 2, 1, 0]],
    "clockwise": [[20, 10, 0], [21, 11, 1], [22, 12, 2], [23, 13, 3]],
    "horizontal": [[3, 2, 1, 0], [13, 12, 11, 10], [23, 22, 21, 20]],
    "vertical": [[20, 21, 22, 23], [10, 11, 12, 13], [0, 1, 2, 3]],
    "upper-right-diagonal": [[23, 13, 3], [22, 12, 2], [21, 11, 1], [20, 10, 0]],
    "upper-left-diagonal": [[0, 10, 20], [1, 11, 21], [2, 12, 22], [3, 13, 23]],
}
WHERE_IT_GOES = {  # of a picture of w x h: where the pixel (x, y) is found afterwards
    "none": lambda x, y, w, h: (x, y),
    "counterclockwise": lambda x, y, w, h: (y, w - 1 - x),
    "rotate-180": lambda x, y, w, h: (w - 1 - x, h - 1 - y),
    "clockwise": lambda x, y, w, h: (h - 1 - y, x),
    "horizontal": lambda x, y, w, h: (w - 1 - x, y),
    "vertical": lambda x, y, w, h: (x, h - 1 - y),
    "upper-right-diagonal": lambda x, y, w, h: (h - 1 - y, w - 1 - x),
    "upper-left-diagonal": lambda x, y, w, h: (y, x),
}


@pytest.mark.parametrize("flip", get_args(Flip))
def test_a_flip_is_gstreamers(flip: Flip):
    turned = flipped(PICTURE, flip)

    assert turned[:, :, 0].tolist() == VIDEOFLIP[flip]
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("flip", get_args(Flip))
def test_a_flip_moves_each_pixel_as_a_slow_reference_does(flip: Flip):
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)

    turned = flipped(picture, flip)

    for y in range(5):
        for x in range(7):
            to_x, to_y = WHERE_IT_GOES[flip](x, y, 7, 5)
            np.testing.assert_array_equal(turned[to_y, to_x], picture[y, x])


@pytest.mark.parametrize(
    ("a", "b", "c", "d"),
    [
        *((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)),
        *((-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)),
    ],
)
def test_a_header_moves_each_pixel_to_where_its_matrix_says(a: int, b: int, c: int, d: int):
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)

    shown = upright(picture, (a << 16, b << 16, c << 16, d << 16))

    places = {(x, y): (a * x + c * y, b * x + d * y) for y in range(5) for x in range(7)}
    left, top = (min(place[axis] for place in places.values()) for axis in (0, 1))
    for (x, y), (to_x, to_y) in places.items():
        np.testing.assert_array_equal(shown[to_y - top, to_x - left], picture[y, x])
