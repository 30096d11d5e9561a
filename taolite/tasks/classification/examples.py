"""The spec's data settings as values of `taolite.data`: class folders or tagged pictures, preprocessing,
augmentation, targets (reference/tao_classification_ssd.md 3.3; with jetson_config reference/jetson_workflows.md 2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taolite.data.crops import Interpolation, mirror, random_resized_crop, tao_random_crop, tao_recolour
from taolite.data.examples import Augment, Encoder, Examples, Source
from taolite.events import Event, Notice
from taolite.formats.folders import (
    KERAS_EXTENSIONS,
    TORCHVISION_EXTENSIONS,
    class_names,
    read_classmap,
    read_folders,
)
from taolite.formats.ranges import located
from taolite.formats.tags import VOC_CLASSES, read_nuswide, read_voc_tags
from taolite.formats.tar_folders import read_tar_folders, tar_class_names
from taolite.formats.tar_listing import TarListing
from taolite.formats.tars import TarPictures, list_tars, names_tars, tar_files
from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.tasks.base import Resolve, Split
from taolite.tasks.classification.inference import MARGIN
from taolite.tasks.classification.loss import TARGET
from taolite.tasks.classification.spec import ClassificationSpec, InterpolationMethod

__all__ = ["class_examples", "one_hot", "spec_augment", "spec_classes", "spec_preprocessing", "spec_source"]

_CAFFE_RGB = (123.68, 116.779, 103.939)
_CAFFE_GREY = 117.3786
_TORCH_RGB, _TORCH_GREY = (0.485, 0.456, 0.406), 0.449
_TORCH_STD = 0.224  # TAO's one value for all channels, not the usual three
_JETSON_STDS = (0.229, 0.224, 0.225)


def spec_classes(spec: ClassificationSpec, *, classmap: Path | None, resolve: Resolve) -> tuple[str, ...]:
    """The class names: of the classmap, else the sorted class folders of the training data (at least two).

    Tagged data has the classes that its format lists. Raises PathError, DataError.
    """
    if classmap is not None:
        return read_classmap(classmap)
    place, jetson = located(spec.train_config.train_dataset_path, resolve), spec.jetson_config
    if jetson and jetson.dataset_type == "voc":
        return VOC_CLASSES
    if jetson and jetson.dataset_type == "nuswide":
        return read_nuswide(Path(place), split="trainval", skip_corrupt=True)[1]
    if names_tars(place):
        listings = _listings(place, "train_dataset_path")
        return tar_class_names(listings, spelled=place, extensions=_extensions(spec), least=2)
    return class_names(Path(place), least=2)


def _extensions(spec: ClassificationSpec) -> tuple[str, ...]:
    return TORCHVISION_EXTENSIONS if spec.jetson_config else KERAS_EXTENSIONS


def _listings(place: str, field: str) -> list[TarListing]:
    return list_tars(tar_files(place, field=field), measured=True)


def spec_preprocessing(spec: ClassificationSpec, *, crops: bool) -> Preprocessing:
    """From photo to network input. With `crops` the centre is cropped; otherwise the whole photo is stretched."""
    channels, height, width = spec.model_config_.input_chw
    if spec.jetson_config:
        offsets = tuple(255 * mean for mean in _TORCH_RGB)
        return Preprocessing((height, width), fit="cover", offsets=offsets, stds=_JETSON_STDS)
    made = Preprocessing(
        input_hw=(height, width),
        channels=channels,
        fit="cover" if crops else "stretch",
        least_side=min(height, width) + MARGIN if crops else 0,
        cubic=_interpolation(spec) == "bicubic",
    )
    mode = spec.train_config.preprocess_mode
    if mode == "tf":
        return dataclasses.replace(made, scale=1 / 127.5, offsets=(127.5,) * channels, stds=(1.0,) * channels)
    if mode == "torch":
        means = _TORCH_RGB if channels == 3 else (_TORCH_GREY,)
        offsets = tuple(255 * mean for mean in means)
        return dataclasses.replace(made, scale=1 / 255, offsets=offsets, stds=(_TORCH_STD,) * channels)
    given = spec.train_config.image_mean
    if channels == 1:
        return dataclasses.replace(made, scale=1.0, offsets=(given.get("l", _CAFFE_GREY),), stds=(1.0,))
    red, green, blue = (given[name] for name in "rgb") if given else _CAFFE_RGB
    return dataclasses.replace(made, scale=1.0, offsets=(blue, green, red), bgr=True)


def spec_source(
    spec: ClassificationSpec,
    split: Split,
    classes: Sequence[str],
    *,
    resolve: Resolve,
    leave_out_others: bool,
    skip_corrupt: bool,
    pictures: Path | None = None,
) -> tuple[Source, list[Notice]]:
    """The pictures of a split, or of the folder `pictures`, and notices about them. Raises PathError, DataError."""
    folder, field = spec.train_config.val_dataset_path, "val_dataset_path"
    if split == "train":
        folder, field = spec.train_config.train_dataset_path, "train_dataset_path"
    elif split == "test" and spec.eval_config:
        folder, field = spec.eval_config.eval_dataset_path, "eval_dataset_path"
    place = located(folder, resolve) if pictures is None else str(pictures)
    notices: list[Notice] = []

    def hear(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event)

    jetson = spec.jetson_config
    if jetson and jetson.dataset_type == "voc":
        tagged = read_voc_tags(Path(place), split="trainval" if split == "train" else "val", listener=hear)
        return Source(tagged), notices
    if jetson and jetson.dataset_type == "nuswide":
        half: Literal["trainval", "test"] = "trainval" if split == "train" else "test"
        return Source(read_nuswide(Path(place), split=half, skip_corrupt=skip_corrupt, listener=hear)[0]), notices
    read, tars = partial(read_folders, Path(place)), None
    if names_tars(place):
        listings = _listings(place, field)
        read, tars = partial(read_tar_folders, listings, spelled=place), TarPictures(listings)
    samples = read(
        classes=classes,
        leave_out_others=leave_out_others,
        extensions=_extensions(spec),
        skip_corrupt=skip_corrupt,
        listener=hear,
    )
    return Source(samples, pictures=tars), notices


def spec_augment(spec: ClassificationSpec) -> Augment:
    """The augmentation of training pictures: random crop or stretch, random flip; colour changes only with crops."""
    training, interpolation = spec.train_config, _interpolation(spec)
    whole = spec_preprocessing(spec, crops=False)

    def augment(
        photo_hwc: NDArray[np.uint8], truth: Truth, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Truth]:
        if spec.jetson_config:
            pixels = random_resized_crop(photo_hwc, whole.input_hw, rng, area=(spec.jetson_config.crop_area, 1.0))
        elif training.enable_random_crop:
            pixels = tao_random_crop(photo_hwc, whole.input_hw, rng, interpolation=interpolation)
        else:
            pixels = whole.fit_photo(photo_hwc)
        if not training.disable_horizontal_flip:
            pixels = mirror(pixels, rng)
        if training.enable_random_crop and training.enable_color_augmentation and not spec.jetson_config:
            pixels = tao_recolour(pixels, rng)
        height, width = whole.input_hw
        frame = np.tile(np.array([0, 0, width, height], np.float32), (len(truth.classes_n), 1))
        return pixels, Truth(frame, truth.classes_n)

    return augment


def class_examples(
    source: Source,
    classes: Sequence[str],
    *,
    preprocessing: Preprocessing,
    augment: Augment | None,
    seed: int,
    notices: Sequence[Notice] = (),
) -> Examples:
    """Pictures whose labels cover the whole picture, with their classes as targets."""
    numbers = {name: number for number, name in enumerate(classes)}
    return Examples(
        sources=[source],
        class_of=numbers.get,
        preprocessing=preprocessing,
        encode=one_hot(len(classes)),
        augment=augment,
        seed=seed,
        notices=tuple(notices),
    )


def one_hot(num_classes: int) -> Encoder:
    """Targets: 1 for each class that is in the picture, 0 for the others."""
    return partial(_one_hot, num_classes=num_classes)


def _one_hot(truth: Truth, weight: float, *, num_classes: int) -> dict[str, NDArray[np.float32]]:
    target = np.zeros(num_classes, np.float32)
    target[truth.classes_n] = weight
    return {TARGET: target}


def _interpolation(spec: ClassificationSpec) -> Interpolation:
    cubic = spec.model_config_.resize_interpolation_method is InterpolationMethod.BICUBIC
    return "bicubic" if cubic else "bilinear"
