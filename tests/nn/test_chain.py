"""Convolutions in a row."""

from __future__ import annotations

import torch

from taolite.nn.chain import Chain, Conv


def test_a_kernel_that_steps_over_a_map_of_one_pixel_has_its_gradient_in_bfloat16_too():
    chain = Chain(64, (Conv("a", 64, kernel=3, stride=2, padding=1, activation="none"),)).to(
        memory_format=torch.channels_last
    )
    torch.manual_seed(0)
    x = torch.rand(4, 64, 1, 1).to(memory_format=torch.channels_last)
    weight = chain.a.weight
    assert isinstance(weight, torch.nn.Parameter)
    (wanted,) = torch.autograd.grad(chain(x).sum(), weight)

    for _ in range(8):  # what the memory holds that is not written to is chance; here it holds no numbers
        poison = torch.full((400_000,), torch.nan)
        del poison
        with torch.autocast("cpu", torch.bfloat16):
            cost = chain(x).float().sum()
        (found,) = torch.autograd.grad(cost, weight)
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)
