"""Video to other machines, by PyAV: RTP to an address, or pushed to an RTSP or RTMP server.

    rtp://host:port            UDP. Nobody answers, so nobody is missed; receivers need the stream's description (SDP)
    rtsp://host:port/path      ANNOUNCE and RECORD over TCP, to a server such as MediaMTX
    rtmp://host:port/app/key   to a server such as nginx-rtmp, or a video platform

A password, a query and the key of an RTMP stream never appear in a message.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, StorageError, UsageError
from taolite.media.pyav import AvEncoder, needs_pyav

__all__ = ["SCHEMES", "NetworkSink", "shown"]

SCHEMES = ("rtp", "rtsp", "rtsps", "rtmp", "rtmps")
_RTP = {"h264": "H264", "h265": "H265", "vp8": "VP8"}  # as SDP names them. FFmpeg's JPEG over RTP arrives as noise
_TYPE = 96  # of the payload: the first that SDP may define
_PACKET = 1200  # bytes of a datagram: fits into every network's


def shown(address: str) -> str:
    """An address without what is secret in it.

    >>> shown("rtsp://me:secret@cam.local:8554/a?token=1")
    'rtsp://me:***@cam.local:8554/a?***'
    >>> shown("rtmp://live.example.org/app/my-key")
    'rtmp://live.example.org/app/***'
    """
    scheme, _, rest = address.partition("://")
    user, at, rest = rest.rpartition("@")
    if "?" in user:  # in a password or in front of a query: nothing after it is shown
        rest = "***"
    name = re.split("[:?]", user, maxsplit=1)[0]
    rest, question, _ = rest.partition("?")
    if scheme.lower().startswith("rtmp") and rest.count("/") > 1:
        rest = f"{rest.rpartition('/')[0]}/***"
    return f"{scheme}://{name}{':***' if name != user else ''}{at}{rest}{question and '?***'}"


class NetworkSink:
    """A `live.LiveSink` that sends frames to `address`."""

    is_open = True
    holds = False

    def __init__(self, address: str, *, codec: str, bitrate: int, fps: float) -> None:
        """Args:
        codec: h264, h265 or vp8; RTMP has h264 alone.
        bitrate: bits a second.
        fps: frames a second that are expected.

        Raises UsageError for an address or a codec that cannot be sent to, or without PyAV.
        """
        self.place = shown(address)
        url = _split(address, self.place)
        codecs = ("h264",) if url.scheme.startswith("rtmp") else tuple(_RTP)
        if codec not in codecs:
            raise UsageError(f"{self.place}: {url.scheme} is sent as {' or '.join(codecs)}, not {codec}")
        needs_pyav(self.place)
        self._address, self._scheme = address, url.scheme
        self._codec, self._bitrate, self._fps = codec, bitrate, fps
        self._hw: tuple[int, int] | None = None
        self._encoder: AvEncoder | None = None
        self.description = _description(url, codec) if url.scheme == "rtp" else None

    def put(self, image_hwc: NDArray[np.uint8], time_s: float) -> None:
        hw = (image_hwc.shape[0], image_hwc.shape[1])
        if self._encoder is None:
            self._encoder, self._hw = self._open(hw), hw
        if hw != self._hw:
            assert self._hw is not None, "it is open"
            before = f"{self._hw[1]}x{self._hw[0]}"
            raise DataError(f"{self.place}: a frame of {hw[1]}x{hw[0]} pixels came after {before} ones")
        try:
            self._encoder.add(image_hwc, time_s)
        except OSError as error:
            raise self._ended(error) from error

    def close(self) -> None:
        if self._encoder is not None:
            try:
                self._encoder.close()
            except OSError as error:
                raise self._ended(error) from error

    def kill(self) -> None:
        """Leave a connection that hangs to its thread, which does not keep the program from ending."""

    def _ended(self, error: OSError) -> StorageError:
        """The error of a write. FFmpeg connects with the first one."""
        said = (error.strerror or str(error)).lower()
        return StorageError(f"{self.place}: the connection failed ({said}); see that the receiver runs, then try again")

    def _open(self, hw: tuple[int, int]) -> AvEncoder:
        container, options = {
            "rtp": ("rtp", {}),
            "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
            "rtmp": ("flv", {"flvflags": "no_duration_filesize"}),
        }[self._scheme.removesuffix("s")]
        address = self._address
        if self._scheme == "rtp":
            address += f"{'&' if '?' in address else '?'}pkt_size={_PACKET}"
        try:
            return AvEncoder(
                address,
                hw,
                container=container,
                codec=self._codec,
                fps=self._fps,
                bitrate=self._bitrate,
                is_live=True,
                options=options,
            )
        except OSError as error:
            raise self._ended(error) from error


def _split(address: str, place: str) -> SplitResult:
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise UsageError(f"{place}: not an address ({error})") from error
    if not host:
        advice = "run a server such as MediaMTX and give its address" if url.scheme != "rtp" else "give rtp://host:port"
        raise UsageError(f"{place}: no host is named, and taolite is no server itself; {advice}")
    if url.scheme == "rtp" and port is None:
        raise UsageError(f"{place}: no port is named; give rtp://host:port")
    return url


def _description(url: SplitResult, codec: str) -> str:
    """What a receiver of an RTP stream has to know, in SDP. The parameters of H.264 and H.265 are in the stream."""
    host = url.hostname or ""
    kind = "IP6" if ":" in host else "IP4"
    first = int(host.partition(".")[0]) if host.partition(".")[0].isdigit() else 0
    reach = "/16" if 224 <= first <= 239 else ""  # routers that a multicast may pass
    lines = [
        "v=0",
        f"o=- 0 0 IN {kind} {host}",
        "s=taolite",
        f"c=IN {kind} {host}{reach}",
        "t=0 0",
        f"m=video {url.port} RTP/AVP {_TYPE}",
        f"a=rtpmap:{_TYPE} {_RTP[codec]}/90000",
    ]
    if codec == "h264":
        lines.append(f"a=fmtp:{_TYPE} packetization-mode=1")
    return "\n".join([*lines, ""])
