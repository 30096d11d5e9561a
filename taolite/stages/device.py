"""Where a run computes, in which number format, and the line that reports both.

On a processor with AMX or AVX512-BF16 the network runs in bfloat16 (docs/decisions/0004-bfloat16-on-cpu.md). On a GPU
it runs in float32 unless mixed precision is asked for. Weights, cost, optimiser and batch-norm statistics stay float32.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from taolite.errors import UsageError
from taolite.events import Computing

__all__ = ["Device", "Precision", "choose", "set_deterministic"]

Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]
_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {None: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}


@dataclass(frozen=True)
class Device:
    """A place to compute. `autocast`: reduced type of convolutions, or None for float32 throughout. `name`: name of the
    GPU."""

    place: torch.device
    autocast: torch.dtype | None
    name: str = ""

    @property
    def computing(self) -> Computing:
        """The event that reports this device."""
        gpu = (self.place.index or 0) if self.place.type == "cuda" else None
        return Computing(gpu, self.name, torch.get_num_threads(), _NAMES[self.autocast])

    @property
    def exact(self) -> Device:
        """The same place, computing in float32 throughout: a score is that of the exported model."""
        return replace(self, autocast=None)

    @contextmanager
    def reduced(self) -> Iterator[None]:
        """Run the network's forward pass in the reduced type, where there is one."""
        with torch.autocast(self.place.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            yield

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` on this device, float32."""
        return tensor.to(self.place, non_blocking=True)

    def fingerprint(self) -> dict[str, str | int]:
        """The values, besides spec, data and seed, that decide whether two runs are equal bit for bit."""
        return {
            "device": self.place.type,
            "dtype": str(self.autocast or torch.float32),
            "threads": torch.get_num_threads(),
        }


def choose(
    *,
    gpus: int = 1,
    gpu_index: Sequence[int] | None = None,
    precision: Precision = "auto",
    use_amp: bool = False,
    float16: bool = False,
    place: int = 0,
) -> Device:
    """The device for `--gpus` and `--gpu_index`; the processor where there is no GPU.

    Args:
        gpus, gpu_index: number and indices of the GPUs; without effect on a processor.
        precision: the type of convolutions. "auto" is bfloat16 on a processor that computes it fast, else float32.
        use_amp: with "auto" on a GPU, bfloat16 where the GPU has it, else float16.
        float16: with "auto", float16 on a GPU and bfloat16 on any processor.
        place: which of these GPUs this process uses, where several processes share the work.

    Raises UsageError where a GPU asked for is missing, or a processor is asked for float16.
    """
    if gpus < 1:
        raise UsageError(f"--gpus {gpus}: at least 1 is needed; with no GPU the run takes the processor")
    if gpu_index is not None and (len(set(gpu_index)) != gpus or len(gpu_index) != gpus):
        raise UsageError(
            f"--gpus {gpus} --gpu_index {list(gpu_index)}: give {gpus} different numbers, one for each GPU"
        )
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        reduced = _on_processor(precision, float16)
        return Device(torch.device("cpu"), reduced)
    indices = list(gpu_index) if gpu_index is not None else list(range(gpus))
    if any(not 0 <= index < found for index in indices):
        raise UsageError(f"--gpus {gpus} --gpu_index {indices}: this machine has GPUs 0 to {found - 1}")
    device = torch.device("cuda", indices[place])
    reduced = _on_gpu(precision, use_amp=use_amp, float16=float16)
    return Device(device, reduced, torch.cuda.get_device_name(device))


def set_deterministic(wanted: bool) -> None:
    """Make the same inputs give the same bits, on a GPU too; an operation that cannot do so then raises. Call it before
    the first use of the GPU."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.deterministic = wanted


def _on_processor(precision: Precision, float16: bool) -> torch.dtype | None:
    if precision == "fp16":
        raise UsageError("--precision fp16: there is no GPU here, and a processor trains in bf16 or fp32")
    if precision != "auto":
        return _TYPES[precision]
    return torch.bfloat16 if float16 or has_fast_bfloat16() else None


def _on_gpu(precision: Precision, *, use_amp: bool, float16: bool) -> torch.dtype | None:
    if precision != "auto":
        return _TYPES[precision]
    if float16:
        return torch.float16
    if use_amp:
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return None


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AMX or AVX512-BF16)."""
    flags = Path("/proc/cpuinfo")
    if not flags.exists():
        return False
    words = set(flags.read_text().split())
    return "amx_bf16" in words or "avx512_bf16" in words
