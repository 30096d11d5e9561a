"""SSD as the stages see it: the answers of `taolite.tasks.base.Task`, for TAO's specs and pytorch-ssd's alike.

What the methods take as `spec` is a `Bound` one: the spec, and the plan that was read out of it.
Legend: K classes without background, P priors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from taolite import spec as specs
from taolite.artifacts.bundle import Bundle, read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.data.examples import Examples
from taolite.errors import ModelError, PathError
from taolite.nn.arrays import fingerprint, load_arrays, state_arrays
from taolite.nn.batchnorm import forget_statistics
from taolite.nn.fake_quant import forget_ranges, is_quantized, strip
from taolite.nn.inputs import swap_colours
from taolite.preprocessing import Preprocessing
from taolite.sample import Detection, Truth
from taolite.scorecard import AP, ScoreCard
from taolite.tasks.base import Outputs, Recipe, Resolve, Schedule, Shapes, Split, Start, Watch
from taolite.tasks.boxes import Found, boxes_by_name
from taolite.tasks.services import without_secrets
from taolite.tasks.ssd import jetson, tao
from taolite.tasks.ssd.decode import decode
from taolite.tasks.ssd.examples import ssd_examples
from taolite.tasks.ssd.loss import SsdObjective
from taolite.tasks.ssd.model import (
    HEADS,
    Part,
    Ssd,
    architecture,
    boxes_per_cell,
    build,
    build_ssd,
    freeze,
    parameter_groups,
    quantize_features,
    set_input,
)
from taolite.tasks.ssd.plan import PriorPlan, SsdPlan
from taolite.tasks.ssd.priors import priors
from taolite.tasks.ssd.scoring import ssd_card
from taolite.tasks.ssd.spec import Command, SsdSpec, check_needs
from taolite.tasks.ssd.targets import ssd_targets
from taolite.tasks.ssd.weights import Extent, load_start, read_start

__all__ = ["TASK", "Bound", "SsdTask"]

_EXTENTS: dict[str, Extent] = {"backbone": "backbone", "ssd": "features", "whole": "whole"}


@dataclass(frozen=True)
class Bound:
    """A spec and what it decides."""

    spec: SsdSpec
    plan: SsdPlan

    @cached_property
    def layout(self) -> tuple[PriorPlan, list[tuple[int, int]]]:
        """The priors, and (rows, columns) of the feature maps they lie on; nothing is computed for it."""
        with torch.device("meta"):
            network = build_ssd(self.plan.network, len(self.plan.classes), self.plan.priors)
        return network.prior_plan, network.map_sizes(self.plan.network.input_hw)


class SsdTask:
    """See the protocol for what each method promises.

    Args:
        command: what a spec of TAO's is read for, which decides what has to be in it.
        weights: the model behind TAO's `train -m`, "" for none.
    """

    name = "ssd"
    title = "SSD"
    metric = AP
    onnx_outputs: tuple[str, ...] = ("scores", "boxes")
    network_type = 0

    def __init__(self, *, command: Command = "export", weights: str = "") -> None:
        self._command = command
        self._weights = weights

    def read_spec(
        self, path: Path, *, resolve: Resolve = Path, classes: Sequence[str] | None = None
    ) -> specs.Reading[Bound]:
        reading = specs.read(path, SsdSpec)
        check_needs(reading.model, self._command, path=path)
        return specs.Reading(self.bind(reading.model, resolve=resolve, classes=classes), reading.warnings)

    def bind(self, spec: SsdSpec, *, resolve: Resolve = Path, classes: Sequence[str] | None = None) -> Bound:
        """`spec` with its plan; `classes` as in `read_spec`."""
        if spec.jetson_config is not None:
            plan = jetson.plan_of(spec.jetson_config, resolve=resolve, classes=classes)
        else:
            plan = tao.plan_of(spec, weights=self._weights)
        return Bound(spec, plan)

    def spec_text(self, spec: Bound) -> str:
        training = spec.spec.training_config
        public = spec.spec if training is None else without_secrets(spec.spec, "training_config")
        return specs.dumps(public, defaults=True)

    def classes(self, spec: Bound) -> tuple[str, ...]:
        return spec.plan.classes

    def recipe(self, spec: Bound) -> Recipe:
        return spec.plan.recipe

    def watch(self, spec: Bound) -> Watch:
        return spec.plan.watch

    def schedule(self, spec: Bound) -> Schedule:
        return spec.plan.schedule()

    def preprocessing(self, spec: Bound) -> Preprocessing:
        return spec.plan.preprocessing

    def run_files(self, spec: Bound) -> Mapping[str, str]:
        return spec.plan.run_files

    def output_shapes(self, network: nn.Module, spec: Bound) -> Shapes:
        assert isinstance(network, Ssd)
        count = len(network.priors_p4)
        return (count, network.num_classes + 1), (count, 4)

    def examples(
        self,
        spec: Bound,
        *,
        split: Split,
        resolve: Resolve,
        augment: bool,
        output_shapes: Shapes | None = None,
    ) -> Examples:
        plan, encoder = spec.plan, None
        if output_shapes is not None:
            prior_plan, sizes = spec.layout
            encoder = ssd_targets(prior_plan, sizes, plan.matching, input_hw=plan.preprocessing.input_hw)
        return ssd_examples(plan, split, resolve=resolve, augment=augment, encoder=encoder)

    def start(self, spec: Bound, *, resolve: Resolve, key: Key | None) -> Start:
        plan = spec.plan
        torch.manual_seed(plan.recipe.seed)
        begun = _begin(plan, resolve=resolve, key=key)
        network = begun.network
        assert isinstance(network, Ssd)
        network, said = _as_quantised_as_asked(network, plan)
        rates = dataclasses.asdict(plan.rates)
        freeze(network, [part for part in network.parts() if rates[part] is None])
        return dataclasses.replace(begun, network=network, notices=(*begun.notices, *said))

    def objective(self, spec: Bound) -> SsdObjective:
        prior_plan, sizes = spec.layout
        return SsdObjective(spec.plan.cost, priors(prior_plan, sizes), prior_plan.variances)

    def parameter_groups(self, network: nn.Module, spec: Bound) -> list[dict[str, Any]]:
        assert isinstance(network, Ssd)
        rates = spec.plan.rates
        shares: dict[Part, float | None] = {"backbone": rates.backbone, "extras": rates.extras, "heads": rates.heads}
        return parameter_groups(network, {part: share for part, share in shares.items() if share is not None})

    def regularised(self, network: nn.Module, spec: Bound) -> Sequence[nn.Parameter]:
        """Kernels of the convolutions."""
        return [
            parameter
            for layer in network.modules()
            if isinstance(layer, nn.Conv2d)
            for name, parameter in layer.named_parameters(recurse=False)
            if name == "weight"
        ]

    def bundle(
        self, network: nn.Module, *, spec: Bound, lineage: tuple[Mapping[str, Any], ...], extra: Mapping[str, Any]
    ) -> Bundle:
        assert isinstance(network, Ssd)
        return Bundle(
            task=self.name,
            architecture=architecture(network),
            classes=self.classes(spec),
            preprocessing=self.preprocessing(spec),
            tensors=state_arrays(network),
            spec=self.spec_text(spec),
            lineage=lineage,
            decoding=self.decoding(spec),
            extra=extra,
        )

    def network(self, bundle: Bundle) -> nn.Module:
        network = build(bundle.architecture)
        load_arrays(network, bundle.tensors)
        set_input(network, bundle.preprocessing)
        return network.eval()

    def architecture(self, network: nn.Module) -> Mapping[str, Any]:
        assert isinstance(network, Ssd)
        return architecture(network)

    def heads(self) -> tuple[str, ...]:
        return HEADS

    def decoding(self, spec: Bound) -> dict[str, Any]:
        return dict(spec.plan.decoding)

    def decode(self, outputs: Outputs, decoding: Mapping[str, Any], *, preprocessing: Preprocessing) -> Found:
        return decode(outputs, decoding, preprocessing=preprocessing)

    def detections(self, found: Found, classes: Sequence[str]) -> list[Detection]:
        return boxes_by_name(found, classes)

    def score(self, truths: Sequence[Truth], founds: Sequence[Found], *, spec: Bound) -> ScoreCard:
        plan = spec.plan
        return ssd_card(truths, founds, names=plan.classes, scoring=plan.scoring, input_hw=plan.preprocessing.input_hw)


def _begin(plan: SsdPlan, *, resolve: Resolve, key: Key | None) -> Start:
    """The plan's network with the weights it starts from."""
    origin, num_classes = plan.origin, len(plan.classes)
    if origin.kind == "random":
        network = build_ssd(plan.network, num_classes, plan.priors)
        return Start(network, ("no pretrained weights: training starts from random ones",))
    path = origin.path
    if not path.startswith("torchvision://"):
        path = str(resolve(origin.path))
        if not Path(path).is_file():
            raise PathError(f"{path}: there are no weights to start from; correct the path, or start without")
        if sniff(Path(path)) is Kind.BUNDLE and (bundle := read_bundle(Path(path), key=key)).task == SsdTask.name:
            return _trained_before(plan, bundle, path)
    weights = read_start(path, key=key)
    network = build_ssd(plan.network, num_classes, plan.priors, graph=weights.graph)
    report = load_start(network, weights, _EXTENTS[origin.kind])
    if network.normalises and plan.preprocessing.bgr:
        swap_colours(network)
    set_input(network, plan.preprocessing)
    loaded = f"{path}: {len(report.loaded)} layers loaded into the {network.backbone.graph} graph"
    fresh = (f"begin at random: {', '.join(report.fresh)}",) if report.fresh else ()
    return Start(network, (loaded, *fresh), parent=fingerprint(weights.tensors))


