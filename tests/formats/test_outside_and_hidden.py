"""Paths stay inside the folder that was given and its parent, and what systems leave behind is passed over."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import formats
from taolite.cli.main import main
from taolite.errors import DataError
from taolite.formats.check import check
from taolite.formats.folders import class_names, read_folders
from taolite.formats.index_file import index_path
from taolite.formats.packed import BLOCK
from taolite.formats.record_index import record_samples
from taolite.formats.tar_listing import list_tar
from taolite.formats.text import show
from taolite.formats.tfrecord import Record, read_records, write_records
from taolite.formats.yolo_names import read_yolo_names
from taolite.sample import Sample

Draw = Callable[..., Path]
Make = Callable[[Path, str], Path]


def labelme(root: Path, name: str) -> Path:
    path = root / "labels/a.json"
    shape = {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "rectangle"}
    path.write_text(json.dumps({"shapes": [shape], "imagePath": name}, indent=1))
    return path


def coco(root: Path, name: str) -> Path:
    path = root / "labels/a.json"
    data = {
        "images": [{"id": 1, "file_name": name}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 2, 2]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path.write_text(json.dumps(data, indent=1))
    return path


@pytest.fixture
def root(tmp_path: Path, draw: Draw) -> Path:
    """`near/set/labels` in an empty set, a picture beside the set and one farther away."""
    (tmp_path / "near/set/labels").mkdir(parents=True)
    draw(tmp_path / "near/images/x.png", hw=(8, 8))
    draw(tmp_path / "far/secret.png", hw=(8, 8))
    return tmp_path / "near/set"


@pytest.mark.parametrize(("make", "line"), [(labelme, 18), (coco, 5)])
@pytest.mark.parametrize("spelled", ["../../../far/secret.png", "..\\..\\..\\far\\secret.png", "{far}/secret.png"])
def test_a_picture_outside_is_refused_by_file_and_line_unless_it_is_allowed(
    root: Path, make: Make, line: int, spelled: str
):
    name = spelled.format(far=root.parents[1] / "far")
    path = make(root, name)

    with pytest.raises(DataError) as caught:
        formats.read(root)

    spelled = show(name.replace("\\", "/") if make is labelme else name)
    subject = f"its picture {spelled}" if make is labelme else f"image {spelled} (id 1)"
    assert str(caught.value) == (
        f"{path}:{line}: {subject} lies outside {root} and its parent folder; move it, or allow it with --allow-outside"
    )
    assert [sample.image.name for sample in formats.read(root, outside=True)] == ["secret.png"]


@pytest.mark.parametrize("make", [labelme, coco])
@pytest.mark.parametrize("name", ["..\\..\\images\\x.png", "../../images/x.png"])
def test_a_picture_below_the_parent_folder_is_taken(root: Path, make: Make, name: str):
    make(root, name)

    assert [sample.image.name for sample in formats.read(root)] == ["x.png"]


@pytest.mark.parametrize("make", [labelme, coco])
def test_a_path_of_the_annotator_s_own_disk_is_found_by_its_name(root: Path, make: Make, draw: Draw):
    draw(root / "pictures/secret.png", hw=(8, 8))
    for name in ("C:\\Users\\me\\secret.png", f"{root.parents[1]}/far/secret.png", "../../../../none/secret.png"):
        make(root, name)

        assert [sample.image for sample in formats.read(root)] == [root / "pictures/secret.png"]


def test_the_command_line_allows_what_lies_outside(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    coco(root, "../../../far/secret.png")
    words = ["dataset", "convert", str(root), str(tmp_path / "out"), "--to", "voc"]

    assert main(words) == 1
    assert "allow it with --allow-outside" in capsys.readouterr().err
    assert main([*words, "--allow-outside"]) == 0


@pytest.mark.parametrize("frame", ["../../x/a", "/etc/a", "images/../../../a", "C:/a", "..\\..\\a"])
def test_a_record_whose_frame_id_leads_outside_is_refused_by_its_number(tmp_path: Path, frame: str):
    path = tmp_path / "records"
    write_records(path, [Record("../images/a", (8, 8), ()), Record(frame, (8, 8), ())])

    with pytest.raises(DataError) as caught:
        list(read_records(path))

    assert str(caught.value) == (
        f"{path}: record 2 has the frame id `{frame}`, which leads outside the image folder and its parent; convert "
        "again with a root_directory_path above the pictures, or allow it with --allow-outside"
    )


def test_records_that_lead_outside_are_read_where_that_is_allowed_and_their_index_is_not_used_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "records"
    write_records(path, [Record("../../x/a", (8, 8), ())] * (BLOCK + 1))  # enough for an index

    monkeypatch.setenv("TAOLITE_ALLOW_OUTSIDE", "1")
    assert str(record_samples(path)[0].image) == "../../x/a"
    assert index_path(str(path), kind="-outside").is_file()
    monkeypatch.delenv("TAOLITE_ALLOW_OUTSIDE")
    with pytest.raises(DataError, match="leads outside"):
        record_samples(path)


NOISE = {"._a.jpg": b"\x00\x05\x16\x07", ".DS_Store": b"\x00\x00\x00\x01Bud1", "__MACOSX/._a.jpg": b"\x00\x05\x16\x07"}


@pytest.mark.parametrize("format", formats.FORMATS)
def test_hidden_files_are_passed_over_in_every_format(tmp_path: Path, scene: list[Sample], format: str):
    formats.write(scene, tmp_path / "set", format)
    for folder in [tmp_path / "set", *(path for path in (tmp_path / "set").rglob("*") if path.is_dir())]:
        for name, data in NOISE.items():
            for ending in ("", ".txt", ".xml", ".json", ".yaml"):
                target = folder / f"{name}{ending}"
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(data)

    assert check(tmp_path / "set").problems == ()
    assert len(formats.read(tmp_path / "set")) == 3


def test_hidden_files_are_passed_over_in_class_folders_and_tars(tmp_path: Path, draw: Draw):
    for name in ("cat", "dog"):
        draw(tmp_path / "set" / name / "a.jpg", hw=(8, 8), seed=len(name))
        (tmp_path / "set" / name / "._a.jpg").write_bytes(NOISE["._a.jpg"])
        (tmp_path / "set" / name / "__MACOSX").mkdir()
        (tmp_path / "set" / name / "__MACOSX/b.jpg").write_bytes(NOISE["._a.jpg"])
    (tmp_path / "set/__MACOSX/cat").mkdir(parents=True)
    (tmp_path / "set/._lost.jpg").write_bytes(NOISE["._a.jpg"])
    heard: list[object] = []

    assert class_names(tmp_path / "set") == ("cat", "dog")
    assert len(read_folders(tmp_path / "set", listener=heard.append)) == 2
    assert heard == []

    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("__MACOSX/cat/a.jpg", "cat/._a.jpg", "cat/a.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
    listing = list_tar(str(tmp_path / "a.tar"))
    assert [listing.names[at] for at in range(len(listing))] == ["cat/a.jpg"]


def test_a_mac_s_shadow_of_a_yaml_file_is_none(tmp_path: Path):
    (tmp_path / "set.yaml").write_text("names: [cat]\n")
    (tmp_path / "._set.yaml").write_bytes(b"\xff\xfe\x00")

    assert read_yolo_names(tmp_path).names == ("cat",)


def test_a_pipe_among_labels_and_pictures_is_not_waited_for(tmp_path: Path, scene: list[Sample]):
    formats.write(scene, tmp_path / "set", "kitti")
    os.mkfifo(tmp_path / "set/image_2/pipe.jpg")
    os.mkfifo(tmp_path / "set/label_2/pipe.txt")

    assert len(formats.read(tmp_path / "set")) == 3
