"""`taolite dataset ...` as it is typed: exit codes, stdout, stderr."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import formats
from taolite.cli.main import main


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    """Six 32x24 pictures with a cat each; the first has an empty box too."""
    root = tmp_path / "kitti"
    for folder in ("image_2", "label_2"):
        (root / folder).mkdir(parents=True)
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"image_2/{index}.png")
        (root / f"label_2/{index}.txt").write_text("cat 0 0 0 2 3 20 15 0 0 0 0 0 0 0\n")
    with open(root / "label_2/0.txt", "a") as stream:
        stream.write("dog 0 0 0 2 3 2 15 0 0 0 0 0 0 0\n")
    return root


def test_convert_writes_the_other_format_and_says_what(kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code = main(["dataset", "convert", str(kitti), str(tmp_path / "voc"), "--to", "voc", "--rename", "cat=lynx"])

    out, err = capsys.readouterr()
    assert code == 0
    assert out == f"{tmp_path}/voc: 6 images, lynx 6; 1 label without area left out\n"
    assert f"warning: {kitti}/label_2/0.txt:2: dog is left out, its box has no width or height\n" in err
    assert formats.read(tmp_path / "voc")[0].labels[0].name == "lynx"


def test_convert_splits_and_resizes(kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "out"
    flags = ["--to", "yolo", "--val-split", "33", "--seed", "1", "--image-size", "64x48", "--image-format", "jpg"]

    assert main(["dataset", "convert", str(kitti), str(target), *flags, "--classes", "cat"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"{target}/train: 4 images, cat 4",
        f"{target}/val: 2 images, cat 2",
    ]
    (first, *_) = formats.read(target / "val")
    assert first.size_hw == (48, 64)
    assert first.labels[0].box == pytest.approx((4, 6, 40, 30), abs=1e-3)


def test_check_exits_with_1_and_lists_what_it_found(kitti: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dataset", "check", str(kitti), "--classes", "cat;dog"]) == 1

    assert capsys.readouterr().out.splitlines() == [
        f"{kitti}/label_2/0.txt:2: dog has no width (2, 3, 2, 15); draw it again or remove it",
        f"{kitti}: kitti, 6 images, 7 labels: 1 problem (zero-size 1)",
    ]


def test_check_of_a_sound_set_exits_with_0(kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (kitti / "label_2/0.txt").write_text("cat 0 0 0 2 3 20 15 0 0 0 0 0 0 0\n")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")

    assert main(["dataset", "check", str(kitti), "--classes", str(tmp_path / "labels.txt")]) == 0
    assert capsys.readouterr().out == f"{kitti}: kitti, 6 images, 6 labels: no problems\n"


def test_check_speaks_json(kitti: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dataset", "check", str(kitti), "--json"]) == 1

    report = json.loads(capsys.readouterr().out)
    assert (report["images"], report["labels"], report["notes"]) == (6, 7, [])
    assert report["problems"] == [
        {
            "kind": "zero-size",
            "file": f"{kitti}/label_2/0.txt",
            "line": 2,
            "text": "dog has no width (2, 3, 2, 15); draw it again or remove it",
        }
    ]


def test_stats_are_a_table_or_json(kitti: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dataset", "stats", str(kitti)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{kitti}: 6 images (0 without labels), 7 labels",
        "labels in an image: 1 to 2, median 1",
        "image sizes: 32x24 (6)",
        "percentiles 0 / 5 / 25 / 50 / 75 / 95 / 100 of boxes, pixels; area in % of the image",
        "class  labels  images  no area  width                 height                area %",
        "cat    6       6       0        18 18 18 18 18 18 18  12 12 12 12 12 12 12  28 28 28 28 28 28 28",
        "dog    1       1       1",
    ]
    assert main(["dataset", "stats", str(kitti), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"][0]["width"] == [18.0] * 7


def test_view_draws_a_sheet(kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        main(["dataset", "view", str(kitti), "-o", str(tmp_path / "sheet.png"), "--count", "4", "--columns", "2"]) == 0
    )

    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 2 * 32
    assert capsys.readouterr().out == f"{tmp_path}/sheet.png: 4 of 6 images\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats", "nowhere"], "error: nowhere: no such file or folder\n"),
        (
            ["convert", "KITTI", "out", "--to", "voc", "--rename", "cat"],
            "error: --rename cat: OLD=NEW is needed, for example --rename 'traffic light=traffic_light'\n",
        ),
        (
            ["convert", "KITTI", "out", "--to", "voc", "--val-split", "100"],
            "error: --val-split is 100; it needs to be between 0 and 100, for example 20\n",
        ),
        (
            ["view", "KITTI", "-o", "sheet.doc"],
            "error: sheet.doc: the output is a picture; its name needs to end in .png or .jpg\n",
        ),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_1(
    kitti: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    code = main(["dataset", *(str(kitti) if word == "KITTI" else word for word in arguments)])

    assert (code, capsys.readouterr().err) == (1, message)


def test_view_has_a_size(kitti: Path, tmp_path: Path):
    sheets = {}
    for size in (100, 300):
        words = ["view", str(kitti), "-o", str(tmp_path / f"{size}.png"), "--count", "2", "--columns", "2"]
        assert main(["dataset", *words, "--size", str(size)]) == 0
        with Image.open(tmp_path / f"{size}.png") as image:
            sheets[size] = image.size

    assert sheets[300][0] > 2 * 300 > sheets[100][0] > 2 * 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "5"], "error: --size is 5; it needs to be 16 to 4000 pixels\n"),
        (["--size", "9999"], "error: --size is 9999; it needs to be 16 to 4000 pixels\n"),
        (["--count", "0"], "error: --count and --columns need to be 1 or more\n"),
        (
            ["--size", "4000", "--count", "100"],
            "error: --count 100 with --size 4000 makes a sheet of more than 100,000,000 pixels; choose fewer "
            "or smaller images\n",
        ),
    ],
)
def test_a_sheet_that_is_too_large_is_refused(
    kitti: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["dataset", "view", str(kitti), "-o", "sheet.png", *words]) == 1

    assert capsys.readouterr().err == message


def test_counts_agree_with_their_nouns(kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for index in range(1, 6):
        (kitti / f"image_2/{index}.png").unlink()
        (kitti / f"label_2/{index}.txt").unlink()
    (kitti / "label_2/0.txt").write_text("cat 0 0 0 2 3 20 15 0 0 0 0 0 0 0\n")

    assert main(["dataset", "check", str(kitti)]) == 0
    assert main(["dataset", "stats", str(kitti)]) == 0
    assert main(["dataset", "view", str(kitti), "-o", str(tmp_path / "a.png")]) == 0
    out = capsys.readouterr().out.splitlines()

    assert out[0] == f"{kitti}: kitti, 1 image, 1 label: no problems"
    assert out[1] == f"{kitti}: 1 image (0 without labels), 1 label"
    assert out[-1] == f"{tmp_path}/a.png: 1 of 1 image"


def test_convert_with_skip_bad_leaves_out_pictures_that_cannot_be_decoded(
    kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = kitti / "image_2/3.png"
    path.write_bytes(path.read_bytes()[:-100])
    words = ["dataset", "convert", str(kitti), str(tmp_path / "out"), "--to", "voc"]

    assert main(words) == 1
    assert f"error: {path}: not a readable image (" in capsys.readouterr().err
    assert main([*words, "--skip-bad"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/out: 5 images, cat 5")


def test_many_class_names_are_not_taken_for_a_file(kitti: Path, capsys: pytest.CaptureFixture[str]):
    names = ",".join(["cat", "dog", *(f"class_{number:05d}" for number in range(1000))])

    assert main(["dataset", "check", str(kitti), "--classes", names]) == 1
    assert "zero-size 1" in capsys.readouterr().out


def test_a_path_that_no_system_can_have_is_not_there(capsys: pytest.CaptureFixture[str]):
    assert main(["dataset", "check", "x" * 5000]) == 1

    assert capsys.readouterr().err == f"error: {'x' * 5000}: no such file or folder\n"


def test_larger_pictures_are_opened_where_a_flag_allows_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TAOLITE_MAX_PIXELS", "")
    (tmp_path / "cat").mkdir()
    Image.new("L", (30, 20)).save(tmp_path / "cat" / "a.png")

    assert main(["dataset", "check", str(tmp_path), "--from=folders", "--max-pixels", "599"]) == 1
    assert "it has 30 x 20 = 600 pixels, and the limit is 599; --max-pixels or" in capsys.readouterr().out
    assert main(["dataset", "check", str(tmp_path), "--from=folders", "--max-pixels", "600"]) == 0
