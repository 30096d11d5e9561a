"""The DetectNet_v2 network: any backbone, with two 1x1 heads on its last layer or on a layer inside it.

`output_cov` is, for each class, the coverage of a cell by an object (0..1). `output_bbox` holds the four distances
left, top, right, bottom of class c in channels 4c .. 4c+3 (class-major, linear; reference 5.1).

State-dict keys are `backbone.<TAO layer name>.<tensor>`, `output_cov.weight`, `output_cov.bias`,
`output_bbox.weight`, `output_bbox.bias`. `DetectNet.architecture` and `build` convert the network, pruned or not, to
and from JSON.

Shapes: N images, C classes, H x W input pixels, h x w grid cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from taolite.errors import ModelError
from taolite.nn.backbone import Backbone
from taolite.nn.backbones import backbone_from_config
from taolite.nn.fake_quant import is_quantized, quantize, strip
from taolite.nn.network import TaskNetwork
from taolite.nn.structure import channels_of, resize
from taolite.tasks.detectnet.use import HEADS

__all__ = ["MAX_CLASSES", "DetectNet", "build"]

MAX_CLASSES = 4096
"""Bound on what a file may ask for."""

_PROBE = 256  # pixels, wide enough for every backbone


class DetectNet(TaskNetwork):
    """Backbone and heads.

    Args:
        backbone: the feature network; owned by this one from now on.
        num_classes: C, one or more.
        cov_bias: initial bias of the coverage logits; TAO's 0 gives an initial coverage of 0.5, -4 gives 0.018.
        bbox_bias: initial bias of the distances, in units of the box outputs.
        inputs: for each head of HEADS, the name of its input layer, or a unique part of that name; "" or absent: the
            last layer. Backbone layers after both input layers are dropped.

    Raises ModelError for a number of classes outside 1..MAX_CLASSES, and for layers that do not exist or whose grids
    differ.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        cov_bias: float = 0.0,
        bbox_bias: float = 0.0,
        inputs: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        if type(num_classes) is not int or not 1 <= num_classes <= MAX_CLASSES:
            raise ModelError(f"DetectNet: num_classes is {num_classes}; it needs to be 1 to {MAX_CLASSES}")
        self.backbone = backbone
        self.num_classes = num_classes
        self.inputs = _resolve(backbone, inputs)
        channels = [backbone.out_channels] * 2
        if self.inputs:
            shapes = backbone.shapes((_PROBE, _PROBE))
            channels = [shapes[layer][0] for layer in self.inputs.values()]
            backbone.cut(max(self.inputs.values(), key=list(shapes).index))
        self.output_cov = nn.Conv2d(channels[0], num_classes, 1)
        self.output_bbox = nn.Conv2d(channels[1], 4 * num_classes, 1)
        self._reset_heads(cov_bias, bbox_bias)

    def grid_hw(self, input_hw: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of the outputs for an input of `input_hw` pixels. Computes no outputs.

        Raises ModelError for an input smaller than one cell.
        """
        arch, stride = self.backbone.arch, self.backbone.stride
        if min(input_hw) < stride:
            size = f"{input_hw[1]} x {input_hw[0]}"
            raise ModelError(f"{arch} sees {stride} x {stride} pixels a cell; an input of {size} is smaller than one")
        traced = strip(self).to("meta").eval()
        cov, _ = traced(torch.empty(1, self.backbone.in_channels, *input_hw, device="meta"))
        return cov.shape[2], cov.shape[3]

    def forward(self, x_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """Input (N, 3 or 1, H, W), RGB or grey / 255 -> cov (N, C, h, w) in 0..1 and bbox (N, 4C, h, w), float32."""
        logits, bbox = self.forward_logits(x_nchw)
        return torch.sigmoid(logits), bbox

    def forward_logits(self, x_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with coverage before the sigmoid, for a loss that stays finite.

        The heads run in float32 under autocast too: at a distance of 350 pixels, bfloat16 would round to 1.4 pixels.
        """
        cov, bbox = self._features(x_nchw)
        device = cov.device.type
        if device != "meta" and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._heads(cov.float(), bbox.float())
        return self._heads(cov, bbox)

    def architecture(self) -> dict[str, Any]:
        """A JSON value from which `build` makes the same network with fresh weights.

        The value includes pruned channel counts and whether the backbone is quantised.
        """
        return {
            "network": self.backbone.arch,
            **self.backbone.config,
            "num_classes": self.num_classes,
            **({"inputs": self.inputs} if self.inputs else {}),
            "channels": channels_of(self),
            "quantized": is_quantized(self),
        }

    def reset_parameters(self) -> None:
        """Draw a fresh network from torch's global generator, in layer order."""
        self.backbone.reset_parameters()
        self._reset_heads()

    def renew_heads(self, num_classes: int) -> None:
        """Replace the heads by fresh ones for `num_classes` classes; the features do not change."""
        self.num_classes = num_classes
        self.output_cov = nn.Conv2d(self.output_cov.in_channels, num_classes, 1)
        self.output_bbox = nn.Conv2d(self.output_bbox.in_channels, 4 * num_classes, 1)
        self._reset_heads()

    def _features(self, x_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs of the two heads."""
        if not self.inputs:
            features = self.backbone(x_nchw)
            return features, features
        wanted = set(self.inputs.values())
        seen: dict[str, Tensor] = {}
        for name, activation in self.backbone.walk(x_nchw):
            if name in wanted:
                seen[name] = activation
            if len(seen) == len(wanted):
                break
        cov, bbox = (seen[self.inputs[head]] for head in HEADS)
        return cov, bbox

    def _heads(self, cov: Tensor, bbox: Tensor) -> tuple[Tensor, Tensor]:
        return self.output_cov(cov).float(), self.output_bbox(bbox).float()

    def _reset_heads(self, cov_bias: float = 0.0, bbox_bias: float = 0.0) -> None:
        for head, bias in ((self.output_cov, cov_bias), (self.output_bbox, bbox_bias)):
            assert head.bias is not None
            nn.init.xavier_uniform_(head.weight)
            nn.init.constant_(head.bias, bias)


def _resolve(backbone: Backbone, inputs: Mapping[str, str]) -> dict[str, str]:
    """The input layer of each head; empty where both heads use the last layer."""
    if not any(inputs.values()):
        return {}
    shapes = backbone.shapes((_PROBE, _PROBE))
    found = {head: backbone.find(part) if (part := inputs.get(head, "")) else list(shapes)[-1] for head in HEADS}
    cov, bbox = (shapes[layer][1:] for layer in found.values())
    if cov != bbox:
        on = " and ".join(f"{head} on {layer}" for head, layer in found.items())
        raise ModelError(f"DetectNet: {on} have grids of different size; put both on layers of the same stride")
    return found


def build(architecture: Mapping[str, Any]) -> DetectNet:
    """The network that `architecture` describes, on the CPU, with fresh weights for `load_state_dict` to replace.

    The value may come from an untrusted file, so every field is checked. Channel counts must not exceed those of the
    unpruned network and must fit together; both are checked before memory is allocated.

    Raises ModelError where a field is missing, of the wrong type or out of range, or the counts do not fit.
    """
    with torch.device("meta"):
        backbone = backbone_from_config(architecture)
        num_classes, channels = architecture.get("num_classes"), architecture.get("channels")
        if type(num_classes) is not int:
            raise ModelError(f"the stored structure's num_classes is {num_classes!r}; it needs to be of type int")
        if channels is not None and not isinstance(channels, Mapping):
            raise ModelError("the stored structure's channels are not a table of layers")
        model = DetectNet(backbone, num_classes, inputs=_checked_inputs(architecture))
        if channels is not None:
            resize(model, channels)
        model.eval()  # only shapes are checked; batch statistics are not needed
        try:
            model.forward_logits(torch.empty(1, model.backbone.in_channels, _PROBE, _PROBE))
        except RuntimeError as error:
            raise ModelError(f"the stored structure's channel counts do not fit together: {error}") from error
    model.to_empty(device="cpu")
    model.reset_parameters()
    if architecture.get("quantized", False):  # older files, from before quantisation-aware training, lack this field
        quantize(model.backbone)
    return model.train()


def _checked_inputs(architecture: Mapping[str, Any]) -> Mapping[str, str]:
    inputs = architecture.get("inputs", {})
    if not isinstance(inputs, Mapping) or not all(head in HEADS and type(inputs[head]) is str for head in inputs):
        raise ModelError(f"the stored structure's inputs are {inputs!r}; they need to be a layer's name for each head")
    return inputs
