"""Where jetson-inference's programs put annotated frames: told by the name that was given."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError, UsageError
from taolite.media import open_source
from taolite.media.output import OutputOptions, open_output, open_outputs
from taolite.media.videos import VideoFile

WAY_OUT = (
    "give a folder, a picture (out.jpg, out_%i.jpg), a video (.mp4 .m4v .mov .qt .mkv .webm .flv .ts .h264 .h265 .hevc "
    ".avi .gif), display://0, or an address (rtp:// rtsp:// rtsps:// rtmp:// rtmps://)"
)


def grey(value: int) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames that grow brighter, ten a second."""
    path = tmp_path / "in.avi"
    with VideoFile(path, fps=10) as file:
        for index in range(5):
            file.write(grey(50 * index))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(2):
        Image.fromarray(grey(100 * index)).save(folder / f"{index}.png")
    return folder


def written(place: Path, output: Path | str) -> set[Path]:
    """What appears at `output` for the frames of `place`."""
    source = open_source(place)
    with ExitStack() as stack:
        out = open_output(output, source, stack)
        return {out.write(frame, frame.image_hwc) for frame in source}


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "out.mkv", "out.mov", "out.m4v", "OUT.AVI", "out.gif"])
def test_a_video_is_written_in_the_format_of_its_name_and_can_be_read_again(video, tmp_path, name):
    output = tmp_path / "made" / name

    assert written(video, output) == {output}

    again = open_source(output)
    frames = [float(frame.image_hwc.mean()) for frame in again]
    assert again.kind == "video"
    assert again.fps == pytest.approx(10)
    assert frames == pytest.approx([0, 50, 100, 150, 200], abs=4)
    assert [path.name for path in output.parent.iterdir()] == [name]  # nothing half written is left


def test_pictures_become_a_video_where_a_video_is_named(photos, tmp_path):
    output = tmp_path / "out.gif"

    assert written(photos, output) == {output}

    with Image.open(output) as picture:
        assert (picture.n_frames, picture.info["duration"], picture.info["loop"]) == (2, 40, 0)


@pytest.mark.parametrize("output", ["folder", "folder.of.things", "folder.v2"])
def test_another_name_is_a_folder(photos, video, tmp_path, output):
    place = tmp_path / output

    assert written(photos, place) == {place / "0.png", place / "1.png"}
    assert written(video, place) == {place / "in.mp4"}


def test_a_pattern_counts_from_0(photos, tmp_path):
    assert written(photos, tmp_path / "out_%03d.jpg") == {tmp_path / "out_000.jpg", tmp_path / "out_001.jpg"}


def test_a_star_counts_as_well(photos, tmp_path):
    assert written(photos, tmp_path / "out_*.jpg") == {tmp_path / "out_0.jpg", tmp_path / "out_1.jpg"}


def test_an_address_of_a_file_is_its_path(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert written(photos, f"file://{tmp_path}/made/%i.png") == {tmp_path / "made/0.png", tmp_path / "made/1.png"}
    assert written(photos, "file://here") == {Path("here/0.png"), Path("here/1.png")}


def test_without_a_window_its_frames_go_nowhere(photos, tmp_path):
    source = open_source(photos)
    before = set(tmp_path.rglob("*"))

    with ExitStack() as stack:
        for place, options in (("display://0", OutputOptions(headless=True)), ("", OutputOptions())):
            out = open_output(place, source, stack, options=options)
            assert [out.write(frame, frame.image_hwc) for frame in source] == [None, None]
            assert (out.is_open, out.lost) == (True, 0)
    assert set(tmp_path.rglob("*")) == before


def test_several_outputs_get_every_frame(video, tmp_path):
    source = open_source(video)
    with ExitStack() as stack:
        out = open_outputs(["", tmp_path / "a.gif", tmp_path / "b_%i.png"], source, stack)
        paths = {out.write(frame, frame.image_hwc) for frame in source}

    assert (paths, out.is_open, out.lost) == ({tmp_path / "a.gif"}, True, 0)
    assert open_source(tmp_path / "a.gif").total == 5
    assert sorted(path.name for path in tmp_path.glob("b_*")) == [f"b_{number}.png" for number in range(5)]


def test_one_file_for_several_pictures_is_refused(photos, tmp_path):
    with pytest.raises(DataError) as caught:
        written(photos, tmp_path / "out.jpg")

    assert str(caught.value) == (
        f"{tmp_path}/out.jpg: one file for {photos}, which is several pictures; give a folder, or a name with a "
        "number, as in out_%i.jpg"
    )


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("WebRTC://@:8554/out", f"webrtc://@:8554/out: nothing is written to webrtc here; {WAY_OUT}"),
        ("http://me:pw@host/x?key=1", f"http://me:***@host/x?***: nothing is written to http here; {WAY_OUT}"),
        ("out.wmv", f"out.wmv: .wmv is not a kind of video that is written here; {WAY_OUT}"),
        (
            "rtsp://@:8554/out",
            "rtsp://@:8554/out: no host is named, and taolite is no server itself; run a server such as MediaMTX and "
            "give its address",
        ),
        ("rtp://10.0.0.2", "rtp://10.0.0.2: no port is named; give rtp://host:port"),
        (
            "rtp://10.0.0.2:port",
            "rtp://10.0.0.2:port: not an address (Port could not be cast to integer value as 'port')",
        ),
    ],
)
def test_places_of_other_kinds_are_refused_and_not_taken_for_folders(photos, tmp_path, monkeypatch, output, message):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())

    with pytest.raises(UsageError) as caught:
        written(photos, output)

    assert str(caught.value) == message
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["in.mp4", "."])
def test_the_video_that_is_read_is_never_replaced(video, tmp_path, name):
    path = tmp_path / "in.mp4"
    video.rename(path)

    with pytest.raises(UsageError) as caught:
        written(path, tmp_path / name)

    assert str(caught.value) == f"{path}: this is the input video; choose another name or folder for the output"
