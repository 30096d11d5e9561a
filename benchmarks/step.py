"""The training step against a plain float32 loop of the same network, and against its bare bfloat16 convolutions.

    python benchmarks/step.py [--rounds 7] [--tasks detectnet classification ssd] [--profile]

One thread, processor time, ways in turn, without the loader. The plain loop is what jetson-inference's train.py and
pytorch-ssd's train_ssd.py do: float32, the default memory layout, torch's default optimiser, the same cost. The bare
convolutions are the forward pass and both backward passes of every convolution, on tensors that are ready in bfloat16:
what a step would take if everything else were free. Pictures are drawn: no data set is needed.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from timing import in_turn, machine, ratio, table
from torch import nn
from trainers import Bench, classification, detectnet, ssd

from taolite.stages.device import Device, choose

TASKS: dict[str, tuple[str, Callable[[Path, Device], Bench]]] = {
    "detectnet": ("DetectNet_v2 ResNet-18, 512x384, batch 4", detectnet),
    "classification": ("classification ResNet-18, 224x224, batch 8", classification),
    "ssd": ("SSD MobileNet v1, 300x300, batch 4", ssd),
}
TAOLITE, PLAIN, BARE = "taolite", "plain", "bare"


def plain_loop(bench: Bench) -> Callable[[], None]:
    """A step of a loop as the first chapter of a textbook has it, on a copy of the network."""
    trainer, device = bench.trainer, bench.trainer._device.place
    network = copy.deepcopy(trainer.network).to(memory_format=torch.contiguous_format)
    objective = bench.experiment.objective()
    pixels = bench.batch.pixels.contiguous().to(device)
    targets = {name: value.to(device) for name, value in bench.batch.targets.items()}
    parameters = [one for one in network.parameters() if one.requires_grad]
    adam = isinstance(trainer._optimizer, torch.optim.Adam)
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(parameters, lr=1e-5) if adam else torch.optim.SGD(parameters, lr=1e-5, momentum=0.9)
    )
    network.train()

    def step() -> None:
        optimizer.zero_grad()
        cost = objective.cost(network(pixels), targets).total
        cost.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        cost.item()

    return step


def bare_convolutions(bench: Bench, dtype: torch.dtype = torch.bfloat16) -> Callable[[], None]:
    """The convolutions of one step alone, forward and backward, channels last."""
    network, seen = bench.trainer.network, list[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]]()

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        seen.append((layer, inputs[0], output))

    hooks = [one.register_forward_hook(note) for one in network.modules() if isinstance(one, nn.Conv2d)]
    with torch.no_grad(), bench.trainer._device.reduced():
        network(bench.batch.pixels.to(bench.trainer._device.place))
    for hook in hooks:
        hook.remove()
    work = []
    for index, (layer, inputs, output) in enumerate(seen):
        x, y, weight = (
            one.detach().to(dtype).contiguous(memory_format=torch.channels_last)
            for one in (inputs, output, layer.weight)
        )
        work.append((x, weight, torch.randn_like(y), layer, [index > 0, True, False]))

    def step() -> None:
        for x, weight, slope, layer, wanted in work:
            how: tuple[Any, ...] = (layer.stride, layer.padding, layer.dilation)
            torch.ops.aten.convolution(x, weight, None, *how, False, [0, 0], layer.groups)
            torch.ops.aten.convolution_backward(slope, x, weight, None, *how, False, [0, 0], layer.groups, wanted)

    return step


def measured(title: str, bench: Bench, rounds: int) -> tuple[str, ...]:
    ways = {TAOLITE: bench.step, PLAIN: plain_loop(bench), BARE: bare_convolutions(bench)}
    taken = in_turn(ways, rounds, warm_up=2, clock=time.process_time)
    return (
        title,
        *(f"{1000 * median(taken[name]):.0f}" for name in (TAOLITE, PLAIN, BARE)),
        f"{ratio(taken, PLAIN, TAOLITE):.2f}x",
        f"{100 * ratio(taken, BARE, TAOLITE):.0f} %",
    )


def profiled(title: str, bench: Bench, steps: int = 3) -> str:
    """Where a step's time goes, by operation: what takes 1 % or more."""
    for _ in range(2):
        bench.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            bench.step()
    events = sorted(found.key_averages(), key=lambda one: -one.self_cpu_time_total)
    whole = sum(one.self_cpu_time_total for one in events)
    rows = [
        (one.key, f"{one.self_cpu_time_total / 1000 / steps:.1f}", f"{100 * one.self_cpu_time_total / whole:.1f} %")
        for one in events
        if one.self_cpu_time_total >= whole / 100
    ]
    return f"{title}\n\n{table(('operation', 'ms a step', 'share'), rows)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default: 7)")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--profile", action="store_true", help="print where the step's time goes instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("torch"))
    print()
    rows = []
    for name in options.tasks:
        title, make = TASKS[name]
        with TemporaryDirectory() as folder:
            bench = make(Path(folder), choose())
            if options.profile:
                print(profiled(title, bench))
            else:
                rows.append(measured(title, bench, options.rounds))
    if rows:
        header = (
            "step",
            "taolite ms",
            "plain fp32 ms",
            "bare bf16 convolutions ms",
            "against plain",
            "of the bare rate",
        )
        print(table(header, rows))


if __name__ == "__main__":
    main()
