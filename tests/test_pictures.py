from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError
from taolite.pictures import read_rgb, read_size, to_grey


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


def png(path: Path, *kinds_and_bodies: tuple[bytes, bytes]) -> Path:
    """A grey PNG of 30x20, its chunks behind the header as told."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 0, 0, 0, 0)), *kinds_and_bodies)
    rows = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(rows))
    return path


PIXELS = (b"IDAT", zlib.compress(bytes(21 * 30)))
TURNED = (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")  # orientation 6
END = (b"IEND", b"")


@pytest.mark.parametrize(
    ("chunks", "size_hw"),
    [
        ((PIXELS, END), (20, 30)),
        ((TURNED, PIXELS, END), (30, 20)),
        ((PIXELS, TURNED, END), (30, 20)),
        ((PIXELS, (b"tEXt", b"Comment\0none"), END), (20, 30)),
        ((PIXELS, (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="8"/>'), END), (30, 20)),
    ],
)
def test_a_png_is_turned_as_its_exif_says_wherever_that_stands(
    tmp_path: Path, chunks: tuple[tuple[bytes, bytes], ...], size_hw: tuple[int, int]
):
    path = png(tmp_path / "a.png", *chunks)

    assert read_size(path) == size_hw == read_rgb(path).shape[:2]


def test_the_size_of_a_png_does_not_take_its_pixels(tmp_path: Path):
    garbled = png(tmp_path / "a.png", (b"IDAT", b"no deflated pixels"), END)

    assert read_size(garbled) == (20, 30)
    with pytest.raises(DataError):
        read_rgb(garbled)


def test_a_png_that_was_cut_off_has_no_size(tmp_path: Path):
    whole = png(tmp_path / "a.png", PIXELS, END).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:-24])

    with pytest.raises(DataError, match="truncated"):
        read_size(tmp_path / "a.png")
