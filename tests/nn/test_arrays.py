"""Arrays of a file go into a network, or are refused by the name that does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from taolite.errors import ModelError
from taolite.nn.arrays import load_arrays, state_arrays


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weight": None}, "weight is missing"),
        ({"weight": None, "bias": None}, "weight is missing and 1 more"),
        ({"x\x1b[2J": np.zeros(1)}, "x\\x1b[2J belongs to no layer"),
        ({"weight": np.zeros((2, 5))}, "weight is 2x5 and 2x3 is needed"),
        ({"bias": np.float32(1)}, "bias is one number and 2 is needed"),
    ],
)
def test_arrays_that_do_not_fit_a_network_are_refused(changes, reason):
    layer = nn.Linear(3, 2)
    arrays = {name: value for name, value in {**state_arrays(layer), **changes}.items() if value is not None}

    with pytest.raises(ModelError) as caught:
        load_arrays(layer, arrays)

    assert str(caught.value) == (
        f"the stored tensors do not fit the stored structure ({reason}); restore the file from a backup, or train the "
        "model again"
    )


def test_arrays_that_fit_are_copied():
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    load_arrays(other, state_arrays(layer))

    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)
