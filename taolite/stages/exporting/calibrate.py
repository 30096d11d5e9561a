"""calibrate: images -> the ranges of a model's activations.

Images come from a tensorfile, a folder or a spec's training set, drawn by a fixed seed and preprocessed as the model
was trained. Nothing is ever calibrated on noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from taolite.artifacts.container import artifact_hash
from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.data.loading import batches as load_batches
from taolite.data.order import epoch_order, generator
from taolite.engines import onnx_graph
from taolite.errors import DataError, EngineError, PathError, UsageError
from taolite.events import Calibrating, Listener, Progress, TensorfileWritten, silent
from taolite.pictures import EXTENSIONS, open_picture, read_rgb
from taolite.preprocessing import Preprocessing
from taolite.quant.cache import DEFAULT_TENSORRT
from taolite.quant.calibrate import Method, calibrate
from taolite.quant.tensorfile import read_tensorfile, tensorfile_shape, write_tensorfile
from taolite.stages.agree import expect
from taolite.stages.exporting.ranges import Calibration, read_ranges, tensor_scales, write_ranges
from taolite.stages.signed import require_signed
from taolite.tasks.base import Experiment

__all__ = [
    "CalibrationOptions",
    "calibrate_model",
    "calibration_tensorfile",
    "find_ranges",
]

_SAMPLES = 2  # images kept to measure the rounding error


@dataclass(frozen=True)
class CalibrationOptions:
    """How `export` and `gen_trt_engine` calibrate, in TAO's flags (reference 2.7).

    Attributes:
        cache: read where it exists, without reading any image; else written.
        data_file: a tensorfile; where it does not exist, it is written from the images of `image_dir` or `experiment`.
        image_dir: a folder of pictures, including its subfolders.
        experiment: its training images are used.
        batches, batch_size: their product is the number of images drawn; a tensorfile gives that many of its batches.
        json_file: where the ranges are written as TAO's tensor scales.
        method, percentile: see `taolite.quant.calibrate.calibrate`.
        excluded: layers that stay float, besides the heads unless `float_heads` is False.
        force_ptq: ignore the ranges that quantisation-aware training learned.
        tensorrt: the TensorRT version that the cache is written for.
    """

    cache: Path = Path("cal.bin")
    data_file: Path | None = None
    image_dir: Path | None = None
    experiment: Experiment | None = None
    batches: int = 10
    batch_size: int = 16
    json_file: Path | None = None
    method: Method = "minmax"
    percentile: float = 99.99
    excluded: tuple[str, ...] = ()
    float_heads: bool = True
    force_ptq: bool = False
    tensorrt: str = DEFAULT_TENSORRT


@dataclass(frozen=True)
class _Inputs:
    """Network inputs for calibration. `each` gives the same (C, H, W) float32 images at every call."""

    source: str
    count: int
    sha256: str
    each: Callable[[], Iterator[NDArray[np.float32]]]


def find_ranges(
    onnx: bytes,
    *,
    preprocessing: Preprocessing,
    options: CalibrationOptions,
    listener: Listener = silent,
) -> Calibration:
    """The ranges of a float32 model: read from the cache where it exists, else found with images and written to it.

    Raises:
        UsageError: nothing to calibrate with. DataError: too few images, or a tensorfile of another input size.
        ModelError: the cache is of another model. PathError, SpecError: see the readers.
    """
    if options.cache.exists():
        return read_ranges(options.cache, onnx, listener=listener)
    inputs = _inputs(preprocessing, options, listener)
    (shape,) = onnx_graph.signature(onnx).inputs.values()
    size = max(shape[0], 1)
    passes = 1 if options.method == "minmax" else 2
    listener(Calibrating(options.method, inputs.count, inputs.source))
    ranges = calibrate(
        onnx,
        lambda: _grouped(inputs.each(), size),
        method=options.method,
        percentile=options.percentile,
        tick=lambda done: listener(Progress("calibrate", done, inputs.count * passes)),
    )
    record = {
        "method": options.method,
        "images": inputs.count,
        "source": inputs.source,
        "data_sha256": inputs.sha256,
        **({"percentile": options.percentile} if options.method == "percentile" else {}),
    }
    samples = np.stack(list(islice(inputs.each(), _SAMPLES)))
    calibration = Calibration(
        ranges, record, np.resize(samples, (shape[0], *samples.shape[1:])) if size > 1 else samples
    )
    write_ranges(options.cache, calibration, onnx, tensorrt=options.tensorrt, json_file=options.json_file)
    return calibration


def calibrate_model(
    model: Path,
    *,
    key: Key | None,
    options: CalibrationOptions,
    of: str | None = None,
    listener: Listener = silent,
) -> bool:
    """Make sure that `options.cache` holds ranges for the `.etlt` or `.onnx` at `model`. False where the model is
    already quantised and needs none.

    Where `options.json_file` exists, as after quantisation-aware training, it gives the ranges, unless
    `options.force_ptq`. `of`: the task that the model must be of; None accepts any.
    Raises PathError: the ranges are in a JSON file and the cache exists, as in TAO. EngineError: the ONNX of another
    tool. ModelError: a model of another task. SignatureError as `taolite.stages.signed`. Otherwise as `find_ranges`.
    """
    require_signed(model)
    onnx = read_model(model, key=key).onnx
    if "int8" in onnx_graph.element_types(onnx):
        return False
    meta = onnx_graph.read_meta(onnx)
    if meta is None:
        raise EngineError(f"{model}: this ONNX does not say how photos are prepared for it; export it with taolite")
    expect(of, meta.task, model)
    if options.json_file is not None and options.json_file.is_file() and not options.force_ptq:
        if options.cache.exists():
            raise PathError(
                f"{options.cache} already exists; the ranges come from {options.json_file}: remove it first"
            )
        calibration = Calibration(tensor_scales(options.json_file), {"method": options.json_file.name})
        write_ranges(options.cache, calibration, onnx, tensorrt=options.tensorrt)
        return True
    find_ranges(onnx, preprocessing=meta.preprocessing, options=options, listener=listener)
    return True


def calibration_tensorfile(
    experiment: Experiment,
    output: Path,
    *,
    max_batches: int = -1,
    split: Literal["train", "val"] = "train",
    listener: Listener = silent,
) -> int:
    """Write network inputs of a spec's data as a tensorfile, without augmentation; returns the number of batches.

    Training images are shuffled by the spec's seed. A batch has batch_size_per_gpu images; an incomplete last batch is
    left out. `max_batches` -1 means all. Raises DataError: fewer batches than asked for. PathError: the file exists.
    """
    recipe, examples = experiment.recipe, experiment.examples(split)
    there = len(examples) // recipe.batch_size
    count = there if max_batches == -1 else max_batches
    if not 0 < count <= there:
        raise DataError(f"The dataset contains {there} minibatches, while the requested amount is {max_batches}.")
    order: Sequence[int] = range(len(examples))
    if split == "train":
        order = epoch_order(len(examples), seed=recipe.seed, epoch=0, batch_size=recipe.batch_size)

    def pixels() -> Iterator[NDArray[np.float32]]:
        loaded = load_batches(examples, order[: count * recipe.batch_size], batch_size=recipe.batch_size)
        for number, batch in enumerate(loaded, start=1):
            yield batch.pixels.contiguous().numpy()
            listener(Progress("Writing calibration tensorfile", number, count, unit="batch"))

    return write_tensorfile(output, pixels())


def _inputs(preprocessing: Preprocessing, options: CalibrationOptions, listener: Listener) -> _Inputs:
    """Inputs from the first of tensorfile, folder and spec that is given."""
    tensorfile = options.data_file
    if tensorfile is not None and tensorfile.exists():
        return _from_tensorfile(tensorfile, preprocessing, options)
    if options.image_dir is not None:
        found = _from_folder(options.image_dir, preprocessing, options)
    elif options.experiment is not None:
        found = _from_experiment(options.experiment, preprocessing, options)
    else:
        missing = f"{tensorfile} does not exist, and there is no other source" if tensorfile else "there are none"
        raise UsageError(
            f"int8 needs images to calibrate with, and {missing}: give -e SPEC for its training images, "
            "--cal_image_dir FOLDER, or --cal_data_file FILE"
        )
    if tensorfile is None:
        return found
    write_tensorfile(tensorfile, _grouped(found.each(), options.batch_size))
    listener(TensorfileWritten(tensorfile, options.batches, options.batch_size))
    return found


def _from_tensorfile(path: Path, preprocessing: Preprocessing, options: CalibrationOptions) -> _Inputs:
    count, shape = tensorfile_shape(path)
    wanted = (preprocessing.channels, *preprocessing.input_hw)
    if shape[1:] != wanted:
        raise DataError(f"{path}: its inputs are {shape[1:]} (C, H, W), and the model takes {wanted}; write it again")
    if options.batches > count:
        raise DataError(
            f"{path}: The dataset contains {count} minibatches, while the requested amount is {options.batches}."
        )
    each = min(options.batch_size, shape[0])

    def images() -> Iterator[NDArray[np.float32]]:
        for batch in read_tensorfile(path, batches=options.batches):
            yield from batch[:each]

    return _Inputs(f"the tensorfile {path.name}", options.batches * each, artifact_hash(path), images)


def _from_folder(folder: Path, preprocessing: Preprocessing, options: CalibrationOptions) -> _Inputs:
    if not folder.is_dir():
        raise PathError(f"{folder}: there is no such folder; give one with pictures as --cal_image_dir")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)

    def picture(index: int) -> tuple[Path, IO[bytes]]:
        return paths[index], open_picture(paths[index])

    return _drawn(f"the pictures in {folder.name}", len(paths), picture, 0, preprocessing, options)


def _from_experiment(experiment: Experiment, preprocessing: Preprocessing, options: CalibrationOptions) -> _Inputs:
    examples = experiment.examples("train")

    def picture(index: int) -> tuple[Path, IO[bytes]]:
        return examples.samples[index].image, examples.open(index)

    source = f"the training images of {Path(experiment.source).name}"
    return _drawn(source, len(examples), picture, experiment.recipe.seed, preprocessing, options)


def _drawn(
    source: str,
    there: int,
    picture: Callable[[int], tuple[Path, IO[bytes]]],
    seed: int,
    preprocessing: Preprocessing,
    options: CalibrationOptions,
) -> _Inputs:
    """batches x batch_size of the pictures that exist (`there`), the same ones at every run."""
    count = options.batches * options.batch_size
    if not 0 < count <= there:
        raise DataError(
            f"Not enough number of images provided: {source} are {there}, and --batches {options.batches} x "
            f"--batch_size {options.batch_size} are {count}; lower one of them"
        )
    chosen = generator(seed, "calibration").permutation(there)[:count].tolist()
    digest = hashlib.sha256()
    for index in chosen:
        with picture(index)[1] as stream:
            digest.update(hashlib.sha256(stream.read()).digest())

    def images() -> Iterator[NDArray[np.float32]]:
        for index in chosen:
            path, stream = picture(index)
            with stream:
                photo = read_rgb(path, grey=preprocessing.channels == 1, stream=stream)
            yield preprocessing.apply(photo)

    return _Inputs(source, count, digest.hexdigest(), images)


def _grouped(images: Iterator[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """(size, C, H, W) batches; the last one is filled up with its own images."""
    while group := list(islice(images, size)):
        yield np.resize(np.stack(group), (size, *group[0].shape))
