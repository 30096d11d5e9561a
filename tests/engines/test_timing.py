from __future__ import annotations

import torch

from taolite.engines.timing import latency_ms
from taolite.stages.exporting.to_onnx import to_onnx


def test_a_network_with_far_more_work_takes_longer():
    def written(channels):
        network = torch.nn.Sequential(torch.nn.Conv2d(3, channels, 3), torch.nn.Conv2d(channels, channels, 3))
        return to_onnx(network, channels=3, input_hw=(64, 64), output_names=["out"])

    small, large = latency_ms(written(2), threads=1), latency_ms(written(128), threads=1)

    assert 0 < 4 * small < large
