"""Benchmarks that no machine of the tests can run for real: that their programs work at tiny sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_table_of_a_gpu_has_its_rows_on_a_processor_and_names_what_is_left_out():
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--quick"]

    said = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )

    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in said.stdout.splitlines() if "|" in line]
    told = {row[0]: row[1] for row in rows}
    assert told["two trainings of 4 steps"] == "the same weights"
    assert told["NCCL, one process"] == "skipped"
    assert told["training 128x96, batch 4, fp32"].endswith(" images/s")
    assert told["ONNX Runtime in CUDA, TensorRT, TensorRT-RTX"] == "skipped"
