"""The networks of image classification: TAO's architectures on our backbones, and torchvision's networks by name.

Both are a `Classifier`: pixels in, one number per class out. In training mode it returns logits, for a loss that stays
finite. In evaluation mode it returns scores, so that an artifact, its ONNX and its engines give the same outputs.
State-dict keys and inputs:

    TaoClassifier          `backbone.<TAO layer name>.<tensor>`, `head.predictions.<tensor>`; input as the spec's
                           preprocess_mode gives it where the backbone has the tao graph, else RGB / 255
    TorchvisionClassifier  `body.network.<torchvision's name>`; input RGB / 255

`Classifier.architecture` and `build` carry either, pruned or not, through JSON.

Shapes: N images, K classes, C input channels, H x W input pixels.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from typing_extensions import Self

from taolite.errors import ModelError
from taolite.nn.activations import ACTIVATIONS
from taolite.nn.backbone import Backbone, Graph
from taolite.nn.backbones import backbone_from_config, build_backbone
from taolite.nn.batchnorm import keep_statistics
from taolite.nn.network import TaskNetwork
from taolite.nn.structure import channels_of, resize
from taolite.nn.torchvision_network import MAX_INPUT, TorchvisionNetwork
from taolite.tasks.classification.heads import RETAINED, make_head, reset

__all__ = [
    "MAX_CLASSES",
    "Activation",
    "BatchNormSettings",
    "Classifier",
    "TaoClassifier",
    "TorchvisionClassifier",
    "build",
    "tao_classifier",
]

Activation = Literal["softmax", "sigmoid", "none"]
"""What makes scores of logits: softmax for one class an image, sigmoid for any number of them, none for raw logits."""

MAX_CLASSES = 65536
"""Bound on what a file may ask for."""


@dataclass(frozen=True)
class BatchNormSettings:
    """TAO's `batch_norm_config`, with Keras's momentum: moving = momentum * moving + (1 - momentum) * batch."""

    momentum: float = 0.9
    epsilon: float = 1e-5


class Classifier(TaskNetwork):
    """A network with K classes; `activation` may be changed at any time and is stored with the network."""

    def __init__(self, num_classes: int, activation: Activation) -> None:
        super().__init__()
        if type(num_classes) is not int or not 1 <= num_classes <= MAX_CLASSES:
            raise ModelError(f"classification: num_classes is {num_classes}; it needs to be 1 to {MAX_CLASSES}")
        if activation not in get_args(Activation):
            raise ModelError(f"classification: activation is {activation!r}; it needs to be softmax, sigmoid or none")
        self.num_classes = num_classes
        self.activation: Activation = activation

    @abstractmethod
    def forward_logits(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) -> (logits (N, K),), float32; in training, then the logits of auxiliary classifiers."""

    @abstractmethod
    def renew_head(self, num_classes: int) -> None:
        """Replace the last layer by a fresh one for `num_classes` classes; the features do not change."""

    @abstractmethod
    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the layers that `renew_head` replaces."""

    @property
    @abstractmethod
    def in_channels(self) -> int:
        """C, the number of input channels."""

    @property
    @abstractmethod
    def normalises(self) -> bool:
        """Whether the network takes RGB (or grey) / 255 and normalises it; if not, the caller normalises the input."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The settings that rebuild this kind of network, before pruning; a JSON value."""

    def architecture(self) -> dict[str, Any]:
        """A JSON value from which `build` makes the same network with fresh weights, pruned channel counts included."""
        return {
            "family": "tao" if isinstance(self, TaoClassifier) else "torchvision",
            **self.config(),
            "num_classes": self.num_classes,
            "activation": self.activation,
            "channels": channels_of(self),
        }

    def forward(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        """In training as `forward_logits`; in evaluation mode (scores (N, K),), the logits after `activation`."""
        logits = self.forward_logits(x_nchw)
        if self.training:
            return logits
        if self.activation == "softmax":
            return (torch.softmax(logits[0], dim=1),)
        return (torch.sigmoid(logits[0]) if self.activation == "sigmoid" else logits[0],)

    def training_outputs(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        """Logits; see `TaskNetwork.training_outputs`."""
        return self.forward_logits(x_nchw)

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """Raises ModelError where the network cannot take pictures of `input_hw` pixels. Computes no outputs."""
        traced = copy.deepcopy(self).to("meta").eval()
        try:
            traced(torch.empty(1, self.in_channels, *input_hw, device="meta"))
        except (RuntimeError, AssertionError) as error:
            size = f"{input_hw[1]} x {input_hw[0]}"
            raise ModelError(f"this {self.name} does not take an input of {size} pixels: {error}") from error

    @property
    @abstractmethod
    def name(self) -> str:
        """The architecture's name in specs and in `--arch`."""


class TaoClassifier(Classifier):
    """A backbone and TAO's head on it (reference/tao_classification_ssd.md 3.4).

    Args:
        backbone: the feature network; owned by this one from now on.
        num_classes, activation: as `Classifier`.
        input_hw: (height, width), pixels; used only by heads with a dense layer over the whole map (vgg, alexnet).
        retain_head: use the architecture's own ImageNet head instead of the common one.
        dropout: dropout of a retained vgg head.
        use_bias: biases in convolutions; used only by architectures where biases are optional.
        batch_norm: settings of every batch norm.
        hidden_activation: one of ACTIVATIONS, instead of the backbone's own where the backbone allows it; "": its own.

    Raises ModelError as `Classifier` does, and where the head does not fit the input.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        activation: Activation = "softmax",
        input_hw: tuple[int, int] = (224, 224),
        retain_head: bool = False,
        dropout: float = 0.0,
        use_bias: bool = False,
        batch_norm: BatchNormSettings | None = None,
        hidden_activation: str = "",
    ) -> None:
        super().__init__(num_classes, activation)
        if hidden_activation not in ("", *ACTIVATIONS):
            choices = ", ".join(ACTIVATIONS)
            raise ModelError(f"classification: activation_type is {hidden_activation}; it needs to be one of {choices}")
        self.backbone = backbone
        own = getattr(backbone, "activation", hidden_activation)
        self.hidden_activation = "" if hidden_activation == own else hidden_activation
        if self.hidden_activation:
            backbone.activation = hidden_activation  # type: ignore[assignment]
        self.input_hw = input_hw
        self.retain_head = retain_head and backbone.arch.startswith(RETAINED)
        self.dropout = dropout
        self.use_bias = use_bias
        self.batch_norm = batch_norm or BatchNormSettings()
        _set_bias(backbone, use_bias)
        for layer in backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum, layer.eps = 1 - self.batch_norm.momentum, self.batch_norm.epsilon
        self.head = self._fresh_head()

    @property
    def name(self) -> str:
        return self.backbone.arch

    @property
    def in_channels(self) -> int:
        return self.backbone.in_channels

    @property
    def normalises(self) -> bool:
        return self.backbone.graph != "tao"

    def forward_logits(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        return (cast(Tensor, self.head(self.backbone(x_nchw))).float(),)

    def renew_head(self, num_classes: int) -> None:
        old, self.num_classes = self.head, num_classes
        self.head = self._fresh_head()
        weighted = [name for name, layer in old.named_children() if isinstance(layer, (nn.Linear, nn.Conv2d))]
        for name in weighted[:-1]:
            self.head.get_submodule(name).load_state_dict(old.get_submodule(name).state_dict())

    def head_parameters(self) -> Iterator[nn.Parameter]:
        return self.head.parameters()

    def reset_parameters(self) -> None:
        """Draw a fresh network from torch's global generator, in layer order."""
        self.backbone.reset_parameters()
        reset(self.head)

    def config(self) -> dict[str, Any]:
        return {
            "network": self.backbone.arch,
            **self.backbone.config,
            "input_hw": list(self.input_hw),
            "retain_head": self.retain_head,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "batch_norm": [self.batch_norm.momentum, self.batch_norm.epsilon],
            "hidden_activation": self.hidden_activation,
        }

    def _fresh_head(self) -> nn.Sequential:
        shapes = self.backbone.shapes(self.input_hw)
        features = list(shapes.values())[-1]
        head = make_head(self.backbone.arch, features, self.num_classes, retain=self.retain_head, dropout=self.dropout)
        if self.backbone.arch == "alexnet" and self.retain_head:  # its dense layers are blocks 6 to 8
            for block in {6, 7, 8} & set(self.backbone.freeze_blocks):
                head.get_submodule(f"head_fc{block}" if block == 8 else f"fc{block}").requires_grad_(False)
        return head


class TorchvisionClassifier(Classifier):
    """A torchvision network (`nn.torchvision_network`) with a head for K classes.

    Args:
        arch: one of `torchvision_archs()`.
        num_classes, activation: as `Classifier`.
        input_size: height and width of the input, pixels; used only by vit and maxvit.
        auxiliaries: keep the auxiliary classifiers of googlenet or inception_v3; `as_stored` drops them.
        freeze_bn: batch norms use their stored statistics in training too; their gamma and beta are still trained.
    """

    def __init__(
        self,
        arch: str,
        num_classes: int,
        *,
        activation: Activation = "softmax",
        input_size: int = 224,
        auxiliaries: bool = False,
        freeze_bn: bool = False,
    ) -> None:
        super().__init__(num_classes, activation)
        self.freeze_bn = freeze_bn
        self.body = TorchvisionNetwork(arch, num_classes, input_size=input_size, auxiliaries=auxiliaries)

    @property
    def name(self) -> str:
        return self.body.arch

    @property
    def in_channels(self) -> int:
        return 3

    @property
    def normalises(self) -> bool:
        return True

    def forward_logits(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        return tuple(logits.float() for logits in self.body(x_nchw))

    def renew_head(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.body.renew_head(num_classes)

    def head_parameters(self) -> Iterator[nn.Parameter]:
        return self.body.get_submodule(self.body.head).parameters()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.freeze_bn:
            keep_statistics(self)
        return self

    def as_stored(self) -> Self:
        """A copy without auxiliary classifiers, which only training uses."""
        twin = copy.deepcopy(self)
        twin.body.drop_auxiliaries()
        return twin

    def config(self) -> dict[str, Any]:
        assert not self.body.auxiliaries, "auxiliary classifiers are of no use in an artifact"
        return {"network": self.body.arch, "input_size": self.body.input_size, "freeze_bn": self.freeze_bn}


def tao_classifier(
    arch: str,
    num_classes: int,
    *,
    num_layers: int = 18,
    in_channels: int = 3,
    input_hw: tuple[int, int] = (224, 224),
    use_batch_norm: bool = False,
    use_bias: bool = False,
    use_pooling: bool = False,
    all_projections: bool = False,
    retain_head: bool = False,
    dropout: float = 0.0,
    freeze_blocks: Collection[int] = (),
    freeze_bn: bool = False,
    batch_norm: BatchNormSettings | None = None,
    hidden_activation: str = "",
    activation: Activation = "softmax",
    graph: Graph = "tao",
) -> TaoClassifier:
    """The network of a spec's `model_config`, with fresh weights.

    The arguments are TAO's fields; fields that `arch` does not use are ignored. `graph` is the graph of the pretrained
    weights (`nn.weights.preferred_graph`). Raises ModelError for an arch, depth or block that does not exist.
    """
    pools = arch == "resnet" and (use_pooling or graph == "torchvision")
    goes_on = arch in ("mobilenet_v1", "mobilenet_v2") or (arch == "googlenet" and retain_head)
    backbone = build_backbone(
        arch,
        num_layers=num_layers,
        in_channels=in_channels,
        use_batch_norm=use_batch_norm,
        use_pooling=use_pooling,
        all_projections=all_projections,
        freeze_blocks=freeze_blocks,
        freeze_bn=freeze_bn,
        graph=graph,
        final_stride=32 if pools or goes_on else 16,
    )
    return TaoClassifier(
        backbone,
        num_classes,
        activation=activation,
        input_hw=input_hw,
        retain_head=retain_head,
        dropout=dropout,
        use_bias=use_bias,
        batch_norm=batch_norm,
        hidden_activation=hidden_activation,
    )


def build(architecture: Mapping[str, Any]) -> Classifier:
    """The network that `architecture` describes, on the CPU, with fresh weights for `load_state_dict` to replace.

    The value may come from an untrusted file, so every field is checked. Channel counts must not exceed those of the
    unpruned network and must fit together; both are checked before the network is returned.

    Raises ModelError where a field is missing, of the wrong type or out of range, or the counts do not fit.
    """
    family = _field(architecture, "family", str)
    if family not in ("tao", "torchvision"):
        raise ModelError(f"the stored structure's family is {family!r}; it needs to be tao or torchvision")
    channels = _field(architecture, "channels", dict)
    if family == "torchvision":
        model: Classifier = _build_torchvision(architecture)
        resize(model, channels)
        _check_fit(copy.deepcopy(model).to("meta"), architecture)
        return model
    with torch.device("meta"):
        tao = _build_tao(architecture)
        resize(tao, channels)
        _check_fit(tao, architecture)
    tao.to_empty(device="cpu")
    tao.reset_parameters()
    return tao.train()


def _build_torchvision(architecture: Mapping[str, Any]) -> TorchvisionClassifier:
    return TorchvisionClassifier(
        _field(architecture, "network", str),
        _field(architecture, "num_classes", int),
        activation=_field(architecture, "activation", str),
        input_size=_field(architecture, "input_size", int),
        freeze_bn=_field({"freeze_bn": False, **architecture}, "freeze_bn", bool),  # older files lack this field
    )


def _build_tao(architecture: Mapping[str, Any]) -> TaoClassifier:
    input_hw = _numbers(architecture, "input_hw", int, 1, MAX_INPUT)
    momentum, epsilon = _numbers(architecture, "batch_norm", float, 0.0, 1.0)
    dropout = _field(architecture, "dropout", float)
    if not 0 <= dropout <= 1:
        raise ModelError(f"the stored structure's dropout is {dropout}; it needs to be 0 to 1")
    return TaoClassifier(
        backbone_from_config(architecture),
        _field(architecture, "num_classes", int),
        activation=_field(architecture, "activation", str),
        input_hw=(int(input_hw[0]), int(input_hw[1])),
        retain_head=_field(architecture, "retain_head", bool),
        dropout=dropout,
        use_bias=_field(architecture, "use_bias", bool),
        batch_norm=BatchNormSettings(momentum, epsilon),
        hidden_activation=_field(architecture, "hidden_activation", str),
    )


def _check_fit(model: Classifier, architecture: Mapping[str, Any]) -> None:
    """Raises ModelError where the layers of `model`, on the meta device, do not fit each other."""
    size = model.input_hw if isinstance(model, TaoClassifier) else (architecture["input_size"],) * 2
    was_training = model.training
    model.eval()  # only shapes are checked; batch statistics are not needed
    try:
        (scores,) = model.forward_logits(torch.empty(1, model.in_channels, *size, device="meta"))
    except RuntimeError as error:
        raise ModelError(f"the stored structure's channel counts do not fit together: {error}") from error
    if scores.shape[1] != model.num_classes:
        raise ModelError(
            f"the stored structure gives {scores.shape[1]} outputs for {model.num_classes} classes; they need to agree"
        )
    model.train(was_training)


def _field(architecture: Mapping[str, Any], name: str, kind: type) -> Any:
    if type(architecture.get(name)) is not kind:
        found = repr(architecture[name]) if name in architecture else "missing"
        raise ModelError(f"the stored structure's {name} is {found}; it needs to be of type {kind.__name__}")
    return architecture[name]


def _numbers(
    architecture: Mapping[str, Any], name: str, kind: type[int] | type[float], least: float, most: float
) -> list[Any]:
    """A field of two numbers of type `kind`, each in least..most."""
    values: list[Any] = _field(architecture, name, list)
    if len(values) != 2 or any(type(value) is not kind or not least <= value <= most for value in values):
        raise ModelError(f"the stored structure's {name} is {values}; it needs two numbers from {least} to {most}")
    return values


def _set_bias(backbone: Backbone, use_bias: bool) -> None:
    """Add a bias to every convolution, or remove it. Gates, and architectures that always have biases, keep theirs."""
    if backbone.graph != "tao" or backbone.arch in ("alexnet", "squeezenet"):
        return
    for name, layer in backbone.named_children():
        if not isinstance(layer, nn.Conv2d) or "_se_" in name or (layer.bias is not None) == use_bias:
            continue
        zeros = nn.Parameter(layer.weight.new_zeros(layer.out_channels), requires_grad=layer.weight.requires_grad)
        layer.bias = zeros if use_bias else None
