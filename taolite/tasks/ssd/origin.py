"""What an SSD starts from: random weights, a pretrained backbone, or an earlier SSD."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from taolite.artifacts.bundle import Bundle, read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.errors import ModelError, PathError
from taolite.nn.arrays import fingerprint, load_arrays
from taolite.nn.batchnorm import forget_statistics
from taolite.nn.fake_quant import forget_ranges, is_quantized, strip
from taolite.nn.inputs import swap_colours
from taolite.nn.weights import Weights
from taolite.tasks.base import Begun, Resolve
from taolite.tasks.diagnosing import loaded_from
from taolite.tasks.ssd.model import Ssd, boxes_per_cell, build, build_ssd, quantize_features, set_input
from taolite.tasks.ssd.plan import SsdPlan
from taolite.tasks.ssd.use import USE
from taolite.tasks.ssd.weights import Extent, load_start, read_start
from taolite.wording import counted

__all__ = ["begin"]

_EXTENTS: dict[str, Extent] = {"backbone": "backbone", "ssd": "features", "whole": "whole"}


def begin(plan: SsdPlan, *, resolve: Resolve, key: Key | None) -> Begun[Ssd]:
    """The plan's network with the weights it starts from, quantised as the plan says. `key` opens a sealed
    model. Raises PathError, ArtifactError, ModelError."""
    torch.manual_seed(plan.recipe.seed)
    begun = _begin(plan, resolve=resolve, key=key)
    network, said = _as_quantised_as_asked(begun.network, plan)
    return dataclasses.replace(begun, network=network, notices=(*begun.notices, *said))


def _begin(plan: SsdPlan, *, resolve: Resolve, key: Key | None) -> Begun[Ssd]:
    """The plan's network with the weights it starts from."""
    origin, num_classes = plan.origin, len(plan.classes)
    if origin.kind == "random":
        network = build_ssd(plan.network, num_classes, plan.priors)
        return Begun(network, ("no pretrained weights: training starts from random ones",))
    path = origin.path
    if not path.startswith("torchvision://"):
        path = str(resolve(origin.path))
        if not Path(path).is_file():
            raise PathError(f"{path}: there are no weights to start from; correct the path, or start without")
        if sniff(Path(path)) is Kind.BUNDLE and (bundle := read_bundle(Path(path), key=key)).task == USE.name:
            return _trained_before(plan, bundle, path)
    weights = read_start(path, key=key)
    network = build_ssd(plan.network, num_classes, plan.priors, graph=weights.graph)
    report = load_start(network, weights, _EXTENTS[origin.kind])
    if network.normalises and plan.preprocessing.bgr:
        swap_colours(network)
    set_input(network, plan.preprocessing)
    loaded = f"{path}: {counted(len(report.loaded), 'layer')} loaded into the {network.backbone.graph} graph"
    fresh = (f"begin at random: {', '.join(report.fresh)}",) if report.fresh else ()
    own = dict(network.backbone.named_children())
    taken = loaded_from(
        path,
        len(report.loaded),
        learned=weights.preprocessing if isinstance(weights, Weights) else None,
        given=plan.preprocessing,
        adapts=network.normalises,
        fresh=[layer for layer in report.fresh if layer in own],
        skipped=report.skipped,
    )
    return Begun(network, (loaded, *fresh), parent=fingerprint(weights.tensors), loaded=taken)


def _trained_before(plan: SsdPlan, bundle: Bundle, path: str) -> Begun[Ssd]:
    """The plan's network with all weights of an earlier SSD, pruned or not; the heads are kept only if the classes are
    the same. The input size may differ, because convolutions do not depend on it."""
    stored, channels = bundle.architecture, bundle.architecture["channels"]
    fresh = build_ssd(plan.network, len(bundle.classes), plan.priors, graph=stored.get("graph"))
    built = fresh.architecture()
    differs = [name for name in ("net", "network", "pred_num_channels") if built[name] != stored.get(name)]
    if differs or set(built["channels"]) != set(channels):
        raise ModelError(
            f"{path} is a {_make(stored)} of {len(channels)} layers and the spec asks for a {_make(built)} of "
            f"{len(built['channels'])}; network, backbone, depth and pred_num_channels must agree with the spec "
            "that it was trained with"
        )
    if (had := boxes_per_cell(stored)) != (asked := boxes_per_cell(built)):
        raise ModelError(
            f"{path} has {_listed(had)} anchors in the cells of its maps and the spec asks for {_listed(asked)}; write "
            "aspect_ratios, or aspect_ratios_global, and two_boxes_for_ar1 as in the spec that it was trained with, or "
            "start from a backbone"
        )
    network = build({**built, "channels": channels, "quantized": stored["quantized"]})
    load_arrays(network, bundle.tensors)
    forget_statistics(network)
    if network.normalises and plan.preprocessing.bgr != bundle.preprocessing.bgr:
        swap_colours(network)
    set_input(network, plan.preprocessing)
    notices = [f"{path}: the network is taken from this file"]
    if bundle.classes != plan.classes:
        names = f"its classes were {', '.join(bundle.classes)}; now {', '.join(plan.classes)}"
        if plan.origin.kind == "whole":
            raise ModelError(f"{path}: {names}; to begin with its features alone, give it as pretrained weights")
        network.renew_heads(len(plan.classes))
        notices.append(f"{path}: {names}: its heads begin at random")
    taken = None
    if not network.normalises:
        taken = loaded_from(path, len(channels), learned=bundle.preprocessing, given=plan.preprocessing, adapts=False)
    return Begun(network, tuple(notices), bundle.lineage, weights_hash(bundle.tensors), Path(path), taken)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _make(architecture: Mapping[str, Any]) -> str:
    depth = architecture.get("num_layers") or ""
    return f"{architecture.get('net')} on {architecture.get('network')}{depth}"


def _as_quantised_as_asked(network: Ssd, plan: SsdPlan) -> tuple[Ssd, tuple[str, ...]]:
    """`network` with everything but its heads quantised if the plan asks for it, else not quantised; ranges are learned
    anew."""
    was = is_quantized(network)
    if plan.quantised:
        count = quantize_features(network)
        forget_ranges(network)
        goes_on = "goes on" if was else "begins"
        text = f"enable_qat: training {goes_on} with 8-bit kernels and inputs in {count} convolutions; heads stay float"
        return network, (text,)
    if was:
        return strip(network), ("enable_qat is false and the loaded model is quantised: its quantisation is taken off",)
    return network, ()
