"""TAO's spec as an `SsdPlan` (reference/tao_classification_ssd.md 4). A spec without `training_config` is for
`evaluate` or `export`; its recipe is not used for training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch

from taolite.data.ssd_views import Views
from taolite.preprocessing import Preprocessing
from taolite.tasks.base import Recipe, Schedule, Watch
from taolite.tasks.fitting import AnnealedFitting, fitted
from taolite.tasks.schedules import Cosine, SoftStart
from taolite.tasks.services import VisualizerConfig, clearml_settings, wandb_settings
from taolite.tasks.ssd.plan import CostRule, Matching, NetworkPlan, Origin, PriorPlan, Rates, Scoring, SsdPlan
from taolite.tasks.ssd.priors import tao_levels
from taolite.tasks.ssd.schedule import StopsEarly
from taolite.tasks.ssd.sources import class_lookup, read_sources
from taolite.tasks.ssd.spec import AugmentationConfig, AveragePrecisionMode, RegularizerType, SSDConfig, SsdSpec
from taolite.tasks.ssd.spec.training import TrainingConfig

__all__ = ["model_name", "plan_of"]

_MEAN_RGB = (123.68, 116.779, 103.939)
_MEAN_GREY = 117.3786
_MOMENTUM = 0.9
_REGULARIZERS: dict[RegularizerType, Literal["none", "l1", "l2"]] = {
    RegularizerType.NO_REG: "none",
    RegularizerType.L1: "l1",
    RegularizerType.L2: "l2",
}


def plan_of(spec: SsdSpec, *, weights: str = "") -> SsdPlan:
    """The plan that a TAO spec describes; `weights` is the model given with `train -m`, as it is spelled, "" for none.

    The spec has passed `check_needs` for `export`, the minimum for every command but `inference`.
    """
    network, views, suppression, data = spec.ssd_config, spec.augmentation_config, spec.nms_config, spec.dataset_config
    assert network is not None
    assert views is not None
    assert suppression is not None
    assert data is not None
    classes, decoding = data.classes, _decoding(spec)
    fitting = spec.taolite.fitting if spec.taolite else None
    return SsdPlan(
        classes=classes,
        network=_network(network, views),
        priors=partial(_priors, network=network, input_hw=(views.output_height, views.output_width)),
        matching=Matching("bipartite", network.pos_iou_thresh, network.neg_iou_thresh),
        cost=CostRule(network.alpha, network.neg_pos_ratio, mining="batch"),
        views=_views(views),
        preprocessing=_preprocessing(views),
        decoding=decoding,
        scoring=_scoring(spec),
        recipe=fitted(_recipe(spec), fitting),
        rates=Rates(backbone=fitting.backbone_rate) if fitting else Rates(),
        schedule=partial(_schedule, spec.training_config, fitting),
        watch=_watch(spec, classes, decoding),
        sources=partial(read_sources, data),
        class_of=class_lookup(data),
        origin=Origin("backbone", weights) if weights else Origin(),
        quantised=spec.training_config is not None and spec.training_config.enable_qat,
    )


def model_name(spec: SsdSpec) -> str:
    """The name in TAO's file names of a run: the arch, with its depth where the arch has several."""
    network = spec.ssd_config
    assert network is not None
    return f"{network.arch}{network.nlayers}" if network.arch in ("resnet", "darknet", "vgg") else network.arch


def _network(network: SSDConfig, views: AugmentationConfig) -> NetworkPlan:
    return NetworkPlan(
        "tao",
        input_hw=(views.output_height, views.output_width),
        in_channels=views.output_channel,
        arch=network.arch,
        num_layers=network.nlayers,
        pred_num_channels=network.pred_num_channels,
        freeze_blocks=tuple(network.freeze_blocks),
        freeze_bn=network.freeze_bn,
    )


def _priors(map_sizes: Sequence[tuple[int, int]], *, network: SSDConfig, input_hw: tuple[int, int]) -> PriorPlan:
    return tao_levels(
        map_sizes,
        input_hw=input_hw,
        aspect_ratios=network.ratios,
        scales=network.anchor_scales,
        two_boxes_for_ar1=network.two_boxes_for_ar1,
        variances=network.offset_variances,
        steps=network.steps_yx,
        offsets=network.offsets_yx,
        clip_boxes=network.clip_boxes,
    )


