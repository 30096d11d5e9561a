"""CCPD's names: what they say of a plate, and what becomes of it in other formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import formats
from taolite.cli.main import main
from taolite.errors import DataError
from taolite.events import Event, Notice
from taolite.formats.ccpd import parse_name
from taolite.formats.voc_sets import read_voc_set
from taolite.sample import Sample

Draw = Callable[..., Path]
BLUE = "025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15"
GREEN = "0245-90_90-10&20_60&40-63&41_9&39_10&17_60&21-0_0_3_25_29_31_31_31-132-139"


@pytest.fixture
def ccpd(tmp_path: Path, draw: Draw) -> Path:
    """CCPD2020's folders with two training pictures, and one each to validate and test."""
    root = tmp_path / "CCPD2020"
    names = {"train": ["1" + GREEN[1:], "2" + GREEN[1:]], "val": ["3" + GREEN[1:]], "test": ["4" + GREEN[1:]]}
    for part, stems in names.items():
        for seed, stem in enumerate(stems):
            draw(root / "ccpd_green" / part / f"{stem}.jpg", hw=(60, 80), seed=seed + len(part) * 10)
    return root


def test_the_seven_fields_of_the_authors_own_sample_are_read():
    plate = parse_name(f"ccpd_base/{BLUE}.jpg")

    assert plate is not None
    assert plate.text == "皖AY339S"
    assert plate.box == (154, 383, 386, 473)
    assert plate.vertices == ((386, 473), (177, 454), (154, 383), (363, 402))
    assert (plate.tilt, plate.brightness, plate.blur) == ((95, 113), 37, 15)
    assert plate.area == pytest.approx((386 - 154) * (473 - 383) / (720 * 1160), abs=1e-12)


def test_a_green_plate_has_eight_characters_and_the_last_entry_of_a_table_is_none():
    green, short = parse_name(GREEN), parse_name(BLUE.replace("33_16-", "33_34-"))

    assert green is not None
    assert green.text == "皖AD15777"
    assert short is not None
    assert short.text == "皖AY339"


@pytest.mark.parametrize(
    "name",
    [
        "0",
        BLUE.rsplit("-", 1)[0],  # six fields
        BLUE.replace("-0_0_22", "-0_22"),  # six characters
        BLUE.replace("-0_0_22", "-34_0_22"),  # 33 provinces and none
        BLUE.replace("-0_0_22", "-0_25_22"),  # 24 letters and none
        BLUE.replace("_16-", "_35-"),  # 34 characters and none
        BLUE.replace("154&383_386&473-", "154&383_386-"),
    ],
)
def test_another_name_tells_of_no_plate(name: str):
    assert parse_name(name + ".jpg") is None


def test_a_name_with_fields_that_do_not_fit_is_an_error_and_a_strange_name_is_left_out(tmp_path: Path, draw: Draw):
    for stem in (BLUE, "holiday"):
        draw(tmp_path / f"{stem}.jpg", hw=(60, 80))
    draw(tmp_path / "ccpd_np" / "1018.jpg", hw=(60, 80))
    told: list[Event] = []

    samples = formats.read(tmp_path, "ccpd", listener=told.append)
    assert [(sample.image.name, len(sample.labels)) for sample in samples] == [(f"{BLUE}.jpg", 1), ("1018.jpg", 0)]
    assert (
        Notice(
            f"{tmp_path}/holiday.jpg: its name describes no plate, and it is not in ccpd_np/; it is left out",
            "warning",
        )
        in told
    )

    bad = draw(tmp_path / f"{BLUE.replace('-0_0_22', '-0_0_99')}.jpg", hw=(60, 80))
    with pytest.raises(DataError, match="needs area-tilt-box-vertices-plate-brightness-blur") as caught:
        formats.read(tmp_path, "ccpd")
    assert str(bad) in str(caught.value)


