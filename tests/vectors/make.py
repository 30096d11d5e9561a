"""How the golden files here were made, once. They are not to be made again: every later taolite must open them.

`python tests/vectors/make.py DIR` writes them anew into DIR.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np

from taolite.artifacts import Bundle, Etlt, KdfCost, Key, write_bundle, write_checkpoint, write_etlt
from taolite.preprocessing import Preprocessing

KEY = Key("tlt_encode")
COST = KdfCost(memory_kib=64, iterations=1, lanes=1)
BUNDLE = Bundle(
    task="detectnet",
    architecture={"arch": "resnet", "num_layers": 18, "channels": {"conv1": 2}},
    classes=("cat", "犬"),
    preprocessing=Preprocessing((384, 1248)),
    tensors={
        "conv1.weight": np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2) / 8,
        "bn_conv1.num_batches_tracked": np.array(7, dtype=np.int64),
    },
    spec="random_seed: 42\n",
    lineage=({"stage": "train", "parent": "", "parameters": 16},),
    extra={"note": "golden"},
)
ETLT = Etlt(onnx=b"not a real ONNX, but bytes", input_name="input_1", meta={"classes": ["cat"], "task": "detectnet"})
CHECKPOINT_TENSORS = {"adam.m": np.array([[0.5, -1.5]], dtype=np.float64)}
CHECKPOINT_STATE = {"epoch": 3, "step": 120, "best": float("inf")}


def _counting(size: int) -> bytes:
    """Stands in for os.urandom: 00 01 02 ..., so that the bytes can be followed by hand."""
    return bytes(range(size))


def make(folder: Path) -> None:
    """Write v1.tlt, v1.etlt and v1.checkpoint into `folder`."""
    with ExitStack() as patched:
        patched.enter_context(patch("taolite.artifacts.container.os.urandom", _counting))
        patched.enter_context(patch("taolite.artifacts.bundle.__version__", "0.1.0"))
        patched.enter_context(patch("taolite.artifacts.etlt.__version__", "0.1.0"))
        write_bundle(folder / "v1.tlt", BUNDLE, key=KEY, cost=COST)
        write_etlt(folder / "v1.etlt", ETLT, key=KEY, cost=COST)
        write_checkpoint(folder / "v1.checkpoint", CHECKPOINT_TENSORS, CHECKPOINT_STATE, key=KEY, cost=COST)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
