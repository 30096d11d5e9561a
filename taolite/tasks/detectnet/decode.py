"""Decode the network's two outputs: coverage and box planes -> objects. NumPy only, for edge devices.

Torch, ONNX Runtime, OpenVINO and TensorRT outputs all pass through `decode`. Legend: C classes, h x w grid cells,
N objects. A class's coverage plane holds 0..1 for each cell; its four box planes hold the distances from the cell's
reference point to the left, top, right and bottom edge, in units of `scale` pixels. The reference point is the
cell's top-left corner plus `offset` pixels, not its centre (reference/detectnet_v2.md 5.4).

Boxes are in pixels of the network input; `Preprocessing.boxes_to_photo` converts them to pixels of the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, clip_boxes
from taolite.errors import ModelError
from taolite.tasks.detectnet.cluster import Clustering, cluster
from taolite.tasks.found import Found

__all__ = ["OFFSET", "SCALE", "Clustering", "Found", "decode", "decode_grid"]

SCALE = 35.0  # pixels; the value in TAO's inference and in DeepStream's built-in parser
OFFSET = 0.5  # pixels


def decode_grid(
    bbox_chw: NDArray[np.floating[Any]],
    *,
    input_hw: tuple[int, int],
    scale: float = SCALE,
    offset: float = OFFSET,
    clip: bool = False,
) -> NDArray[np.float32]:
    """The box that every cell proposes, for every class.

    Args:
        bbox_chw: (4C, h, w) or (C, 4, h, w), the box planes, class after class: left, top, right, bottom.
        input_hw: (height, width) of the network input, pixels.
        scale: pixels of one unit of the planes.
        offset: pixels from a cell's top-left corner to its reference point.
        clip: clip boxes to the input, as TAO's evaluation does; no clipped box has a negative size.

    Returns:
        (C, h, w, 4) float32 boxes in pixels of the network input.

    >>> planes = np.float32([28.5, 30.5, 51.5, 49.5]).reshape(4, 1, 1) / 35
    >>> decode_grid(np.tile(planes, (1, 24, 78)), input_hw=(384, 1248))[0, 5, 8].round(3).tolist()
    [100.0, 50.0, 180.0, 130.0]
    """
    planes = np.asarray(bbox_chw, dtype=np.float32).reshape(-1, 4, *bbox_chw.shape[-2:]) * np.float32(scale)
    rows, columns = planes.shape[-2:]
    height, width = input_hw
    x_w = (np.arange(columns) * (width / columns) + offset).astype(np.float32)[None, None, :]
    y_h = (np.arange(rows) * (height / rows) + offset).astype(np.float32)[None, :, None]
    x1, y1, x2, y2 = x_w - planes[:, 0], y_h - planes[:, 1], x_w + planes[:, 2], y_h + planes[:, 3]
    if clip:
        x1, y1 = np.clip(x1, 0, width), np.clip(y1, 0, height)
        x2, y2 = np.clip(x2, x1, width), np.clip(y2, y1, height)
    return np.stack([x1, y1, x2, y2], axis=-1)


def decode(
    cov_chw: NDArray[np.floating[Any]],
    bbox_chw: NDArray[np.floating[Any]],
    *,
    input_hw: tuple[int, int],
    clusterings: Sequence[Clustering],
    scale: float = SCALE,
    offset: float = OFFSET,
    stride: int | None = None,
    clip: bool = True,
) -> Found:
    """The objects of one image.

    Args:
        cov_chw: (C, h, w) coverages 0..1, after the sigmoid.
        bbox_chw: (4C, h, w) or (C, 4, h, w) box planes, see `decode_grid`.
        input_hw: (height, width) of the network input, pixels.
        clusterings: one for each of the C classes, in the network's order.
        scale: pixels of one unit of the box planes.
        offset: pixels from a cell's top-left corner to its reference point.
        stride: the expected distance between cells, pixels, to check; None: no check against the model's stride.
        clip: clip candidates to the input before clustering, as TAO's evaluation does; False: cluster them unclipped,
            as TAO's inference does. The returned boxes lie inside the input in both cases.

    Returns:
        Found, sorted by descending score; equal scores stay in class order. All arrays are new.

    Raises:
        ModelError: the outputs do not fit each other, the classes or the stride, or hold values that are not finite.
    """
    _check_outputs(cov_chw, bbox_chw, num_classes=len(clusterings))
    pitch = round(input_hw[1] / cov_chw.shape[2])
    if stride is not None and pitch != stride:
        raise ModelError(
            f"stride is {stride}, and the cells of this model are {pitch} pixels apart; "
            "write that number, or leave the field out"
        )
    cov_chw = np.asarray(cov_chw, dtype=np.float32)
    grid_chw4 = decode_grid(bbox_chw, input_hw=input_hw, scale=scale, offset=offset, clip=clip)
    boxes: list[Boxes] = [np.zeros((0, 4), dtype=np.float32)]
    scores: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)]
    for cov_hw, grid_hw4, clustering in zip(cov_chw, grid_chw4, clusterings, strict=True):
        candidates_hw = cov_hw > clustering.coverage_threshold
        class_boxes, class_scores = cluster(grid_hw4[candidates_hw], cov_hw[candidates_hw], clustering)
        boxes.append(class_boxes)
        scores.append(class_scores)
    scores_n = np.concatenate(scores)
    classes_n = np.repeat(np.arange(-1, len(clusterings)), [len(part) for part in scores])
    order = np.argsort(-scores_n, kind="stable")
    return Found(clip_boxes(np.concatenate(boxes), hw=input_hw)[order], scores_n[order], classes_n[order])


def _check_outputs(cov: NDArray[np.floating[Any]], bbox: NDArray[np.floating[Any]], *, num_classes: int) -> None:
    cells = cov.shape[1:]
    if (
        cov.ndim != 3
        or len(cov) != num_classes
        or bbox.shape
        not in (
            (4 * num_classes, *cells),
            (num_classes, 4, *cells),
        )
    ):
        raise ModelError(
            f"the network gives coverage {cov.shape} and boxes {bbox.shape}; a list of {num_classes} class"
            f"{'' if num_classes == 1 else 'es'} needs ({num_classes}, h, w) and ({4 * num_classes}, h, w): "
            "list the classes the model was trained on"
        )
    if not (np.isfinite(cov).all() and np.isfinite(bbox).all()):
        raise ModelError(
            "the network's output holds values that are not finite; where an fp16 or int8 engine overflows, "
            "use fp32, otherwise train again with a lower learning rate"
        )
