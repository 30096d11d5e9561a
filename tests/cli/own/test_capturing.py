"""`taolite capture`, `taolite annotate` and camera-capture up to the page they show."""

from __future__ import annotations

import subprocess
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")

from taolite.artifacts.keys import Key
from taolite.cli import capturing
from taolite.cli.main import main
from taolite.stages.inference.look import find_in
from taolite.stages.inference.models import open_model
from taolite.web import serving as web


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What would be shown: the settings of the page, each time it is."""
    calls: list[dict[str, object]] = []

    def serve(app, serving, *, announce) -> None:
        pages = app.routes[0].endpoint.__self__
        calls.append({"desk": pages._desk, "camera": pages._camera, "serving": serving, "defaults": pages._defaults})

    monkeypatch.setattr(web, "serve", serve)
    return calls


def test_the_flags_reach_the_page(tmp_path: Path, shown):
    words = ["--input", "/dev/video3", "--format", "voc", "--quality", "70", "--set", "val", "--merge-sets"]

    assert main(["capture", str(tmp_path / "set"), *words, "--port", "9000", "--host", "0.0.0.0"]) == 0

    (call,) = shown
    assert (call["desk"].kind, call["camera"].place) == ("voc", "/dev/video3")
    assert call["defaults"] == {"quality": 70, "merge": True, "set": "val"}
    assert (call["serving"].host, call["serving"].port) == ("0.0.0.0", 9000)


def test_the_browser_is_opened_without_the_token_on_its_command_line(tmp_path: Path, monkeypatch):
    opened: list[tuple[str, str, int]] = []

    def serve(app, serving, *, announce) -> None:
        announce("http://127.0.0.1:8420/?token=secret")

    def look(address: str) -> bool:
        path = Path(address.removeprefix("file://"))
        opened.append((address, path.read_text(), path.parent.stat().st_mode & 0o777))
        return True

    monkeypatch.setattr(web, "serve", serve)
    monkeypatch.setattr(webbrowser, "open", look)

    assert main(["capture", str(tmp_path), "--open"]) == 0

    ((address, text, mode),) = opened
    assert "secret" not in address
    assert 'url=http://127.0.0.1:8420/?token=secret"' in text
    assert mode == 0o700
    assert not Path(address.removeprefix("file://")).exists()


@pytest.mark.parametrize(
    ("made", "kind"),
    [("train/cat/a.jpg", "folders"), ("JPEGImages/a.jpg", "voc"), ("train/a.json", "labelme"), ("a.txt", "folders")],
)
def test_a_data_set_that_is_there_keeps_its_kind(tmp_path: Path, shown, made: str, kind: str):
    (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / made).write_text("")

    main(["capture", str(tmp_path)])

    assert shown[0]["desk"].kind == kind


def test_camera_capture_takes_the_tutorial_s_words_and_our_flags(tmp_path: Path, shown, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["jetson", "camera-capture", "csi://0"]) == 0
    assert main(["jetson", "camera-capture", "--input-flip=rotate-180", "--dataset=d", "v4l2:///dev/video0"]) == 0
    assert main(["jetson", "camera-capture"]) == 0

    assert [call["camera"].place for call in shown] == [
        "csi://0",
        "v4l2:///dev/video0",
        "the first camera of this machine",
    ]
    assert [str(call["desk"].root) for call in shown] == ["camera-capture", "d", "camera-capture"]


def test_the_flip_and_a_broken_picture_reach_the_camera(tmp_path: Path, shown, capsys):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "a.jpg").write_bytes(b"")

    main(["capture", str(tmp_path / "set"), "--input", str(tmp_path / "in"), "--input-flip", "horizontal"])
    frame = shown[0]["camera"].wait().image_hwc
    shown[0]["camera"].close()

    assert (frame[0, 0, 0], frame[0, 39, 0]) == (0, 255)
    assert f"{tmp_path}/in/a.jpg: not a readable image (the file is empty)" in capsys.readouterr().err


def test_a_width_without_a_height_is_said(tmp_path: Path, shown, capsys):
    assert main(["jetson", "camera-capture", "--input-width=640", "--dataset", str(tmp_path)]) == 1

    assert capsys.readouterr().err == "error: --input-width 640: give both --input-width and --input-height\n"


def test_a_class_list_from_elsewhere_is_copied_where_trainers_look_for_it(tmp_path: Path, shown):
    (tmp_path / "names.txt").write_text("cat\ndog\n\n\n")

    main(["capture", str(tmp_path / "set"), "--labels", str(tmp_path / "names.txt")])

    assert (tmp_path / "set" / "labels.txt").read_text() == "cat\ndog\n"
    assert shown[0]["desk"].state()["classes"][0]["name"] == "cat"


def test_another_class_list_does_not_replace_the_one_that_is_there(tmp_path: Path, shown, capsys):
    (tmp_path / "names.txt").write_text("cat\n")
    (tmp_path / "labels.txt").write_text("dog\n")

    assert main(["capture", str(tmp_path), "--labels", str(tmp_path / "names.txt")]) == 1

    assert capsys.readouterr().err == (
        f"error: --labels {tmp_path}/names.txt: {tmp_path}/labels.txt lists other classes; change one of the files, or "
        "leave --labels out\n"
    )
    assert (tmp_path / "labels.txt").read_text() == "dog\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["capture", "FILE"], "FILE: this is a file; a folder is needed"),
        (["capture", "SET", "--quality", "0"], "--quality 0: needs to be 1 to 100"),
        (
            ["capture", "SET", "--labels", "no.txt"],
            "--labels no.txt: no such file; leave --labels out to make the list on the page",
        ),
        (["annotate", "nowhere"], "nowhere: no such folder; give a folder of pictures"),
    ],
)
def test_what_a_user_can_mend_is_one_line(tmp_path: Path, shown, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")

    assert main(words) == 1

    assert capsys.readouterr().err == f"error: {said}\n"
    assert shown == []


def test_a_labels_txt_that_cannot_be_folders_is_named(tmp_path: Path, shown, capsys):
    (tmp_path / "labels.txt").write_text("cat\na/b\n")

    assert main(["capture", str(tmp_path)]) == 1

    assert capsys.readouterr().err == (
        "error: class name `a/b` cannot be the name of a folder: it holds /; choose another name\n"
    )


def test_annotate_opens_labelme_where_it_is_and_the_page_otherwise(tmp_path: Path, shown, monkeypatch, capsys):
    commands: list[list[str]] = []
    monkeypatch.setattr(
        subprocess, "run", lambda words, check: commands.append(words) or subprocess.CompletedProcess(words, 0)
    )
    monkeypatch.setenv("DISPLAY", ":7")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "labelme").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "labelme").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "labels.txt").write_text("cat\n")

    assert main(["annotate", str(photos)]) == 0
    labelme = [
        str(tmp_path / "bin" / "labelme"),
        str(photos),
        "--nodata",
        "--autosave",
        "--labels",
        f"{photos}/labels.txt",
    ]
    assert (commands, shown) == ([labelme], [])

    assert main(["annotate", str(photos), "--page"]) == 0
    (photos / "Annotations").mkdir()
    assert main(["annotate", str(photos)]) == 0
    monkeypatch.delenv("DISPLAY")
    (photos / "Annotations").rmdir()
    assert main(["annotate", str(photos)]) == 0

    assert [(call["desk"].kind, call["desk"].flat) for call in shown] == [
        ("labelme", True),
        ("voc", False),
        ("labelme", True),
    ]
    assert commands == [labelme]


def test_a_model_proposes_boxes_from_the_threshold_on(tmp_path: Path, shown):
    model = Path(__file__).parents[2] / "vectors" / "0.1.0" / "detectnet" / "model.etlt"

    assert (
        main(["capture", str(tmp_path / "set"), "--model", str(model), "-k", "tlt_encode", "--threshold", "0.01"]) == 0
    )

    photo = np.random.default_rng(5).integers(0, 90, (64, 96, 3)).astype(np.uint8)
    photo[20:44, 10:42] = 230
    desk = shown[0]["desk"]
    found = find_in(open_model(model, key=Key("tlt_encode")), [photo])[0]
    assert (desk.kind, desk.has_model) == ("voc", True)
    assert found
    proposed = [one["box"] for one in desk.propose(photo)]
    assert set(proposed) <= {tuple(np.clip(one.box, 0, (96, 64, 96, 64)).tolist()) for one in found}
    best = max(one.score for one in found)
    words = ["--model", str(model), "-k", "tlt_encode", "--threshold", str(best)]
    main(["capture", str(tmp_path / "set"), *words])
    assert len(shown[1]["desk"].propose(photo)) == sum(one.score >= best for one in found)


def test_a_classifier_gives_no_boxes(tmp_path: Path, shown, capsys):
    model = next((Path(__file__).parents[2] / "vectors" / "0.1.0" / "classification").glob("*.etlt"))

    assert main(["capture", str(tmp_path), "--model", str(model), "-k", "tlt_encode"]) == 1

    assert capsys.readouterr().err == f"error: {model}: a classifier gives no boxes; give a detector to propose them\n"


def test_the_kinds_of_the_flag_are_those_of_the_page():
    from typing import get_args

    from taolite.web.desk import Kind

    assert tuple(capturing._KINDS) == get_args(Kind)
