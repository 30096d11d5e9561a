"""Operations on images and drawing, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.errors import UsageError
from taolite.jetson.drawing import (
    adaptFontSize,
    cudaConvertColor,
    cudaCrop,
    cudaDrawCircle,
    cudaDrawLine,
    cudaDrawRect,
    cudaFont,
    cudaNormalize,
    cudaOverlay,
    cudaResize,
)
from taolite.jetson.image import cudaFromNumpy, cudaImage


def grey(value: int, *, width: int = 40, height: int = 30, format: str = "rgb8") -> cudaImage:
    image = cudaImage(width, height, format)
    image[:] = value
    return image


def test_converted_resized_cropped():
    image = cudaFromNumpy(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))
    bgr, small, wide, part = (cudaImage(*size) for size in ((6, 4, "bgr32f"), (3, 2), (12, 8), (2, 3)))

    cudaConvertColor(image, bgr)
    cudaResize(image, small)
    cudaResize(image, wide, filter="linear")
    cudaCrop(image, part, (1, 0, 3, 3))

    assert (bgr == image[..., ::-1]).all()
    assert (small == image[::2, ::2]).all()
    assert tuple(wide[0, 0]) == tuple(image[0, 0])
    assert (part == image[:3, 1:3]).all()


def test_operations_say_what_does_not_fit():
    with pytest.raises(UsageError) as size:
        cudaConvertColor(grey(0), grey(0, width=41))
    with pytest.raises(UsageError) as format:
        cudaResize(grey(0), grey(0, format="rgba8"))
    with pytest.raises(UsageError) as part:
        cudaCrop(grey(0), grey(0, width=10, height=10), (35, 0, 45, 10))

    assert str(size.value) == "cudaConvertColor: the input has 40x30 pixels and the output 41x30; they must agree"
    assert str(format.value) == "cudaResize: the input is rgb8 and the output rgba8; they must agree"
    assert str(part.value) == (
        "cudaCrop: the part (35, 0, 45, 10) of an image of 40x30 pixels does not fit an output of 10x10"
    )


def test_normalised():
    image, output = grey(51), cudaImage(40, 30, "rgb32f")

    cudaNormalize(image, (0, 255), output, (-1, 1))

    assert output[0, 0].tolist() == pytest.approx([-0.6] * 3)


def test_overlaid_with_alpha_and_cut_off():
    image, patch = grey(100), grey(200, width=10, height=10, format="rgba8")
    patch[..., 3] = 51  # a fifth

    cudaOverlay(patch, image, 35, -5)

    assert tuple(image[0, 36]) == (120, 120, 120)
    assert tuple(image[4, 39]) == (120, 120, 120)
    assert tuple(image[5, 36]) == tuple(image[0, 34]) == (100, 100, 100)


def test_shapes_blend_by_alpha_in_place_or_into_an_output():
    image, output = grey(100), cudaImage(40, 30)

    cudaDrawRect(image, (10, 5, 20, 15), (200, 0, 100, 51))
    cudaDrawCircle(image, (30, 20), 4, (0, 0, 0))
    cudaDrawLine(image, (0, 25), (39, 25), (255, 255, 255, 255), 3, output=output)

    assert tuple(image[10, 15]) == (120, 80, 100)
    assert tuple(image[5, 10]) == tuple(image[14, 19]) == (120, 80, 100)
    assert tuple(image[15, 20]) == (100, 100, 100)
    assert tuple(image[20, 30]) == (0, 0, 0)
    assert tuple(image[25, 5]) == (100, 100, 100)
    assert tuple(output[25, 5]) == (255, 255, 255)
    assert tuple(output[10, 15]) == (120, 80, 100)


def test_a_rectangle_has_an_edge_of_its_own():
    image = grey(100)

    cudaDrawRect(image, (10, 5, 20, 15), (0, 0, 0, 0), (0, 255, 0, 255), 1)

    assert tuple(image[5, 10]) == (0, 255, 0)
    assert tuple(image[10, 15]) == (100, 100, 100)


def test_colours_are_red_green_blue_in_every_format():
    for format in ("rgb8", "bgr8", "rgba8", "rgba32f", "gray8"):
        image = grey(0, format=format)
        cudaDrawRect(image, (0, 0, 10, 10), (200, 100, 0, 255))
        colour = image[5, 5].tolist()
        assert {"bgr8": colour[::-1], "gray8": [200, 100, 0]}.get(format, colour[:3]) == [200, 100, 0]
        if format == "gray8":
            assert colour == [100]


def test_text_lies_within_its_extents_on_its_background():
    image, font = grey(0, width=200, height=60), cudaFont(size=20)

    left, top, right, bottom = font.TextExtents("horse", 10, 15)
    font.OverlayText(image, image.width, image.height, "horse", 10, 15, font.White, font.Gray40)

    inked = image.max(axis=2) > 128
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    assert (left, top) == (10, 15)
    assert left <= columns[0] < left + 5
    assert right - 5 < columns[-1] <= right
    assert top <= rows[0] < rows[-1] <= bottom
    assert font.GetSize() == 20


def test_text_by_keywords_dims_its_background():
    image = grey(200, width=200, height=60)

    cudaFont(size=20).OverlayText(image, text="x", x=50, y=20, color=(255, 0, 0, 255), background=(0, 0, 0, 102))

    assert tuple(image[17, 47]) == (120, 120, 120)  # 200 less 40 %, in the padding
    assert tuple(image[0, 0]) == (200, 200, 200)
    assert image[..., 0].max() == 255


@pytest.mark.parametrize(("dimension", "size"), [(640, 28), (1100, 30), (1920, 32)])
def test_the_size_of_a_font_follows_the_width(dimension: int, size: int):
    assert adaptFontSize(dimension) == size
