#!/usr/bin/env bash
# What a machine with an NVIDIA GPU does, in one table: benchmarks/gpu.sh [OUT]. Needs python with torch, and taolite's
# extra `train`; nothing is fetched. Tests marked `gpu` first, then benchmarks/gpu.py: training, loader, memory,
# determinism, NCCL, ONNX Runtime and TensorRT. What is absent is left out by name. Under 8 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-gpu}
mkdir -p "$out"
code=0
if ! python -c 'import sys; from taolite.engines.buffers import gpu_is_here; sys.exit(not gpu_is_here())'; then
  echo "tests marked gpu: skipped, no GPU"
elif python -c 'import pytest' 2>"$out/pytest.txt"; then
  python -m pytest -q -m gpu -p no:cacheprovider tests >"$out/tests.txt" 2>&1 || code=$?
  echo "tests marked gpu: $(tail -n 1 "$out/tests.txt")"
else
  echo "tests marked gpu: skipped, pytest is not installed"
fi
python benchmarks/gpu.py 2>"$out/gpu.log" | tee "$out/gpu.md" || { tail -n 5 "$out/gpu.log" >&2; exit 1; }
[ "$code" = 0 ] || [ "$code" = 5 ] # 5: no test was chosen
