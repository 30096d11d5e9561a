"""A detector whose answers are known by heart: 96x64 input, cells of 16 pixels that propose themselves as boxes. The
coverage of `red` is how red a cell is, that of `green` how green."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.artifacts.etlt import Etlt, write_etlt
from taolite.artifacts.keys import Key
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.preprocessing import Preprocessing
from taolite.tasks.detectnet.cluster import Clustering
from tests.stages.test_infer import network

KEY = "tlt_encode"
CLASSES = ("red", "green")
ROW = Clustering(algorithm="nms", coverage_threshold=0.3, nms_iou_threshold=0.5).to_json()
META = OnnxMeta("detectnet", CLASSES, Preprocessing((64, 96), fit="stretch"), {"clusterings": [ROW, ROW]})


def write_detector(path: Path, *, key: str = KEY) -> Path:
    """The detector, sealed where the name does not end in .onnx."""
    onnx = onnx_graph.write_meta(network(), META)
    if path.suffix == ".onnx":
        path.write_bytes(onnx)
    else:
        write_etlt(path, Etlt(onnx=onnx, input_name="input_1", meta=onnx_graph.describe(onnx)), key=Key(key))
    return path


def picture() -> NDArray[np.uint8]:
    """(128, 192, 3): cell (row 1, column 2) all red, cell (row 3, column 5) green at 60 %; boxes double."""
    image = np.zeros((128, 192, 3), np.uint8)
    image[32:64, 64:96, 0] = 255
    image[96:128, 160:192, 1] = 153
    return image
