"""Video files: every container read back by OpenCV and by PyAV, and what is left when something goes wrong."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import extras
from taolite.errors import DataError, PathError, StorageError, UsageError
from taolite.media import open_source, videos
from taolite.media.videos import Clock, VideoFile

LEFT, RIGHT = (200, 30, 40), (20, 60, 220)
TIMES = [0.0, 0.1, 0.15, 0.5, 0.6]  # seconds; no constant rate


def picture(number: int = 0, *, height: int = 96, width: int = 128) -> np.ndarray:
    """Red on the left, blue on the right, and a white mark that moves down."""
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = LEFT, RIGHT
    image[10 * number : 10 * number + 8, 60:68] = 255
    return image


def write(path: Path, **settings: object) -> None:
    with VideoFile(path, fps=10, **settings) as file:
        for number, time_s in enumerate(TIMES):
            file.write(picture(number), time_s=time_s)


def has_right_colours(image_hwc: np.ndarray) -> bool:
    return all(
        np.abs(image_hwc[48, column].astype(int) - colour).max() <= 8 for column, colour in ((20, LEFT), (110, RIGHT))
    )


@pytest.fixture
def av():
    return pytest.importorskip("av", reason="PyAV is not installed (the extra `video`)")


@pytest.mark.parametrize(
    ("name", "codec", "found"),
    [
        *[(f"out.{suffix}", "h264", "h264") for suffix in ("mp4", "m4v", "mov", "qt", "mkv", "flv", "ts", "h264")],
        *[(f"out.{suffix}", "h265", "hevc") for suffix in ("mp4", "mkv", "ts", "h265", "hevc")],
        *[
            ("out.webm", "h264", "vp9"),
            ("out.webm", "vp8", "vp8"),
            ("out.mkv", "vp9", "vp9"),
            ("OUT.MP4", "vp9", "vp9"),
        ],
        *[("out.mov", "mjpeg", "mjpeg"), ("out.avi", "h264", "mjpeg"), ("out.avi", "mjpeg", "mjpeg")],
    ],
)
def test_every_container_is_read_back_by_opencv_and_pyav(av, tmp_path, name, codec, found):
    path = tmp_path / "made" / name
    write(path, codec=codec)

    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = list(file.decode(stream))
        assert stream.codec_context.name == found
        assert (stream.width, stream.height) == (128, 96)
    assert len(frames) == len(TIMES)
    assert all(has_right_colours(frame.to_ndarray(format="rgb24")) for frame in frames)
    assert [frame.to_ndarray(format="rgb24")[10 * n + 4, 64].min() > 200 for n, frame in enumerate(frames)] == [
        True
    ] * 5
    seen = [frame.image_hwc for frame in open_source(path)]
    assert len(seen) == len(TIMES)
    assert all(map(has_right_colours, seen))
    assert [one.name for one in path.parent.iterdir()] == [name]  # nothing half written is left


@pytest.mark.parametrize(
    ("name", "codec", "within_s"),
    [("out.mp4", "h264", 0), ("out.mov", "h265", 0), ("out.mkv", "h264", 0.0005), ("out.webm", "h264", 0.0005)],
)
def test_each_frame_keeps_its_own_time(av, tmp_path, name, codec, within_s):
    """MP4 counts 1/90000 of a second, Matroska and WebM 1/1000."""
    ntsc = [0.0, *(float(Fraction(1001 * count, 30000)) for count in (1, 2, 5, 6))]
    path = tmp_path / name
    with VideoFile(path, fps=30, codec=codec) as file:
        for number, time_s in enumerate(ntsc):
            file.write(picture(number), time_s=7.5 + time_s)  # from any start

    with av.open(str(path)) as video:
        times = [frame.time for frame in video.decode(video=0)]
    assert times == pytest.approx(ntsc, abs=within_s or 1e-9)


def test_a_clock_grows_whatever_the_times_are():
    clock = Clock(10)
    assert [clock.at(time_s) for time_s in (3.0, 3.5, 3.5001, 3.0, 3.5)] == pytest.approx([0, 0.5, 0.501, 0.601, 1.101])
    even = Clock(4)
    assert [even.at(None) for _ in range(3)] == [0, 0.25, 0.5]


def test_an_odd_size_loses_its_last_row_and_column(av, tmp_path):
    with VideoFile(tmp_path / "out.mp4", fps=10) as file:
        file.write(picture(height=97, width=129))

    with av.open(str(tmp_path / "out.mp4")) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (128, 96)


@pytest.mark.parametrize("name", ["out.mp4", "out.m4v", "out.mov", "out.mkv", "out.avi", "out.gif"])
def test_the_base_writes_videos_without_pyav(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / name
    write(path)

    again = open_source(path)
    frames = [frame.image_hwc for frame in again]
    assert again.fps == pytest.approx(10)
    assert len(frames) == len(TIMES)
    assert all(map(has_right_colours, frames))


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("out.webm", "h264", "this needs PyAV, which is not installed; run pip install 'taolite[video]'"),
        ("out.mp4", "h265", "this needs PyAV, which is not installed; run pip install 'taolite[video]'"),
        ("out.gif", "vp9", "a .gif file has a codec of its own, not vp9"),
        ("out.webm", "h265", "a .webm file holds vp9 or vp8, not h265"),
        ("out.mp4", "mpeg2", "no codec mpeg2 here; there are h264, h265, vp8, vp9, mjpeg"),
        ("out.txt", "h264", f".txt is not a kind of video that is written here ({' '.join(videos.VIDEOS)})"),
    ],
)
def test_what_is_not_written_is_told_before_the_first_frame(monkeypatch, tmp_path, name, codec, message):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(extras, "_source", lambda: None)

    with pytest.raises(UsageError) as caught:
        VideoFile(tmp_path / name, fps=10, codec=codec)

    assert str(caught.value) == f"{tmp_path / name}: {message}"


@pytest.mark.parametrize("with_pyav", [True, False])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.avi", "out.gif"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError, SystemExit])
def test_ctrl_c_and_an_error_of_ours_leave_a_playable_video(monkeypatch, tmp_path, name, error, with_pyav):
    if not with_pyav:
        monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "deep" / name

    def interrupted():
        with VideoFile(path, fps=10) as file:
            for number in range(3):
                file.write(picture(number))
            raise error

    with pytest.raises(error):
        interrupted()

    assert list(path.parent.iterdir()) == [path]
    assert len(list(open_source(path))) == 3


@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_a_bug_and_a_run_without_frames_leave_the_older_video(tmp_path, name):
    path = tmp_path / name
    path.write_text("older")

    def failed():
        with VideoFile(path, fps=10) as file:
            file.write(picture())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failed()
    with VideoFile(path, fps=10):
        pass

    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_a_frame_of_another_size_is_refused(tmp_path, name):
    with VideoFile(tmp_path / name, fps=10) as file:
        file.write(np.zeros((32, 64, 3), np.uint8))
        with pytest.raises(DataError) as caught:
            file.write(np.zeros((64, 32, 3), np.uint8))

    assert str(caught.value) == f"{tmp_path}/{name}: a frame of 32x64 pixels came after 64x32 ones"


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "out.gif"])
def test_a_file_in_the_way_is_named(tmp_path, name):
    (tmp_path / "taken").write_text("")

    with pytest.raises(PathError) as caught:
        VideoFile(tmp_path / "taken" / name, fps=10).write(picture())

    assert str(caught.value) == (
        f"{tmp_path}/taken/{name}: a file is where a folder should be, or the reverse; move it or choose another path"
    )


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.avi", "out.gif"])
def test_a_disk_that_fills_up_keeps_the_frames_before(monkeypatch, tmp_path, name):
    path = tmp_path / name

    def filled():
        with VideoFile(path, fps=10) as file:
            for number in range(5):
                if number == 3:
                    monkeypatch.setattr(videos, "_RESERVE", 1 << 62)  # more than any disk has
                file.write(picture(number))

    with pytest.raises(StorageError) as caught:
        filled()

    way_out = "Free some space there, or choose another folder"
    assert str(caught.value) == f"{path}: the disk is full; the 3 frames before are kept. {way_out}"
    assert list(tmp_path.iterdir()) == [path]
    assert len(list(open_source(path))) == 3


LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from taolite.media.videos import VideoFile

resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))  # as a quota
rng = np.random.default_rng(0)
with VideoFile(Path(sys.argv[1]), fps=10) as file:
    for _ in range(200):
        file.write(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8))
"""


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif"])
def test_a_write_that_fails_is_told_with_its_reason_and_the_file_plays(av, tmp_path, name):
    path = tmp_path / name
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"taolite.errors.StorageError: {path}: file too large; the ")
    assert last.endswith(" frames before are kept. Free some space there, or choose another folder")
    assert list(tmp_path.iterdir()) == [path]
    if name == "out.gif":  # Pillow wants the whole of each frame that it seeks
        with Image.open(path) as first:
            assert first.size == (128, 96)
        return
    frames = 0
    with av.open(str(path)) as video, suppress(av.InvalidDataError):  # of the last frame, which is cut short
        for _ in video.decode(video=0):
            frames += 1
    assert frames > 10
