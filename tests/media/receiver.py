"""Receives a stream in a process of its own: receiver.py ADDRESS OUT.npz [OPTION=VALUE ...], each an FFmpeg option.

Writes the frames, (N, H, W, 3) uint8 RGB, and their times in seconds. The stream's end ends it, and so does silence.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import av
import numpy as np

address, out, *options = sys.argv[1:]
frames, times = [], []
silence_s = None if "rtsp_flags=listen" in options or "listen=1" in options else (30, 3)  # they know the end
with (
    av.open(address, options=dict(option.split("=", 1) for option in options), timeout=silence_s) as stream,
    suppress(av.FFmpegError, OSError),
):
    for frame in stream.decode(video=0):
        frames.append(frame.to_ndarray(format="rgb24"))
        times.append(frame.time or 0.0)
np.savez(out, frames=np.array(frames), times=np.array(times))
