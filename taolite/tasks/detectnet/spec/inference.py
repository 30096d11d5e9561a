"""The spec of `inference` (reference 1.15)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from taolite.spec import Finding, Float, Int, OneOf, SpecEnum, SpecModel, check, field
from taolite.tasks.detectnet.spec.clustering import ClusteringConfig
from taolite.tasks.detectnet.spec.training import WandBConfig

__all__ = [
    "BackendDataType",
    "BboxColor",
    "BboxHandlerConfig",
    "CalibratorConfig",
    "ClasswiseBboxHandler",
    "InferenceClusteringConfig",
    "InferenceSpec",
    "InferencerConfig",
    "ModelParser",
    "TensorRTConfig",
    "TltConfig",
]


class TltConfig(SpecModel):
    """A trained model."""

    model: str = field("", doc="Path of the .tlt; `-m` goes before it.")


class ModelParser(SpecEnum):
    """The file format from which TensorRT reads the network."""

    ETLT = "ETLT"
    UFF = "UFF"
    CAFFE = "CAFFE"


class BackendDataType(SpecEnum):
    """The precision of an engine."""

    FP32 = "FP32"
    FP16 = "FP16"
    INT8 = "INT8"


class CalibratorConfig(SpecModel):
    """The source of the INT8 ranges."""

    calibration_cache: str = field("", doc="Path of the calibration cache.")
    calibration_tensorfile: str = field("", doc="Path of the batches to calibrate with.")
    n_batches: Int = field(0, ge=0, doc="Batches to calibrate with.")


class TensorRTConfig(SpecModel):
    """An engine file, or the settings to build one."""

    parser: ModelParser = field(ModelParser.ETLT, doc="What the network is read from.")
    caffemodel: str = field("", doc="Weights of a Caffe network.")
    prototxt: str = field("", doc="Graph of a Caffe network.")
    uff_model: str = field("", doc="A UFF network.")
    etlt_model: str = field("", doc="An exported network.")
    backend_data_type: BackendDataType = field(BackendDataType.FP32, doc="Precision of the engine.")
    save_engine: bool = field(False, doc="Keep the engine that is built, at trt_engine.")
    trt_engine: str = field("", doc="Path of the engine.")
    calibrator_config: CalibratorConfig | None = field(None, doc="Where the INT8 ranges come from.")

    @check("backend_data_type", "calibrator_config.calibration_cache")
    def _int8_has_ranges(self) -> Iterator[Finding]:
        calibrator = self.calibrator_config
        if self.backend_data_type is BackendDataType.INT8 and calibrator and not calibrator.calibration_cache:
            text = "is missing; INT8 needs the path of a calibration cache"
            yield Finding(("calibrator_config", "calibration_cache"), text)

    def spec_notes(self) -> Iterator[Finding]:
        if self.parser is not ModelParser.ETLT:
            text = f"is {self.parser}, which nothing here builds from; trt_engine is run where it exists"
            yield Finding(("parser",), text)


class InferencerConfig(SpecModel):
    """The model and its input."""

    one_of: ClassVar = (OneOf("kind of model", ("tlt_config", "tensorrt_config")),)

    tlt_config: TltConfig | None = field(None, doc="A trained model.")
    tensorrt_config: TensorRTConfig | None = field(None, doc="An engine.")
    input_nodes: tuple[str, ...] = field((), doc="Without effect, as in TAO.")
    output_nodes: tuple[str, ...] = field((), doc="Without effect, as in TAO.")
    batch_size: Int = field(gt=0, unit="images", doc="Images at once; `-b` goes before it.")
    image_height: Int = field(gt=0, unit="px", doc="Height of the network's input.")
    image_width: Int = field(gt=0, unit="px", doc="Width of the network's input.")
    image_channels: Literal[1, 3] = field(doc="3 for RGB, 1 for grey.")
    gpu_index: Int = field(0, ge=0, doc="Number of the GPU.")
    target_classes: tuple[str, ...] = field((), doc="The classes, in the order of the network's outputs.")
    stride: Int = field(16, ge=1, zero_is_default=True, unit="px", doc="Pixels from cell to cell; 0 acts as 16.")


class InferenceClusteringConfig(ClusteringConfig):
    """Clustering settings with a default that only inference has."""

    nms_confidence_threshold: Float = field(
        0.1, ge=0, zero_is_default=True, doc="Smallest confidence kept after NMS; 0 acts as 0.1."
    )


class BboxColor(SpecModel):
    """The colour of a drawn box."""

    R: Int = field(0, ge=0, le=255, doc="Red.")
    G: Int = field(0, ge=0, le=255, doc="Green.")
    B: Int = field(0, ge=0, le=255, doc="Blue.")


class ClasswiseBboxHandler(SpecModel):
    """Which boxes of one class are kept, and how they are drawn."""

    clustering_config: InferenceClusteringConfig | None = field(None, doc="How candidates become detections.")
    confidence_model: str = field(
        "", doc="Confidence of a DBSCAN cluster: aggregate_cov (also where empty) sums coverages, mean_cov levels them."
    )
    output_map: str = field("", doc='Name the class is written by; "" is its own.')
    bbox_color: BboxColor | None = field(None, doc="Colour of its boxes.")
    confidence_threshold: Float | None = field(
        None, ge=0, doc="TLT 2's place of dbscan_confidence_threshold; used where that is absent or 0."
    )

    @property
    def clustering(self) -> InferenceClusteringConfig:
        """The clustering to use. If it has no confidence threshold, TLT 2's `confidence_threshold` is used."""
        clustering = self.clustering_config or InferenceClusteringConfig()
        if self.confidence_threshold is None or clustering.dbscan_confidence_threshold:
            return clustering
        return clustering.model_copy(update={"dbscan_confidence_threshold": self.confidence_threshold})

    @check("confidence_model")
    def _confidence_is_a_formula(self) -> Iterator[Finding]:
        if self.confidence_model not in ("", "aggregate_cov", "mean_cov"):
            text = f'is "{self.confidence_model}"; it needs to be aggregate_cov or mean_cov'
            yield Finding(("confidence_model",), text)

    def spec_notes(self) -> Iterator[Finding]:
        if self.clustering_config is None:
            yield Finding(("clustering_config",), "is absent; every cell above 0 is a candidate")


