"""Other people's libraries send nothing, and leave no files in the home folder that taolite did not ask for.

`hush` runs when the package is imported, before any of its modules can import such a library. A variable that is set
already is left as it is, so whoever wants a library's telemetry can have it: `ORT_DISABLE_TELEMETRY=0`.

    ONNX Runtime   sends its device id, paths and error texts to Microsoft, and keeps them below ~/.cache/Microsoft
    OpenVINO       sends usage to Google Analytics, and writes ~/intel; it does without the package that sends
    MLflow, W&B    send usage and their own errors to their makers, beside what they are asked to send
    matplotlib     writes a list of fonts below ~/.cache/matplotlib; here below ~/.cache/taolite

    TensorBoard    loads boto3, and with it half a second of libraries and a socket, in case files lie in S3

ClearML's question for a newer version is left out in `taolite.sinks.clearml`. No library is imported here.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import cast

__all__ = ["hush", "loud", "reported_later", "without"]

_SENDER = "openvino_telemetry"  # OpenVINO's package of its own that sends
_QUIET = {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}
_OFF = {  # other values that are as quiet, in small letters
    "ORT_DISABLE_TELEMETRY": ("1",),
    "MLFLOW_DISABLE_TELEMETRY": ("1", "true"),
    "WANDB_ERROR_REPORTING": ("0", "false"),
}


def hush() -> None:
    """Set what keeps the libraries quiet, in this process and in those that it starts."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    for name, value in {**_QUIET, "MPLCONFIGDIR": str(cache / "taolite" / "matplotlib")}.items():
        os.environ.setdefault(name, value)
    modules = cast("dict[str, object]", sys.modules)
    modules.setdefault(_SENDER, None)  # importing it raises ImportError, which OpenVINO expects where it is missing


def loud() -> list[str]:
    """What may send something in spite of `hush`: NAME=VALUE of each variable that the user has set to another value,
    and the name of OpenVINO's sending package where it was imported before."""
    found = [f"{name}={value}" for name in _QUIET if (value := os.environ.get(name, "")).lower() not in _OFF[name]]
    return [*found, _SENDER] if sys.modules.get(_SENDER) is not None else found


@contextmanager
def without(module: str) -> Iterator[None]:
    """Importing `module` raises ImportError in here, as where it is not installed, unless it was imported before."""
    modules = cast("dict[str, object]", sys.modules)
    if module in modules:
        yield
        return
    modules[module] = None
    try:
        yield
    finally:
        del modules[module]


@cache
def reported_later(package: str) -> None:
    """An OSError in a thread of `package`, whose next call raises it in the caller's thread, is not printed too."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, OSError) or type(args.thread).__module__.partition(".")[0] != package:
            before(args)

    threading.excepthook = hook
