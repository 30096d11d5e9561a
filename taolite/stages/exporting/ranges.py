"""The ranges of a model's activations: write them, read them again for the same model, and quantise to INT8 with them.

Ranges are stored as TensorRT's calibration cache. `NAME.json` beside it says which model and images they belong to: a
cache of another model is refused, not silently used. No torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.artifacts.container import read_file
from taolite.engines import onnx_graph
from taolite.errors import DataError, ModelError, reading
from taolite.events import Listener, RangesUsed, silent
from taolite.files import write_text
from taolite.onnxfile import parse_onnx
from taolite.quant import insert_qdq, layers, quantised_tensors
from taolite.quant.cache import DEFAULT_TENSORRT, cache_text, parse_cache
from taolite.tasks.registry import find_use

__all__ = ["Calibration", "float_layers", "narrowed", "quantise", "read_ranges", "tensor_scales", "write_ranges"]

_LARGEST = 1 << 24  # bytes that are read of a record


@dataclass(frozen=True)
class Calibration:
    """Ranges by tensor name; a JSON record of how they were found; and a few of the images, (N, C, H, W) float32, or
    None where a cache gave the ranges."""

    ranges: Mapping[str, float]
    record: Mapping[str, Any]
    samples: NDArray[np.float32] | None = None


def read_ranges(cache: Path, onnx: bytes, *, listener: Listener = silent) -> Calibration:
    """The ranges of a calibration cache, for this model.

    Raises PathError: there is no such file. DataError: it is not a cache. ModelError: it is of another model.
    """
    read = parse_cache(read_file(cache).decode("utf-8", "replace"), where=str(cache))
    beside = _record_path(cache)
    record = _read_record(beside) if beside.is_file() else {"method": read.header}
    if record.pop("weights_sha256", _weights_sha256(onnx)) != _weights_sha256(onnx):
        raise ModelError(
            f"{cache}: its ranges are of another model, as {beside.name} says; remove both files to calibrate again, "
            "or name another --cal_cache_file"
        )
    wanted = quantised_tensors(onnx)
    missing = [name for name in wanted if name not in read.ranges]
    if len(missing) == len(wanted):
        raise ModelError(f"{cache}: no tensor of it is in this model; its ranges are of another one")
    listener(RangesUsed(cache, tuple(missing)))
    return Calibration(read.ranges, record)


def write_ranges(
    cache: Path,
    calibration: Calibration,
    onnx: bytes,
    *,
    tensorrt: str = DEFAULT_TENSORRT,
    json_file: Path | None = None,
) -> None:
    """Write the ranges of `onnx`: TensorRT's cache, a record beside it, and TAO's JSON where its name is given.

    The cache holds every tensor of the float model: TensorRT up to 10 and DeepStream quantise the float model.
    """
    record = {**calibration.record, "weights_sha256": _weights_sha256(onnx)}
    write_text(_record_path(cache), json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    if json_file is not None:
        scales = {"tensor_scales": dict(calibration.ranges)}
        write_text(json_file, json.dumps(scales, indent=4, ensure_ascii=False) + "\n")
    # the next run takes the ranges of a cache that is there, so it comes last
    write_text(cache, cache_text(calibration.ranges, tensorrt=tensorrt))


def float_layers(onnx: bytes, *, excluded: Sequence[str] = (), heads: bool = True) -> tuple[str, ...]:
    """The layers that stay float: those `excluded`, and with `heads` also the heads. The heads cause most of the mAP
    loss of int8 and take almost no time (docs/cookbook/int8.md has the figures)."""
    meta = onnx_graph.read_meta(onnx)
    own = find_use(meta.task).heads if heads and meta is not None else ()
    known = layers(onnx)
    return tuple(dict.fromkeys([*excluded, *(head for head in own if head in known)]))


def narrowed(calibration: Calibration, onnx: bytes, *, excluded: Sequence[str]) -> Calibration:
    """The ranges without those of tensors that only the layers `excluded` read or give: what such a layer gives to an
    addition is not rounded either."""
    tensors = layers(onnx)
    touched = {name for layer, names in tensors.items() if layer in excluded for name in names}
    needed = {name for layer, names in tensors.items() if layer not in excluded for name in names}
    kept = {name: largest for name, largest in calibration.ranges.items() if name not in touched - needed}
    return replace(calibration, ranges=kept)


def quantise(onnx: bytes, calibration: Calibration, *, excluded: tuple[str, ...] = ()) -> bytes:
    """The model in INT8 (see `taolite.quant.insert_qdq`); its metadata says that it is, and how it was calibrated."""
    quantised = insert_qdq(onnx, calibration.ranges, excluded=excluded)
    meta = onnx_graph.read_meta(onnx)
    if meta is None:
        return quantised
    record = {**calibration.record, **({"excluded": list(excluded)} if excluded else {})}
    return onnx_graph.write_meta(quantised, replace(meta, precision="int8", calibration=record))


def tensor_scales(path: Path) -> dict[str, float]:
    """The ranges of TAO's JSON file at `path`. Raises DataError."""
    try:
        return {str(name): float(value) for name, value in json.loads(read_file(path))["tensor_scales"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"{path}: no JSON with tensor_scales in it ({error}); `export --cal_json_file` writes it"
        ) from error


def _read_record(path: Path) -> dict[str, Any]:
    """The record beside a cache. Raises PathError, DataError."""
    way_out = "remove it and the cache to calibrate again"
    with reading(path, DataError, found="not the record of a calibration cache", way_out=way_out):
        record = json.loads(read_file(path, most=_LARGEST))
        if not isinstance(record, dict):
            raise ValueError("an object is needed")
        return record


def _record_path(cache: Path) -> Path:
    return cache.with_name(cache.name + ".json")


def _weights_sha256(onnx: bytes) -> str:
    """SHA-256 of the names and values of all weights; opset, batch and metadata do not count."""
    digest = hashlib.sha256()
    for tensor in sorted(parse_onnx(onnx).graph.initializer, key=lambda tensor: tensor.name):
        digest.update(tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()