def _views(views: AugmentationConfig) -> Views:
    return Views(
        "tao",
        fill=_MEAN_RGB if views.output_channel == 3 else (_MEAN_GREY,),
        crop_scale=(views.random_crop_min_scale, views.random_crop_max_scale),
        crop_aspect=(views.random_crop_min_ar, views.random_crop_max_ar),
        zoom_out=(views.zoom_out_min_scale, views.zoom_out_max_scale),
        brightness=views.brightness,
        contrast=views.contrast,
        saturation=views.saturation,
        hue=views.hue,
        flip=views.random_flip,
    )


def _preprocessing(views: AugmentationConfig) -> Preprocessing:
    """Stretched to the input, then BGR minus the mean, or grey minus the mean."""
    mean, input_hw = views.image_mean, (views.output_height, views.output_width)
    if views.output_channel == 1:
        offsets: tuple[float, ...] = (mean.get("l", _MEAN_GREY),)
        return Preprocessing(input_hw, channels=1, fit="stretch", scale=1.0, offsets=offsets, stds=(1.0,))
    red, green, blue = (mean[name] for name in "rgb") if mean else _MEAN_RGB
    return Preprocessing(input_hw, fit="stretch", scale=1.0, offsets=(blue, green, red), bgr=True)


def _decoding(spec: SsdSpec) -> dict[str, Any]:
    suppression = spec.nms_config
    assert suppression is not None
    return {
        "confidence_threshold": suppression.confidence_threshold,
        "nms_iou": suppression.clustering_iou_threshold,
        "top_k": suppression.top_k,
        "candidates": 2 * suppression.top_k,  # in each class, before NMS; topK of TensorRT's NMS plugin
        "method": "hard",
    }


def _scoring(spec: SsdSpec) -> Scoring:
    judged = spec.eval_config
    if judged is None:
        return Scoring("sample")
    integrated = judged.average_precision_mode is AveragePrecisionMode.INTEGRATE
    return Scoring("integrate" if integrated else "sample", judged.matching_iou_threshold)


def _recipe(spec: SsdSpec) -> Recipe:
    training, judged = spec.training_config, spec.eval_config
    epochs = training.num_epochs if training else 1
    period = judged.validation_period_during_training if judged else 1
    return Recipe(
        seed=spec.random_seed,
        epochs=epochs,
        batch_size=training.batch_size_per_gpu if training else judged.batch_size if judged else 1,
        optimizer=partial(torch.optim.SGD, lr=0.0, momentum=_MOMENTUM),
        regularizer=_REGULARIZERS[training.regularizer.type] if training else "none",
        regularizer_weight=training.regularizer.weight if training else 0.0,
        checkpoint_interval=training.checkpoint_interval if training else 1,
        validates=lambda epoch: epoch == epochs or epoch % period == 0,
        epoch_model=f"weights/ssd_{model_name(spec)}_epoch_{{epoch:03d}}.tlt",
        keeps_last=True,
    )


def _schedule(training: TrainingConfig | None, fitting: AnnealedFitting | None) -> Schedule:
    assert training is not None, "only `train` asks for a schedule, and needs training_config"
    soft, stopping = training.learning_rate.soft_start_annealing_schedule, training.early_stopping
    assert soft is not None, "the spec's check saw it"
    least, most, epochs = soft.min_learning_rate, soft.max_learning_rate, training.num_epochs
    rates: Cosine | SoftStart = SoftStart(least, most, soft.soft_start, soft.annealing, epochs)
    if fitting is not None and fitting.cosine:
        rates = Cosine(least, most, soft.soft_start, epochs)
    if stopping is None:
        return rates
    return StopsEarly(
        rates, training=stopping.monitor == "loss", min_delta=stopping.min_delta, patience=stopping.patience
    )


def _watch(spec: SsdSpec, classes: Sequence[str], decoding: dict[str, Any]) -> Watch:
    config = (spec.training_config.visualizer if spec.training_config else None) or VisualizerConfig()
    of_classes = {f"AP_{name}": f"AP_{name}" for name in classes}
    return Watch(
        points=10,
        every_epochs=1 if config.enabled else None,
        pictures=config.num_images,
        decoding=decoding,
        wandb=wandb_settings(config.wandb_config, "model"),
        clearml=clearml_settings(config.clearml_config),
        log=f"ssd_training_log_{model_name(spec)}.csv",
        columns={"epoch": "epoch"}
        | of_classes
        | {"loss": "loss", "lr": "learning_rate", "mAP": "mAP", "validation_loss": "validation_cost"},
    )
