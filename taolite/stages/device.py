"""Where a run computes, in which number format, and the one line that says so.

On a processor with AMX or AVX512-BF16 the network runs in bfloat16 (docs/decisions/0004-bfloat16-on-cpu.md); weights,
cost, optimiser and batch-norm statistics stay float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from taolite.errors import UsageError

__all__ = ["Device", "choose"]


@dataclass(frozen=True)
class Device:
    """A place to compute. `autocast` is the reduced type of convolutions, or None for float32 throughout."""

    place: torch.device
    autocast: torch.dtype | None
    description: str

    @contextmanager
    def reduced(self) -> Iterator[None]:
        """Run the network's forward pass in the reduced type, where there is one."""
        with torch.autocast(self.place.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            yield

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` on this device, float32."""
        return tensor.to(self.place, non_blocking=True)

    def fingerprint(self) -> dict[str, str | int]:
        """What bit-equality of two runs depends on, besides spec, data and seed."""
        return {
            "device": self.place.type,
            "dtype": str(self.autocast or torch.float32),
            "threads": torch.get_num_threads(),
        }


def choose(
    *, gpus: int = 1, gpu_index: Sequence[int] | None = None, use_amp: bool = False, bfloat16: bool | None = None
) -> Device:
    """The device for `--gpus` and `--gpu_index`; the processor where there is no GPU.

    `bfloat16` None means: where the processor computes it fast; on a GPU it takes `use_amp`.
    """
    if gpus < 1:
        raise UsageError(f"--gpus {gpus}: at least 1 is needed; with no GPU the run takes the processor")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        fast = has_fast_bfloat16() if bfloat16 is None else bfloat16
        kind = "bfloat16" if fast else "float32"
        threads = torch.get_num_threads()
        line = f"no GPU here: computing on the processor, {threads} thread{'s' if threads != 1 else ''}, {kind}"
        return Device(torch.device("cpu"), torch.bfloat16 if fast else None, line)
    indices = list(gpu_index) if gpu_index is not None else list(range(gpus))
    missing = [index for index in indices if not 0 <= index < found]
    if missing or len(indices) != gpus:
        raise UsageError(f"--gpus {gpus} --gpu_index {indices}: this machine has GPUs 0 to {found - 1}")
    if gpus > 1:
        raise UsageError(f"--gpus {gpus}: this version trains on one GPU at a time; use --gpus 1")
    reduced = use_amp or bool(bfloat16)
    place = torch.device("cuda", indices[0])
    name = torch.cuda.get_device_name(place)
    return Device(place, torch.bfloat16 if reduced else None, f"computing on GPU {indices[0]}: {name}")


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AMX or AVX512-BF16)."""
    flags = Path("/proc/cpuinfo")
    if not flags.exists():
        return False
    words = set(flags.read_text().split())
    return "amx_bf16" in words or "avx512_bf16" in words
