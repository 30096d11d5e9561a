"""Decoded pictures that are kept for the next epoch, and large JPEGs that are decoded smaller."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.data.examples import Examples, Source
from taolite.data.kept import Keep
from taolite.errors import DataError, StorageError
from taolite.pictures import read_rgb, read_scaled, scaled_hw
from taolite.preprocessing import Preprocessing
from taolite.sample import Label, Sample

SIZES = ((40, 60), (64, 48), (33, 50))


def nothing(truth, weight):
    return {}


def shifted(pixels, truth, rng):
    return np.roll(pixels, int(rng.integers(1, 9)), axis=1), truth


@pytest.fixture
def plain(tmp_path: Path) -> Examples:
    """Three photos of different sizes, fitted to 32 x 32 and then changed at random."""
    rng, samples = np.random.default_rng(1), []
    for number, hw in enumerate(SIZES):
        Image.fromarray(rng.integers(0, 256, (*hw, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        samples.append(Sample(tmp_path / f"{number}.png", hw, (Label("cat", (4.0, 8.0, 20.0, 30.0)),)))
    prep = Preprocessing((32, 32), fit="stretch")
    return Examples([Source(samples)], {"cat": 0}.get, prep, nothing, augment_fitted=shifted)


def epoch(examples: Examples, number: int) -> list[tuple[bytes, list[list[float]]]]:
    made = [examples.example(index, epoch=number) for index in range(len(examples))]
    return [(one.pixels.tobytes(), one.truth.boxes_n4.tolist()) for one in made]


def whole_photos(photo, truth, rng):
    return shifted(photo[:32, :32], truth, rng)


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("fitted", [True, False])
def test_kept_pictures_are_the_same_bits_and_are_not_read_again(
    plain: Examples, tmp_path: Path, where: str, fitted: bool
):
    if not fitted:
        plain = replace(plain, augment_fitted=None, augment=whole_photos)
    wanted = [epoch(plain, number) for number in range(2)]
    folder = tmp_path / "cache" if where == "disk" else None
    keeping = replace(plain, keep=Keep(1 << 20, folder))

    first = epoch(keeping, 0)
    for sample in plain.samples:
        sample.image.unlink()

    assert [first, epoch(keeping, 1)] == wanted
    assert folder is None or list(folder.iterdir()) == []  # the file has no name


def test_pictures_are_all_kept_or_none(plain: Examples):
    needed = 3 * 32 * 32 * 3
    keeping = replace(plain, keep=Keep(needed - 1))
    epoch(keeping, 0)
    plain.samples[0].image.unlink()

    with pytest.raises(Exception, match="this image is missing"):
        epoch(keeping, 0)
    photos = [height * width * 3 for height, width in SIZES]
    assert Keep(sum(photos)).room(photos) is not None
    assert Keep(sum(photos) - 1).room(photos) is None
    assert Keep(9).room([]) is None


def test_a_kept_picture_cannot_be_changed():
    kept = Keep(100).room([12, 27])
    kept.put(1, np.ones((2, 3, 3), np.uint8))

    assert kept.get(0) is None
    assert kept.get(1).tolist() == np.ones((2, 3, 3)).tolist()
    with pytest.raises(ValueError, match="read-only"):
        kept.get(1)[0] = 2
    kept.put(0, np.ones((2, 3, 3), np.uint8))  # larger than its place
    assert kept.get(0) is None


def test_a_folder_that_cannot_keep_pictures_is_named(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(StorageError) as caught:
        Keep(100, tmp_path / "file" / "cache").room([12])

    assert str(caught.value) == (
        f"{tmp_path}/file/cache: 12 bytes of decoded pictures cannot be kept here (Not a directory); name another "
        "cache_folder in `taolite { loading { } }`, or leave it out"
    )


def smooth(path: Path, hw: tuple[int, int], **options: object) -> None:
    """A JPEG whose colours change slowly from left to right and from top to bottom."""
    down, across = np.mgrid[0 : hw[0], 0 : hw[1]]
    pixels = np.stack([255 * down / hw[0], 255 * across / hw[1], 128 + 0 * down], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=95, **options)


@pytest.mark.parametrize(
    ("hw", "least", "given"),
    [
        ((401, 600), (100, 150), (101, 150)),  # a quarter, rounded up
        ((401, 600), (101, 150), (201, 300)),  # 401 // 101 is 3: a half
        ((401, 600), (300, 150), (401, 600)),
        ((80, 88), (3, 3), (10, 11)),  # an eighth at most
        ((80, 90), (100, 100), (80, 90)),
    ],
)
def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_is_enough(tmp_path: Path, hw, least, given):
    smooth(tmp_path / "a.jpg", hw)

    pixels, whole = read_scaled(tmp_path / "a.jpg", least_hw=least)

    assert (whole, pixels.shape[:2], scaled_hw(hw, least)) == (hw, given, given)
    full = np.asarray(Image.fromarray(read_rgb(tmp_path / "a.jpg")).resize(given[::-1], Image.Resampling.BOX))
    assert np.abs(pixels.astype(int) - full).mean() < 1.5


def test_a_sideways_jpeg_is_scaled_after_it_was_turned(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth(tmp_path / "a.jpg", (400, 160), exif=exif)

    pixels, whole = read_scaled(tmp_path / "a.jpg", least_hw=(80, 200))

    assert (whole, pixels.shape) == ((160, 400), (80, 200, 3))


def test_other_formats_keep_their_size(tmp_path: Path):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")

    assert read_scaled(tmp_path / "a.png", least_hw=(3, 3), grey=True)[0].shape == (48, 64, 1)


def of_jpeg(tmp_path: Path, hw: tuple[int, int]) -> Examples:
    sample = Sample(tmp_path / "a.jpg", hw, (Label("cat", (40.0, 80.0, 200.0, 320.0)),))
    prep = Preprocessing((50, 75), fit="stretch")
    return Examples([Source([sample])], {"cat": 0}.get, prep, nothing, least_hw=(50, 75), keep=Keep(1 << 20))


def test_labels_of_a_scaled_photo_are_in_its_pixels(tmp_path: Path):
    smooth(tmp_path / "a.jpg", (400, 600))
    seen = []

    def noted(photo, truth, rng):
        seen.append((photo.shape, truth.boxes_n4.tolist()))
        return photo[:50, :75], truth

    examples = of_jpeg(tmp_path, (400, 600))
    plain = examples.example(0)
    replace(examples, augment=noted).example(0)

    assert seen == [((50, 75, 3), [[5.0, 10.0, 25.0, 40.0]])]
    assert plain.pixels.shape == (50, 75, 3)
    assert plain.truth.boxes_n4.tolist() == [[5.0, 10.0, 25.0, 40.0]]


def test_a_photo_that_was_made_smaller_is_noticed_though_it_is_scaled(tmp_path: Path):
    smooth(tmp_path / "a.jpg", (200, 300))

    with pytest.raises(DataError) as caught:
        of_jpeg(tmp_path, (400, 600)).example(0)

    assert str(caught.value) == (
        f"{tmp_path}/a.jpg: 300x200 pixels, and its record says 600x400; the image was changed after dataset_convert: "
        "convert again"
    )
