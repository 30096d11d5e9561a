"""Sources: files, folders, patterns and videos written by the test itself."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError, PathError
from taolite.media import InputOptions, VideoFile, open_source


def save(path, value=100, size=(20, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)
    return path


def test_a_folder_is_read_by_name_and_not_below(tmp_path):
    save(tmp_path / "b.PNG", 2), save(tmp_path / "a.png", 1), save(tmp_path / "below" / "c.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._a.png").write_bytes(b"left by macOS")

    source = open_source(tmp_path)
    frames = list(source)

    assert (source.kind, source.total) == ("pictures", 2)
    assert [frame.name for frame in frames] == ["a.png", "b.PNG"]
    assert [frame.number for frame in frames] == [0, 1]
    assert [frame.image_hwc[0, 0].tolist() for frame in frames] == [[1, 0, 0], [2, 0, 0]]
    assert frames[0].image_hwc.shape == (10, 20, 3)
    assert frames[0].path == tmp_path / "a.png"
    assert [frame.name for frame in source] == ["a.png", "b.PNG"]  # and again


def test_a_folder_is_in_natural_order_and_so_is_a_pattern(tmp_path):
    for name in ("10.png", "9.png", "a2.png", "a10.png", "100.png"):
        save(tmp_path / name)

    wanted = ["9.png", "10.png", "100.png", "a2.png", "a10.png"]
    assert [path.name for path in open_source(tmp_path).paths] == wanted
    assert [path.name for path in open_source(f"{tmp_path}/{{a*,[0-9]*}}.png").paths] == wanted


def test_numbered_pictures_are_a_source(tmp_path):
    for name in ("f_0002.png", "f_0010.png", "f_0001.png", "f_0003.txt"):
        save(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("not a picture")

    source = open_source(f"{tmp_path}/f_%04d.png")

    assert (source.kind, source.total) == ("pictures", 3)
    assert [frame.name for frame in source] == ["f_0001.png", "f_0002.png", "f_0010.png"]


def test_pictures_are_flipped_looped_and_keep_their_size(tmp_path):
    path = save(tmp_path / "a.png")

    source = open_source(path, options=InputOptions(flip="clockwise", size_hw=(3, 3), rate=1.0, loop=2))
    frames = list(source)

    assert source.total == 3
    assert [(frame.name, frame.number, frame.path, frame.time_s) for frame in frames] == [
        ("a.png", number, path, None) for number in range(3)
    ]
    assert {frame.image_hwc.shape for frame in frames} == {(20, 10, 3)}


def test_a_loop_without_an_end_ends_where_no_picture_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    said = []

    assert list(open_source(tmp_path, options=InputOptions(loop=-1), on_unreadable=said.append)) == []
    assert said == [
        f"{tmp_path}/a.png: not a readable image (the file is empty); replace the file or remove it; it is left out"
    ]


def test_a_file_address_is_a_source(tmp_path):
    path = save(tmp_path / "a b.png")

    assert open_source(f"file://{path}".replace(" ", "%20")).paths == (path,)


def test_one_picture_and_a_pattern_are_sources(tmp_path):
    first, second = save(tmp_path / "1" / "x.png"), save(tmp_path / "2" / "x.png")

    assert [frame.path for frame in open_source(first)] == [first]
    assert [frame.path for frame in open_source(f"{tmp_path}/*/x.png")] == [first, second]


def test_a_folder_whose_name_looks_like_a_camera_is_a_folder(tmp_path, monkeypatch):
    save(tmp_path / "0" / "x.png")
    monkeypatch.chdir(tmp_path)

    assert open_source("0").kind == "pictures"


def test_an_unreadable_picture_stops_or_is_left_out_with_a_word(tmp_path):
    bad, good = tmp_path / "a.jpg", save(tmp_path / "b.png")
    bad.write_bytes(b"no picture")

    with pytest.raises(DataError):
        list(open_source(tmp_path))

    said = []
    frames = list(open_source(tmp_path, on_unreadable=said.append))

    assert [frame.path for frame in frames] == [good]
    assert frames[0].number == 1
    assert len(said) == 1
    assert said[0].startswith(f"{bad}: not a readable image (")
    assert said[0].endswith("; replace the file or remove it; it is left out")


def test_a_video_gives_its_frames_as_rgb(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoFile(path, fps=8) as video:
        for red in (0, 100, 200):
            video.write(np.full((48, 64, 3), (red, 30, 60), np.uint8))

    source = open_source(path)
    frames = list(source)

    assert (source.kind, source.total, source.fps) == ("video", 3, 8.0)
    assert [frame.name for frame in frames] == ["clip_000000.jpg", "clip_000001.jpg", "clip_000002.jpg"]
    for frame, red in zip(frames, (0, 100, 200), strict=True):
        assert frame.image_hwc.shape == (48, 64, 3)
        np.testing.assert_allclose(frame.image_hwc.mean(axis=(0, 1)), (red, 30, 60), atol=8)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere", "no such file or folder; give a picture, a folder, a pattern, a video or a camera (/dev/video0)"),
        ("*.jpg", "no picture matches this pattern (jpg jpeg png bmp webp ppm tif tiff)"),
        (
            "/dev/video97",
            "this camera cannot be opened; see that it is plugged in, that no other program uses it, and that you may "
            "read it (on Linux: ls -l /dev/video*, group video)",
        ),
        ("", "no pictures in this folder (jpg jpeg png bmp webp ppm tif tiff); subfolders are not searched"),
    ],
)
def test_a_place_without_pictures_says_what_would_do(tmp_path, place, message):
    place = place if place.startswith("/") else str(tmp_path / place)

    with pytest.raises(PathError) as caught:
        open_source(place)

    assert str(caught.value) == f"{place}: {message}"


def test_a_file_that_is_neither_picture_nor_video_is_refused(tmp_path):
    path = tmp_path / "readme.md"
    path.write_text("# words")

    with pytest.raises(DataError) as caught:
        open_source(path)

    assert str(caught.value) == (
        f"{path}: neither a picture (jpg jpeg png bmp webp ppm tif tiff) nor a video that can be decoded"
    )
