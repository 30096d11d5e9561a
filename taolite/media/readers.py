"""Opened videos, cameras and streams: what they have in common, and the bounds on what ffmpeg may do.

PyAV reads files and streams where it is installed (extra `video`), OpenCV where it is not; both bring ffmpeg. A file
on the disk may not lead to other files or to the network: ffmpeg is given the protocol `file` alone, and containers
that hold pictures themselves, so that playlists (HLS, DASH, ffconcat, SDP) are refused whatever their names are. What
comes from the network may not lead to files; a playlist behind http (HLS) leads to other http addresses alone.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, UsageError
from taolite.media.places import Address
from taolite.pictures import MAX_PIXELS_VARIABLE, max_pixels

__all__ = [
    "STALL_S",
    "Broken",
    "Link",
    "Reader",
    "Shot",
    "Thinning",
    "check_size",
    "link_to_address",
    "link_to_file",
    "plausible_rate",
]

STALL_S = 10.0
"""Seconds without a frame after which a stream counts as lost, and in which it has to open."""

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,mpegvideo,h264,hevc,av1,obu,ivf,m4v,mjpeg,asf,ogg,gif,"
    "apng,wtv,mxf,nut,dv,rm,yuv4mpegpipe"
)
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "http": "http,tcp",
    "https": "https,http,tls,tcp,crypto",
    "rtp": "data,rtp,udp",
}
_MOST_RATE = 1000.0
_CODECS = {  # of RTP: the number of the format, and its line in SDP (RFC 3551, 6184, 7741, 7798, 9628)
    "h264": (96, "H264/90000"),
    "h265": (96, "H265/90000"),
    "vp8": (96, "VP8/90000"),
    "vp9": (96, "VP9/90000"),
    "mpeg4": (96, "MP4V-ES/90000"),
    "mpeg2": (32, "MPV/90000"),
    "mjpeg": (26, "JPEG/90000"),
}


class Shot(NamedTuple):
    """One frame: (H, W, 3) uint8 RGB, upright. `number` counts from 0, with those that could not be read. `time_s` is
    counted from the start of the file; of a camera or a stream, the time of arrival on the monotonic clock."""

    image_hwc: NDArray[np.uint8]
    number: int
    time_s: float


class Broken(Exception):  # noqa: N818 - not a user's error: a file's reader makes one of it, a stream's connects again
    """A source that gave no more frames before its end, or could not be opened; the text says why."""


class Reader(Protocol):
    """An opened video, camera or stream; read once.

    Attributes:
        fps: frames a second, None where it is not known.
        total: number of frames, None where it is not known; an estimate for some containers.
        unreadable: frames that could not be decoded so far.
    """

    fps: float | None
    total: int | None
    unreadable: int

    def shots(self) -> Iterator[Shot]:
        """The frames, to the end. Raises Broken."""

    def close(self) -> None:
        """Let go of the file, device or connection."""


class Link(NamedTuple):
    """What ffmpeg is asked to open, and how. `shown` is the name for messages."""

    shown: str
    url: str
    options: Mapping[str, str]
    is_live: bool = False


class Thinning:
    """Chooses frames, so that at most `rate` a second are left; all of them where it is None.

    >>> thinning = Thinning(2.0)
    >>> [thinning.keeps(time_s) for time_s in (0.0, 0.25, 0.5, 0.75, 1.1, 1.4, 1.6)]
    [True, False, True, False, True, False, True]
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._last: int | None = None

    def keeps(self, time_s: float) -> bool:
        """Whether the frame of `time_s` is the first in its slot of 1 / rate seconds. Times do not go back."""
        if self._rate is None:
            return True
        slot = int(np.floor(time_s * self._rate + 1e-6))
        keeps = slot != self._last
        self._last = slot
        return keeps


def link_to_file(path: Path) -> Link:
    """A video on the disk, which may not lead to anything else."""
    return Link(str(path), str(path.absolute()), {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS})


def link_to_address(address: Address, *, codec: str | None, latency_ms: int, is_live: bool = True) -> Link:
    """A stream. `latency_ms`: how long packets are waited for. Raises UsageError for an `rtp://` without its codec."""
    options = {"protocol_whitelist": _PROTOCOLS[address.scheme]}
    url = address.url
    if address.scheme in ("http", "https"):
        options["format_whitelist"] = f"{_CONTAINERS},mpjpeg,hls,aac"
    if address.scheme in ("rtsp", "rtp"):
        options["max_delay"] = str(1000 * latency_ms)  # microseconds
    if address.scheme == "rtsp":
        options["rtsp_flags"] = "prefer_tcp"  # over UDP, frames lose parts
    if address.scheme == "rtp":
        url = _described(address, codec)
    return Link(address.shown, url, options, is_live)


def plausible_rate(fps: float) -> float | None:
    """Frames a second as a container or a driver says it, None for what stands for "not known" (0, -1, 90000)."""
    return fps if 0 < fps <= _MOST_RATE else None


def check_size(shown: str, height: int, width: int, *, is_live: bool = False) -> None:
    """Raise DataError for frames of more pixels than pictures may have, Broken for a stream that has no size yet."""
    if is_live and height * width == 0:
        raise Broken(f"no frame came for {STALL_S:g} s")
    most = max_pixels()
    if height * width > most:
        raise DataError(
            f"{shown}: its frames have {width} x {height} = {width * height:,} pixels, and the limit is {most:,}; "
            f"--max-pixels or {MAX_PIXELS_VARIABLE} raises it"
        )


def _described(address: Address, codec: str | None) -> str:
    """The session description (SDP, RFC 8866) of a raw stream, as an address of ffmpeg that holds it."""
    name = (codec or "").lower()
    if name not in _CODECS:
        what = f"{codec} is not one of them" if codec else "a raw stream does not say which it is of"
        raise UsageError(
            f"{address.shown}: the codec is needed ({', '.join(_CODECS)}), and {what}; give --input-codec, as in "
            "--input-codec=h264"
        )
    number, line = _CODECS[name]
    host = address.host or "0.0.0.0"
    version = "IP6" if ":" in host else "IP4"
    text = (
        f"v=0\r\no=- 0 0 IN {version} {host}\r\ns=taolite\r\nc=IN {version} {host}\r\nt=0 0\r\n"
        f"m=video {address.port} RTP/AVP {number}\r\na=rtpmap:{number} {line}\r\n"
    )
    return f"data:application/sdp;base64,{base64.b64encode(text.encode()).decode()}"
