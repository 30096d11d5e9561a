"""A detector that finds the plates of the tiny data set, made in a second: random features, and heads that ridge
regression fits to the targets of all its pictures, those of the validation too."""

from __future__ import annotations

from pathlib import Path

import torch

from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.container import KdfCost
from taolite.artifacts.keys import Key
from taolite.data.loading import batches
from taolite.stages.bundles import bundle_of
from taolite.tasks.registry import find


def write_fitted(spec: Path, output: Path, *, key: str) -> Path:
    """Write a fitted detector of the experiment in `spec` to `output`."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    experiment = find("detectnet").read(spec).model
    start = experiment.start(key=None)
    network = start.network
    splits = [experiment.examples(split, shapes=start.shapes) for split in ("train", "val")]
    parts = [next(batches(split, range(len(split)), batch_size=len(split))) for split in splits]
    pixels = torch.cat([part.pixels for part in parts])
    cov, bbox = (torch.cat([part.targets[name] for part in parts]) for name in ("cov", "bbox"))
    with torch.no_grad():
        network.train()
        network(pixels)  # statistics of the batch norms
        network.eval()
        features = network.backbone(pixels).movedim(1, -1).flatten(0, 2)
        inside = cov.movedim(1, -1).flatten(0, 2) > 0
        _fit(network.output_cov, features, torch.where(inside, 4.0, -4.0))
        here = inside[:, 0]
        _fit(network.output_bbox, features[here], bbox.flatten(1, 2).movedim(1, -1).flatten(0, 2)[here])
    output.parent.mkdir(parents=True, exist_ok=True)
    bundle = bundle_of(experiment, network, lineage=({"stage": "train"},))
    write_bundle(output, bundle, key=Key(key), cost=KdfCost(memory_kib=8, iterations=1))
    return output


def _fit(head: torch.nn.Conv2d, features: torch.Tensor, wanted: torch.Tensor) -> None:
    """Give a 1x1 convolution the weights that come nearest to `wanted`, rows of its outputs."""
    rows = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    ridge = rows.T @ rows + 1e-1 * torch.eye(rows.shape[1], dtype=torch.float64)
    found = torch.linalg.solve(ridge, rows.T @ wanted.double()).float()
    head.weight.copy_(found[:-1].T[:, :, None, None])
    head.bias.copy_(found[-1])
