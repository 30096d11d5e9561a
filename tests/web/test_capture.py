"""What the page's requests write, as trainers and `dataset check` read it; and what it answers to bad input."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from PIL import Image

from taolite import formats
from taolite.formats.check import check
from taolite.formats.folders import read_folders
from taolite.formats.voc_sets import read_voc_classes, read_voc_set
from taolite.sample import Detection


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def labels(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.txt").write_text("".join(f"{name}\n" for name in names) + "\n")
    return root


# Class folders


def test_pictures_of_classes_are_what_trainers_read(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path / "pets", "cat", "dog"), "folders")

    for seed, (to, name) in enumerate(
        [("train", "cat"), ("train", "dog"), ("train", "cat"), ("val", "cat"), ("val", "dog")]
    ):
        assert page.shot(jpeg(seed), to=to, name=name).status_code == 200

    read = [sample.labels[0].name for sample in read_folders(tmp_path / "pets" / "train", classes=["cat", "dog"])]
    assert read == ["cat", "cat", "dog"]
    report = check(tmp_path / "pets")
    assert (report.format, report.images, report.problems) == ("folders", 5, ())
    state = page.get("/api/state").json()["state"]
    assert [one["counts"] for one in state["classes"]] == [
        {"train": 2, "val": 1, "test": 0},
        {"train": 1, "val": 1, "test": 0},
    ]
    assert state["pictures"] == {"train": 3, "val": 2, "test": 0}


def test_the_first_picture_of_a_set_makes_the_folders_of_all_classes(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path / "pets", "cat", "dog"), "folders")

    page.shot(jpeg(), to="val", name="dog")

    assert sorted(path.name for path in (tmp_path / "pets").iterdir()) == ["labels.txt", "val"]
    assert sorted(path.name for path in (tmp_path / "pets" / "val").iterdir()) == ["cat", "dog"]


def test_the_bytes_of_the_browser_are_kept_as_they_are(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "cat"), "folders")

    page.shot(jpeg(quality=31))

    (path,) = (tmp_path / "train" / "cat").iterdir()
    assert path.read_bytes() == jpeg(quality=31)


def test_many_shots_at_once_are_many_pictures(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "cat"), "folders")

    for seed in range(20):
        page.shot(jpeg(seed))

    assert len(list((tmp_path / "train" / "cat").iterdir())) == 20


def test_undo_takes_back_one_shot_after_the_other_also_on_a_new_page(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "cat"), "folders")
    first, second = (page.shot(jpeg(seed)).json()["state"]["last"] for seed in (1, 2))
    assert page.get("/api/state").json()["state"]["last"] == second

    assert page.post("/api/undo").json()["undone"] == second
    assert files(tmp_path) == ["labels.txt", first]
    assert page.post("/api/undo").json()["undone"] == first
    assert files(tmp_path) == ["labels.txt"]
    answer = page.post("/api/undo")
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "there is nothing to undo: nothing was saved since taolite was started",
    )


def test_a_data_set_goes_on_where_it_was_left(tmp_path: Path, open_page, jpeg):
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "old.png").write_bytes(b"")

    page = open_page(tmp_path, "folders")

    state = page.get("/api/state").json()["state"]
    assert [(one["name"], one["counts"]["train"]) for one in state["classes"]] == [("cat", 1), ("dog", 1)]


def test_a_missing_labels_txt_is_made_on_the_page(tmp_path: Path, open_page, jpeg):
    page = open_page(tmp_path / "new", "folders")
    assert page.get("/api/state").json()["state"]["classes"] == []

    page.post("/api/classes", json={"names": ["owl", "bat"]})

    assert (tmp_path / "new" / "labels.txt").read_text() == "bat\nowl\n"
    assert page.shot(jpeg(), name="owl").status_code == 200


@pytest.mark.parametrize(
    ("to", "name", "said"),
    [
        ("train", "../../evil", "`../../evil` is not one of the classes; choose one, or add it"),
        ("../train", "cat", "no set is called `../train`; the sets are train, val, test"),
        ("", "cat", "no set is called ``; the sets are train, val, test"),
    ],
)
def test_a_set_or_class_that_leads_elsewhere_writes_nothing(tmp_path: Path, open_page, jpeg, to, name, said):
    page = open_page(labels(tmp_path / "pets", "cat"), "folders")

    answer = page.shot(jpeg(), to=to, name=name)

    assert (answer.status_code, answer.json()) == (422, {"error": said})
    assert page.said == [said]
    assert files(tmp_path) == ["pets/labels.txt"]


def test_a_class_that_cannot_be_a_folder_is_not_added(tmp_path: Path, open_page):
    page = open_page(labels(tmp_path, "cat"), "folders")

    answer = page.post("/api/classes", json={"names": ["ok", "a/b"]})

    assert answer.json() == {
        "error": "class name `a/b` cannot be the name of a folder: it holds /; choose another name"
    }
    assert (tmp_path / "labels.txt").read_text() == "cat\n\n"


@pytest.mark.parametrize("body", [b"<html>", b"\xff\xd8\xff\xe0 no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_picture_that_cannot_be_decoded_is_not_saved(tmp_path: Path, open_page, body):
    page = open_page(labels(tmp_path, "cat"), "folders")

    answer = page.shot(body)

    assert answer.status_code == 422
    assert answer.json()["error"].endswith("; take it again")
    assert files(tmp_path) == ["labels.txt"]


def test_half_a_picture_is_not_saved(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "cat"), "folders")

    answer = page.shot(jpeg()[:-2000])

    assert answer.json()["error"].startswith("the picture that the browser sent cannot be decoded (")
    assert files(tmp_path) == ["labels.txt"]


def test_a_full_disk_is_said_on_the_page_and_in_the_terminal_and_the_rest_goes_on(
    tmp_path: Path, open_page, jpeg, monkeypatch: pytest.MonkeyPatch
):
    page = open_page(labels(tmp_path, "cat"), "folders")

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        answer = page.shot(jpeg())

    assert answer.status_code == 507
    assert answer.json()["error"].endswith(
        ".jpg: the disk is full; nothing was replaced. Free some space and run it again"
    )
    assert page.said == [answer.json()["error"]]
    assert files(tmp_path) == ["labels.txt"]
    assert page.shot(jpeg()).status_code == 200


def test_a_request_that_is_too_large_is_refused(tmp_path: Path, open_page):
    page = open_page(labels(tmp_path, "cat"), "folders")

    answer = page.shot(b"\xff\xd8\xff" + bytes(65 << 20))

    assert answer.json()["error"] == "the page sent more than 64 MB at once; use a smaller picture"


def test_names_are_data_and_not_markup(tmp_path: Path, open_page):
    page = open_page(tmp_path, "voc")

    page.post("/api/classes", json={"names": ["<img src=x onerror=alert(1)>"]})

    answer = page.get("/api/state")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["state"]["classes"][0]["name"] == "<img src=x onerror=alert(1)>"
    page_itself = page.get("/").text
    assert "onerror" not in page_itself


# Boxes in a VOC folder


def test_frozen_pictures_with_boxes_are_what_train_ssd_reads(tmp_path: Path, open_page, jpeg):
    root = labels(tmp_path / "fruit", "pear", "apple")
    page = open_page(root, "voc")

    page.save([("apple", (10, 20, 60, 90)), ("pear", (0, 0, 160, 120))], frame=page.freeze(jpeg(1)))
    page.save([("pear", (30, 30, 50, 50))], frame=page.freeze(jpeg(2)), to="val")
    page.save([("apple", (1, 2, 13, 14))], frame=page.freeze(jpeg(3)), to="test")

    train, test = read_voc_set(root, split="train"), read_voc_set(root, split="test")
    assert train.classes == ("pear", "apple")
    assert [[(one.name, one.box) for one in sample.labels] for sample in train.samples] == [
        [("apple", (10, 20, 60, 90)), ("pear", (0, 0, 160, 120))],
        [("pear", (30, 30, 50, 50))],
    ]
    assert [[(one.name, one.box) for one in sample.labels] for sample in test.samples] == [[("apple", (1, 2, 13, 14))]]
    report = check(root)
    assert (report.format, report.images, report.labels, report.problems) == ("voc", 3, 4, ())
    state = page.get("/api/state").json()["state"]
    assert state["classes"][0] == {"name": "pear", "counts": {"train": 1, "val": 1, "test": 0}}


def test_lists_are_those_of_camera_capture_without_a_name_twice(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "voc")

    def lists() -> dict[str, int]:
        return {path.stem: len(path.read_text().split()) for path in (tmp_path / "ImageSets" / "Main").iterdir()}

    page.save([("a", (0, 0, 9, 9))], frame=page.freeze(jpeg()), to="train")
    assert lists() == {"train": 1, "trainval": 1}
    page.save([("a", (0, 0, 9, 9))], frame=page.freeze(jpeg()), to="test")
    assert lists() == {"train": 1, "trainval": 1, "test": 1}
    page.save([("a", (0, 0, 9, 9))], frame=page.freeze(jpeg()), to="val", merge=True)
    assert lists() == {"train": 2, "trainval": 2, "test": 2, "val": 1}
    page.post("/api/undo")
    assert lists() == {"train": 1, "trainval": 1, "test": 1}


def test_undo_of_a_picture_with_boxes_leaves_no_trace(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "voc")
    page.save([("a", (0, 0, 9, 9))], frame=page.freeze(jpeg()))
    assert len(files(tmp_path)) == 5

    page.post("/api/undo")

    assert files(tmp_path) == ["labels.txt"]


def test_boxes_are_cut_at_the_edges_and_not_moved(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "voc")

    page.save([("a", (-4, -3.2, 165.7, 121)), ("a", (10.4, 20.6, 40.5, 60.49))], frame=page.freeze(jpeg()))

    (sample,) = read_voc_set(tmp_path, split="trainval").samples
    assert [label.box for label in sample.labels] == [(0, 0, 160, 120), (10, 21, 40, 60)]


@pytest.mark.parametrize("box", [(10, 10, 11, 50), (-20, 0, 1, 50), (50, 50, 20, 90)])
def test_a_box_of_no_size_is_refused_and_the_frozen_picture_stays(tmp_path: Path, open_page, jpeg, box):
    page = open_page(labels(tmp_path, "a"), "voc")
    frame = page.freeze(jpeg())

    answer = page.save([("a", box)], frame=frame)

    said = "the box of `a` is smaller than 2 pixels inside the picture; draw it again or delete it"
    assert answer.json() == {"error": said}
    assert files(tmp_path) == ["labels.txt"]
    assert page.save([("a", (0, 0, 50, 50))], frame=frame).status_code == 200


@pytest.mark.parametrize(
    "given", ['{"boxes": [{"name": "a", "box": [0, 0, NaN, 9]}]}', '{"boxes": [{"name": "a", "box": [1]}]}', "[", "{}"]
)
def test_a_request_that_is_none_is_an_error_and_not_a_file(tmp_path: Path, open_page, given):
    page = open_page(labels(tmp_path, "a"), "voc")

    answer = page.post("/api/labels", body=given.encode())

    assert answer.status_code == 400
    assert files(tmp_path) == ["labels.txt"]


def test_a_picture_without_boxes_is_kept_as_background(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "voc")

    page.save([], frame=page.freeze(jpeg(1)))
    page.save([("a", (0, 0, 9, 9))], frame=page.freeze(jpeg(2)))

    assert [len(sample.labels) for sample in read_voc_set(tmp_path, split="trainval").samples] == [0, 1]


def test_a_frozen_picture_of_another_start_is_gone(tmp_path: Path, open_page):
    page = open_page(labels(tmp_path, "a"), "voc")

    answer = page.save([], frame="unknown")

    said = "this frozen picture is no longer here, because taolite was started again; freeze another"
    assert answer.json() == {"error": said}


def test_the_pictures_of_a_voc_folder_can_be_corrected(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a", "b"), "voc")
    page.save([("a", (0, 0, 50, 50)), ("a", (60, 60, 90, 90))], frame=page.freeze(jpeg()))
    (row,) = page.get("/api/pictures").json()["pictures"]
    found = page.get("/api/labels", picture=row["name"]).json()
    assert (found["width"], found["height"], found["set"]) == (160, 120, "train")
    assert found["boxes"][0] == {"name": "a", "box": [0, 0, 50, 50], "was": 0}

    page.save([("b", (0, 0, 50, 50), 0), ("a", (70, 60, 90, 90), 1)], picture=row["name"], to="val")

    (sample,) = formats.read(tmp_path, "voc", split="val")
    assert [(one.name, one.box) for one in sample.labels] == [("b", (0, 0, 50, 50)), ("a", (70, 60, 90, 90))]
    assert not (tmp_path / "ImageSets" / "Main" / "train.txt").exists()
    page.post("/api/undo")
    (sample,) = formats.read(tmp_path, "voc", split="train")
    assert [(one.name, one.box) for one in sample.labels] == [("a", (0, 0, 50, 50)), ("a", (60, 60, 90, 90))]


def test_labels_that_are_saved_unchanged_are_the_same(tmp_path: Path, open_page, shared_data: Path):
    source = shared_data / "bccd"
    pictures = sorted(source.rglob("*.jpg"))[:3]
    for picture in pictures:
        for folder, path in (("JPEGImages", picture), ("Annotations", next(source.rglob(f"{picture.stem}.xml")))):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    before = {sample.image.name: sample.labels for sample in formats.read(tmp_path, "voc")}
    page = open_page(tmp_path, "voc")

    for picture in pictures:
        name = f"JPEGImages/{picture.name}"
        boxes = page.get("/api/labels", picture=name).json()["boxes"]
        assert (
            page.save([(one["name"], one["box"], one["was"]) for one in boxes], picture=name, to="").status_code == 200
        )

    after = {sample.image.name: sample.labels for sample in formats.read(tmp_path, "voc")}
    assert {name: [(one.name, one.box, one.difficult) for one in rows] for name, rows in after.items()} == {
        name: [(one.name, one.box, one.difficult) for one in rows] for name, rows in before.items()
    }
    assert not (tmp_path / "ImageSets").exists()
    assert read_voc_classes(tmp_path)[0] == ("RBC", "WBC")


# Boxes as labelme's files


def shape(label: str, points, kind: str = "rectangle", **more) -> dict:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def labelled(folder: Path, jpeg: bytes, *shapes: dict, **more) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "photo.jpg").write_bytes(jpeg)
    document = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "photo.jpg", "imageData": None}
    document |= {"imageHeight": 120, "imageWidth": 160, **more}
    (folder / "photo.json").write_text(json.dumps(document))
    return folder / "photo.json"


def test_labelme_files_of_sets_are_read_by_their_folders(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "labelme")

    page.save([("a", (1.25, 2, 30.5, 40))], frame=page.freeze(jpeg(1)))
    page.save([("a", (0, 0, 20, 20))], frame=page.freeze(jpeg(2)), to="val")

    (sample,) = formats.read(tmp_path, "labelme", split="train")
    assert [label.box for label in sample.labels] == [(1.25, 2, 30.5, 40)]
    report = check(tmp_path)
    assert (report.format, report.images, report.problems) == ("labelme", 2, ())


def test_what_the_page_does_not_show_of_a_labelme_file_is_kept(tmp_path: Path, open_page, jpeg):
    triangle = [[10, 10], [50, 10], [30, 40]]
    path = labelled(
        tmp_path,
        jpeg(),
        shape("a", triangle, "polygon", description="a sign"),
        shape("dot", [[5, 5]], "point"),
        shape("a", [[60, 60], [90, 90]], flags={"hidden": True}),
        flags={"night": True},
    )
    page = open_page(tmp_path, "labelme", flat=True)
    boxes = page.get("/api/labels", picture="photo.jpg").json()["boxes"]
    assert [(one["box"], one["was"]) for one in boxes] == [([10, 10, 50, 40], 0), ([60, 60, 90, 90], 2)]

    page.save([("a", boxes[0]["box"], 0), ("a", (61, 60, 90, 90), 2)], picture="photo.jpg", to="")

    document = json.loads(path.read_text())
    shapes = {one["shape_type"]: one for one in document["shapes"]}
    assert document["flags"] == {"night": True}
    assert shapes["polygon"]["points"] == triangle
    assert shapes["polygon"]["description"] == "a sign"
    assert shapes["point"]["points"] == [[5, 5]]
    assert (shapes["rectangle"]["points"], shapes["rectangle"]["flags"]) == ([[61, 60], [90, 90]], {"hidden": True})


def test_a_label_file_that_cannot_be_read_is_said_and_not_replaced(tmp_path: Path, open_page, jpeg):
    path = labelled(tmp_path, jpeg())
    path.write_text('{"shapes": [, "imagePath": ')
    page = open_page(tmp_path, "labelme", flat=True)
    (row,) = page.get("/api/pictures").json()["pictures"]
    assert row == {"name": "photo.jpg", "labelled": True}

    answer = page.save([], picture="photo.jpg", to="")

    assert answer.json() == {"error": f"{path}:1: not JSON (Expecting value)"}
    assert path.read_text() == '{"shapes": [, "imagePath": '


def test_a_json_of_another_program_is_not_replaced(tmp_path: Path, open_page, jpeg):
    path = labelled(tmp_path, jpeg())
    path.write_text('{"exposure": 3}')
    page = open_page(tmp_path, "labelme", flat=True)

    answer = page.save([], picture="photo.jpg", to="")

    assert answer.json() == {"error": f"{path}: this is another program's file; move it, and draw the boxes anew"}


def test_two_pictures_do_not_share_one_label_file(tmp_path: Path, open_page, jpeg):
    path = labelled(tmp_path, jpeg(), shape("a", [[0, 0], [9, 9]]))
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
    page = open_page(tmp_path, "labelme", flat=True)

    answer = page.get("/api/labels", picture="photo.png")

    said = f"{path}: these are the labels of photo.jpg; give photo.png another name"
    assert answer.json() == {"error": said}


def test_a_damaged_picture_is_said_and_the_next_one_opens(tmp_path: Path, open_page, jpeg):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(jpeg())
    page = open_page(tmp_path, "labelme", flat=True)

    answer = page.get("/api/labels", picture="a.jpg")

    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"{tmp_path}/a.jpg: not a readable image (the file is empty)")
    assert page.get("/api/labels", picture="b.jpg").json()["width"] == 160


def test_a_turned_photo_is_shown_as_its_boxes_count_it(tmp_path: Path, open_page):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(tmp_path / "turned.jpg", exif=exif)
    page = open_page(tmp_path, "labelme", flat=True)

    found = page.get("/api/labels", picture="turned.jpg").json()
    shown = Image.open(io.BytesIO(page.get("/api/picture", picture="turned.jpg").content))

    assert (found["width"], found["height"]) == (20, 40)
    assert (shown.size, shown.getexif().get(0x0112)) == ((20, 40), None)


def test_labels_that_another_program_changed_meanwhile_are_not_replaced(tmp_path: Path, open_page, jpeg):
    path = labelled(tmp_path, jpeg(), shape("a", [[0, 0], [9, 9]]))
    page = open_page(tmp_path, "labelme", flat=True)
    revision = page.get("/api/labels", picture="photo.jpg").json()["revision"]
    labelled(tmp_path, jpeg(), shape("a", [[0, 0], [99, 99]]))
    theirs = path.read_text()

    answer = page.save([("a", (0, 0, 50, 50), 0)], picture="photo.jpg", to="", revision=revision)

    said = f"{path}: another program or page has changed these labels; discard your boxes (Esc) to see them"
    assert answer.json() == {"error": said}
    assert path.read_text() == theirs


def test_the_set_of_a_labelme_picture_is_its_folder(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "labelme")
    page.save([("a", (0, 0, 20, 20))], frame=page.freeze(jpeg()))
    (row,) = page.get("/api/pictures").json()["pictures"]

    answer = page.save([("a", (0, 0, 30, 30))], picture=row["name"], to="val")

    said = f"{tmp_path}/{row['name']}: its folder is its set; to change the set, move this file and its .json"
    assert answer.json() == {"error": said}
    assert page.get("/api/labels", picture=row["name"]).json()["boxes"][0]["box"] == [0, 0, 20, 20]


def test_a_file_name_that_is_no_text_does_not_hide_the_others(tmp_path: Path, open_page, jpeg):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(jpeg())
    except OSError:
        pytest.skip("this file system has no such names")
    (tmp_path / "b.jpg").write_bytes(jpeg())
    page = open_page(tmp_path, "labelme", flat=True)

    assert [one["name"] for one in page.get("/api/pictures").json()["pictures"]] == ["b.jpg", "caf\udce9.jpg"]


def test_what_was_saved_is_said_also_where_the_class_list_was_broken_meanwhile(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "cat"), "folders")
    page.shot(jpeg())
    (tmp_path / "labels.txt").write_bytes(b"\xff")

    answer = page.post("/api/undo")

    said = f"{tmp_path}/labels.txt: not UTF-8 text (byte 0); save it as UTF-8"
    assert answer.status_code == 200
    assert answer.json()["warning"] == said
    assert answer.json()["undone"].startswith("train/cat/")
    assert page.said == [said]


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "", "train/../../secret.jpg", "photo.json"])
def test_no_file_but_the_pictures_is_given_out(tmp_path: Path, open_page, jpeg, name):
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    labelled(tmp_path / "set", jpeg())
    page = open_page(tmp_path / "set", "labelme", flat=True)

    answer = page.get("/api/picture", picture=name)

    assert answer.json() == {"error": f"no picture is called `{name}` here; reload the page"}
    assert page.get("/api/picture", picture="photo.jpg").content == jpeg()


@pytest.mark.parametrize("path", ["/static/../capture.py", "/static/..%2fcapture.py", "/static//etc/passwd"])
def test_no_file_but_the_page_s_own_is_served(tmp_path: Path, open_page, path):
    assert open_page(tmp_path, "folders").client.get(path).status_code == 404


# The model


def test_a_model_s_detections_are_first_boxes(tmp_path: Path, open_page, jpeg):
    seen = []

    def propose(image_hwc):
        seen.append(image_hwc.shape)
        outside = Detection("plate", (150, 118.5, 170, 130), 0.4)
        return [Detection("plate", (-1, 2, 33, 44), 0.9), Detection("plate", None, 0.5), outside]

    page = open_page(tmp_path, "voc", classes=["plate"], propose=propose)

    frozen = page.post("/api/frames", body=jpeg()).json()

    assert seen == [(120, 160, 3)]
    assert frozen["boxes"] == [{"name": "plate", "box": [0, 2, 33, 44], "was": None}]
    assert frozen["state"]["classes"][0]["name"] == "plate"
    page.save([("plate", (1, 2, 33, 44))], frame=frozen["frame"])
    (picture,) = page.get("/api/pictures").json()["pictures"]
    assert page.post("/api/proposals", json={"picture": picture["name"]}).json()["boxes"] == frozen["boxes"]
    assert (tmp_path / "labels.txt").read_text() == "plate\n"


def test_a_class_that_is_not_in_the_list_is_not_saved(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "voc")

    answer = page.save([("b", (0, 0, 9, 9))], frame=page.freeze(jpeg()))

    assert answer.json() == {"error": "`b` is not one of the classes; choose one, or add it"}


def test_the_kind_can_be_changed_while_the_page_is_open(tmp_path: Path, open_page, jpeg):
    page = open_page(labels(tmp_path, "a"), "folders")

    page.post("/api/kind", json={"kind": "voc"})
    page.save([("a", (0, 0, 9, 9))], frame=page.freeze(jpeg()))

    assert (tmp_path / "Annotations").is_dir()
    assert page.post("/api/kind", json={"kind": "coco"}).json() == {
        "error": "no kind of data set is called `coco`; there are folders, voc, labelme"
    }
    assert page.shot(jpeg()).json() == {"error": "boxes are drawn in this data set; freeze a picture first"}
