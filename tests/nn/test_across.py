"""Batch norms, quantisers and dropouts of several processes see the batch as one would."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from taolite.nn.across import Across, look_across
from taolite.nn.batchnorm import BatchNorm
from taolite.nn.drop_rows import DropRows
from taolite.nn.fake_quant import ActivationQuantizer
from tests.nn.table import Table

Shares = tuple[tuple[int, int], ...]
SHARES: Shares = ((0, 3), (3, 4), (4, 9))  # of a batch of 9, uneven


def shared(table: Table) -> Across:
    """Layers that meet at `table`. None of them draws, so nobody asks for the places of a thread."""
    return Across(range(3), 9, table.total, table.largest, table.side_by_side)


def alone(places: range, batch_size: int) -> Across:
    """A process that meets nobody."""
    return Across(places, batch_size, lambda x: x, lambda x: x, lambda x: x[None])


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
        look_across(part, shared(table))

    def work(rank: int) -> None:
        for _ in range(3):  # the moving statistics follow
            outputs[rank] = parts[rank](inputs[rank])
        (outputs[rank] * slope[slice(*SHARES[rank])]).sum().backward()

    # backward calls the autograd engine, whose thread for the processor is the caller's: the table knows its rank
    table.work(work)
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
        look_across(part, shared(table))

    def work(rank: int) -> None:
        outputs[rank] = float(parts[rank](x[rank : rank + 1]).detach())

    table.work(work)

    # mean 3, variance (4 + 1 + 9) / 3
    assert [outputs[rank] for rank in range(3)] == pytest.approx([v / (14 / 3) ** 0.5 for v in (-2, -1, 3)], rel=1e-6)
    assert [float(part.running_var) for part in parts] == pytest.approx([7.0] * 3)  # unbiased: 14 / 2


def test_in_evaluation_mode_nobody_waits_for_anybody():
    part = BatchNorm(3)
    look_across(part, shared(Table(3)))

    assert torch.equal(part.eval()(torch.ones(2, 3, 1, 1)), BatchNorm(3).eval()(torch.ones(2, 3, 1, 1)))


def test_a_shared_quantiser_learns_the_range_of_the_whole_batch():
    x = torch.randn(9, 2, 3, 3, generator=torch.Generator().manual_seed(4))
    parts, table = [ActivationQuantizer().train() for _ in SHARES], Table(len(SHARES))
    for part in parts:
        look_across(part, shared(table))

    def work(rank: int) -> None:
        parts[rank](x[slice(*SHARES[rank])])

    table.work(work)

    whole = ActivationQuantizer().train()
    whole(x)
    assert [float(part.range) for part in parts] == [float(whole.range)] * 3


@pytest.mark.parametrize("kind", [nn.Dropout, DropRows])
@pytest.mark.parametrize("shape", [(64,), (8, 6, 5)])
@pytest.mark.parametrize("shares", [((0, 4), (4, 9)), SHARES])
def test_processes_draw_the_masks_of_one_bit_for_bit(kind: type[nn.Dropout], shape: tuple[int, ...], shares: Shares):
    x = torch.randn(9, *shape, generator=torch.Generator().manual_seed(6))
    if len(shape) == 3:
        x = x.contiguous(memory_format=torch.channels_last)

    def dropped(first: int, last: int) -> Tensor:
        layers = nn.Sequential(kind(0.3), kind(0.2))
        look_across(layers, alone(range(first, last), 9))
        torch.manual_seed(11)
        return torch.cat([layers(x[first:last]), layers(x[first:last])], dim=1)

    whole = dropped(0, 9)
    assert torch.equal(torch.cat([dropped(*share) for share in shares]), whole)
    assert not torch.equal(*whole.chunk(2, dim=1))  # the second time other masks
    assert 0.3 < (whole == 0).float().mean() < 0.6  # 1 - 0.7 * 0.8 = 0.44


def test_rows_are_dropped_as_a_whole_and_the_others_make_up_for_them():
    torch.manual_seed(3)
    y = DropRows(0.25)(torch.ones(4000, 2, 3, 1))

    rows = y.flatten(1)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    assert sorted(set(y.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert float(y.mean()) == pytest.approx(1, abs=0.03)


def test_nothing_is_dropped_in_evaluation_mode():
    layers = nn.Sequential(nn.Dropout(0.5), DropRows(0.5)).eval()
    look_across(layers, alone(range(2), 4))

    assert torch.equal(layers(torch.ones(2, 3)), torch.ones(2, 3))


@pytest.mark.parametrize("kind", [BatchNorm, nn.BatchNorm2d])
def test_a_processor_loses_no_digits_of_a_large_channel(kind: type[nn.BatchNorm2d]):
    x = torch.randn(4, 3, 200, 300, generator=torch.Generator().manual_seed(1)) + torch.tensor([0.0, 1.0, 300.0]).view(
        1, 3, 1, 1
    )
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    x, exact = x.contiguous(memory_format=torch.channels_last), x.double()
    layer, whole = kind(3, eps=1e-5, momentum=1.0), kind(3, eps=1e-5, momentum=1.0).double()
    look_across(layer, alone(range(4), 4))

    y = layer(x.requires_grad_())
    (y * slope).sum().backward()
    wanted = nn.functional.batch_norm(exact.requires_grad_(), None, None, whole.weight, whole.bias, True, 1.0, 1e-5)
    (wanted * slope).sum().backward()

    # 300 has 3e-5 as its last place
    limits = torch.tensor([2e-6, 2e-6, 4e-5]).view(1, 3, 1, 1)
    assert ((y - wanted).abs() < limits * (1 + wanted.abs())).all()
    assert x.grad is not None
    assert exact.grad is not None
    assert ((x.grad - exact.grad).abs() < 1e-4).all()
    variance, mean = torch.var_mean(exact.detach(), dim=(0, 2, 3))
    assert layer.running_var.tolist() == pytest.approx(variance.tolist(), rel=2e-6)
    assert layer.running_mean.tolist() == pytest.approx(mean.tolist(), rel=1e-6, abs=1e-7)
