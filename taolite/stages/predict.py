"""A torch network with the same call as an engine: input pixels in, raw outputs out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from taolite.stages.device import Device
from taolite.tasks.base import Predict

__all__ = ["torch_predict"]


def torch_predict(network: torch.nn.Module, device: Device) -> Predict:
    """Predict with a torch network. The network is put in evaluation mode and stays in it."""
    network = network.to(device.place, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(pixels_nchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        network.eval()
        batch = torch.from_numpy(pixels_nchw).to(device.place, memory_format=torch.channels_last)
        with torch.inference_mode(), device.reduced():
            outputs = network(batch)
        return tuple(output.float().cpu().numpy() for output in outputs)

    return predict
