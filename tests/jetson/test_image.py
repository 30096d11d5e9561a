"""cudaImage and what loads, saves, converts and copies it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.errors import PathError, UsageError
from taolite.jetson.image import (
    as_format,
    cudaAllocMapped,
    cudaDeviceSynchronize,
    cudaFromNumpy,
    cudaImage,
    cudaMemcpy,
    cudaToNumpy,
    loadImage,
    loadImageRGBA,
    rgb_of,
    saveImage,
    saveImageRGBA,
)

PIXELS = np.uint8([[[255, 0, 0], [0, 128, 0]], [[0, 0, 64], [10, 20, 30]], [[1, 2, 3], [4, 5, 6]]])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_loaded_image_is_an_array_with_jetsons_attributes(file: Path):
    image = loadImage(str(file))

    assert (image.width, image.height, image.channels, image.format) == (2, 3, 3, "rgb8")
    assert image.shape == (3, 2, 3)
    assert image.mapped
    assert image.ptr == image.ctypes.data
    assert tuple(image[0, 1]) == (0, 128, 0)
    assert image[2, 1, 2] == 6
    assert (image == PIXELS).all()


@pytest.mark.parametrize(
    ("format", "first"),
    [
        ("rgba8", [255, 0, 0, 255]),
        ("rgb32f", [255.0, 0.0, 0.0]),
        ("rgba32f", [255.0, 0.0, 0.0, 255.0]),
        ("bgr8", [0, 0, 255]),
        ("bgra8", [0, 0, 255, 255]),
        ("gray8", [76]),
        ("gray32f", [pytest.approx(76.245, abs=1e-3)]),
    ],
)
def test_formats(file: Path, format: str, first: list[float]):
    image = loadImage(str(file), format=format)

    assert image.format == format
    assert image[0, 0].tolist() == first
    if not format.startswith("gray"):
        assert (rgb_of(image) == PIXELS).all()


def test_a_format_that_is_not_here_is_told(file: Path):
    with pytest.raises(UsageError) as caught:
        loadImage(str(file), format="nv12")

    assert str(caught.value) == (
        "nv12: this image format is not here; rgb8, rgba8, rgb32f, rgba32f, gray8, gray32f and their bgr forms are"
    )


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(PathError):
        loadImage(str(tmp_path / "no.jpg"))


def test_the_calls_of_before_2020(file: Path, tmp_path: Path):
    image, width, height = loadImageRGBA(str(file))
    saveImageRGBA(str(tmp_path / "b.png"), image, width, height)
    saveImageRGBA(str(tmp_path / "c.png"), image / 255, width, height, 1.0)

    assert (image.format, width, height) == ("rgba32f", 2, 3)
    assert (loadImage(str(tmp_path / "b.png")) == PIXELS).all()
    assert (loadImage(str(tmp_path / "c.png")) == PIXELS).all()


def test_saved_images(file: Path, tmp_path: Path):
    image = loadImage(str(file), "bgra8")
    image[..., 3] = 100

    for name in ("b.png", "b.bmp", "b.tga"):
        saveImage(str(tmp_path / name), image)
    saveImage(str(tmp_path / "fine.jpg"), loadImage(str(file)), quality=100)
    saveImage(str(tmp_path / "coarse.jpg"), loadImage(str(file)), quality=1)
    saveImage(str(tmp_path / "grey.png"), as_format(image, "gray8"))

    assert np.asarray(Image.open(tmp_path / "b.png")).tolist()[0][0] == [255, 0, 0, 100]
    assert (np.asarray(Image.open(tmp_path / "b.bmp").convert("RGB")) == PIXELS).all()
    assert (tmp_path / "fine.jpg").stat().st_size > (tmp_path / "coarse.jpg").stat().st_size
    assert np.asarray(Image.open(tmp_path / "grey.png"))[0, 0].tolist() == [76, 76, 76]
    with pytest.raises(UsageError):
        saveImage(str(tmp_path / "b.txt"), image)


def test_new_images():
    image = cudaImage(width=5, height=4, format="rgba32f", timestamp=7)
    twin = cudaAllocMapped(like=image)
    row = cudaAllocMapped(10)

    assert (image.shape, image.dtype, image.timestamp, float(image.sum())) == ((4, 5, 4), np.float32, 7, 0.0)
    assert (twin.width, twin.height, twin.format) == (5, 4, "rgba32f")
    assert (row.format, row.nbytes) == ("gray8", 10)
    assert cudaDeviceSynchronize() is None


def test_from_and_to_numpy(file: Path):
    image = loadImage(str(file))

    plain = cudaToNumpy(image)
    plain[0, 0] = 9
    copied = cudaFromNumpy(PIXELS[..., ::-1], isBGR=True)
    grey = cudaFromNumpy(np.zeros((3, 4), np.float32))

    assert type(plain) is np.ndarray
    assert tuple(image[0, 0]) == (9, 9, 9)  # the same memory
    assert copied.format == "bgr8"
    assert (rgb_of(copied) == PIXELS).all()
    assert (grey.shape, grey.format) == ((3, 4, 1), "gray32f")
    with pytest.raises(UsageError, match="this one is 2 x 2 x 2 of uint8"):
        cudaFromNumpy(np.zeros((2, 2, 2), np.uint8))


def test_copies():
    image = cudaFromNumpy(PIXELS, isBGR=True, timestamp=3)
    target = cudaAllocMapped(like=image)

    cudaMemcpy(target, image)
    made = cudaMemcpy(image)
    image[:] = 0

    assert (target == PIXELS).all()
    assert (made == PIXELS).all()
    assert (made.format, made.timestamp) == ("bgr8", 3)
