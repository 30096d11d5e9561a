from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.pictures import read_rgb, to_grey


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_a_grey_photo_is_the_to_grey_the_colour_photo(tmp_path: Path, mode: str):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    path = tmp_path / "photo.tif"
    Image.fromarray(pixels).convert(mode).save(path)

    grey = read_rgb(path, grey=True)

    assert grey.shape == (20, 30, 1)
    assert np.array_equal(grey, to_grey(read_rgb(path)))


def test_grey_is_pillows():
    # (19595 R + 38470 G + 7471 B + 32768) >> 16
    rgb = np.random.default_rng(1).integers(0, 256, (50, 40, 3)).astype(np.uint8)

    luma = (rgb.astype(np.int64) @ [19595, 38470, 7471] + 32768) >> 16

    assert np.array_equal(to_grey(rgb)[..., 0], luma)
