"""Where pictures come from: files, folders, patterns, videos, cameras and streams; all of them give frames.

What a user can name is in `places`. Pictures turn upright by their EXIF tag, videos by their header. Videos and streams
are read with PyAV where it is installed, else with OpenCV; both are imported when they are used, as Pillow is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, silent
from taolite.formats.places import is_hidden
from taolite.media import passes
from taolite.media.flips import Flip
from taolite.media.frames import Frame, InputOptions
from taolite.media.places import (
    Address,
    Camera,
    Csi,
    Local,
    Numbered,
    Pattern,
    matching,
    natural,
    numbered,
    parse_place,
)
from taolite.media.readers import Broken, Link, Reader, link_to_address, link_to_file
from taolite.media.reconnect import Live
from taolite.pictures import EXTENSIONS

__all__ = ["Flip", "Frame", "InputOptions", "Source", "open_source"]

_CAMERA_RATE = 30.0  # frames a second, where a camera does not say
_VIDEO_RATE = 25.0
_AS_IT_IS = InputOptions()
_UNSAFE = re.compile(r"[^\w.-]+")  # in a file name


def _nothing() -> Iterator[Frame]:
    return iter(())


@dataclass(frozen=True)
class Source:
    """Something to look at; iterate over it for its frames, as often as wanted.

    `place` is what the user asked for, without passwords; `paths` the picture files, or the video; `total` the number
    of frames where it is known (an estimate for some videos); `fps` frames a second of videos, cameras and streams.
    `on_unreadable` hears of pictures that cannot be read, which are then left out; without it the first of them raises
    DataError. A camera or stream that drops out is opened again (`InputOptions.give_up_s`).
    """

    kind: Literal["pictures", "video", "camera", "stream"]
    place: str
    paths: tuple[Path, ...] = ()
    total: int | None = None
    fps: float | None = None
    on_unreadable: Callable[[str], None] | None = None
    frames: Callable[[], Iterator[Frame]] = field(default=_nothing, repr=False)
    live: Live | None = field(default=None, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether frames come in their own time, so that a slow reader misses some: a camera or a stream. A video file
        behind an http address is a stream that is not live."""
        return self.live is not None

    def stop(self) -> None:
        """End a running iteration over a camera or stream soon, from another thread; waiting for a lost one ends."""
        if self.live is not None:
            self.live.stop()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()


def open_source(
    place: str | Path | int | None,
    *,
    below: bool = False,
    options: InputOptions = _AS_IT_IS,
    on_unreadable: Callable[[str], None] | None = None,
    listener: Listener = silent,
) -> Source:
    """What `place` names: a picture, a folder, a pattern (`photos/*.{jpg,png}`), numbered pictures (`%04d.jpg`), a
    video, a camera (`/dev/video0`, `0`, `csi://0`), an address (`rtsp://`, `rtp://`, `http://`, `https://`,
    `file://`). "" and None are the default camera.

    Args:
        place: as the user gave it. What exists under that name on the disk comes first.
        below: a folder's pictures are also those in folders below it; hidden files and folders are passed over.
        options: size, rate, flip, passes.
        on_unreadable: called with one line for each picture that cannot be read, which is then left out.
        listener: hears SourceLost, SourceBack and FramesUnreadable, in the thread that iterates.

    Raises:
        PathError: nothing is there, a folder without pictures, or a camera or stream that cannot be opened.
        DataError: a file that is neither a picture nor a video, or an address with something else behind it.
        UsageError: an address that is not understood, or options that cannot be.
    """
    _check(options)
    named = parse_place(place)
    text = str(place) if place not in (None, "") else getattr(named, "text", "csi://0")
    if isinstance(named, Local) and named.path.is_file() and not _is_picture(named.path):
        return _video(named.path, options, listener)
    if isinstance(named, Camera | Csi):
        return _camera(named, text, options, listener)
    if isinstance(named, Address):
        return _address(named, options, listener)
    return _pictures(text, _picture_files(named, text, below=below), options, on_unreadable)


def _picture_files(named: Local | Pattern | Numbered, text: str, *, below: bool) -> Sequence[Path]:
    """The pictures of a folder, a pattern or a sequence, or the one picture. Raises PathError where there are none."""
    if isinstance(named, Pattern | Numbered):
        found = matching(named) if isinstance(named, Pattern) else numbered(named)
        pictures = [path for path in found if _is_picture(path)]
        if not pictures:
            raise PathError(f"{text}: no picture matches this pattern ({_wanted()})")
        return pictures
    path = named.path
    if path.is_file():
        return [path]
    children = path.rglob("*") if below else path.iterdir()
    shown = (child for child in children if not any(map(is_hidden, child.relative_to(path).parts)))
    pictures = sorted((child for child in shown if _is_picture(child)), key=natural)
    if not pictures:
        where = "or below it" if below else "; subfolders are not searched"
        raise PathError(f"{path}: no pictures in this folder ({_wanted()}){' ' if below else ''}{where}")
    return pictures


