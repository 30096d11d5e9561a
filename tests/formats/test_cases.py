"""The inputs of `../shared/cases` that are read here, each with the answer it must give; skipped where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite import formats
from taolite.cli.main import main
from taolite.errors import TaoliteError
from taolite.formats.check import check
from taolite.formats.voc_sets import read_voc_set
from taolite.sample import Sample

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Path:
    """The folder of the case that the test is parametrized with."""
    path = CASES / str(request.param)
    if not path.is_dir():
        pytest.skip(f"the cases are not at {CASES}")
    return path


def here(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [name], indirect=True)


def boxes(samples: list[Sample]) -> list[tuple[float, ...]]:
    return [tuple(round(value, 2) for value in label.box) for sample in samples for label in sample.labels]


@here("coco_segmentation_without_bbox")
def test_a_polygon_without_bbox_gives_the_box_around_it(case: Path):
    assert boxes(formats.read(case)) == [(40, 30, 100, 90)]


@here("coco_string_ids")
def test_ids_of_two_types_match(case: Path):
    assert boxes(formats.read(case)) == [(40, 30, 100, 90)]


@here("coco_url_encoded_name")
def test_a_name_as_in_an_address_is_decoded(case: Path):
    assert [sample.image.name for sample in formats.read(case)] == ["my photo.jpg"]


@here("cvat_fractional_voc")
def test_fractional_corners_are_edges(case: Path):
    assert boxes(formats.read(case))[0] == (40.36, 30.13, 100.27, 90.43)


@here("cvat_rotated_voc")
def test_a_turned_box_stands(case: Path):
    assert boxes(formats.read(case)) == [(75, 0, 85, 120)]


@here("cvat_images_xml")
def test_cvat_s_own_xml_is_named(case: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dataset", "check", str(case)]) == 1
    assert "CVAT's own XML (CVAT for images), which is not read here; export the task again" in capsys.readouterr().err


@here("labelme_cut_imagedata")
def test_a_damaged_embedded_picture_is_named(case: Path):
    (problem,) = check(case).problems
    assert "its embedded picture (`imageData`) is damaged (Incorrect padding)" in str(problem)


@here("labels_txt_on_one_line")
def test_labels_on_one_line_are_refused(case: Path):
    with pytest.raises(TaoliteError, match=r"labels\.txt: `cat,dog` stands on one line; put one class name a line"):
        read_voc_set(case)


@here("voc_encoding_gb2312")
def test_gb2312_is_decoded(case: Path):
    assert check(case).problems == ()


@here("voc_flat_split_folders_ignored")
def test_split_folders_are_used(case: Path):
    assert [len(read_voc_set(case, split=split).samples) for split in ("train", "test")] == [6, 2]
    assert [len(formats.read(case, split=split)) for split in ("train", "valid", "val", "test")] == [6, 2, 2, 2]


@here("voc_list_name_ends_in_digit")
def test_no_image_of_the_list_is_lost(case: Path):
    assert len(formats.read(case, split="trainval")) == len(read_voc_set(case).samples) == 5


@here("voc_normalised_coordinates")
def test_fractions_are_scaled_and_told(case: Path):
    assert boxes(formats.read(case))[0] == (20, 20, 80, 70)
    assert "fractions" in {problem.kind for problem in check(case).problems}


@here("yaml_names_comma_in_quotes")
def test_a_comma_in_quotes_is_part_of_a_name(case: Path):
    names = {label.name for sample in formats.read(case) for label in sample.labels}
    assert names == {"cat, domestic", "dog"}


@here("yaml_names_inline_map")
def test_an_inline_map_has_names(case: Path):
    assert check(case).problems == ()


@here("yaml_other_file_name")
def test_the_only_yaml_with_names_is_taken(case: Path):
    assert check(case).problems == ()


@here("yolo_absolute_pixels")
def test_pixels_are_refused(case: Path, tmp_path: Path):
    assert main(["dataset", "convert", str(case), str(tmp_path / "out"), "--to", "kitti"]) == 1


@here("yolo_float_class_folder_lost")
def test_float_class_numbers_are_read(case: Path):
    assert len(formats.read(case)) == 8


@here("yolo_names_instead_of_numbers")
def test_names_are_refused_by_line(case: Path):
    assert "labels/train/a.txt:1: begins with the name `cat`" in str(check(case).problems[0])


@here("yolo_split_unknown_name")
def test_valid_is_val_and_a_typo_is_an_error(case: Path):
    assert len(formats.read(case, split="val")) == 2
    with pytest.raises(TaoliteError, match="no split is called `vall`; did you mean `val`"):
        formats.read(case, split="vall")


@here("yolo_track_columns")
def test_tracks_are_no_polygons(case: Path):
    assert boxes(formats.read(case)) == [(40, 30, 100, 90), (40, 30, 100, 90)]


@pytest.mark.parametrize("case", ["appledouble_in_dataset_convert", "image_extension_without_dot"], indirect=True)
def test_dataset_convert_takes_the_folder(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(case)

    assert main(["detectnet", "dataset_convert", "-d", "tf.txt", "-o", str(tmp_path / "t")]) == 0
