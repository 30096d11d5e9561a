"""Batch norms and quantisers of several processes see the batch as one would; threads stand in for processes."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from taolite.nn.across import Across, look_across
from taolite.nn.batchnorm import BatchNorm
from taolite.nn.fake_quant import ActivationQuantizer

SHARES = ((0, 3), (3, 4), (4, 9))  # of a batch of 9, uneven


class Table:
    """What `torch.distributed` does for processes, for threads: everybody lays something down, everybody sees it."""

    def __init__(self, count: int) -> None:
        self._own = threading.local()
        self._laid: list[Tensor] = [torch.empty(0)] * count
        self._all = threading.Barrier(count, timeout=20)

    def sit(self, rank: int) -> None:
        self._own.rank = rank

    def side_by_side(self, tensor: Tensor) -> Tensor:
        self._laid[self._own.rank] = tensor.clone()
        self._all.wait()
        seen = torch.stack(self._laid)
        self._all.wait()
        return seen

    def across(self) -> Across:
        return Across(
            total=lambda tensor: tensor.copy_(self.side_by_side(tensor).sum(0)),
            largest=lambda tensor: tensor.copy_(self.side_by_side(tensor).amax(0)),
            side_by_side=self.side_by_side,
        )


def in_threads(work: Callable[[int], None]) -> None:
    """work(rank) in a thread for each share, at a table that the layers use."""
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            work(rank)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(SHARES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("kind", [BatchNorm, nn.BatchNorm2d])
def test_a_shared_batch_norm_gives_the_outputs_gradients_and_statistics_of_the_whole_batch(kind: type[nn.BatchNorm2d]):
    generator = torch.Generator().manual_seed(2)
    x, slope = (torch.randn(9, 5, 4, 6, generator=generator, dtype=torch.float64) * 3 + 7 for _ in range(2))
    whole = kind(5, eps=1e-3, momentum=0.1).double()
    with torch.no_grad():
        whole.weight.copy_(torch.randn(5, generator=generator))
        whole.bias.copy_(torch.randn(5, generator=generator))
    parts = [copy.deepcopy(whole) for _ in SHARES]
    inputs = [x[first:last].clone().requires_grad_() for first, last in SHARES]
    outputs: dict[int, Tensor] = {}
    table = Table(len(SHARES))
    for part in parts:
        look_across(part, table.across())

    def work(rank: int) -> None:
        table.sit(rank)
        for _ in range(3):  # the moving statistics follow
            outputs[rank] = parts[rank](inputs[rank])
        (outputs[rank] * slope[slice(*SHARES[rank])]).sum().backward()

    # backward calls the autograd engine, whose thread for the processor is the caller's: the table knows its rank
    in_threads(work)
    x.requires_grad_()
    for _ in range(3):
        expected = whole(x)
    (expected * slope).sum().backward()

    assert torch.cat([outputs[rank] for rank in range(3)]).allclose(expected, atol=1e-12)
    assert x.grad is not None
    assert torch.cat([one.grad for one in inputs]).allclose(x.grad, atol=1e-12)
    for name in ("weight", "bias"):
        summed = sum(getattr(part, name).grad for part in parts)
        assert summed.allclose(getattr(whole, name).grad, atol=1e-12)
    for part in parts:
        for name, value in whole.state_dict().items():
            assert part.state_dict()[name].allclose(value, atol=1e-12), name
    assert isinstance(parts[0], kind)


def test_one_value_in_each_process_is_a_batch_of_as_many():
    x = torch.tensor([1.0, 2.0, 6.0]).view(3, 1, 1, 1)
    parts, outputs, table = [BatchNorm(1, eps=0.0).train() for _ in SHARES], {}, Table(len(SHARES))
    for part in parts:
        look_across(part, table.across())

    def work(rank: int) -> None:
        table.sit(rank)
        outputs[rank] = float(parts[rank](x[rank : rank + 1]).detach())

    in_threads(work)

    # mean 3, variance (4 + 1 + 9) / 3
    assert [outputs[rank] for rank in range(3)] == pytest.approx([v / (14 / 3) ** 0.5 for v in (-2, -1, 3)], rel=1e-6)
    assert [float(part.running_var) for part in parts] == pytest.approx([7.0] * 3)  # unbiased: 14 / 2


def test_in_evaluation_mode_nobody_waits_for_anybody():
    part = BatchNorm(3)
    look_across(part, Table(3).across())

    assert torch.equal(part.eval()(torch.ones(2, 3, 1, 1)), BatchNorm(3).eval()(torch.ones(2, 3, 1, 1)))


def test_a_shared_quantiser_learns_the_range_of_the_whole_batch():
    x = torch.randn(9, 2, 3, 3, generator=torch.Generator().manual_seed(4))
    parts, table = [ActivationQuantizer().train() for _ in SHARES], Table(len(SHARES))
    for part in parts:
        look_across(part, table.across())

    def work(rank: int) -> None:
        table.sit(rank)
        parts[rank](x[slice(*SHARES[rank])])

    in_threads(work)

    whole = ActivationQuantizer().train()
    whole(x)
    assert [float(part.range) for part in parts] == [float(whole.range)] * 3
