"""A lock without PyTorch and what CUDA needs: what docker/Dockerfile installs for CPUs alone.

python without_cuda.py requirements.lock            # the lock of everything else, with its hashes
python without_cuda.py --torch requirements.lock    # torch and torchvision with their versions, without hashes
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

TORCH = re.compile(r"torch(vision)?==")
CUDA = re.compile(r"(nvidia|cuda|tensorrt)-|triton==")


def packages(text: str) -> list[str]:
    """The packages of a lock, each with the lines of its hashes."""
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    return re.split(r"(?m)^(?=\w)", "".join(lines))[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description="Print a lock without PyTorch and what CUDA needs.")
    parser.add_argument("lock", type=Path, help="docker/requirements.lock")
    parser.add_argument("--torch", action="store_true", help="print torch and torchvision instead, without hashes")
    options = parser.parse_args()
    found = packages(options.lock.read_text(encoding="utf-8"))
    if options.torch:
        print("\n".join(re.split(r"[ ;\\]", one)[0] for one in found if TORCH.match(one)))
    else:
        print("".join(one for one in found if not TORCH.match(one) and not CUDA.match(one)), end="")


if __name__ == "__main__":
    main()
