"""The network, its targets and its cost: `model_config`, `bbox_rasterizer_config`, `cost_function_config` and
`loss_mask_label_filter` (reference 1.7, 1.9, 1.11, 1.12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from taolite.nn.archs import ARCHS
from taolite.spec import Finding, Float, Int, OneOf, SpecEnum, SpecModel, check, field

__all__ = [
    "Activation",
    "BackendFloat",
    "BboxCropLabelFilter",
    "BboxDimensionsLabelFilter",
    "BboxObjective",
    "BboxRasterizerConfig",
    "CostFunctionConfig",
    "CovObjective",
    "LabelFilter",
    "ModelConfig",
    "Objective",
    "ObjectiveLabelFilter",
    "ObjectiveLabelFilterConfig",
    "ObjectiveSet",
    "SourceClassLabelFilter",
    "TargetClass",
    "TargetClassRasterizer",
    "TrainingPrecision",
]

_READ_BY = {"use_pooling": ("resnet", "vgg"), "all_projections": ("resnet",)}
_FIXED_BATCH_NORM = ("squeezenet", "efficientnet_b0")  # squeezenet never has batch norms, efficientnet_b0 always


class Activation(SpecModel):
    """An activation function, which TAO parses and does not use."""

    activation_type: str = field("", doc="Without effect.")
    activation_parameters: dict[str, Float] = field({}, doc="Without effect.")


class BboxObjective(SpecModel):
    """The head that regresses boxes."""

    input: str = field("", doc='Part of the name of the layer it sits on; "" is the last layer.')
    scale: Float = field(gt=0, unit="px", doc="Divisor of the regressed distances, usually 35.")
    offset: Float = field(0.0, ge=0, unit="px", doc="Added to the cell's corner, usually 0.5.")

    def spec_notes(self) -> Iterator[Finding]:
        for name, usual in (("scale", 35.0), ("offset", 0.5)):
            value = getattr(self, name)
            if value != usual:
                yield Finding((name,), f"is {value:g}; TAO's inference and DeepStream assume {usual:g}")


class CovObjective(SpecModel):
    """The head that predicts coverage: how much of a cell an object covers."""

    input: str = field("", doc='Part of the name of the layer it sits on; "" is the last layer.')


class ObjectiveSet(SpecModel):
    """The two heads; an empty `cov { }` counts as present."""

    bbox: BboxObjective = field(doc="The head that regresses boxes.")
    cov: CovObjective = field(doc="The head that says how much of a cell is object.")


class BackendFloat(SpecEnum):
    """The number format of the weights."""

    FLOAT32 = "FLOAT32"
    FLOAT16 = "FLOAT16"
    INVALID = "INVALID"


class TrainingPrecision(SpecModel):
    """The number format of the computation; weights are kept in float32."""

    backend_floatx: BackendFloat = field(
        BackendFloat.FLOAT32, doc="FLOAT16: convolutions in float16 on a GPU, in bfloat16 on a processor."
    )

    @check("backend_floatx")
    def _is_a_type(self) -> Iterator[Finding]:
        if self.backend_floatx is BackendFloat.INVALID:
            yield Finding(("backend_floatx",), "is INVALID; it needs to be `FLOAT32` or `FLOAT16`")


class ModelConfig(SpecModel):
    """The network."""

    pretrained_model_file: str = field("", doc='Weights to start from; "" starts from random ones.')
    freeze_pretrained_layers: bool = field(False, doc="Asks for a pretrained file, and no more, as in TAO.")
    allow_loaded_model_modification: bool = field(
        False, doc="With load_graph: heads for other classes are replaced by fresh ones."
    )
    num_layers: Int = field(18, ge=1, zero_is_default=True, doc="Depth of a resnet, vgg or darknet; 0 acts as 18.")
    use_pooling: bool = field(False, doc="A resnet's or vgg's max-pooling instead of strides.")
    use_batch_norm: bool = field(False, doc="Batch normalisation; absent is none.")
    dropout_rate: Float = field(0.0, ge=0, le=1, ignored="TAO's networks have no dropout", doc="Without effect.")
    activation: Activation | None = field(
        None, ignored="the activation is ReLU whatever it says, as in TAO", doc="Without effect."
    )
    objective_set: ObjectiveSet = field(doc="The two heads.")
    training_precision: TrainingPrecision | None = field(None, doc="Type of the weights; absent is FLOAT32.")
    freeze_bn: bool = field(False, doc="Batch normalisation uses the stored mean and variance.")
    freeze_blocks: tuple[Float, ...] = field((), doc="Ids of blocks whose convolutions are not trained.")
    arch: Literal[
        "resnet", "vgg", "darknet", "mobilenet_v1", "mobilenet_v2", "squeezenet", "googlenet", "efficientnet_b0"
    ] = field(doc="The backbone.")
    load_graph: bool = field(False, doc="Take the whole network from the pretrained file, as for pruned models.")
    all_projections: bool = field(False, doc="A 1x1 projection on every shortcut of a ResNet.")

    @check("arch", "num_layers")
    def _depth_exists(self) -> Iterator[Finding]:
        depths = ARCHS[self.arch]
        if depths and self.num_layers not in depths and not self.load_graph:
            known = ", ".join(str(depth) for depth in depths[:-1]) + f" or {depths[-1]}"
            yield Finding(("num_layers",), f"is {self.num_layers}; a {self.arch} has {known}")

    @check("pretrained_model_file", "freeze_blocks", "freeze_pretrained_layers")
    def _has_what_it_starts_from(self) -> Iterator[Finding]:
        if self.pretrained_model_file:
            return
        for name in ("freeze_blocks", "freeze_pretrained_layers"):
            if getattr(self, name):
                yield Finding((name,), "is given without a pretrained_model_file; name the file it is about")

    def spec_notes(self) -> Iterator[Finding]:
        if not self.load_graph:
            if not self.use_batch_norm and self.arch not in _FIXED_BATCH_NORM:
                yield Finding(("use_batch_norm",), "is false or absent: the network has no batch normalisation")
            for name, archs in _READ_BY.items():
                if getattr(self, name) and self.arch not in archs:
                    yield Finding((name,), f"has no effect on a {self.arch}, only on {' or '.join(archs)}")
        if self.load_graph and not self.pretrained_model_file:
            yield Finding(("load_graph",), "is given without a pretrained_model_file; training needs one")


class TargetClassRasterizer(SpecModel):
    """The settings that draw the boxes of one class on the grid."""

    cov_center_x: Float = field(0.0, ge=0, le=1, doc="Centre of the coverage ellipse, as a share of the box' width.")
    cov_center_y: Float = field(0.0, ge=0, le=1, doc="Centre of the coverage ellipse, as a share of the box' height.")
    cov_radius_x: Float = field(gt=0, le=1, doc="Half width of the ellipse; 1 reaches the edge of the box.")
    cov_radius_y: Float = field(gt=0, le=1, doc="Half height of the ellipse; 1 reaches the edge of the box.")
    bbox_min_radius: Float = field(gt=0, le=1, unit="cells", doc="The ellipse is grown to at least this.")

    def spec_notes(self) -> Iterator[Finding]:
        for name in ("cov_center_x", "cov_center_y"):
            if name not in self.model_fields_set:
                yield Finding((name,), "is absent, which puts the centre on the edge of the box; 0.5 is usual")


class BboxRasterizerConfig(SpecModel):
    """The conversion of boxes to the network's target grid."""

    target_class_config: dict[str, TargetClassRasterizer] = field(min_length=1, doc="How each class is drawn.")
    deadzone_radius: Float = field(0.0, ge=0, le=1, doc="Ring of background around the ellipse; 1 is the whole box.")


