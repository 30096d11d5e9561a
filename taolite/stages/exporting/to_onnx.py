"""Writes a network as ONNX, with torch's own exporter."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from taolite.engines import onnx_graph
from taolite.errors import ModelError

__all__ = ["INPUT_NAME", "OPSET", "to_onnx"]

INPUT_NAME = "input_1"  # TAO's (reference/detectnet_v2.md 11.2)
OPSET = 17  # the newest that TensorRT 8.6 on a Jetson reads
_EXPORTERS_OPSET = 18  # the oldest that torch's exporter writes directly


def to_onnx(
    module: torch.nn.Module,
    *,
    channels: int,
    input_hw: tuple[int, int],
    output_names: Sequence[str],
    input_name: str = INPUT_NAME,
    opset: int = OPSET,
    static_batch: int | None = None,
) -> bytes:
    """Write a network as ONNX, in float32, simplified and checked; the module is not changed.

    Args:
        module: takes (N, channels, height, width) float32 and returns one tensor or a tuple of them.
        channels: 1 or 3.
        input_hw: (height, width), pixels; fixed in the model, as TensorRT profiles need it.
        output_names: names of what `forward` returns, in its order.
        input_name: TAO's is `input_1`.
        opset: 11 or later; 17 is the newest that TensorRT 8.6 on a Jetson reads, 12 is TAO's own default.
        static_batch: a batch size fixed in the model; None leaves it free.

    Raises:
        ModelError: an operation of the network does not exist in ONNX. EngineError: an operation does not exist at this
        opset, or the number of returned tensors is not the number of names.
    """
    still = copy.deepcopy(module).to("cpu", torch.float32).to(memory_format=torch.contiguous_format).eval()
    batch = static_batch or 2  # with 1 the exporter would make the batch a constant
    example = torch.zeros(batch, channels, *input_hw)
    free = ({0: torch.export.Dim("batch", min=1)},) if static_batch is None else None
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                still,
                (example,),
                dynamo=True,
                input_names=[input_name],
                opset_version=max(opset, _EXPORTERS_OPSET),
                dynamic_shapes=free,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = _innermost(error)
        raise ModelError(f"this network cannot be written as ONNX at opset {opset}: {reason}") from error
    written = program.model_proto.SerializeToString()
    if opset < _EXPORTERS_OPSET:
        written = onnx_graph.lower_opset(written, opset)
    return onnx_graph.tidy(written, input_names=[input_name], output_names=list(output_names))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on versions and conversions; `to_onnx` checks the result."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _innermost(error: BaseException) -> str:
    """The first line of the original error; the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