def _pictures(
    text: str, paths: Sequence[Path], options: InputOptions, on_unreadable: Callable[[str], None] | None
) -> Source:
    one_pass = partial(passes.pictures, paths, options, on_unreadable)
    return Source(
        "pictures",
        text,
        tuple(paths),
        _total(len(paths), options),
        on_unreadable=on_unreadable,
        frames=partial(passes.repeated, one_pass, loop=options.loop),
    )


def _video(path: Path, options: InputOptions, listener: Listener) -> Source:
    if not path.stat().st_size:
        raise DataError(f"{path}: this file is empty; replace it or remove it")
    try:
        return _of_link(link_to_file(path), "video", path.stem, (path,), options, listener)
    except Broken:
        raise DataError(f"{path}: neither a picture ({_wanted()}) nor a video that can be decoded") from None


def _of_link(
    link: Link,
    kind: Literal["video", "stream"],
    stem: str,
    paths: tuple[Path, ...],
    options: InputOptions,
    listener: Listener,
) -> Source:
    """A video with an end. Raises Broken where it cannot be opened."""
    reader = passes.open_link(link)
    reader.close()
    fps, total = reader.fps, reader.total
    if options.rate is not None and fps is not None and options.rate < fps:
        fps, total = options.rate, None if total is None else max(1, round(total * options.rate / fps))
    step_s = 1 / (reader.fps or _VIDEO_RATE)
    one_pass = partial(passes.video, link, options, listener)
    return Source(
        kind,
        link.shown,
        paths,
        _total(total, options),
        fps,
        frames=partial(passes.repeated, one_pass, loop=options.loop, step_s=step_s, stem=stem),
    )


def _camera(named: Camera | Csi, text: str, options: InputOptions, listener: Listener) -> Source:
    def connect() -> Reader:
        from taolite.media.with_opencv import camera_reader, csi_reader

        if isinstance(named, Csi):
            return csi_reader(named.sensor, options, shown=text)
        return camera_reader(named.number, options, shown=text)

    try:
        live = Live(connect, place=text, patience_s=options.give_up_s, listener=listener)
    except Broken:
        raise PathError(
            f"{text}: this camera cannot be opened; see that it is plugged in, that no other program uses it, and that "
            "you may read it (on Linux: ls -l /dev/video*, group video)"
        ) from None
    number = named.sensor if isinstance(named, Csi) else named.number
    return _of_live("camera", text, f"camera{number}", live, options)


def _address(address: Address, options: InputOptions, listener: Listener) -> Source:
    from taolite.media import web  # here: what speaks http takes longer to import than all other media

    stem = _UNSAFE.sub("_", address.host) or address.scheme
    is_live = True
    if address.scheme in ("http", "https"):
        found = web.ask(address)
        if isinstance(found, web.WebPicture):
            one_pass = partial(passes.web_picture, found, options)
            frames = partial(passes.repeated, one_pass, loop=options.loop)
            return Source("pictures", address.shown, (), _total(1, options), frames=frames)
        is_live = found.is_live
    link = link_to_address(address, codec=options.codec, latency_ms=options.latency_ms, is_live=is_live)

    def connect() -> Reader:
        try:
            return passes.open_link(link, rate=options.rate)
        except Broken as error:
            raise Broken(web.unreachable(address) or str(error)) from None

    try:
        if not is_live:
            return _of_link(link, "stream", stem, (), options, listener)
        live = Live(connect, place=address.shown, patience_s=options.give_up_s, listener=listener)
    except Broken as error:
        raise PathError(f"{address.shown}: this stream cannot be opened ({error})") from None
    return _of_live("stream", address.shown, stem, live, options)


def _of_live(kind: Literal["camera", "stream"], shown: str, stem: str, live: Live, options: InputOptions) -> Source:
    fps = live.fps or _CAMERA_RATE
    return Source(
        kind,
        shown,
        fps=min(fps, options.rate or fps),
        frames=partial(passes.repeated, partial(passes.live, live, options), stem=stem),
        live=live,
    )


def _total(frames: int | None, options: InputOptions) -> int | None:
    """The number of frames of all passes, None where it is not known or without an end."""
    return None if frames is None or options.loop < 0 else frames * (1 + options.loop)


def _check(options: InputOptions) -> None:
    """Raise UsageError for options that cannot be."""
    if options.size_hw is not None and min(options.size_hw) < 1:
        raise UsageError(f"frames of {options.size_hw[1]}x{options.size_hw[0]} pixels: 1 or more are needed")
    if options.rate is not None and not options.rate > 0:
        raise UsageError(f"{options.rate:g} frames a second: a number above 0 is needed")
    if options.loop < -1:
        raise UsageError(f"{options.loop} passes: 0 or more are needed, or -1 for passes without an end")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and path.is_file()


def _wanted() -> str:
    return " ".join(extension.lstrip(".") for extension in EXTENSIONS)
