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
    """The model with hard NMS, class by class, behind its two outputs; what it says of itself stays.

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
    (batch, priors, channels), classes = outputs[scores].shape, outputs[scores].shape[2] - 1
    looked_at = min(candidates or priors, priors)
    rows = min(top_k or classes * looked_at, classes * looked_at)
    nothing = np.zeros(1, np.float32)

    def add(operator: str, *inputs: Any, **attributes: Any) -> Any:
        """A node's only output; lists become int64 constants."""
        return graph.layer(op=operator, inputs=list(inputs), outputs=["nms"], attrs=attributes)[0]

    def best(values: Any, count: int, axis: int) -> Any:
        """The greatest values along an axis, descending, and their places."""
        return graph.layer(op="TopK", inputs=[values, [count]], outputs=["best", "best_at"], attrs={"axis": axis})

    found = add("Transpose", add("Slice", outputs[scores], [1], [channels], [2]), perm=[0, 2, 1])  # (N, K, P)
    if looked_at < priors:
        least = add("Slice", best(found, looked_at, 2)[0], [looked_at - 1], [looked_at], [2])
        found = add("Where", add("Less", found, least), nothing, found)
    kept = add(
        "NonMaxSuppression",
        outputs[boxes],
        found,
        [min(top_k or looked_at, looked_at)],
        np.array([nms_iou], np.float32),
        np.array([confidence_threshold], np.float32),
    )  # (M, 3): image, class, prior
    blank = add("ConstantOfShape", add("Shape", found), value=gs.Constant("nms_blank", nothing))
    left = add("ScatterND", blank, kept, add("GatherND", found, kept))
    score, place = best(add("Reshape", left, [0, classes * priors]), rows, 1)
    kind = add("Div", place, [priors])
    prior = add("Reshape", add("Sub", place, add("Mul", kind, [priors])), [0, rows, 1])
    score = add("Reshape", score, [0, rows, 1])
    number = add("Cast", add("Reshape", add("Add", kind, [1]), [0, rows, 1]), to=np.float32)
    found = add("Concat", number, score, add("GatherND", outputs[boxes], prior, batch_dims=1), axis=2)
    found = add("Where", add("Greater", score, nothing), found, nothing)
    found.dtype, found.shape = np.float32, (batch, rows, 6)
    graph.outputs = [found]
    grown = gs.export_onnx(graph)
    grown.metadata_props.extend(model.metadata_props)
    return onnx_graph.tidy(grown.SerializeToString(), output_names=[DETECTIONS])
