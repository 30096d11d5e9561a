"""The spec's data settings, end to end: from records and photographs to pixels, boxes, targets and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from taolite import spec
from taolite.formats.tfrecord import Record, write_records
from taolite.sample import Label
from taolite.tasks.detectnet.examples import spec_examples
from taolite.tasks.detectnet.spec import DetectNetSpec

from .test_spec import LEAST, SOURCE

PHOTO_HW = (80, 120)  # the network's input is 64 x 96
BOXES = {"inside": (20, 10, 60, 40), "over the edge": (80, 50, 110, 75), "outside": (100, 10, 118, 30)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One colourful photo with three cats."""
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(3).integers(1, 256, (*PHOTO_HW, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images/one.png")
    labels = tuple(Label("cat", tuple(map(float, box))) for box in BOXES.values())
    write_records(tmp_path / "cats", [Record("images/one", PHOTO_HW, labels)])
    return tmp_path


def data_source(root: Path, name: str, more: str = "") -> str:
    return f"data_sources {{ tfrecords_path: '{root}/{name}' image_directory_path: '{root}' {more} }}"


def examples(root: Path, *changes: tuple[str, str], augment: bool = False, source: str = ""):
    """The training examples of the least spec with `changes`."""
    text = LEAST.replace(SOURCE, data_source(root, "cats", source))
    for old, new in (('"jpg"', '"png"'), *changes):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return spec_examples(spec.loads(text, DetectNetSpec), "train", resolve=Path, augment=augment, grid_hw=(4, 6))


def preprocessing(text: str) -> tuple[str, str]:
    return "output_image_channel: 3", f"output_image_channel: 3 {text}"


def loader(name: str) -> tuple[str, str]:
    return "validation_fold: 0", f"validation_fold: 0 dataloader_mode: {name}"


def boxes_of(made) -> list[list[float]]:
    return made.truth.boxes_n4.tolist()


def test_by_default_boxes_past_the_input_stay_as_they_are(root: Path):
    # reference 4.3: with no crop the clipper does nothing
    assert boxes_of(examples(root).example(0)) == [list(map(float, box)) for box in BOXES.values()]


def test_with_a_crop_boxes_are_cut_and_those_outside_dropped(root: Path):
    made = examples(root, preprocessing("crop_right: 96 crop_bottom: 64")).example(0)

    assert boxes_of(made) == [[20, 10, 60, 40], [80, 50, 96, 64]]


def test_a_crop_moves_pixels_and_boxes(root: Path):
    made = examples(root, preprocessing("crop_left: 10 crop_top: 4 crop_right: 106 crop_bottom: 68")).example(0)

    assert np.array_equal(made.pixels, np.asarray(Image.open(root / "images/one.png"))[4:68, 10:106])
    assert boxes_of(made) == [[10, 6, 50, 36], [70, 46, 96, 64], [90, 6, 96, 26]]


def test_a_scale_comes_before_the_crop(root: Path):
    made = examples(root, preprocessing("scale_width: 0.5 scale_height: 0.5")).example(0)

    assert boxes_of(made) == [[edge / 2 for edge in box] for box in BOXES.values()]
    assert made.pixels[:40, :60].all()
    assert not made.pixels[40:].any()
    assert not made.pixels[:, 60:].any()


@pytest.mark.parametrize("name", ["DEFAULT", "LEGACY"])
def test_the_other_loaders_cut_boxes_and_drop_small_ones(root: Path, name: str):
    made = examples(root, loader(name), preprocessing("min_bbox_width: 16 min_bbox_height: 15")).example(0)

    assert boxes_of(made) == [[20, 10, 60, 40]]  # the second is cut to 16 x 14, the third lies outside
    assert examples(root, loader(name), preprocessing("min_bbox_width: 16")).truth(0).boxes_n4.tolist() == [
        [20, 10, 60, 40],
        [80, 50, 96, 64],
    ]


def test_the_other_loaders_drop_after_augmentation(root: Path):
    zooms = ("zoom_min: 1 zoom_max: 1", "zoom_min: 2 zoom_max: 2")
    sizes = preprocessing("min_bbox_width: 50 min_bbox_height: 50")
    grown = examples(root, loader("DEFAULT"), sizes, zooms, augment=True)

    widths = [x2 - x1 for epoch in range(8) for x1, _, x2, _ in boxes_of(grown.example(0, epoch=epoch))]

    assert len(grown.truth(0).boxes_n4) == 0  # as it stands no box is large enough
    assert widths
    assert min(widths) >= 50


def test_keeping_the_aspect_turns_augmentation_off(root: Path):
    flips = ("zoom_min: 1 zoom_max: 1", "zoom_min: 1 zoom_max: 1 hflip_probability: 1")
    made = examples(root, preprocessing("output_image_min: 40 output_image_max: 54"), flips, augment=True).example(0)

    assert boxes_of(made)[0] == pytest.approx([9, 4.5, 27, 18])  # 120 x 80 -> 54 x 36
    assert made.pixels[:36, :54].any(axis=2).mean() > 0.9
    assert not made.pixels[36:].any()


def test_one_channel_is_the_photos_luma(root: Path):
    made = examples(root, ("output_image_channel: 3", "output_image_channel: 1"), augment=True).example(0)

    expected = np.asarray(Image.open(root / "images/one.png").convert("L"))[:64, :96, None]
    assert np.array_equal(made.pixels, expected)


def test_without_masks_and_weights_the_cost_has_no_factors(root: Path):
    assert set(examples(root).example(0).targets) == {"cov", "bbox", "norm"}


def test_a_source_weight_is_the_factor_of_every_cell(root: Path):
    mask = examples(root, source="source_weight: 0.25").example(0).targets["mask"]

    assert mask.shape == (1, 2, 4, 6)
    assert (mask == 0.25).all()


def test_a_label_filter_masks_its_objectives_and_meets_the_weight(root: Path):
    # the first box is 40 x 30 pixels, the others are smaller: 1.25 to 3.75 and .625 to 2.5 cells, columns 1-3, rows 0-2
    row = "label_filter { bbox_dimensions_label_filter { min_width: 40 } } objective_names: 'bbox'"
    filters = f"loss_mask_label_filter {{ objective_label_filter_configs {{ {row} }} mask_multiplier: 0.5 }}"

    made = examples(root, ("training_config {", f"{filters}\ntraining_config {{"), source="source_weight: 3")
    mask = made.example(0).targets["mask"]

    assert (mask[0, 0] == 3).all()
    expected = np.full((4, 6), 3.0)
    expected[:3, 1:4] = 1.5
    assert mask[0, 1].tolist() == expected.tolist()


@pytest.mark.parametrize(
    "filter_", ["source_class_label_filter { }", "bbox_dimensions_label_filter { min_width: -1 min_height: -0.5 }"]
)
def test_a_filter_without_names_or_with_negative_minima_lets_every_box_through(root: Path, filter_: str):
    def mask(of: str) -> NDArray[np.float32]:
        filters = f"objective_label_filter_configs {{ label_filter {{ {of} }} }} mask_multiplier: 0.5"
        block = ("training_config {", f"loss_mask_label_filter {{ {filters} }}\ntraining_config {{")
        return examples(root, block).example(0).targets["mask"]

    every = mask("bbox_dimensions_label_filter { min_width: 1 }")
    assert (every == 0.5).any()
    assert (mask(filter_) == every).all()


def test_uniform_sampling_gives_a_small_source_its_share(root: Path):
    write_records(root / "many", [Record("images/one", PHOTO_HW, ())] * 9)
    two = ("  image_extension:", f"  {data_source(root, 'many')}\n  image_extension:")
    uniform = ("target_class_mapping", "sampling_mode: UNIFORM target_class_mapping")

    def share(*changes: tuple[str, str]) -> float:
        return float(np.mean(np.asarray(examples(root, two, *changes).order(0, batch_size=10)) == 0))

    assert share() == 0.1
    assert share(uniform) == 0.5
    assert share(uniform, loader("LEGACY")) == 0.1
