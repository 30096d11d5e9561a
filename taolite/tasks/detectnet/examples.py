"""The spec's data settings as values of `taolite.data`: sources, preprocessing, augmentation, targets, masks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from taolite.data.augment import Augmentation, draw_view, view_boxes, view_pixels
from taolite.data.examples import BoxRule, Examples
from taolite.data.kept import Keep
from taolite.data.scenes import Scenes
from taolite.events import Notice
from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.tasks.base import Resolve
from taolite.tasks.detectnet.assign import assign
from taolite.tasks.detectnet.loss import OBJECTIVES
from taolite.tasks.detectnet.masks import ClassFilter, Filter, LossMask, RegionFilter, SizeFilter, draw_mask
from taolite.tasks.detectnet.records import Split, class_lookup, split_sources
from taolite.tasks.detectnet.spec import DataloaderMode, DetectNetSpec, LabelFilter, SamplingMode
from taolite.tasks.detectnet.spec.recipe import LoadingConfig, TaoliteConfig, ViewsConfig
from taolite.tasks.detectnet.targets import Ellipse, Raster, rasterize

__all__ = ["spec_examples", "spec_preprocessing", "spec_raster"]


def spec_examples(
    spec: DetectNetSpec, split: Split, *, resolve: Resolve, augment: bool, grid_hw: tuple[int, int] | None
) -> Examples:
    """The images of a split, with targets for outputs of `grid_hw`; None: no targets. Raises DataError, PathError."""
    data, preprocessing = spec.dataset_config, spec_preprocessing(spec)
    sources, notices = split_sources(data, split, resolve=resolve)
    multisource = data.dataloader_mode is DataloaderMode.MULTISOURCE
    fitted_rule, view_rule = _box_rules(spec)
    own = spec.taolite or TaoliteConfig()
    compose = _scenes(own.views, spec).draw if augment and own.views else None
    encode = partial(
        _encode,
        smaller_wins=own.loss.smaller_wins if own.loss else None,
        raster=spec_raster(spec),
        input_hw=preprocessing.input_hw,
        grid_hw=grid_hw,
        mask=_loss_mask(spec),
        weighted=any(source.weight != 1 for source in sources),
    )
    return Examples(
        sources=sources,
        class_of=class_lookup(data.target_class_mapping, spec.classes),
        preprocessing=preprocessing,
        encode=encode,
        augment_fitted=partial(_augment, settings=_augmentation(spec), hw=preprocessing.input_hw)
        if augment and preprocessing.fit != "aspect" and compose is None
        else None,
        compose=compose,
        least_hw=_least_hw(own, preprocessing) if augment else None,
        keep=_keep(own.loading or LoadingConfig(), resolve) if augment else None,
        seed=spec.random_seed,
        evenly=multisource and data.sampling_mode is SamplingMode.UNIFORM,
        fitted_rule=fitted_rule,
        view_rule=view_rule,
        notices=tuple(Notice(text, "warning") for text in notices),
    )


def _augment(
    fitted: NDArray[np.uint8], truth: Truth, rng: np.random.Generator, *, settings: Augmentation, hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], Truth]:
    """Augment one photo. As in TAO, it was first fitted to the input, and is now warped: cropped parts stay lost."""
    view = draw_view(settings, hw=hw, rng=rng)
    boxes = view_boxes(truth.boxes_n4, view)
    return view_pixels(fitted, view), Truth(boxes, truth.classes_n, truth.difficult_n)


def _keep(config: LoadingConfig, resolve: Resolve) -> Keep:
    """How a training keeps decoded pictures."""
    return Keep(config.cache_mb * 1_000_000, resolve(config.cache_folder) if config.cache_folder else None)


def _least_hw(own: TaoliteConfig, preprocessing: Preprocessing) -> tuple[int, int] | None:
    """Below which size no JPEG is decoded; None where `scaled_jpeg` is off, or the spec crops in the photo's pixels."""
    if own.loading is None or not own.loading.scaled_jpeg or preprocessing.fit == "crop":
        return None
    most = max(own.views.scale_max, own.views.mosaic_scale_max, 1.0) if own.views else 1.0
    height, width = preprocessing.input_hw
    return math.ceil(height * most), math.ceil(width * most)


def spec_preprocessing(spec: DetectNetSpec) -> Preprocessing:
    """The conversion from photo to network input."""
    config = spec.augmentation_config.preprocessing
    made = Preprocessing(
        input_hw=(config.output_image_height, config.output_image_width), channels=config.output_image_channel
    )
    if spec.taolite and spec.taolite.keep_aspect:
        return dataclasses.replace(made, fit="aspect")
    if config.output_image_min:
        return dataclasses.replace(
            made, fit="aspect", least_side=config.output_image_min, most_side=config.output_image_max
        )
    if config.enable_auto_resize:
        return dataclasses.replace(made, fit="stretch")
    return dataclasses.replace(
        made,
        crop_at=(config.crop_left, config.crop_top),
        photo_scale=(config.scale_width or 1.0, config.scale_height or 1.0),
    )


def _box_rules(spec: DetectNetSpec) -> tuple[BoxRule, BoxRule]:
    """Which boxes are kept before augmentation, and which after (reference 4.3)."""
    config = spec.augmentation_config.preprocessing
    if spec.dataset_config.dataloader_mode is DataloaderMode.MULTISOURCE:
        return BoxRule(cut=config.crops), BoxRule()
    return BoxRule(0.0, 0.0), BoxRule(config.min_bbox_width, config.min_bbox_height, cut=True)


