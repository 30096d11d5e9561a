"""Names of jetson-inference and jetson-utils that are not here, and why."""

from __future__ import annotations

import warnings

__all__ = ["absent"]

_TASK = "taolite runs classifiers and detectors, not {}"
_MEMORY = "no GPU memory or stream is used here; calls return when their work is done, and images are NumPy arrays"
_INFERENCE = {
    "segNet": _TASK.format("segmentation"),
    "poseNet": _TASK.format("pose estimation"),
    "actionNet": _TASK.format("action recognition"),
    "backgroundNet": _TASK.format("background removal"),
    "depthNet": _TASK.format("depth estimation"),
    "tensorNet": "imageNet and detectNet share its methods; use one of them",
}
_UTILS = {
    **dict.fromkeys(
        (
            *("cudaMalloc", "cudaFree", "cudaStreamCreate", "cudaStreamDestroy", "cudaStreamSynchronize"),
            *("cudaStreamWaitEvent", "cudaEventCreate", "cudaEventDestroy", "cudaEventRecord", "cudaEventQuery"),
            *("cudaEventElapsedTime", "cudaEventSynchronize", "cudaMemory"),
        ),
        _MEMORY,
    ),
    "WebRTCServer": "taolite serves no WebRTC; videoOutput writes files and sends RTP and RTSP",
    "RTSPServer": "taolite serves no RTSP; videoOutput sends to an RTSP server",
}


def absent(module: str, name: str) -> AttributeError:
    """The error for a name that `module` does not have. For a name that NVIDIA's module has, the reason is a warning
    too: Python shows only the warning where the name is imported with `from`."""
    reason = (_INFERENCE if "inference" in module else _UTILS).get(name)
    if reason is None:
        return AttributeError(f"module {module!r} of taolite has no attribute {name!r}")
    text = f"{module}.{name} is not there: {reason}"
    warnings.warn(text, RuntimeWarning, stacklevel=3)
    return AttributeError(text)
