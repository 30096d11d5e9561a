"""The moving statistics: a plain average first, Keras's moving average after that."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from taolite.nn.batchnorm import BatchNorm, forget_statistics, kept_statistics, measure_statistics


def feed(norm: nn.Module, batches: list[torch.Tensor]) -> None:
    norm.train()
    for batch in batches:
        norm(batch)


def make_batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [3 + 0.1 * torch.randn(4, 2, 5, 5, generator=generator) for _ in range(count)]


def test_the_first_batches_are_averaged_plainly():
    norm, batches = BatchNorm(2, momentum=0.01), make_batches(7)

    feed(norm, batches)

    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in batches])
    variances = torch.stack([batch.var(dim=(0, 2, 3)) for batch in batches])
    torch.testing.assert_close(norm.running_mean, means.mean(dim=0))
    torch.testing.assert_close(norm.running_var, variances.mean(dim=0))


def test_later_batches_count_by_the_momentum():
    norm, batches = BatchNorm(2, momentum=0.25), make_batches(6)

    feed(norm, batches)

    mean = torch.zeros(2)
    for n, batch in enumerate(batches, start=1):
        share = max(0.25, 1 / n)
        mean = (1 - share) * mean + share * batch.mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, mean)


def test_statistics_measured_between_batches_do_not_change_how_much_later_batches_count():
    norm, batches = BatchNorm(2, momentum=0.25), make_batches(6)
    feed(norm, batches[:5])
    measure_statistics([norm], (norm(batch) for batch in batches[:2]))
    measured = norm.running_mean.clone()

    norm(batches[5])

    torch.testing.assert_close(norm.running_mean, 0.75 * measured + 0.25 * batches[5].mean(dim=(0, 2, 3)))


def test_past_the_first_batches_torch_compile_compiles_no_more():
    norm, batches, compiled = BatchNorm(2, momentum=0.25), make_batches(12), []

    def count(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> object:
        compiled.append(graph)
        return graph

    feed(norm, batches[:4])
    norm.compile(backend=count)
    feed(norm, batches[4:6])
    before = len(compiled)

    feed(norm, batches[6:])

    assert before > 0
    assert len(compiled) == before


def test_outputs_are_those_of_torchs_batch_norm_in_training_and_evaluation():
    ours, theirs, (batch, other) = BatchNorm(2, momentum=0.01), nn.BatchNorm2d(2, momentum=None), make_batches(2)

    torch.testing.assert_close(ours(batch), theirs(batch))
    torch.testing.assert_close(ours.eval()(other), theirs.eval()(other))


def test_a_restored_norm_goes_on_counting():
    batches = make_batches(6)
    whole = BatchNorm(2, momentum=0.01)
    feed(whole, batches)
    first, second = BatchNorm(2, momentum=0.01), BatchNorm(2, momentum=0.01)
    feed(first, batches[:3])
    feed(second, batches[:1])
    second.load_state_dict(copy.deepcopy(first.state_dict()))

    feed(second, batches[3:])

    assert torch.equal(second.running_mean, whole.running_mean)
    assert torch.equal(second.running_var, whole.running_var)


def test_forgetting_lets_the_next_batch_replace_the_statistics():
    network, (old, new) = nn.Sequential(BatchNorm(2, momentum=0.01)), make_batches(2)
    feed(network, [old] * 5)
    before = network[0].running_mean.clone()

    forget_statistics(network)

    assert torch.equal(network[0].running_mean, before)
    feed(network, [new])
    torch.testing.assert_close(network[0].running_mean, new.mean(dim=(0, 2, 3)))


def test_a_single_value_is_normalised_by_the_moving_statistics_and_does_not_count():
    norm = BatchNorm(2, momentum=0.5)
    feed(norm, make_batches(3))
    before, count = norm.running_mean.clone(), int(norm.num_batches_tracked)
    one = torch.tensor([5.0, 1.0]).view(1, 2, 1, 1)

    out = norm(one)

    wanted = (one.flatten() - before) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(out.flatten(), wanted)
    torch.testing.assert_close(norm.running_mean, before)
    assert int(norm.num_batches_tracked) == count


@pytest.mark.parametrize("kind", [BatchNorm, nn.BatchNorm2d])
def test_statistics_are_measured_over_all_that_passes_by_the_norms_that_keep_theirs(kind: type[nn.BatchNorm2d]):
    network = nn.Sequential(kind(2), nn.ReLU(), kind(2)).train()
    network[2].eval()
    batches = [batch + 0.5 * number for number, batch in enumerate(make_batches(6))]

    (kept,) = kept_statistics(network)
    measure_statistics([kept], (network(batch) for batch in batches))

    inputs = torch.cat([network[:2](batch) for batch in batches])  # the first norm takes each batch by its own
    assert kept is network[2]
    torch.testing.assert_close(kept.running_mean, inputs.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(kept.running_var, inputs.var(dim=(0, 2, 3)), rtol=0.02, atol=0)  # 99 of 100 in a batch
    assert kept.momentum == 0.1