def _augmentation(spec: DetectNetSpec) -> Augmentation:
    space, colour = spec.augmentation_config.spatial_augmentation, spec.augmentation_config.color_augmentation
    multisource = spec.dataset_config.dataloader_mode is DataloaderMode.MULTISOURCE
    made = Augmentation(loader="MULTISOURCE" if multisource else "DEFAULT")
    if space is not None:
        made = dataclasses.replace(
            made,
            hflip_probability=space.hflip_probability,
            vflip_probability=space.vflip_probability,
            zoom_min=space.zoom_min,
            zoom_max=space.zoom_max,
            translate_max_x=space.translate_max_x,
            translate_max_y=space.translate_max_y,
            rotate_max_degrees=space.rotate_rad_max if multisource else math.degrees(space.rotate_rad_max),
            rotate_probability=space.rotate_probability,
        )
    if colour is not None:
        made = dataclasses.replace(
            made,
            color_shift_stddev=colour.color_shift_stddev,
            hue_rotation_max=colour.hue_rotation_max,
            saturation_shift_max=colour.saturation_shift_max,
            contrast_scale_max=colour.contrast_scale_max,
            contrast_center=colour.contrast_center,
        )
    return made


def spec_raster(spec: DetectNetSpec) -> Raster:
    """The settings that draw boxes on the grid."""
    config, bbox = spec.bbox_rasterizer_config, spec.model_config_.objective_set.bbox
    rows = (config.target_class_config[name] for name in spec.classes)
    ellipses = tuple(
        Ellipse(row.cov_center_x, row.cov_center_y, row.cov_radius_x, row.cov_radius_y, row.bbox_min_radius)
        for row in rows
    )
    return Raster(ellipses, config.deadzone_radius, bbox.scale, bbox.offset)


def _loss_mask(spec: DetectNetSpec) -> LossMask | None:
    config = spec.loss_mask_label_filter
    if config is None or not config.objective_label_filter_configs:
        return None
    classes = spec.classes
    rows = [(row, _filter(row.label_filter, classes)) for row in config.objective_label_filter_configs]

    def chosen(name: str, objective: str) -> tuple[Filter, ...]:
        return tuple(
            picked
            for row, picked in rows
            if name in (row.target_class_names or classes) and objective in (row.objective_names or OBJECTIVES)
        )

    filters = tuple((chosen(name, "cov"), chosen(name, "bbox")) for name in classes)
    return LossMask(filters, config.mask_multiplier, config.preserve_ground_truth)


def _filter(config: LabelFilter, classes: Sequence[str]) -> Filter:
    size, region = config.bbox_dimensions_label_filter, config.bbox_crop_label_filter
    if size is not None:
        return SizeFilter(size.min_width, size.min_height, size.max_width, size.max_height)
    if region is not None:
        return RegionFilter(region.crop_left, region.crop_top, region.crop_right, region.crop_bottom)
    assert config.source_class_label_filter is not None, "the spec's check saw one of the three"
    names = config.source_class_label_filter.source_class_names
    if not names:
        return ClassFilter(None)
    return ClassFilter(tuple(classes.index(name) for name in names if name in classes))


def _scenes(views: ViewsConfig, spec: DetectNetSpec) -> Scenes:
    """How the spec's views are drawn."""
    return Scenes(
        spec_preprocessing(spec).input_hw,
        mosaic_probability=views.mosaic_probability,
        mosaic_epochs=round(views.mosaic_until * spec.training_config.num_epochs),
        scale=(views.scale_min, views.scale_max),
        mosaic_scale=(views.mosaic_scale_min, views.mosaic_scale_max),
        aspect_max=views.aspect_max,
        least_visible=views.least_visible,
        hflip_probability=views.hflip_probability,
        vflip_probability=views.vflip_probability,
        brightness_max=views.brightness_max,
        contrast_max=views.contrast_max,
        saturation_max=views.saturation_max,
        hue_max=views.hue_max,
    )


def _encode(
    truth: Truth,
    weight: float,
    *,
    smaller_wins: bool | None,
    raster: Raster,
    input_hw: tuple[int, int],
    grid_hw: tuple[int, int] | None,
    mask: LossMask | None,
    weighted: bool,
) -> dict[str, NDArray[np.float32]]:
    """The targets of one input, TAO's where `smaller_wins` is None; with cost factors where the data set is masked or
    weighted."""
    if grid_hw is None:
        return {}
    if smaller_wins is None:
        targets = rasterize(truth.boxes_n4, truth.classes_n, raster=raster, input_hw=input_hw, grid_hw=grid_hw)
    else:
        targets = assign(
            truth.boxes_n4,
            truth.classes_n,
            raster=raster,
            input_hw=input_hw,
            grid_hw=grid_hw,
            smaller_wins=smaller_wins,
        )
    made = {"cov": targets.cov, "bbox": targets.bbox, "norm": targets.norm}
    if mask is not None:
        made["mask"] = weight * draw_mask(truth, targets.cov, mask=mask, input_hw=input_hw)
    elif weighted:
        made["mask"] = np.full((len(targets.cov), len(OBJECTIVES), *grid_hw), weight, np.float32)
    return made
