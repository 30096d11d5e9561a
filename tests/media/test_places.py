"""What a user names becomes a typed value, and no message shows a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite.errors import PathError, TaoliteError, UsageError
from taolite.media.places import (
    Address,
    Camera,
    Csi,
    Local,
    Numbered,
    Pattern,
    hide_password,
    matching,
    natural,
    numbered,
    parse_place,
)


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0", Camera(0, "0")),
        (2, Camera(2, "2")),
        ("/dev/video97", Camera(97, "/dev/video97")),
        ("v4l2:///dev/video3", Camera(3, "/dev/video3")),
        (Path("v4l2:///dev/video3"), Camera(3, "/dev/video3")),  # a Path keeps one slash of three
        (Path("csi://1"), Csi(1)),
        ("v4l2://3", Camera(3, "/dev/video3")),
        ("csi://1", Csi(1)),
        ("csi://", Csi(0)),
        ("rtsp://me:secret@cam:8554/live", Address("rtsp", "rtsp://me:secret@cam:8554/live")),
        ("RTSP://cam/live", Address("rtsp", "rtsp://cam/live")),
        (Path("rtsp://cam/live"), Address("rtsp", "rtsp://cam/live")),  # a Path keeps one slash of two
        ("rtp://@:1234", Address("rtp", "rtp://@:1234")),
        ("https://cam/video", Address("https", "https://cam/video")),
        ("photos/*.jpg", Pattern("photos/*.jpg")),
        ("photos/{a,b}.jpg", Pattern("photos/{a,b}.jpg")),
        ("~/photos/*.jpg", Pattern(str(Path.home() / "photos/*.jpg"))),
        ("frames/%04d.jpg", Numbered("frames/%04d.jpg")),
        ("frames/f%i.png", Numbered("frames/f%i.png")),
    ],
)
def test_a_place_is_what_it_says(text: str | Path | int, place: object):
    assert parse_place(text) == place


def test_what_is_on_the_disk_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    touch(tmp_path, "0", "100%d.jpg", "[a].jpg", "a b.jpg")
    monkeypatch.chdir(tmp_path)

    assert parse_place("0") == Local(Path("0"))
    assert parse_place(0) == Camera(0, "0")  # a number is no name
    assert parse_place("100%d.jpg") == Local(Path("100%d.jpg"))
    assert parse_place("[a].jpg") == Local(Path("[a].jpg"))
    assert parse_place(f"file://{tmp_path}/0") == Local(tmp_path / "0")
    assert parse_place(Path(f"file://{tmp_path}/0")) == Local(tmp_path / "0")
    assert parse_place("file://0") == Local(Path("0"))
    assert parse_place(f"file://localhost{tmp_path}/a%20b.jpg") == Local(tmp_path / "a b.jpg")


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (picture,) = touch(tmp_path, "a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert parse_place("~/a.jpg") == Local(picture)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "webrtc://me:secret@:8554/x",
            "webrtc://me:***@:8554/x: webrtc:// is not read here; csi://, v4l2://, file://, rtsp://, rtp://, http://, "
            "https:// are",
        ),
        (
            "rtps://cam/x",
            "rtps://cam/x: rtps:// is not read here; csi://, v4l2://, file://, rtsp://, rtp://, http://, https:// are; "
            "did you mean `rtp`?",
        ),
        ("csi://one", "csi://one: csi:// needs the number of a camera, as in csi://0"),
        ("rtp://cam", "rtp://cam: this address needs the port that is listened to, as in rtp://@:5000"),
        ("rtsp:///live", "rtsp:///live: this address names no host; rtsp://HOST[:PORT]/PATH is needed"),
        ("http://cam:port/x", "http://cam:port/x: this is no address; http://HOST[:PORT]/PATH is needed"),
        ("file:///nowhere.mp4", "file:///nowhere.mp4: no such file or folder"),
    ],
)
def test_an_address_that_is_none_is_refused(text: str, message: str):
    with pytest.raises(TaoliteError) as caught:
        parse_place(text)

    assert str(caught.value) == message


def test_without_a_name_and_without_a_camera_the_message_says_both(monkeypatch: pytest.MonkeyPatch):
    if list(Path("/dev").glob("video*")):
        pytest.skip("this machine has a camera")

    for nothing in ("", None):
        with pytest.raises(PathError) as caught:
            parse_place(nothing)
        assert str(caught.value) == (
            "no input is named, and no camera is here (/dev/video*); name a picture, a folder, a video, a camera or a "
            "stream, or plug a camera in"
        )


def test_a_device_that_is_no_camera_is_refused():
    with pytest.raises(PathError) as caught:
        parse_place("/dev/zero")

    assert str(caught.value) == "/dev/zero: neither a file nor a folder nor a camera; give one of them"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://me@cam/live", "rtsp://me@cam/live"),
        ("rtsp://me:secret@cam/live", "rtsp://me:***@cam/live"),
        ("rtsp://me:se:c@ret@cam/live", "rtsp://me:***@cam/live"),
        ("rtsp://me:sec/ret@cam/live", "rtsp://me:***@cam/live"),
        ("rtsp://me:sec#ret?@cam/live", "rtsp://me:***@cam/live"),
        ("rtsp://:secret@cam/live", "rtsp://:***@cam/live"),
        ("http://cam/@live", "http://cam/@live"),
        ("http://[::1]:80/live", "http://[::1]:80/live"),
        ("http://cam/shot?user=me&pwd=secret&x=1", "http://cam/shot?user=me&pwd=***&x=1"),
        ("http://cam/shot?access_token=secret", "http://cam/shot?access_token=***"),
        ("rtsp://cam/user=me_password=secret_channel=1.sdp", "rtsp://cam/user=me_password=***_channel=1.sdp"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str):
    assert hide_password(url) == shown
    assert "secret" not in repr(Address("rtsp", url))


def test_numbers_sort_as_people_count():
    names = ["10.jpg", "9.jpg", "a10b2.jpg", "a10b10.jpg", "a2.jpg", "a.jpg", "09.jpg"]

    assert [path.name for path in sorted(map(Path, names), key=natural)] == [
        *("09.jpg", "9.jpg", "10.jpg"),
        *("a.jpg", "a2.jpg", "a10b2.jpg", "a10b10.jpg"),
    ]


def test_braces_stars_and_hidden_files_are_as_in_a_shell(tmp_path: Path):
    touch(tmp_path, "a.jpg", "b.png", "c.gif", "10.jpg", "9.jpg", ".d.jpg", "below/e.jpg", "x1y.jpg", "x3y.jpg")

    def names(pattern: str) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in matching(Pattern(f"{tmp_path}/{pattern}"))]

    assert names("*.{jpg,png}") == ["9.jpg", "10.jpg", "a.jpg", "b.png", "x1y.jpg", "x3y.jpg"]
    assert names("**/*.jpg") == ["9.jpg", "10.jpg", "a.jpg", "below/e.jpg", "x1y.jpg", "x3y.jpg"]
    assert names("{x{1,3}y,a}.jpg") == ["a.jpg", "x1y.jpg", "x3y.jpg"]
    assert names("{a,a*}.jpg") == ["a.jpg"]  # each once
    assert names("{a}.jpg") == []  # no comma, no braces


def test_braces_without_a_bound_are_refused(tmp_path: Path):
    pattern = "{a,b}" * 20

    with pytest.raises(UsageError) as caught:
        matching(Pattern(pattern))

    assert str(caught.value) == f"{pattern}: the braces stand for more than 10,000 names; use * instead"


def test_a_sequence_is_read_by_number_and_gaps_are_passed_over(tmp_path: Path):
    touch(tmp_path, "f0001.jpg", "f0003.jpg", "f0010.jpg", "f2.jpg", "f12345.jpg", "f0004.png", "fx.jpg", "f00011.jpg")

    def names(pattern: str) -> list[str]:
        return [path.name for path in numbered(Numbered(f"{tmp_path}/{pattern}"))]

    assert names("f%04d.jpg") == ["f0001.jpg", "f0003.jpg", "f0010.jpg", "f12345.jpg"]
    assert names("f%d.jpg") == ["f2.jpg", "f12345.jpg"]
    assert names("nowhere/f%d.jpg") == []
