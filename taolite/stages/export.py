"""export: a trained bundle -> ONNX that proves it is the same network -> `.etlt` sealed with the key, or `.onnx`."""

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

__all__ = ["to_onnx"]


def to_onnx(
    module: torch.nn.Module,
    *,
    channels: int,
    input_hw: tuple[int, int],
    output_names: Sequence[str],
    input_name: str = "input_1",
    opset: int = 17,
    static_batch: int | None = None,
) -> bytes:
    """Write a network down as ONNX, in float32, tidied and checked; the module is left as it was.

    Args:
        module: takes (N, channels, height, width) float32 and returns one tensor or a tuple of them.
        channels: 1 or 3.
        input_hw: (height, width), pixels; fixed in the model, as TensorRT profiles need it.
        output_names: of what `forward` returns, in its order.
        input_name: TAO's is `input_1`.
        opset: 17 is what TensorRT 8.6 on a Jetson still reads; 18 and later are the exporter's own.
        static_batch: a batch fixed in the model; None leaves it free.

    Raises:
        ModelError: the network has an operation without a counterpart at this opset, or returns another number of
        tensors than there are names.
    """
    still = copy.deepcopy(module).to("cpu", torch.float32).to(memory_format=torch.contiguous_format).eval()
    batch = static_batch or 2  # with 1 the exporter would take the batch for a constant
    example = torch.zeros(batch, channels, *input_hw)
    free = ({0: torch.export.Dim("batch", min=1)},) if static_batch is None else None
    with torch.no_grad():
        answer = still(example)
    returned = len(answer) if isinstance(answer, tuple | list) else 1
    if returned != len(output_names):
        raise ModelError(f"this network returns {returned} tensors, and there are {len(output_names)} output names")
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                still,
                (example,),
                dynamo=True,
                input_names=[input_name],
                output_names=list(output_names),
                opset_version=opset,
                dynamic_shapes=free,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = _innermost(error)
        raise ModelError(f"this network cannot be written as ONNX at opset {opset}: {reason}") from error
    model = program.model_proto
    written = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if written != opset:
        raise ModelError(f"this network cannot be written at opset {opset}, only at {written}; ask for that one")
    return onnx_graph.tidy(model.SerializeToString(), input_names=[input_name], output_names=list(output_names))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own remarks on versions and conversions: what they lead to is checked above."""
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
    """The first line of what went wrong first; the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