class Objective(SpecModel):
    """One part of the cost of one class."""

    name: Literal["cov", "bbox"] = field(doc="Which head.")
    initial_weight: Float = field(0.0, ge=0, doc="Weight of this part in the first epoch.")
    weight_target: Float = field(0.0, ge=0, doc="Share of the cost that auto-weighting aims at.")


class TargetClass(SpecModel):
    """One class. The order of the classes is the order of the network's outputs."""

    name: str = field(min_length=1, doc="Name of the class, on the right side of target_class_mapping.")
    class_weight: Float = field(gt=0, doc="Weight of this class in the cost.")
    coverage_foreground_weight: Float = field(gt=0, lt=1, doc="Weight of object cells; background has the rest to 1.")
    objectives: tuple[Objective, ...] = field(min_length=1, doc="The parts of the cost: cov and bbox.")

    @check("objectives")
    def _both_objectives_once(self) -> Iterator[Finding]:
        names = sorted(objective.name for objective in self.objectives)
        if names != ["bbox", "cov"]:
            found = " and ".join(f"`{objective.name}`" for objective in self.objectives)
            yield Finding(("objectives",), f"are {found}; there need to be two, one `cov` and one `bbox`")
            return
        for part in ("initial_weight", "weight_target"):
            if sum(getattr(objective, part) for objective in self.objectives) <= 0:
                yield Finding(("objectives",), f"have no {part} above 0; at least one needs it")


