"""From opened files and connections to frames: one pass over pictures or a video, passes in a row, a live source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, PathError, PictureError
from taolite.events import FramesUnreadable, Listener
from taolite.media.flips import flipped
from taolite.media.frames import Frame, InputOptions
from taolite.media.readers import Broken, Link, Reader
from taolite.media.reconnect import Live
from taolite.pictures import read_rgb

if TYPE_CHECKING:
    from taolite.media.web import WebPicture

__all__ = ["live", "open_link", "pictures", "repeated", "video", "web_picture"]


def pictures(
    paths: Sequence[Path], options: InputOptions, on_unreadable: Callable[[str], None] | None
) -> Iterator[Frame]:
    """The pictures, flipped. Those that cannot be read are told and left out; without `on_unreadable` the first of
    them raises DataError or PathError."""
    for index, path in enumerate(paths):
        try:
            image = read_rgb(path)
        except (DataError, PathError) as error:
            if on_unreadable is None:
                raise
            on_unreadable(f"{error}; it is left out")
            continue
        yield Frame(path.name, flipped(image, options.flip), index, path)


def web_picture(picture: WebPicture, options: InputOptions) -> Iterator[Frame]:
    """The picture behind an address. Raises PictureError."""
    try:
        image = read_rgb(Path(picture.name), stream=picture.open())
    except PictureError as error:
        raise PictureError(picture.shown, error.reason) from None
    yield Frame(picture.name, flipped(image, options.flip), 0)


def video(link: Link, options: InputOptions, listener: Listener) -> Iterator[Frame]:
    """The frames of a video that has an end, without names. What cannot be decoded is passed over; the listener hears
    the number at the end.

    Raises:
        DataError: no frame at all can be decoded, reading failed before the end, or the frames are too large.
    """
    read = 0
    with closing(open_link(link, rate=options.rate)) as reader:
        try:
            for shot in reader.shots():
                read += 1
                yield Frame("", _fitted(shot.image_hwc, options), shot.number, None, shot.time_s)
        except Broken as error:
            raise DataError(f"{link.shown}: it broke off after {read} frames ({error}); try it again") from None
        if reader.unreadable:
            listener(FramesUnreadable(link.shown, reader.unreadable, read))
    if read == 0:
        raise DataError(f"{link.shown}: it opened, but no frame could be read; try it in a video player")


def live(source: Live, options: InputOptions) -> Iterator[Frame]:
    """The frames of a camera or stream, without names. Raises StreamError where it is lost, DataError for frames that
    are too large."""
    with closing(source.shots()) as shots:
        for shot in shots:
            yield Frame("", _fitted(shot.image_hwc, options), shot.number, None, shot.time_s)


def repeated(
    one_pass: Callable[[], Iterator[Frame]], *, loop: int = 0, step_s: float = 0.0, stem: str = ""
) -> Iterator[Frame]:
    """One pass and `loop` further ones (-1: without an end), with numbers and times that go on.

    `step_s` is the time between the last frame of a pass and the first of the next. With `stem` the frames are called
    `<stem>_000000.jpg` and so on. A pass without a frame is the last.
    """
    done, begin, begin_s = 0, 0, 0.0
    while True:
        last = None
        for frame in one_pass():
            number = begin + frame.number
            last = frame._replace(
                name=f"{stem}_{number:06d}.jpg" if stem else frame.name,
                number=number,
                time_s=None if frame.time_s is None else begin_s + frame.time_s,
            )
            yield last
        if last is None or done == loop:
            return
        done, begin, begin_s = done + 1, last.number + 1, (last.time_s or 0.0) + step_s


def open_link(link: Link, *, rate: float | None = None) -> Reader:
    """A video or a stream, opened with PyAV where it is installed, else with OpenCV. Raises Broken, DataError."""
    try:
        from taolite.media.with_av import AvReader
    except ModuleNotFoundError as error:
        if error.name != "av":
            raise
    else:
        return AvReader(link, rate=rate)
    from taolite.media.with_opencv import link_reader

    return link_reader(link, rate=rate)


def _fitted(image_hwc: NDArray[np.uint8], options: InputOptions) -> NDArray[np.uint8]:
    """The frame in the size and the position that are asked for."""
    if options.size_hw is not None and image_hwc.shape[:2] != options.size_hw:
        import cv2

        height, width = options.size_hw
        much_smaller = 2 * height < image_hwc.shape[0] or 2 * width < image_hwc.shape[1]
        how = cv2.INTER_AREA if much_smaller else cv2.INTER_LINEAR  # up to a half, every pixel counts in the fast one
        image_hwc = np.asarray(cv2.resize(image_hwc, (width, height), interpolation=how), np.uint8)
    return flipped(image_hwc, options.flip)
