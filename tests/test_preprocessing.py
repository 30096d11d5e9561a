"""From photo to input and back: where pixels land is where boxes land, and old artifacts still say the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from taolite.preprocessing import Preprocessing

FITS = {
    "crop": Preprocessing((48, 64)),
    "crop from within": Preprocessing((48, 64), crop_at=(20, 10)),
    "crop of a smaller photo": Preprocessing((48, 64), crop_at=(8, 6), photo_scale=(0.5, 0.8)),
    "crop of a larger photo": Preprocessing((48, 64), photo_scale=(1.5, 1.25)),
    "stretch": Preprocessing((48, 64), fit="stretch"),
    "aspect": Preprocessing((48, 64), fit="aspect"),
    "aspect, shorter side": Preprocessing((48, 64), fit="aspect", least_side=24),
    "aspect, longer side": Preprocessing((48, 64), fit="aspect", least_side=40, most_side=32),
}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("photo_hw", [(60, 100), (100, 60), (30, 40), (48, 64)])
def test_a_patch_lands_where_its_box_lands_and_comes_back(name, photo_hw):
    fit, box = FITS[name], np.float32([[22, 12, 34, 27]])
    photo = np.zeros((*photo_hw, 3), np.uint8)
    photo[12:27, 22:34] = 255

    seen = fit.fit_photo(photo)
    (x1, y1, x2, y2) = (landed := fit.boxes_to_input(box, photo_hw=photo_hw))[0]

    assert seen.shape == (48, 64, 3)
    assert seen.dtype == np.uint8
    rows, columns = np.nonzero(seen[..., 0] >= 128)
    assert columns.min() == pytest.approx(x1, abs=1)
    assert columns.max() + 1 == pytest.approx(min(x2, 64), abs=1)
    assert rows.min() == pytest.approx(y1, abs=1)
    assert rows.max() + 1 == pytest.approx(min(y2, 48), abs=1)
    np.testing.assert_allclose(fit.boxes_to_photo(landed, photo_hw=photo_hw), box, atol=1e-4)


def test_a_crop_shows_the_photo_from_its_corner_on_and_zeros_where_it_ends():
    photo = np.random.default_rng(0).integers(1, 256, (40, 70, 3)).astype(np.uint8)

    seen = Preprocessing((48, 64), crop_at=(20, 10)).fit_photo(photo)

    assert np.array_equal(seen[:30, :50], photo[10:, 20:])
    assert not seen[30:].any()
    assert not seen[:, 50:].any()


@pytest.mark.parametrize(
    ("least", "most", "photo_hw", "size"),
    [
        (24, 0, (60, 100), (24, 40)),  # the shorter side is 24
        (24, 30, (60, 100), (18, 30)),  # the longer side would be 40: capped
        (24, 0, (100, 60), (40, 24)),
        (600, 0, (60, 100), (38, 64)),  # as large as the input takes
        (24, 0, (12, 16), (24, 32)),  # small photos grow
    ],
)
def test_an_aspect_is_kept_up_to_the_sides_and_the_input(least, most, photo_hw, size):
    fit = Preprocessing((48, 64), fit="aspect", least_side=least, most_side=most)

    seen = fit.fit_photo(np.full((*photo_hw, 1), 200, np.uint8))

    assert (seen[: size[0], : size[1]] == 200).all()
    assert seen.astype(bool).sum() == size[0] * size[1]


def test_every_preprocessing_passes_through_json():
    for fit in FITS.values():
        assert Preprocessing.from_json(json.loads(json.dumps(fit.to_json()))) == fit


def test_what_an_older_version_wrote_reads_as_it_did():
    old = {"input_hw": [48, 64], "channels": 1, "fit": "crop", "scale": 0.5, "offsets": [1.0, 2.0, 3.0]}

    assert Preprocessing.from_json(old) == Preprocessing((48, 64), 1, "crop", 0.5, (1.0, 2.0, 3.0))


def test_covering_cuts_the_middle_and_normalises_each_channel_in_its_order():
    # 4 x 8 pixels, red 100 on the left half and 200 on the right; the shorter side stays 4, columns 2 to 5 are cut
    photo = np.zeros((4, 8, 3), np.uint8)
    photo[:, :4, 0], photo[:, 4:, 0], photo[..., 2] = 100, 200, 30
    prep = Preprocessing((4, 4), fit="cover", scale=0.5, offsets=(10.0, 0.0, 20.0), stds=(2.0, 1.0, 4.0), bgr=True)

    blue, green, red = prep.apply(photo)

    assert np.unique(blue).tolist() == [0.5 * (30 - 10) / 2]
    assert np.unique(green).tolist() == [0.0]
    assert red.tolist() == [[0.5 * (100 - 20) / 4] * 2 + [0.5 * (200 - 20) / 4] * 2] * 4
    boxes = np.float32([[2, 0, 4, 4]])
    assert prep.boxes_to_input(boxes, photo_hw=(4, 8)).tolist() == [[0, 0, 2, 4]]
    assert Preprocessing.from_json(prep.to_json()) == prep


def test_covering_resizes_the_shorter_side_to_what_is_asked():
    prep = Preprocessing((32, 32), fit="cover", least_side=64)

    # 100 x 50 is resized to 128 x 64; the window of 32 begins at 48 and 16
    assert prep.boxes_to_input(np.float32([[0, 0, 100, 50]]), photo_hw=(50, 100)).tolist() == [[-48, -16, 80, 48]]
    assert prep.fit_photo(np.zeros((50, 100, 3), np.uint8)).shape == (32, 32, 3)


def test_covering_keeps_the_aspect_of_an_input_that_is_not_square_and_photos_of_its_size_as_they_are():
    prep = Preprocessing((32, 64), fit="cover", least_side=40)  # 8 more each way: 40 x 72

    # 36 x 36 is resized to 72 x 72; the window of 64 x 32 begins at 4 and 20
    assert prep.boxes_to_input(np.float32([[0, 0, 36, 36]]), photo_hw=(36, 36)).tolist() == [[-4, -20, 68, 52]]
    assert prep.boxes_to_input(np.float32([[1, 2, 3, 4]]), photo_hw=(32, 64)).tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize(
    ("offsets", "stds"), [((0.0,) * 3, (1.0,) * 3), ((123.675, 116.28, 103.53), (0.229, 0.224, 0.225))]
)
def test_each_value_is_scaled_as_the_formula_says_to_the_bit(bgr, offsets, stds):
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    prep = Preprocessing((20, 30), offsets=offsets, stds=stds, bgr=bgr)

    values = prep.apply(photo)

    for plane, channel in enumerate((2, 1, 0) if bgr else (0, 1, 2)):
        factor = np.float32(1 / 255) / np.float32(stds[plane])
        expected = (photo[..., channel].astype(np.float32) - np.float32(offsets[plane])) * factor
        np.testing.assert_array_equal(values[plane], expected)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
