"""Add NMS to the end of an exported SSD."""

from __future__ import annotations

from taolite.engines import onnx_graph
from taolite.engines.onnx_nms import append_nms
from taolite.errors import UsageError

__all__ = ["BOXES", "SCORES", "end_in_nms"]

SCORES, BOXES = "scores", "boxes"


def end_in_nms(onnx: bytes) -> bytes:
    """An exported SSD with the NMS of its own decoding added, for ONNX Runtime and OpenVINO; `decode` reads its rows,
    see `taolite.engines.onnx_nms`. Its metadata stays.

    Raises UsageError for soft NMS, EngineError for an opset before 12.
    """
    meta = onnx_graph.read_meta(onnx)
    assert meta is not None, "our exports say what they are"
    rule = meta.decoding
    if rule["method"] != "hard":
        raise UsageError("ONNX's NMS is the hard one, and this model is decoded by soft NMS: leave it to the host")
    return append_nms(
        onnx,
        scores=SCORES,
        boxes=BOXES,
        confidence_threshold=rule["confidence_threshold"],
        nms_iou=rule["nms_iou"],
        top_k=rule["top_k"],
        candidates=rule["candidates"],
    )
