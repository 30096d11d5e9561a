"""Videos that the test writes, read with both libraries: times, rotation, damage, playlists, sizes, rates, loops."""

from __future__ import annotations

import importlib.util
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from taolite.errors import DataError, UsageError
from taolite.events import Event, FramesUnreadable
from taolite.media import InputOptions, VideoFile, open_source

av = pytest.importorskip("av", reason="PyAV (extra `video`) writes the videos of these tests")

TKHD_MATRIX = 40  # bytes from the name of the box `tkhd` (version 0) to its matrix


def write(path: Path, times: list[int], *, codec: str = "mpeg4", tick: Fraction = Fraction(1, 10)) -> Path:
    """A video of 64x48, a frame at each of `times` (in ticks); frame k is (20 k, 30, 60)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=round(1 / tick))
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = tick
        for number, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), (20 * number % 256, 30, 60), np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = at, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def reds(frames) -> list[int]:
    return [round(float(frame.image_hwc[:, :, 0].mean())) for frame in frames]


def damage(path: Path, numbers: tuple[int, ...]) -> Path:
    """Overwrite the compressed frames of these numbers with zeros."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in numbers:
        begin, size = places[number]
        data[begin : begin + size] = bytes(size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "clip.mov"])
def test_frames_of_every_container_have_times_from_the_start(tmp_path: Path, library: str, name: str):
    path = write(tmp_path / name, list(range(12)))

    source = open_source(path)
    frames = list(source)

    assert (source.kind, source.is_live, source.fps, source.paths) == ("video", False, 10.0, (path,))
    assert [frame.time_s for frame in frames] == pytest.approx([k / 10 for k in range(12)], abs=1e-3)
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.name for frame in frames[:2]] == ["clip_000000.jpg", "clip_000001.jpg"]
    np.testing.assert_allclose(reds(frames), [20 * k for k in range(12)], atol=9)


def test_times_of_a_video_without_a_fixed_rate_are_exact(tmp_path: Path, library: str):
    times = [0, 1, 2, 10, 11, 40, 41, 42, 43, 44]
    path = write(tmp_path / "phone.mp4", times)

    frames = list(open_source(path))

    assert [frame.time_s for frame in frames] == pytest.approx([at / 10 for at in times], abs=1e-3)


def test_a_raw_video_without_times_counts_by_its_rate(tmp_path: Path, library: str):
    path = write(tmp_path / "raw.m4v", list(range(10)))

    frames = list(open_source(path))

    assert len(frames) == 10
    gaps = np.diff([frame.time_s for frame in frames])
    assert (gaps > 0).all()


