"""The drawn pictures of `taolite demo`: every object fills its box, and the same seed draws the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from taolite import formats, spec
from taolite.errors import PathError
from taolite.stages.demo import CLASSES, draw, draw_pictures, new_demo
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec

GRAIN = 25  # five standard deviations of the noise
LOWER_CORNERS = {"circle": False, "square": True, "triangle": True}  # whether they belong to the object


def drawings(count: int):
    return [draw(np.random.default_rng([3, index])) for index in range(count)]


def test_an_object_reaches_every_side_of_its_box_and_no_further():
    seen = dict.fromkeys(CLASSES, 0)
    for picture, boxes in drawings(30):
        for name, (x1, y1, x2, y2) in boxes:
            middle_x, middle_y = (x1 + x2) // 2, (y1 + y2) // 2
            colour = picture[middle_y - 2 : middle_y + 3, middle_x - 2 : middle_x + 3].mean(axis=(0, 1))

            def is_object(x: int, y: int, colour=colour, picture=picture) -> bool:
                return bool(np.abs(picture[y, x] - colour).max() <= GRAIN)

            assert is_object(middle_x, y2 - 1)
            assert is_object(middle_x, y1 + 2)
            widest_y = {"circle": middle_y, "square": middle_y, "triangle": y2 - 1}[name]
            assert is_object(x1 + 1, widest_y)
            assert is_object(x2 - 2, widest_y)
            assert is_object(x1 + 2, y2 - 1) == is_object(x2 - 3, y2 - 1) == LOWER_CORNERS[name]
            seen[name] += 1

    assert min(seen.values()) > 8


def test_objects_lie_in_the_picture_and_apart():
    for picture, boxes in drawings(40):
        height, width = picture.shape[:2]
        assert 1 <= len(boxes) <= 3
        for index, (_, (x1, y1, x2, y2)) in enumerate(boxes):
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert 28 <= x2 - x1 == y2 - y1 <= 56
            for _, (left, top, right, bottom) in boxes[:index]:
                assert max(left - x2, x1 - right, top - y2, y1 - bottom) >= 4


def test_the_pictures_are_read_back_as_they_were_drawn(tmp_path: Path):
    objects = draw_pictures(tmp_path / "new" / "pictures", count=5, seed=3)

    samples = formats.read(tmp_path / "new" / "pictures", formats.detect(tmp_path / "new" / "pictures"))
    drawn = [boxes for _, boxes in drawings(5)]
    assert [[(label.name, label.box) for label in sample.labels] for sample in samples] == drawn
    assert [sample.size_hw for sample in samples] == [(112, 160)] * 5
    assert objects == {name: sum(label == name for boxes in drawn for label, _ in boxes) for name in CLASSES}


def test_the_same_seed_draws_the_same_files_and_another_seed_others(tmp_path: Path):
    for name, seed in (("once", 0), ("again", 0), ("other", 1)):
        draw_pictures(tmp_path / name, count=3, seed=seed)

    def digests(name: str) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}

    assert sorted(digests("once")) == ["000.jpg", "000.json", "001.jpg", "001.json", "002.jpg", "002.json"]
    assert digests("once") == digests("again")
    assert all(digests("once")[name] != digests("other")[name] for name in digests("once"))


def test_a_folder_with_files_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.jpg").write_bytes(b"mine")

    with pytest.raises(PathError) as caught:
        new_demo(tmp_path, count=10, epochs=2)

    assert str(caught.value) == f"{tmp_path}: this folder is not empty; choose another one for the demonstration"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jpg"]


def test_the_specs_are_tao_s_alone_and_bind_without_a_warning(tmp_path: Path):
    new_demo(tmp_path / "a b", count=10, epochs=6)

    kinds = {
        **{"tfrecords.txt": DatasetExportSpec, "train.txt": DetectNetSpec, "retrain.txt": DetectNetSpec},
        "inference.txt": InferenceSpec,
    }
    assert sorted(path.name for path in (tmp_path / "a b" / "specs").iterdir()) == sorted(kinds)
    readings = {name: spec.read(tmp_path / "a b" / "specs" / name, kind) for name, kind in kinds.items()}
    assert [warning.text for reading in readings.values() for warning in reading.warnings] == []
    train, retrain = (readings[name].model for name in ("train.txt", "retrain.txt"))
    assert train.taolite is None
    for one in (train, retrain):
        assert one.training_config.num_epochs == one.training_config.checkpoint_interval == 6
        assert one.evaluation_config.validation_period_during_training == 3
        assert one.dataset_config.data_sources[0].image_directory_path == str(tmp_path / "a b" / "kitti")
    assert (train.model_config_.load_graph, retrain.model_config_.load_graph) == (False, True)


def test_pictures_that_are_shown_at_the_end_are_none_of_those_for_training(tmp_path: Path):
    new_demo(tmp_path, count=10, epochs=2)

    shown, learned = (
        {path.read_bytes() for path in (tmp_path / name).glob("*.jpg")} for name in ("unseen", "pictures")
    )
    assert (len(shown), len(learned), len(shown & learned)) == (8, 10, 0)
