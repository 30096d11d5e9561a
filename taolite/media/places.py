"""What the user names as an input, as a typed value: on this disk, a camera, an address.

`parse_place` reads the words of jetson-utils (reference/jetson_workflows.md 11.1) and those that shells know: `~`,
`{a,b}`, `*`, printf's `%04d`. What exists on the disk under a name comes first. Addresses may hold passwords: an
`Address` is written with `shown` in messages, titles and file names, never with `url`.
"""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from taolite.errors import PathError, UsageError
from taolite.formats.places import exists, is_file
from taolite.wording import nearest

__all__ = [
    "Address",
    "Camera",
    "Csi",
    "Local",
    "Numbered",
    "Pattern",
    "Place",
    "default_camera",
    "hide_password",
    "matching",
    "natural",
    "numbered",
    "parse_place",
]

_CAMERA = re.compile(r"(?:/dev/video)?(\d{1,6})")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)", re.IGNORECASE)  # two letters or more: `c:/` is a drive
_NUMBER = re.compile(r"%(0?)(\d{0,2})[di]")
_DIGITS = re.compile(r"[0-9]+")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST_NAMES = 10_000  # that braces of one pattern may expand to
_NETWORK = ("rtsp", "rtp", "http", "https")
_SECRETS = re.compile(
    r"((?:pass(?:w(?:or)?d)?|pwd|psw|token|secret|auth|api_?key|key|sig(?:nature)?)=)[^&/_;#]*", re.IGNORECASE
)
_HIDDEN = "***"


@dataclass(frozen=True)
class Local:
    """A file or a folder that exists."""

    path: Path


@dataclass(frozen=True)
class Pattern:
    """Files whose names match: `photos/*.{jpg,png}`, with `~` for the home folder."""

    text: str


@dataclass(frozen=True)
class Numbered:
    """Numbered files: `frames/%04d.jpg`."""

    text: str


@dataclass(frozen=True)
class Camera:
    """A V4L2 camera (on other systems, the one of this number). `text` is what the user gave."""

    number: int
    text: str


@dataclass(frozen=True)
class Csi:
    """A camera on a Jetson's CSI connector."""

    sensor: int


