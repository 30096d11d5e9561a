"""The moving average of weights, against the formula written out."""

from __future__ import annotations

import torch
from torch import nn

from taolite.nn.average import Average


def test_the_average_follows_the_weights_quickly_first_and_then_with_its_decay():
    network = nn.BatchNorm1d(1)
    average = Average(network, decay=0.5)
    expected = 1.0

    for step, value in enumerate([2.0, 4.0, 8.0, -1.0, 3.0, 5.0, 7.0, 9.0, 2.0, 6.0], start=1):
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(value)
            network.num_batches_tracked.fill_(step)
        average.update(network, step)
        kept = min(0.5, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value

    assert abs(float(average.network.weight) - expected) < 1e-6
    assert int(average.network.num_batches_tracked) == 10
    assert not average.network.training
    assert not average.network.weight.requires_grad
