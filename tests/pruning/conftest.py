from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from taolite.pruning.groups import convolutions


@pytest.fixture
def silence():
    """The oracle of pruning: a copy of the dense network in which the dropped channels are exactly 0.

    The filters and the bias of each are zeroed, and gamma and beta of the batch norm that reads the convolution; which
    one that is, is told by the very tensor that passes from one to the other in a forward pass.
    """

    def silence(dense, plan):
        twin = copy.deepcopy(dense)
        norms = _norms(twin, torch.zeros(plan.input_shape))
        layers = convolutions(twin)
        with torch.no_grad():
            for name, kept in plan.kept.items():
                gone = sorted(set(range(plan.depths[name])) - set(kept))
                for layer in (layers[name], norms.get(layers[name])):
                    for tensor in layer.parameters() if layer is not None else ():
                        tensor[gone] = 0
        return twin

    return silence


@pytest.fixture
def livelier():
    """Give the batch norms of a network statistics, scales and shifts that matter, so that every channel does."""

    def livelier(network):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.7, 1.4)
                nn.init.uniform_(module.bias, -0.3, 0.5)
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        return network

    return livelier


def _norms(network, x):
    """{convolution: the batch norm that reads its output}."""
    made, norms, hooks = {}, {}, []

    def note(norm, args):
        if id(args[0]) in made:
            norms[made[id(args[0])][0]] = norm

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda conv, _, out: made.update({id(out): (conv, out)})))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(note))
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return norms
