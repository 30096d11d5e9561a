"""The SSD network, pytorch-ssd's or TAO's: a backbone, extra convolutions that make smaller feature maps, and two heads
on each map.

The heads give K + 1 logits, background first, and four offsets for each of P priors. In training the network returns
these two for the loss. In evaluation mode it returns scores and boxes: softmax and the decoding of offsets are part of
the network, thresholds and NMS are not. So an artifact, its ONNX and the engines built from it give the same outputs.

State-dict keys are `backbone.<layer>.<tensor>`, `extras.<i>.<layer>.<tensor>`, `conf_heads.<i>...`, `loc_heads.<i>...`,
with the layer names of `tasks.ssd.nets`; `predictions.<i>...` with `pred_num_channels`; `tap_norm...` in vgg16-ssd.
`Ssd.architecture` and `build` save and restore the network, pruned or not, as JSON.

Shapes: N images, C input channels, H x W input pixels, K classes without background, P priors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self

from taolite.errors import ModelError
from taolite.nn.backbone import Backbone, Graph
from taolite.nn.backbones import backbone_from_config
from taolite.nn.chain import Chain, Conv
from taolite.nn.fake_quant import Shortcut, is_quantized, quantize, strip
from taolite.nn.inputs import undo_preprocessing
from taolite.nn.network import TaskNetwork
from taolite.nn.structure import channels_of, resize
from taolite.preprocessing import Preprocessing
from taolite.tasks.base import ParameterGroup
from taolite.tasks.ssd.coding import decode_tensor
from taolite.tasks.ssd.nets import MAPS, anatomy, build_base_net
from taolite.tasks.ssd.plan import Level, NetworkPlan, PriorPlan
from taolite.tasks.ssd.priors import priors

__all__ = [
    "MAX_CLASSES",
    "Part",
    "Ssd",
    "boxes_per_cell",
    "build",
    "build_ssd",
    "freeze",
    "parameter_groups",
    "quantize_features",
    "set_input",
]

MAX_CLASSES = 4096
MAX_INPUT = 4096  # pixels, of the height and of the width
MAX_BOXES = 64  # priors in a cell
"""Limits on the values that a file may contain."""

PRED_CHANNELS = (0, 256, 512, 1024)

Part = Literal["backbone", "extras", "heads"]
"""Parts with their own learning rate and freezing; `extras` is everything between the other two."""

Sizes = Sequence[tuple[int, int]]


class Ssd(TaskNetwork):
    """An SSD network.

    Args:
        net: one of `nets.NETS`.
        backbone: the feature network of `net`; the SSD owns it from now on.
        num_classes: K, one or more, background not counted.
        input_hw: (height, width), pixels; the priors, and so the outputs, are made for this size.
        plan_priors: (rows, columns) of the six maps -> their priors.
        pred_num_channels: channels of TAO's prediction module on each map; 0 for no module.

    Raises ModelError for values out of range, for a backbone that does not match `net`, for an input that is too small,
    and for priors of another number of maps.
    """

    priors_p4: Tensor

    def __init__(
        self,
        net: str,
        backbone: Backbone,
        num_classes: int,
        *,
        input_hw: tuple[int, int],
        plan_priors: Callable[[Sizes], PriorPlan],
        pred_num_channels: int = 0,
    ) -> None:
        super().__init__()
        if type(num_classes) is not int or not 1 <= num_classes <= MAX_CLASSES:
            raise ModelError(f"SSD: num_classes is {num_classes}; it needs to be 1 to {MAX_CLASSES}")
        if not all(type(side) is int and 1 <= side <= MAX_INPUT for side in input_hw):
            raise ModelError(
                f"SSD: the input is {input_hw[1]} x {input_hw[0]}; sides need to be 1 to {MAX_INPUT} pixels"
            )
        if pred_num_channels not in PRED_CHANNELS:
            raise ModelError(f"SSD: pred_num_channels is {pred_num_channels}; it needs to be 0, 256, 512 or 1024")
        self.anatomy = anatomy(net, backbone)
        self.net = net
        self.backbone = backbone
        self.num_classes = num_classes
        self.input_hw = input_hw
        self.pred_num_channels = pred_num_channels
        self.frozen: frozenset[Part] = frozenset()

        shapes = backbone.shapes(input_hw)
        self.taps = tuple(name or list(shapes)[-1] for name in self.anatomy.taps)
        widths = [shapes[name][0] for name in self.taps]
        self.tap_norm = nn.BatchNorm2d(widths[0]) if self.anatomy.normed_tap else None
        keras = self.anatomy.keras
        self.extras = nn.ModuleList()
        channels = backbone.out_channels
        for convs in self.anatomy.extras:
            chain = Chain(channels, convs, keras_norms=keras)
            self.extras.append(chain)
            channels = chain.out_channels
            widths.append(channels)
        self.predictions = nn.ModuleList()
        if pred_num_channels:
            self.predictions.extend(_Prediction(i, width, pred_num_channels) for i, width in enumerate(widths))
            widths = [pred_num_channels] * len(widths)

        self._sizes = self.map_sizes(input_hw)
        self.prior_plan = plan_priors(self._sizes)
        if len(self.prior_plan.levels) != len(self._sizes):
            raise ModelError(f"SSD: {len(self._sizes)} maps, and priors of {len(self.prior_plan.levels)}")
        boxes = [len(level.boxes) for level in self.prior_plan.levels]
        count = sum(rows * columns * b for (rows, columns), b in zip(self._sizes, boxes, strict=True))
        # Constants of the graph, so not part of the state dict.
        self.register_buffer("priors_p4", torch.empty(count, 4), persistent=False)
        self._make_heads(widths)
        self.reset_parameters(backbone=False)

    def architecture(self) -> dict[str, Any]:
        """A JSON value from which `build` makes the same network with fresh weights. It includes pruned channel counts
        and whether the network is quantised."""
        return {
            "net": self.net,
            "network": self.backbone.arch,
            **self.backbone.config,
            "num_classes": self.num_classes,
            "input_hw": list(self.input_hw),
            "pred_num_channels": self.pred_num_channels,
            "priors": self.prior_plan.to_json(),
            "channels": channels_of(self),
            "quantized": is_quantized(self),
        }

    @property
    def in_channels(self) -> int:
        """C."""
        return self.backbone.in_channels

    @property
    def normalises(self) -> bool:
        """Whether the backbone's weights expect RGB (or grey) / 255, unless `set_input` changes it."""
        return self.backbone.graph in ("torchvision", "tensorflow")

    def map_sizes(self, input_hw: tuple[int, int]) -> list[tuple[int, int]]:
        """(rows, columns) of the feature maps for an input of `input_hw` pixels; nothing is computed.

        Raises ModelError for an input too small.
        """
        traced = strip(self).to("meta").eval()
        try:
            maps = traced._maps(torch.empty(1, self.in_channels, *input_hw, device="meta"))
        except RuntimeError as error:
            size = f"{input_hw[1]} x {input_hw[0]}"
            small = "its last maps are smaller than its convolutions; give it a larger one"
            raise ModelError(f"{self.net} does not take an input of {size} pixels: {small}") from error
        return [(one.shape[2], one.shape[3]) for one in maps]

    def forward(self, x_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> in training the result of `forward_logits`; in evaluation mode scores (N, P, K + 1), which
        add up to 1 for each prior, and boxes (N, P, 4), relative corners (x1, y1, x2, y2), not clipped."""
        logits, offsets = self.forward_logits(x_nchw)
        if self.training:
            return logits, offsets
        return torch.softmax(logits, dim=2), decode_tensor(offsets, self.priors_p4, self.prior_plan.variances)

    def training_outputs(self, x_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and offsets; see `TaskNetwork.training_outputs`."""
        return self.forward_logits(x_nchw)

    def forward_logits(self, x_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> logits (N, P, K + 1) and offsets from the priors (N, P, 4), both float32.

        The heads run in float32 under autocast too, because decoding multiplies the offsets by the input size.
        """
        maps = self._maps(x_nchw)
        device = x_nchw.device.type
        if device != "meta" and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._heads([one.float() for one in maps])
        return self._heads(maps)

    def reset_parameters(self, *, backbone: bool = True) -> None:
        """Initialise all weights from torch's global generator, in layer order; without `backbone`, the backbone's
        weights stay."""
        if backbone:
            self.backbone.reset_parameters()
        if self.tap_norm is not None:
            self.tap_norm.reset_parameters()
        for part in (*self.extras, *self.predictions):
            cast(Chain | _Prediction, part).reset_parameters()
        self._reset_heads()
        if not self.priors_p4.is_meta:
            self.priors_p4.copy_(torch.from_numpy(priors(self.prior_plan, self._sizes)))

    def renew_heads(self, num_classes: int) -> None:
        """Replace the heads by newly initialised ones for another number of classes; the feature maps do not change."""
        self.num_classes = num_classes
        self._make_heads([cast(Chain, head).in_channels for head in self.conf_heads])
        self._reset_heads()

    def parts(self) -> dict[Part, tuple[nn.Module, ...]]:
        """The modules of each part."""
        norm = () if self.tap_norm is None else (self.tap_norm,)
        return {
            "backbone": (self.backbone,),
            "extras": (*norm, self.extras, self.predictions),
            "heads": (self.conf_heads, self.loc_heads),
        }

    def train(self, mode: bool = True) -> Self:
        """Training mode; the batch norms of frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self.frozen:
            for module in self.parts()[part]:
                module.eval()
        return self

    def _maps(self, x_nchw: Tensor) -> list[Tensor]:
        seen: dict[str, Tensor] = {}
        x = x_nchw
        for name, x in self.backbone.walk(x_nchw):
            if name in self.taps:
                seen[name] = x
        maps = [seen[name] for name in self.taps]
        if self.tap_norm is not None:
            maps[0] = self.tap_norm(maps[0])
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        return [module(one) for module, one in zip(self.predictions, maps, strict=True)] if self.predictions else maps

    def _heads(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        logits, offsets = (
            torch.cat([_rows(head(one), width) for head, one in zip(heads, maps, strict=True)], dim=1).float()
            for heads, width in ((self.conf_heads, self.num_classes + 1), (self.loc_heads, 4))
        )
        return logits, offsets

    def _make_heads(self, widths: Sequence[int]) -> None:
        """Make heads for maps with these channel counts; each head has as many boxes a cell as the priors."""
        self.conf_heads, self.loc_heads = nn.ModuleList(), nn.ModuleList()
        for i, (width, level) in enumerate(zip(widths, self.prior_plan.levels, strict=True)):
            for kind, heads, numbers in (("conf", self.conf_heads, self.num_classes + 1), ("loc", self.loc_heads, 4)):
                convs = self.anatomy.head(f"ssd_{kind}_{i}", len(level.boxes) * numbers, i)
                heads.append(Chain(width, convs, keras_norms=self.anatomy.keras))

    def _reset_heads(self) -> None:
        he_normal = partial(nn.init.kaiming_normal_, nonlinearity="relu")
        for head in (*self.conf_heads, *self.loc_heads):
            cast(Chain, head).reset_parameters(he_normal if self.anatomy.keras else nn.init.xavier_uniform_)


class _Prediction(nn.Module):
    """TAO's prediction module on map `index` (reference/tao_classification_ssd.md 4.4): three 1x1 convolutions in a
    row, added to a single parallel 1x1 convolution. No convolution has a bias."""

    def __init__(self, index: int, inputs: int, channels: int) -> None:
        super().__init__()

        def conv(number: int, outputs: int, activation: Literal["relu", "none"]) -> Conv:
            return Conv(
                f"ssd_mpred_conv_{number}_block_{index}",
                outputs,
                bias=False,
                bn=f"ssd_mpred_bn_{number}_block_{index}",
                activation=activation,
            )

        inner = channels // 4
        convs = (conv(0, inner, "relu"), conv(1, inner, "relu"), conv(2, channels, "none"))
        self.inner = Chain(inputs, convs, keras_norms=True)
        self.outer = Chain(inputs, (conv(3, channels, "none"),), keras_norms=True)
        self.shortcut = Shortcut()

    def forward(self, x_nchw: Tensor) -> Tensor:
        return nn.functional.relu(self.inner(x_nchw) + self.shortcut(self.outer(x_nchw)))

    def reset_parameters(self) -> None:
        self.inner.reset_parameters()
        self.outer.reset_parameters()


def build_ssd(
    plan: NetworkPlan, num_classes: int, plan_priors: Callable[[Sizes], PriorPlan], *, graph: Graph | None = None
) -> Ssd:
    """The network of `plan` with weights newly initialised from torch's global generator.

    Args:
        num_classes: K, background not counted.
        plan_priors: (rows, columns) of the six maps -> their priors; the heads take the number of boxes a cell from it.
        graph: the graph of the backbone weights that will be loaded (`weights.read_start`); None for the network's own.

    Raises ModelError as `Ssd` does, and for a backbone that does not exist.
    """
    return Ssd(
        plan.net,
        build_base_net(plan, graph),
        num_classes,
        input_hw=plan.input_hw,
        plan_priors=plan_priors,
        pred_num_channels=plan.pred_num_channels,
    )


def set_input(network: Ssd, preprocessing: Preprocessing) -> None:
    """Make a new network, in place, undo `preprocessing` if its backbone normalises its input; any other network stays
    as it is."""
    if network.normalises:
        undo_preprocessing(network.backbone, preprocessing)


def freeze(network: Ssd, parts: Collection[Part]) -> None:
    """Freeze these parts in place: their parameters and batch-norm statistics stay fixed. The other parts train, except
    for the layers that `freeze_blocks` freezes."""
    network.frozen = frozenset(parts)
    for part in network.frozen:
        for module in network.parts()[part]:
            module.requires_grad_(False)
    network.train(network.training)


def parameter_groups(network: Ssd, rates: Mapping[Part, float]) -> list[ParameterGroup]:
    """The optimiser's groups of trained parameters, each with its `rate`; a part that does not train has no group."""
    groups: list[ParameterGroup] = []
    for part, modules in network.parts().items():
        trained = [one for module in modules for one in module.parameters() if one.requires_grad]
        if trained:
            groups.append({"params": trained, "rate": rates[part]})
    return groups


def quantize_features(network: Ssd) -> int:
    """Quantise everything but the heads in place (`nn.fake_quant`). Returns the number of quantised convolutions."""
    return sum(quantize(module) for part in ("backbone", "extras") for module in network.parts()[part])


def build(architecture: Mapping[str, Any]) -> Ssd:
    """The network that `architecture` describes, on the CPU, with fresh weights for `load_state_dict` to replace.

    The value may come from an untrusted file. So every field is checked, and nothing is allocated before the channel
    counts are known to fit together and to be no larger than those of the unpruned network.

    Raises ModelError where a field is missing, of the wrong type or out of range, or where the counts do not fit.
    """
    input_hw, channels = _field(architecture, "input_hw", list), _field(architecture, "channels", dict)
    if len(input_hw) != 2:
        raise ModelError(f"the stored structure's input_hw is {input_hw}; it needs two numbers")
    plan = _prior_plan(_field(architecture, "priors", dict))
    with torch.device("meta"):
        network = Ssd(
            _field(architecture, "net", str),
            backbone_from_config(architecture),
            _field(architecture, "num_classes", int),
            input_hw=(input_hw[0], input_hw[1]),
            plan_priors=lambda _: plan,
            pred_num_channels=_field(architecture, "pred_num_channels", int),
        )
        resize(network, channels)
        network.eval()  # only shapes are needed, so batch-norm statistics must not change
        try:
            outputs = network.forward_logits(torch.empty(1, network.in_channels, *network.input_hw))
        except RuntimeError as error:
            raise ModelError(f"the stored structure's channel counts do not fit together: {error}") from error
    wanted = len(network.priors_p4)
    if any(one.shape[1] != wanted for one in outputs):
        raise ModelError(f"the stored structure's heads give {outputs[0].shape[1]} boxes and there are {wanted} priors")
    network.to_empty(device="cpu")
    network.reset_parameters()
    if _field(architecture, "quantized", bool):
        quantize_features(network)
    return network.train()


def boxes_per_cell(architecture: Mapping[str, Any]) -> list[int]:
    """The number of priors in a cell of each map. Raises ModelError where the stored architecture does not give it."""
    return [len(level.boxes) for level in _prior_plan(_field(architecture, "priors", dict)).levels]


def _prior_plan(value: Mapping[str, Any]) -> PriorPlan:
    """Check a value that `PriorPlan.to_json` made, and return the plan."""
    levels, variances, clip = _field(value, "levels", list | tuple), value.get("variances"), value.get("clip")
    if len(levels) != MAPS or not all(isinstance(level, Mapping) for level in levels):
        raise ModelError(f"the stored structure's priors need {MAPS} levels")
    if clip not in ("none", "centres", "corners"):
        raise ModelError(f"the stored structure's clip is {clip!r}; it needs to be none, centres or corners")
    made = []
    for level in levels:
        boxes = level.get("boxes")
        if not isinstance(boxes, (list, tuple)) or not 1 <= len(boxes) <= MAX_BOXES:
            raise ModelError(f"the stored structure's priors need 1 to {MAX_BOXES} boxes a cell")
        sides = [_floats(box, 2, positive=True) for box in boxes]
        step, offset = _floats(level.get("step_yx"), 2, positive=True), _floats(level.get("offset_yx"), 2)
        made.append(Level(tuple((w, h) for w, h in sides), (step[0], step[1]), (offset[0], offset[1])))
    x, y, w, h = _floats(variances, 4, positive=True)
    return PriorPlan(tuple(made), (x, y, w, h), clip)


def _floats(value: object, count: int, *, positive: bool = False) -> list[float]:
    """Exactly `count` finite numbers."""
    if (
        not isinstance(value, (list, tuple))
        or len(value) != count
        or not all(type(one) in (int, float) for one in value)
    ):
        raise ModelError(f"the stored structure's priors hold {value!r}; {count} numbers are needed")
    if not all(math.isfinite(one) and (one > 0 or not positive) for one in value):
        kind = "finite numbers above 0" if positive else "finite numbers"
        raise ModelError(f"the stored structure's priors hold {list(value)}; they need to be {kind}")
    return [float(one) for one in value]


def _field(values: Mapping[str, Any], name: str, kind: Any) -> Any:
    if not isinstance(values.get(name), kind) or (kind is int and type(values[name]) is not int):
        found = repr(values[name]) if name in values else "missing"
        wanted = getattr(kind, "__name__", "list")
        raise ModelError(f"the stored structure's {name} is {found}; it needs to be of type {wanted}")
    return values[name]


def _rows(map_nchw: Tensor, width: int) -> Tensor:
    """(N, boxes * width, h, w) -> (N, h * w * boxes, width): ordered by cell, then by box in the cell."""
    return map_nchw.permute(0, 2, 3, 1).reshape(map_nchw.shape[0], -1, width)
