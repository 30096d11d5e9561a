"""The network: `model_config` (reference/tao_classification_ssd.md 3.1, 3.4); `torchvision` and `torchvision_arch` are
ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from taolite.spec import Finding, Float, SpecEnum, SpecModel, UInt, check, field

__all__ = [
    "ACTIVATIONS",
    "DEPTHS",
    "LAST_BLOCK",
    "Activation",
    "Arch",
    "BatchNormConfig",
    "InterpolationMethod",
    "ModelConfig",
]

Arch = Literal[
    "resnet", "vgg", "alexnet", "googlenet", "mobilenet_v1", "mobilenet_v2", "squeezenet", "darknet", "cspdarknet",
    "cspdarknet_tiny", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "torchvision",
]  # fmt: skip
DEPTHS = {
    "resnet": (10, 18, 34, 50, 101, 152, 200),
    "vgg": (16, 19),
    "darknet": (19, 53),
    "cspdarknet": (19, 53),
}  # archs with several depths; n_layers has no effect on the others
LAST_BLOCK = {"resnet": 4, "googlenet": 9, "mobilenet_v1": 13, "mobilenet_v2": 18} | dict.fromkeys(
    ("vgg", "darknet", "cspdarknet", "cspdarknet_tiny"), 5
)  # last id of freeze_blocks; 8 for archs not listed here
ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "mish", "swish")  # values of activation_type; as in taolite.nn
_ACTIVATED = ("cspdarknet", "efficientnet")  # prefixes of archs with a choice of activation
_FIRST_BLOCK = {"vgg": 1, "alexnet": 1}  # first id of freeze_blocks; 0 for archs not listed here
_OWN_NORMS = ("efficientnet", "squeezenet", "alexnet", "torchvision")  # archs on which use_batch_norm has no effect


class InterpolationMethod(SpecEnum):
    """How pictures are resized."""

    BILINEAR = "BILINEAR"
    BICUBIC = "BICUBIC"


class BatchNormConfig(SpecModel):
    """Batch normalisation; if this block is present, its missing fields are 0, as in TAO."""

    momentum: Float = field(0.0, ge=0, le=1, doc="Share of the old mean and variance that stays in each step.")
    epsilon: Float = field(0.0, ge=0, doc="Added to the variance.")

    def spec_notes(self) -> Iterator[Finding]:
        for name, usual in (("momentum", "0.9"), ("epsilon", "1e-5")):
            if getattr(self, name) == 0:
                yield Finding((name,), f"is 0 or absent, which counts as 0 in this block; {usual} is usual")


class Activation(SpecModel):
    """The activation function of cspdarknet and efficientnet."""

    activation_type: str = field(min_length=1, doc="Its name: relu, mish, swish ...")
    activation_parameters: dict[str, Float] = field({}, doc="Its parameters; without effect, as in TAO.")

    def spec_notes(self) -> Iterator[Finding]:
        if self.activation_parameters:
            yield Finding(("activation_parameters",), "has no effect, as in TAO")


class ModelConfig(SpecModel):
    """The network."""

    arch: Arch = field(doc="The architecture.")
    torchvision_arch: str = field("", doc='Ours: the network by torchvision\'s name, with arch "torchvision".')
    input_image_size: str = field(min_length=1, doc='Network input as "C,H,W": 1 or 3 channels, 16 pixels or more.')
    resize_interpolation_method: InterpolationMethod = field(
        InterpolationMethod.BILINEAR, doc="How pictures are resized."
    )
    n_layers: UInt = field(18, ge=1, zero_is_default=True, doc="Depth of a resnet, vgg, darknet or cspdarknet.")
    retain_head: bool = field(False, doc="The architecture's own ImageNet head instead of the common one.")
    use_imagenet_head: bool = field(False, doc="What retain_head was called before TAO 5.0.")
    use_batch_norm: bool = field(False, doc="Batch normalisation; absent is none.")
    use_bias: bool = field(False, doc="Convolutions have a bias.")
    use_pooling: bool = field(False, doc="Max-pooling instead of strides, resnet and vgg.")
    all_projections: bool = field(False, doc="A 1x1 projection on every shortcut, resnet and mobilenet_v2.")
    freeze_bn: bool = field(False, doc="Batch normalisation uses the stored mean and variance.")
    freeze_blocks: tuple[UInt, ...] = field((), doc="Ids of blocks whose convolutions are not trained.")
    dropout: Float = field(0.0, ge=0, lt=1, doc="Share of values dropped before vgg's last layers.")
    batch_norm_config: BatchNormConfig | None = field(
        None, doc="Batch normalisation; absent is momentum 0.9 and epsilon 1e-5."
    )
    activation: Activation | None = field(None, doc="The activation function of cspdarknet and efficientnet.")
    byom_model: str = field("", ignored="only TAO's closed code brings models of one's own", doc="Without effect.")

    @property
    def input_chw(self) -> tuple[int, int, int]:
        """(channels, height, width) of the network input, pixels."""
        channels, height, width = (int(part) for part in self.input_image_size.split(","))
        return channels, height, width

    @property
    def own_head(self) -> bool:
        """Whether the architecture's own ImageNet head is kept; the spec has two names for this field."""
        return self.retain_head or self.use_imagenet_head

    @check("input_image_size")
    def _size_is_three_numbers(self) -> Iterator[Finding]:
        found = f'is "{self.input_image_size}"'
        try:
            channels, height, width = self.input_chw
        except ValueError:
            yield Finding(("input_image_size",), f'{found}; it needs to be "C,H,W", such as "3,224,224"')
            return
        if channels not in (1, 3):
            yield Finding(("input_image_size",), f"{found}; it needs to begin with 1 or 3, the channels")
        if min(height, width) < 16:
            yield Finding(("input_image_size",), f"{found}; height and width need to be 16 or more")

    @check("arch", "n_layers")
    def _depth_exists(self) -> Iterator[Finding]:
        depths = DEPTHS.get(self.arch)
        if depths and self.n_layers not in depths:
            known = ", ".join(str(depth) for depth in depths[:-1]) + f" or {depths[-1]}"
            absent = "" if "n_layers" in self.model_fields_set else " (absent)"
            yield Finding(("n_layers",), f"is {self.n_layers}{absent}; a {self.arch} has {known}")

    @check("arch", "torchvision_arch", "input_image_size")
    def _torchvision_is_named(self) -> Iterator[Finding]:
        if (self.arch == "torchvision") != bool(self.torchvision_arch):
            text = 'goes with arch "torchvision", which it names: "resnet18", "convnext_tiny" ...'
            yield Finding(("torchvision_arch",), text)
        if self.arch == "torchvision" and self.input_image_size.strip().startswith("1"):
            yield Finding(("input_image_size",), "is grey; torchvision's networks take 3 channels")

    @check("arch", "freeze_blocks")
    def _blocks_exist(self) -> Iterator[Finding]:
        first, last = _FIRST_BLOCK.get(self.arch, 0), LAST_BLOCK.get(self.arch, 8)
        for index, block in enumerate(self.freeze_blocks):
            if not first <= block <= last:
                text = f"is {block}; the blocks of {self.arch} are {first} to {last}"
                yield Finding(("freeze_blocks", index), text)

    @check("arch", "activation")
    def _activation_exists(self) -> Iterator[Finding]:
        if self.activation and self.arch.startswith(_ACTIVATED) and self.activation.activation_type not in ACTIVATIONS:
            text = f'is "{self.activation.activation_type}"; it needs to be one of {", ".join(ACTIVATIONS)}'
            yield Finding(("activation", "activation_type"), text)

    def spec_notes(self) -> Iterator[Finding]:
        if self.dropout and self.arch != "vgg":
            yield Finding(("dropout",), "has no effect: it is vgg's alone, as in TAO")
        if self.activation and not self.arch.startswith(_ACTIVATED):
            yield Finding(("activation",), "has no effect: it is that of cspdarknet and efficientnet, as in TAO")
        if not self.use_batch_norm and not self.arch.startswith(_OWN_NORMS):
            yield Finding(("use_batch_norm",), "is false or absent: the network has no batch normalisation")
