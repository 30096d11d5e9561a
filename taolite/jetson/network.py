"""What imageNet and detectNet share: the model, its name, the time of the last picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from taolite.api.model import Model, load
from taolite.artifacts.keys import KEY_VARIABLE
from taolite.errors import ModelError
from taolite.jetson.argv import Words
from taolite.jetson.log import told
from taolite.stages.inference.networks import find_network

__all__ = ["OPEN_KEY", "Network", "flags"]

OPEN_KEY = "nvidia_tlt"
"""The key of sealed models where TAOLITE_KEY does not name one: the public one of NVIDIA's models."""

_VALUED = frozenset(
    {
        *("network", "model", "prototxt", "labels", "class-labels", "colors", "class-colors", "threshold"),
        *("confidence", "smoothing", "topk", "overlay", "alpha", "line-width", "tracker", "clustering"),
        *("input-blob", "output-blob", "output-cvg", "output-bbox", "mean-pixel", "batch-size", "log-level"),
    }
)


def flags(argv: Sequence[str]) -> Words:
    """The words of `argv`, read with the flags of both networks."""
    return Words(argv, _VALUED)


class Network:
    """What imageNet and detectNet share."""

    _model: Model

    def _open(self, name: str, model: str, labels: str, *, detects: bool) -> None:
        """Open `model`, or the network or the file called `name`."""
        path = Path(model or name).expanduser()
        if not model and not path.exists():
            path = find_network(name, listener=told)
        key = None if os.environ.get(KEY_VARIABLE) else OPEN_KEY
        self._model = load(path, key=key, labels=labels or None, listener=told)
        self._name, self._seconds = model or name, 0.0
        if self._model.is_detector != detects:
            self._model.close()
            kinds = ("a detector", "detectNet") if self._model.is_detector else ("a classifier", "imageNet")
            raise ModelError(f"{path}: this is {kinds[0]}; {kinds[1]} runs it")

    def GetNetworkName(self) -> str:
        """The name or the file that was given."""
        return self._name

    def GetModelPath(self) -> str:
        """The model's file."""
        return str(self._model.source)

    def GetModelType(self) -> str:
        """onnx, or the ending of another file."""
        return self._model.source.suffix.lstrip(".") or "custom"

    def GetPrototxtPath(self) -> str:
        """Empty: there are no Caffe models here."""
        return ""

    def GetNetworkTime(self) -> float:
        """Milliseconds of the last picture, with its preparation."""
        return 1000 * self._seconds

    def GetNetworkFPS(self) -> float:
        """Pictures a second, by the last one."""
        return 1 / self._seconds if self._seconds else 0.0

    def EnableLayerProfiler(self) -> None:
        """Without effect."""

    def EnableDebug(self) -> None:
        """Without effect."""

    def PrintProfilerTimes(self) -> None:
        """Print the time of the last picture."""
        print(f"[taolite]  {self._name}: {self.GetNetworkTime():.5f} ms")