class CostFunctionConfig(SpecModel):
    """The cost, and the balance of its parts."""

    target_classes: tuple[TargetClass, ...] = field(min_length=1, doc="The classes, in the order of the outputs.")
    enable_autoweighting: bool = field(False, doc="Rebalance the parts of the cost after every epoch.")
    max_objective_weight: Float = field(
        1.0, ge=0, zero_is_default=True, doc="Upper clamp of an auto-weight; absent or 0 acts as 1."
    )
    min_objective_weight: Float = field(0.0, ge=0, doc="Lower clamp of an auto-weight.")

    @check("target_classes.name")
    def _names_differ(self) -> Iterator[Finding]:
        seen: set[str] = set()
        for index, target in enumerate(self.target_classes):
            if target.name in seen:
                yield Finding(("target_classes", index, "name"), f'is "{target.name}" a second time; give it once')
            seen.add(target.name)

    def spec_notes(self) -> Iterator[Finding]:
        if self.enable_autoweighting and "max_objective_weight" not in self.model_fields_set:
            text = "is absent; 1.0 is used (TAO would turn every weight to 0 after the first epoch)"
            yield Finding(("max_objective_weight",), text)


def _grows(filter_: SpecModel, *bounds: tuple[str, str]) -> Iterator[Finding]:
    """A finding for every upper bound that is set and is not greater than its lower bound."""
    for low, high in bounds:
        if getattr(filter_, high) and getattr(filter_, high) <= getattr(filter_, low):
            text = f"is {getattr(filter_, high):g}; it needs to be more than {low}, {getattr(filter_, low):g}"
            yield Finding((high,), text)


class BboxDimensionsLabelFilter(SpecModel):
    """Boxes within size bounds (inclusive); 0 means no bound. A negative minimum has no effect."""

    min_width: Float = field(0.0, unit="px", doc="Least width.")
    min_height: Float = field(0.0, unit="px", doc="Least height.")
    max_width: Float = field(0.0, ge=0, unit="px", doc="Largest width.")
    max_height: Float = field(0.0, ge=0, unit="px", doc="Largest height.")

    @check("min_width", "min_height", "max_width", "max_height")
    def _bounds_grow(self) -> Iterator[Finding]:
        yield from _grows(self, ("min_width", "max_width"), ("min_height", "max_height"))


class BboxCropLabelFilter(SpecModel):
    """Boxes that overlap a region of the network's input; an edge of 0 means no bound."""

    crop_left: Float = field(0.0, ge=0, unit="px", doc="Left edge.")
    crop_right: Float = field(0.0, ge=0, unit="px", doc="Right edge.")
    crop_top: Float = field(0.0, ge=0, unit="px", doc="Top edge.")
    crop_bottom: Float = field(0.0, ge=0, unit="px", doc="Bottom edge.")

    @check("crop_left", "crop_right", "crop_top", "crop_bottom")
    def _is_a_rectangle(self) -> Iterator[Finding]:
        yield from _grows(self, ("crop_left", "crop_right"), ("crop_top", "crop_bottom"))


class SourceClassLabelFilter(SpecModel):
    """Boxes of these classes, given by their mapped names."""

    source_class_names: tuple[str, ...] = field(
        (), doc="Names after target_class_mapping; none lets every box through."
    )


class LabelFilter(SpecModel):
    """The filter that selects boxes."""

    one_of: ClassVar = (
        OneOf(
            "label filter",
            ("bbox_dimensions_label_filter", "bbox_crop_label_filter", "source_class_label_filter"),
            required=True,
        ),
    )

    bbox_dimensions_label_filter: BboxDimensionsLabelFilter | None = field(None, doc="Boxes of a size.")
    bbox_crop_label_filter: BboxCropLabelFilter | None = field(None, doc="Boxes that overlap a rectangle.")
    source_class_label_filter: SourceClassLabelFilter | None = field(None, doc="Boxes of some classes.")


class ObjectiveLabelFilterConfig(SpecModel):
    """Which boxes mask the loss, and for which classes and objectives."""

    label_filter: LabelFilter = field(doc="Which boxes.")
    target_class_names: tuple[str, ...] = field((), doc="Classes whose loss is masked; none given is all.")
    objective_names: tuple[Literal["cov", "bbox"], ...] = field((), doc="Objectives masked; none given is all.")


class ObjectiveLabelFilter(SpecModel):
    """Regions in which the loss has a lower weight."""

    objective_label_filter_configs: tuple[ObjectiveLabelFilterConfig, ...] = field((), doc="The filters.")
    mask_multiplier: Float = field(0.0, ge=0, doc="Factor of the loss inside masked boxes.")
    preserve_ground_truth: bool = field(False, doc="Cells with an object keep their full loss.")
