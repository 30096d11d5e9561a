"""Where pictures come from: one file, a folder, a pattern, a video, a camera, a stream; all of them give frames.

A folder is read by name, and below where that is asked for. Pictures turn upright by their EXIF tag. OpenCV is
imported when a video or camera is opened, Pillow when a picture is.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, PathError
from taolite.events import Listener, silent
from taolite.formats.places import is_hidden
from taolite.pictures import EXTENSIONS, read_rgb

__all__ = ["Flip", "Frame", "InputOptions", "Source", "open_source"]

Flip = Literal[
    "none",
    "counterclockwise",
    "rotate-180",
    "clockwise",
    "horizontal",
    "vertical",
    "upper-right-diagonal",
    "upper-left-diagonal",
]
"""How frames are turned or mirrored, in jetson-inference's words (reference/jetson_workflows.md 11.2)."""

_CAMERA = re.compile(r"(?:/dev/video)?(\d+)")
_NO_CAMERA_RATE = 30.0  # frames a second, where a camera does not say


@dataclass(frozen=True)
class InputOptions:
    """How a source is read.

    Attributes:
        size_hw: (height, width) in pixels, before the flip: asked of a camera; frames of videos and streams are scaled
            to it. Pictures keep their size.
        rate: frames a second: asked of a camera; videos and streams are thinned to it.
        flip: applied to every frame, pictures too.
        loop: further passes over pictures or a video file; -1 is without an end.
        codec: of a raw stream (`rtp://`), as "h264"; other sources say it themselves.
        latency_ms: how long packets of a network stream are waited for, to put them in order.
        give_up_s: seconds after which a lost camera or stream that did not come back is an error.
    """

    size_hw: tuple[int, int] | None = None
    rate: float | None = None
    flip: Flip = "none"
    loop: int = 0
    codec: str | None = None
    latency_ms: int = 10
    give_up_s: float = 60.0


class Frame(NamedTuple):
    """One picture: a file name to keep it under, (H, W, 3) uint8 RGB, its number from 0, and the file it is from
    (None for frames of videos and cameras). `time_s`: seconds from the start of a video, or since a camera or stream
    was opened; None for pictures."""

    name: str
    image_hwc: NDArray[np.uint8]
    number: int
    path: Path | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class Source:
    """Something to look at; iterate over it for its frames, as often as wanted.

    `place` is what the user asked for; `paths` the picture files, or the video; `total` the number of frames where it
    is known (an estimate for videos); `fps` frames a second of videos and cameras. `on_unreadable` hears of pictures
    that cannot be read, which are then left out; without it the first of them raises DataError.
    """

    kind: Literal["pictures", "video", "camera", "stream"]
    place: str
    paths: tuple[Path, ...] = ()
    total: int | None = None
    fps: float | None = None
    on_unreadable: Callable[[str], None] | None = None
    options: InputOptions = InputOptions()
    listener: Listener = silent

    @property
    def is_live(self) -> bool:
        """Whether frames come in their own time, so that a slow reader misses some: a camera or a stream."""
        return self.kind in ("camera", "stream")

    def stop(self) -> None:
        """End a running iteration soon; another thread calls this. Waiting for a lost camera ends too."""

    def __iter__(self) -> Iterator[Frame]:
        return self._pictures() if self.kind == "pictures" else self._stream()

    def _pictures(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            try:
                image = read_rgb(path)
            except (DataError, PathError) as error:
                if self.on_unreadable is None:
                    raise
                self.on_unreadable(f"{error}; it is left out")
                continue
            yield Frame(path.name, image, index, path)

    def _stream(self) -> Iterator[Frame]:
        import cv2

        stem = self.paths[0].stem if self.paths else f"camera{_camera_number(self.place)}"
        capture = _open_capture(self.place, is_camera=self.kind == "camera")
        try:
            index = 0
            while True:
                ok, image_bgr = capture.read()
                if not ok:
                    break
                yield Frame(f"{stem}_{index:06d}.jpg", cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB), index)
                index += 1
        finally:
            capture.release()
        if index == 0:
            raise DataError(f"{self.place}: it opened, but no frame could be read; try it in a video player")


def open_source(
    place: str | Path | int | None,
    *,
    below: bool = False,
    options: InputOptions = InputOptions(),
    on_unreadable: Callable[[str], None] | None = None,
    listener: Listener = silent,
) -> Source:
    """What `place` names: a picture, a folder, a pattern (`photos/*.jpg`), a video, a camera (`/dev/video0`, `0`).

    Args:
        place: as the user gave it. What exists under that name on the disk comes first.
        below: a folder's pictures are also those in folders below it; hidden files and folders are passed over.
        on_unreadable: called with one line for each picture that cannot be read, which is then left out.

    Raises:
        PathError: nothing is there, a folder without pictures, or a camera that cannot be opened.
        DataError: a file that is neither a picture nor a video.
    """
    text = "/dev/video0" if place in ("", None) else str(place)
    path = Path(text)
    if path.is_dir():
        children = path.rglob("*") if below else path.iterdir()
        shown = (child for child in children if not any(map(is_hidden, child.relative_to(path).parts)))
        pictures = tuple(sorted(child for child in shown if _is_picture(child)))
        if not pictures:
            where = "or below it" if below else "; subfolders are not searched"
            raise PathError(f"{path}: no pictures in this folder ({_wanted()}){' ' if below else ''}{where}")
        return Source("pictures", text, pictures, len(pictures), on_unreadable=on_unreadable)
    if path.is_file():
        if _is_picture(path):
            return Source("pictures", text, (path,), 1, on_unreadable=on_unreadable)
        return _video(path)
    if _CAMERA.fullmatch(text):
        return _camera(text)
    if glob.has_magic(text):
        names = glob.glob(text, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
        matches = tuple(sorted(found for name in names if _is_picture(found := Path(name))))
        if not matches:
            raise PathError(f"{text}: no picture matches this pattern ({_wanted()})")
        return Source("pictures", text, matches, len(matches), on_unreadable=on_unreadable)
    raise PathError(
        f"{text}: no such file or folder; give a picture, a folder, a pattern, a video or a camera (/dev/video0)"
    )


def _video(path: Path) -> Source:
    import cv2

    capture = _open_capture(str(path), is_camera=False)
    try:
        frames, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()
    return Source("video", str(path), (path,), frames if frames > 0 else None, fps if fps > 0 else None)


def _camera(place: str) -> Source:
    import cv2

    capture = _open_capture(place, is_camera=True)
    try:
        fps = float(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()
    return Source("camera", place, fps=fps if fps > 0 else _NO_CAMERA_RATE)


def _open_capture(place: str, *, is_camera: bool) -> cv2.VideoCapture:  # type: ignore[name-defined]  # noqa: F821
    """An opened cv2.VideoCapture; its own complaints on stderr are silenced, ours say what to do."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(_camera_number(place) if is_camera else place)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if capture.isOpened():
        return capture
    capture.release()
    if is_camera:
        raise PathError(
            f"{place}: this camera cannot be opened; see that it is plugged in, that no other program uses it, and "
            "that you may read it (on Linux: ls -l /dev/video*, group video)"
        )
    raise DataError(f"{place}: neither a picture ({_wanted()}) nor a video that can be decoded")


def _camera_number(place: str) -> int:
    match = _CAMERA.fullmatch(place)
    assert match is not None, f"{place} is a camera's name"
    return int(match[1])


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and path.is_file()


def _wanted() -> str:
    return " ".join(extension.lstrip(".") for extension in EXTENSIONS)