@pytest.mark.parametrize("format", ["voc", "coco", "labelme"])
def test_text_tilt_and_corners_of_a_plate_travel_through_formats_that_have_a_place_for_them(
    ccpd: Path, tmp_path: Path, format: str
):
    samples = formats.read(ccpd)
    formats.write(samples, tmp_path / "out", format)

    back = {sample.image.name: sample for sample in formats.read(tmp_path / "out", format)}

    assert len(back) == len(samples) == 4
    for sample in samples:
        (label,), (read,) = sample.labels, back[sample.image.name].labels
        assert (read.name, read.box, read.points) == ("plate", (10, 20, 60, 40), label.points)
        said = {name: value for name, value in read.attributes.items() if name != "id"}
        assert said == {**label.attributes, "plate": "皖AD15777", "tilt": "90,90", "brightness": "132", "blur": "139"}


@pytest.mark.parametrize("format", ["kitti", "yolo"])
def test_formats_without_a_place_for_them_say_what_is_lost(ccpd: Path, tmp_path: Path, format: str):
    told: list[Event] = []
    formats.write(formats.read(ccpd), tmp_path / "out", format, listener=told.append)

    names = ("area", "blur", "brightness", "outline", "plate", "tilt")
    lost = ", ".join(f"{name} (4 labels)" for name in names)
    text = f"{tmp_path}/out: {format} has no place for these, which are dropped: {lost}"
    assert Notice(text, "warning") in told
    boxes = [sample.labels[0].box for sample in formats.read(tmp_path / "out", format)]
    assert boxes == [pytest.approx((10, 20, 60, 40), abs=1e-4)] * 4


def test_converted_to_voc_the_folders_become_the_lists_that_trainers_read(
    ccpd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "CCPD2020-voc"

    assert main(["dataset", "convert", str(ccpd), str(out), "--to", "voc"]) == 0

    lists = {path.name: [line[0] for line in path.read_text().splitlines()] for path in out.glob("ImageSets/Main/*")}
    assert lists == {"train.txt": ["1", "2"], "val.txt": ["3"], "trainval.txt": ["1", "2", "3"], "test.txt": ["4"]}
    assert (out / "labels.txt").read_text() == "plate\n"
    xml = (out / "Annotations" / f"1{GREEN[1:]}.xml").read_text()
    assert f"<filename>1{GREEN[1:].replace('&', '&amp;')}.jpg</filename>" in xml
    assert "<attribute><name>plate</name><value>皖AD15777</value></attribute>" in xml
    train, test = (read_voc_set(out, split=split) for split in ("train", "test"))
    assert (len(train.samples), len(test.samples), train.classes) == (3, 1, ("plate",))
    assert train.samples[0].labels[0].box == (10, 20, 60, 40)
    assert capsys.readouterr().out == f"{out}: 4 images, plate 4\n"


def test_a_split_is_a_folder_or_a_list_of_the_data_set(ccpd: Path):
    def stems(split: str) -> list[str]:
        return [sample.image.stem[0] for sample in formats.read(ccpd, split=split)]

    assert (stems("train"), stems("test")) == (["1", "2"], ["4"])

    (ccpd / "split").mkdir()
    (ccpd / "split/test.txt").write_text(f"ccpd_green/test/4{GREEN[1:]}.jpg\nccpd_green/val/3{GREEN[1:]}.jpg\n")
    assert stems("test") == ["4", "3"]


def test_the_names_of_five_subsets_all_parse_and_have_their_box_in_the_picture(shared_data: Path):
    names = [line for path in (shared_data / "ccpd_mini/filenames").iterdir() for line in path.read_text().splitlines()]

    plates = [plate for name in names if (plate := parse_name(name)) is not None]

    assert len(plates) == len(names) == 1500
    assert all(0 <= x1 < x2 <= 720 and 0 <= y1 < y2 <= 1160 for x1, y1, x2, y2 in (plate.box for plate in plates))
    assert Counter(len(plate.text) for plate in plates) == {7: 1500}


def test_real_pictures_are_read_with_the_plates_that_are_on_them(shared_data: Path):
    samples: list[Sample] = formats.read(shared_data / "ccpd_mini/images")

    assert len(samples) == 16
    assert {sample.size_hw for sample in samples} == {(1160, 720)}
    assert "皖AYL375" in {sample.labels[0].attributes["plate"] for sample in samples}
