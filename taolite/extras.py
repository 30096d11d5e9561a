"""Which extra brings a library that is not installed, and the command that installs it here."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlparse

__all__ = ["EXTRA_OF", "install_command", "missing"]

EXTRA_OF = {
    "torch": "train",
    "torchvision": "train",
    "torch_pruning": "train",
    "onnxscript": "train",
    "onnx_graphsurgeon": "train",
    "onnxconverter_common": "train",
    "h5py": "train",
    "matplotlib": "train",
    "tensorboard": "train",
    "openvino": "openvino",
    "tensorrt_rtx": "tensorrt",
    "cuda": "cuda",
    "pycuda": "jetson",
    "wandb": "wandb",
    "clearml": "clearml",
    "mlflow": "mlflow",
    "labelme": "annotate",
    "edgefirst": "track",
    "starlette": "web",
    "uvicorn": "web",
    "skimage": "demo",
    "av": "video",
    "s3fs": "cloud",
    "gcsfs": "cloud",
    "ray": "ray",
}
"""Module as it is imported -> the extra of this package that installs it."""


def install_command(extra: str) -> str:
    """The command that installs `extra` beside what is here: from the same folder, where taolite came from one."""
    return f"pip install '{_source() or 'taolite'}[{extra}]'"


def missing(error: ModuleNotFoundError, program: str) -> str | None:
    """What is said where `program` needs a library that no extra here has brought; None for a module of another kind,
    whose absence is a fault of ours."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(module)
    if extra is None:
        return None
    return f"{program} needs {module}, which is not installed; run {install_command(extra)}"


def _source() -> str | None:
    """The folder that taolite was installed from, None where it came from a package index or is not installed."""
    from importlib import metadata

    try:
        text = metadata.distribution("taolite").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = urlparse(json.loads(text)["url"]) if text else None
    return unquote(url.path) if url is not None and url.scheme == "file" else None
