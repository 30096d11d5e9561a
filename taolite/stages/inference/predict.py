"""Networks and engines behind one call: input pixels in, raw outputs out, whatever runs them; and what was found, in
pixels of the photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from taolite.preprocessing import Preprocessing
from taolite.sample import Detection
from taolite.stages.device import Device
from taolite.tasks.base import Task

__all__ = ["Predict", "in_photo", "torch_predict"]

Predict: TypeAlias = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
"""(N, C, H, W) float32 -> the raw outputs in the task's order, each (N, ...) float32."""


def torch_predict(network: torch.nn.Module, device: Device) -> Predict:
    """Predict with a torch network, in evaluation mode; it is left in that mode."""
    network = network.to(device.place, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(pixels_nchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        network.eval()
        batch = torch.from_numpy(pixels_nchw).to(device.place, memory_format=torch.channels_last)
        with torch.inference_mode(), device.reduced():
            outputs = network(batch)
        return tuple(output.float().cpu().numpy() for output in outputs)

    return predict


def in_photo(
    task: Task, found: Any, classes: Sequence[str], *, preprocessing: Preprocessing, photo_hw: tuple[int, int]
) -> list[Detection]:
    """What `task.decode` gave, by name, best first, with boxes in pixels of the photo."""
    named = task.detections(found, classes)
    boxes = np.array([one.box for one in named if one.box], np.float32).reshape(-1, 4)
    placed = iter(preprocessing.boxes_to_photo(boxes, photo_hw=photo_hw).tolist())
    return [replace(one, box=tuple(next(placed))) if one.box else one for one in named]