@dataclass(frozen=True)
class Address:
    """A stream, a video or a picture on the network. `scheme` in lower case; `url` may hold a password."""

    scheme: str
    url: str = field(repr=False)

    @property
    def shown(self) -> str:
        """The address without its password, for messages."""
        return hide_password(self.url)

    @property
    def host(self) -> str:
        """The name or number of the machine; "" where none is given (`rtp://@:1234`)."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int | None:
        """The port, None where the address names none."""
        return urlsplit(self.url).port


Place: TypeAlias = Local | Pattern | Numbered | Camera | Csi | Address


def parse_place(place: str | Path | int | None) -> Place:
    """What `place` names; the default camera for "" and None.

    Raises:
        PathError: nothing of this name is on the disk, and it is no camera, pattern or address; or no camera is here.
        UsageError: an address that is not read, or that cannot be an address.
    """
    if place is None or place == "":
        return default_camera()
    text = str(place)
    found = None if isinstance(place, int) else _on_disk(Path(text))
    if found is not None:
        return found
    if scheme := _SCHEME.match(text):
        return _address(text, scheme[1].lower(), text[scheme.end() :], is_path=not scheme[2])
    if camera := _CAMERA.fullmatch(text):
        return Camera(int(camera[1]), text)
    expanded = str(Path(text).expanduser()) if text.startswith("~") else text
    if expanded != text and (found := _on_disk(Path(expanded))):
        return found
    if glob.has_magic(expanded) or _BRACES.search(expanded):
        return Pattern(expanded)
    if _NUMBER.search(Path(expanded).name):
        return Numbered(expanded)
    raise PathError(
        f"{text}: no such file or folder; give a picture, a folder, a pattern, a video or a camera (/dev/video0)"
    )


def default_camera() -> Camera | Csi:
    """The camera that is read where none is named: of a Jetson with CSI cameras `csi://0`, else the first of
    /dev/video*, on other systems number 0. Raises PathError where there is none."""
    if sys.platform != "linux":
        return Camera(0, "0")
    if any(Path("/usr/lib").glob("*/gstreamer-1.0/libgstnvarguscamerasrc.so")) and Path("/tmp/argus_socket").exists():
        return Csi(0)
    numbers = sorted(int(camera[1]) for path in Path("/dev").glob("video*") if (camera := _CAMERA.fullmatch(str(path))))
    if not numbers:
        raise PathError(
            "no input is named, and no camera is here (/dev/video*); name a picture, a folder, a video, a camera or a "
            "stream, or plug a camera in"
        )
    return Camera(numbers[0], f"/dev/video{numbers[0]}")


def hide_password(url: str) -> str:
    """An address with its passwords replaced by `***`: that before the @, and those of parameters.

    >>> hide_password("rtsp://me:secret@10.0.0.2:554/live"), hide_password("http://cam/shot?user=me&pwd=secret")
    ('rtsp://me:***@10.0.0.2:554/live', 'http://cam/shot?user=me&pwd=***')
    """
    scheme, found, rest = url.partition("://")
    host = rest.partition("/")[0]
    whole = rest if re.search(r":\d*\D", host) and "@" not in host else host  # a password with a slash in it
    end = whole.rfind("@") + 1
    name, colon, _ = rest[: max(0, end - 1)].partition(":")
    shown = f"{name}{colon and colon + _HIDDEN}@" if end else ""
    return f"{scheme}{found}{shown}{_SECRETS.sub(lambda secret: secret[1] + _HIDDEN, rest[end:])}"


def natural(path: Path) -> tuple[tuple[str, ...], str]:
    """Sorts paths as people count: `2.jpg` before `10.jpg`."""
    return tuple(_DIGITS.sub(_sized, part) for part in path.parts), str(path)


def matching(pattern: Pattern) -> list[Path]:
    """The files that match, in natural order. Raises UsageError where braces expand to too many names."""
    names = {name for text in _expanded(pattern.text) for name in glob.glob(text, recursive=True)}  # noqa: PTH207
    return sorted((path for name in names if is_file(path := Path(name))), key=natural)


def numbered(sequence: Numbered) -> list[Path]:
    """The files of a sequence, by number, from the lowest there is; numbers that are missing are passed over."""
    path = Path(sequence.text)
    place = _NUMBER.search(path.name)
    assert place is not None, "parse_place found a number in the name"
    before, after = path.name[: place.start()], path.name[place.end() :]
    width = f"{place[1]}{place[2]}"
    found = {}
    for child in path.parent.iterdir() if path.parent.is_dir() else ():
        middle = child.name[len(before) : len(child.name) - len(after)]
        if child.name == f"{before}{middle}{after}" and re.fullmatch(r" *\d{1,18}", middle) and is_file(child):
            number = int(middle)
            if f"{number:{width}d}" == middle:
                found[number] = child
    return [found[number] for number in sorted(found)]


def _sized(digits: re.Match[str]) -> str:
    """A number behind the number of its digits, so that text sorts it: 9 is 0019, 10 is 00210."""
    number = digits[0].lstrip("0")
    return f"{len(number):03d}{number}"


def _on_disk(path: Path) -> Local | Camera | None:
    if not exists(path):
        return None
    if path.is_dir() or path.is_file():
        return Local(path)
    camera = _CAMERA.fullmatch(str(path.resolve()))  # /dev/v4l/by-id/... are links
    if camera is None:
        raise PathError(f"{path}: neither a file nor a folder nor a camera; give one of them")
    return Camera(int(camera[1]), str(path))


def _address(text: str, scheme: str, rest: str, *, is_path: bool) -> Place:
    """The place behind `scheme://`. is_path: it was a Path, which keeps one slash of two or three."""
    if scheme == "file":
        return _file(f"/{rest}" if is_path else rest)
    if scheme in ("csi", "v4l2"):
        found = _CAMERA.fullmatch(f"/{rest}" if rest.startswith("dev/") else rest or "0")
        if found is None:
            raise UsageError(f"{text}: {scheme}:// needs the number of a camera, as in {scheme}://0")
        return Csi(int(found[1])) if scheme == "csi" else Camera(int(found[1]), f"/dev/video{found[1]}")
    known = ("csi", "v4l2", "file", *_NETWORK)
    if scheme not in _NETWORK:
        raise UsageError(
            f"{hide_password(text)}: {scheme}:// is not read here; {', '.join(f'{one}://' for one in known)} are"
            f"{nearest(scheme, known)}"
        )
    url = f"{scheme}://{rest}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{hide_password(url)}: this is no address; {scheme}://HOST[:PORT]/PATH is needed") from error
    if scheme == "rtp" and not port:
        raise UsageError(f"{hide_password(url)}: this address needs the port that is listened to, as in rtp://@:5000")
    if scheme != "rtp" and not host:
        raise UsageError(f"{hide_password(url)}: this address names no host; {scheme}://HOST[:PORT]/PATH is needed")
    return Address(scheme, url)


def _file(rest: str) -> Place:
    """The file of `file://rest`; `%20` is a blank where no file has the name as it stands."""
    rest = rest.removeprefix("localhost") if rest.startswith("localhost/") else rest
    for name in (rest, unquote(rest)):
        if name and (found := _on_disk(Path(name).expanduser())) is not None:
            return found
    raise PathError(f"file://{rest}: no such file or folder")


def _expanded(text: str) -> Iterator[str]:
    """The patterns that braces stand for, as a shell expands them: `{a,b}.jpg` is `a.jpg` and `b.jpg`."""
    waiting, done = [text], 0
    while waiting:
        if done + len(waiting) > _MOST_NAMES:
            raise UsageError(f"{text}: the braces stand for more than {_MOST_NAMES:,} names; use * instead")
        one = waiting.pop()
        inner = _BRACES.search(one)
        if inner is None:
            done += 1
            yield one
        else:
            waiting += [one[: inner.start()] + part + one[inner.end() :] for part in inner[1].split(",")]
