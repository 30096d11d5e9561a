"""NMS inside an exported detector, for ONNX Runtime and OpenVINO.

What comes out is one tensor of fixed size in place of the raw outputs: `detections` (N, T, 6) float32, for each image
its T best finds by descending score, rows of

    class   1 for the first class, as background is 0; 0 where there are fewer finds than rows
    score   of 0..1
    x1, y1, x2, y2   relative corners, not clipped

and zeros to the end. ONNX's NonMaxSuppression itself gives a list whose length depends on the picture, which every
runtime hands out differently. Legend: N images, P priors, K classes, T rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from taolite.engines import onnx_graph
from taolite.errors import EngineError
from taolite.onnxfile import parse_onnx

__all__ = ["DETECTIONS", "append_nms"]

DETECTIONS = "detections"
_OLDEST_OPSET = 12  # of GatherND over a batch
_NOTHING = np.zeros(1, np.float32)


def append_nms(
    onnx: bytes,
    *,
    scores: str,
    boxes: str,
    confidence_threshold: float,
    nms_iou: float,
    top_k: int = 0,
    candidates: int = 0,
) -> bytes:
    """The model with hard NMS, class by class, behind its two outputs; its metadata is kept.

    Args:
        scores: the output (N, P, K + 1), background first; boxes: the output (N, P, 4), corners.
        confidence_threshold: a score has to be greater, 0 or more.
        nms_iou: a box that overlaps a better one of its class by more is dropped.
        top_k: most finds of a class, and T; 0 is no limit, and T then what the classes' candidates come to.
        candidates: only so many of a class are looked at, the best; 0 is all. Of equals at the end all are.

    Raises EngineError for an opset before 12.
    """
    import onnx_graphsurgeon as gs

    model = parse_onnx(onnx)
    graph = gs.import_onnx(model)
    if graph.opset < _OLDEST_OPSET:
        raise EngineError(
            f"NMS needs opset {_OLDEST_OPSET} or later, and this is opset {graph.opset}; ask for a later one"
        )
    outputs = {tensor.name: tensor for tensor in graph.outputs}
    scores_npk, boxes_np4 = outputs[scores], outputs[boxes]
    (batch, priors, channels), classes = scores_npk.shape, scores_npk.shape[2] - 1
    looked_at = min(candidates or priors, priors)
    most = min(top_k or looked_at, looked_at)
    rows = min(top_k or classes * looked_at, classes * looked_at)
    nodes = _Nodes(graph)
    found_nkp = nodes.add("Transpose", nodes.add("Slice", scores_npk, [1], [channels], [2]), perm=[0, 2, 1])
    if looked_at < priors:
        least = nodes.add("Slice", nodes.best(found_nkp, looked_at, 2)[0], [looked_at - 1], [looked_at], [2])
        found_nkp = nodes.add("Where", nodes.add("Less", found_nkp, least), _NOTHING, found_nkp)
    left_nkp = _suppressed(nodes, found_nkp, boxes_np4, most=most, iou=nms_iou, threshold=confidence_threshold)
    found = _rows(nodes, left_nkp, boxes_np4, rows=rows, classes=classes, priors=priors)
    found.dtype, found.shape = np.float32, (batch, rows, 6)
    graph.outputs = [found]
    grown = gs.export_onnx(graph)
    grown.metadata_props.extend(model.metadata_props)
    return onnx_graph.tidy(grown.SerializeToString(), output_names=[DETECTIONS])


class _Nodes:
    """Adds nodes to a graph of onnx_graphsurgeon."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> Any:
        """A node's only output; lists become int64 constants."""
        return self._graph.layer(op=operator, inputs=list(inputs), outputs=["nms"], attrs=attributes)[0]

    def best(self, values: Any, count: int, axis: int) -> Any:
        """The greatest values along an axis, descending, and their places."""
        return self._graph.layer(op="TopK", inputs=[values, [count]], outputs=["best", "best_at"], attrs={"axis": axis})


def _suppressed(nodes: _Nodes, found_nkp: Any, boxes_np4: Any, *, most: int, iou: float, threshold: float) -> Any:
    """(N, K, P) the scores that NMS keeps of each class, 0 for the others."""
    import onnx_graphsurgeon as gs

    kept_m3 = nodes.add(  # image, class, prior
        "NonMaxSuppression",
        boxes_np4,
        found_nkp,
        [most],
        np.array([iou], np.float32),
        np.array([threshold], np.float32),
    )
    blank = nodes.add("ConstantOfShape", nodes.add("Shape", found_nkp), value=gs.Constant("nms_blank", _NOTHING))
    return nodes.add("ScatterND", blank, kept_m3, nodes.add("GatherND", found_nkp, kept_m3))


def _rows(nodes: _Nodes, left_nkp: Any, boxes_np4: Any, *, rows: int, classes: int, priors: int) -> Any:
    """(N, T, 6) the best of all classes, zeros behind them."""
    score, place = nodes.best(nodes.add("Reshape", left_nkp, [0, classes * priors]), rows, 1)
    kind = nodes.add("Div", place, [priors])
    prior = nodes.add("Reshape", nodes.add("Sub", place, nodes.add("Mul", kind, [priors])), [0, rows, 1])
    score = nodes.add("Reshape", score, [0, rows, 1])
    number = nodes.add("Cast", nodes.add("Reshape", nodes.add("Add", kind, [1]), [0, rows, 1]), to=np.float32)
    found = nodes.add("Concat", number, score, nodes.add("GatherND", boxes_np4, prior, batch_dims=1), axis=2)
    return nodes.add("Where", nodes.add("Greater", score, _NOTHING), found, _NOTHING)