def _trained_before(plan: SsdPlan, bundle: Bundle, path: str) -> Start:
    """The plan's network with everything of an earlier one, pruned or not; with its heads where the classes are the
    same. Its input may have another size: the convolutions are the same."""
    stored, channels = bundle.architecture, bundle.architecture["channels"]
    fresh = build_ssd(plan.network, len(bundle.classes), plan.priors, graph=stored.get("graph"))
    built = architecture(fresh)
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
    return Start(network, tuple(notices), bundle.lineage, weights_hash(bundle.tensors))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _make(architecture: Mapping[str, Any]) -> str:
    depth = architecture.get("num_layers") or ""
    return f"{architecture.get('net')} on {architecture.get('network')}{depth}"


def _as_quantised_as_asked(network: Ssd, plan: SsdPlan) -> tuple[Ssd, tuple[str, ...]]:
    """`network` with all but its heads quantised where the plan says so, and only there; ranges are learned anew."""
    was = is_quantized(network)
    if plan.quantised:
        count = quantize_features(network)
        forget_ranges(network)
        goes_on = "goes on" if was else "begins"
        text = f"enable_qat: training {goes_on} with 8-bit kernels and inputs in {count} convolutions; heads stay float"
        return network, (text,)
    if was:
        stripped = strip(network)
        assert isinstance(stripped, Ssd)
        return stripped, ("enable_qat is false and the loaded model is quantised: its quantisation is taken off",)
    return network, ()


TASK = SsdTask()