class BboxHandlerConfig(SpecModel):
    """Which results are written and drawn."""

    kitti_dump: bool = field(False, doc="Write a KITTI label file for each image.")
    disable_overlay: bool = field(False, doc="Do not draw annotated images.")
    overlay_linewidth: Int = field(0, ge=0, unit="px", doc="Extra rectangles around a drawn box; 0 still draws one.")
    classwise_bbox_handler_config: dict[str, ClasswiseBboxHandler] = field(
        min_length=1, doc="What is kept and drawn of each class; `default` is for those without an entry."
    )
    postproc_classes: tuple[str, ...] = field((), doc="Classes that are written and drawn; none given is all.")
    wandb_config: WandBConfig | None = field(None, doc="Annotated pictures are sent to Weights & Biases.")


class InferenceSpec(SpecModel):
    """The whole spec of `inference`."""

    inferencer_config: InferencerConfig = field(doc="The model and its input.")
    bbox_handler_config: BboxHandlerConfig = field(doc="What is written and drawn.")

    def spec_notes(self) -> Iterator[Finding]:
        for name in self.bbox_handler_config.postproc_classes:
            if name not in self.inferencer_config.target_classes:
                text = f'names "{name}", which is none of target_classes; nothing is drawn or written for it'
                yield Finding(("bbox_handler_config", "postproc_classes"), text)

    @check("inferencer_config.target_classes", "bbox_handler_config.classwise_bbox_handler_config")
    def _every_class_is_handled(self) -> Iterator[Finding]:
        handled = self.bbox_handler_config.classwise_bbox_handler_config
        if "default" in handled:
            return
        for name in self.inferencer_config.target_classes:
            if name not in handled:
                text = f'has no entry for the target class "{name}"; add one, or one for "default"'
                yield Finding(("bbox_handler_config", "classwise_bbox_handler_config"), text)