@pytest.mark.parametrize(
    ("matrix", "corners"),  # red, green, blue, white from the left upper corner, as the players show them
    [
        ((1, 0, 0, 0, 1, 0), "rgbw"),
        ((0, 1, 0, -1, 0, 0), "brwg"),  # a phone held upright: shown a quarter clockwise
        ((-1, 0, 0, 0, -1, 0), "wbgr"),
        ((0, -1, 0, 1, 0, 0), "gwrb"),
    ],
)
def test_a_phones_video_stands_upright(tmp_path: Path, library: str, matrix: tuple[int, ...], corners: str):
    path = tmp_path / "phone.mp4"
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:], picture[24:, :32], picture[24:, 32:] = (
        *((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)),
    )
    with VideoFile(path, fps=10) as video:
        for _ in range(3):
            video.write(picture)
    data = bytearray(path.read_bytes())
    begin = data.index(b"tkhd") + TKHD_MATRIX + 4
    data[begin : begin + 24] = struct.pack(">6i", *(value << 16 for value in matrix))
    path.write_bytes(data)

    frame = next(iter(open_source(path))).image_hwc

    height, width = frame.shape[:2]
    assert (height, width) == ((64, 48) if matrix[0] == 0 else (48, 64))
    names = {(True, False, False): "r", (False, True, False): "g", (False, False, True): "b", (True,) * 3: "w"}
    places = [(height // 4, width // 4), (height // 4, 3 * width // 4), (3 * height // 4, width // 4)]
    places.append((3 * height // 4, 3 * width // 4))
    assert "".join(names[tuple((frame[place] > 128).tolist())] for place in places) == corners


@pytest.mark.parametrize(("name", "codec"), [("clip.avi", "mjpeg"), ("clip.mp4", "mpeg4")])
@pytest.mark.parametrize("bad", [(4,), (0,), (4, 5, 6)])
def test_frames_that_cannot_be_read_are_passed_over_and_told(
    tmp_path: Path, library: str, name: str, codec: str, bad: tuple[int, ...]
):
    path = damage(write(tmp_path / name, list(range(12)), codec=codec), bad)
    said: list[Event] = []

    frames = list(open_source(path, listener=said.append))

    assert said == [FramesUnreadable(str(path), len(bad), 12 - len(bad))]
    assert [frame.number for frame in frames] == [k for k in range(12) if k not in bad]
    assert [frame.time_s for frame in frames] == pytest.approx([k / 10 for k in range(12) if k not in bad], abs=1e-3)


def test_a_video_in_which_nothing_can_be_read_is_an_error(tmp_path: Path, library: str):
    path = damage(write(tmp_path / "clip.avi", list(range(5)), codec="mjpeg"), (0, 1, 2, 3, 4))

    with pytest.raises(DataError) as caught:
        list(open_source(path))

    assert str(caught.value) == f"{path}: it opened, but no frame could be read; try it in a video player"


def test_an_empty_and_a_cut_video_are_named(tmp_path: Path, library: str):
    empty, cut = tmp_path / "empty.mp4", write(tmp_path / "cut.mp4", list(range(12)))
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:-400])  # the index is at the end

    with pytest.raises(DataError) as caught:
        open_source(empty)
    assert str(caught.value) == f"{empty}: this file is empty; replace it or remove it"
    with pytest.raises(DataError) as caught:
        open_source(cut)
    assert str(caught.value) == (
        f"{cut}: neither a picture (jpg jpeg png bmp webp ppm tif tiff) nor a video that can be decoded"
    )


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.mp4", "list.sdp"])
def test_a_playlist_on_the_disk_leads_nowhere(tmp_path: Path, library: str, name: str):
    write(tmp_path / "secret.ts", list(range(12)))
    path = tmp_path / name
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nsecret.ts\n#EXT-X-ENDLIST\n"
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n"
    concat = "ffconcat version 1.0\nfile secret.ts\n"
    path.write_text({".m3u8": hls, ".sdp": sdp}.get(path.suffix, concat))

    with pytest.raises(DataError) as caught:
        open_source(path)

    assert str(caught.value) == (
        f"{path}: neither a picture (jpg jpeg png bmp webp ppm tif tiff) nor a video that can be decoded"
    )


def test_frames_of_too_many_pixels_are_refused(tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "clip.mp4", [0, 1])
    monkeypatch.setenv("TAOLITE_MAX_PIXELS", "3071")

    with pytest.raises(DataError) as caught:
        open_source(path)

    assert str(caught.value) == (
        f"{path}: its frames have 64 x 48 = 3,072 pixels, and the limit is 3,071; --max-pixels or TAOLITE_MAX_PIXELS "
        "raises it"
    )


def test_a_rate_thins_a_video_and_a_size_scales_it_before_the_flip(tmp_path: Path, library: str):
    path = write(tmp_path / "clip.mp4", list(range(30)))

    source = open_source(path, options=InputOptions(size_hw=(24, 32), rate=4.0, flip="clockwise"))
    frames = list(source)

    assert (source.fps, source.total) == (4.0, 12)
    assert [frame.number for frame in frames] == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]
    assert {frame.image_hwc.shape for frame in frames} == {(32, 24, 3)}


def test_a_loop_goes_on_with_numbers_and_times(tmp_path: Path, library: str):
    path = write(tmp_path / "clip.mp4", [0, 1, 2])

    source = open_source(path, options=InputOptions(loop=1))
    frames = list(source)

    assert source.total == 6
    assert [frame.name for frame in frames] == [f"clip_00000{k}.jpg" for k in range(6)]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5], abs=1e-3)
    np.testing.assert_allclose(reds(frames), [0, 20, 40] * 2, atol=9)


def test_a_loop_without_an_end_has_none(tmp_path: Path, library: str):
    source = open_source(write(tmp_path / "clip.mp4", [0, 1, 2]), options=InputOptions(loop=-1))
    frames = iter(source)

    assert source.total is None
    assert [next(frames).number for _ in range(100)] == list(range(100))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (InputOptions(size_hw=(0, 5)), "frames of 5x0 pixels: 1 or more are needed"),
        (InputOptions(rate=0.0), "0 frames a second: a number above 0 is needed"),
        (InputOptions(loop=-2), "-2 passes: 0 or more are needed, or -1 for passes without an end"),
    ],
)
def test_options_that_cannot_be_are_refused(options: InputOptions, message: str):
    with pytest.raises(UsageError) as caught:
        open_source("0", options=options)

    assert str(caught.value) == message


def test_both_libraries_give_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert importlib.util.find_spec("av")
    path = tmp_path / "noise.avi"
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    with VideoFile(path, fps=10) as video:
        for _ in range(3):
            video.write(smooth)

    with_av = [frame.image_hwc for frame in open_source(path)]
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    monkeypatch.delitem(__import__("sys").modules, "taolite.media.with_av")
    with_opencv = [frame.image_hwc for frame in open_source(path)]

    for one, other in zip(with_av, with_opencv, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 2
