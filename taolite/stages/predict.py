"""Networks and engines behind one call: input pixels in, raw outputs out, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from taolite.stages.device import Device

__all__ = ["Predict", "torch_predict"]

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
