"""Which kind of spec a file is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from taolite import spec
from taolite.spec import Kind


@pytest.mark.parametrize(
    ("folder", "kinds"),
    [
        ("detectnet_v2", {Kind.DETECTNET: 24}),
        ("detectnet_v2_inference", {Kind.DETECTNET_INFERENCE: 14}),
        ("tfrecords", {Kind.DATASET_EXPORT: 29}),
        ("classification", {Kind.CLASSIFICATION: 26}),
        ("ssd", {Kind.SSD: 5}),
        ("dssd", {Kind.DSSD: 2}),
        (
            "other_tasks",
            {
                Kind.FASTER_RCNN: 3,
                Kind.EFFICIENTDET: 1,
                Kind.MULTITASK_CLASSIFICATION: 1,
                Kind.RETINANET: 1,
                Kind.LPRNET: 1,
                Kind.UNET: 1,
                Kind.YOLO_V3: 1,
                Kind.YOLO_V4: 1,
            },
        ),
    ],
)
def test_every_real_file_is_known_for_what_it_is(shared_data: Path, folder: str, kinds: dict[Kind, int]) -> None:
    files = list((shared_data / "tao_specs" / folder).iterdir())

    assert Counter(spec.identify(file) for file in files) == kinds


def test_a_kind_is_told_from_what_could_be_read_of_a_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "broken.txt"
    file.write_text("kitti_config {\n  root_directory_path 'x'\n")

    assert spec.identify(file) is Kind.DATASET_EXPORT


def test_a_file_without_a_telling_block_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "other.txt"
    file.write_text("training_config { }\nnms: 3\n")

    assert spec.identify(file) is Kind.UNKNOWN
    assert not Kind.UNKNOWN.is_read
