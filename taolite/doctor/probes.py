"""Deep checks: a model of one node is opened and run in each runtime, and one sum computed in PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from taolite.doctor.finding import Finding
from taolite.engines.base import BuildOrder, Profile
from taolite.engines.opening import open_engine
from taolite.errors import TaoliteError

__all__ = ["runtimes", "torch"]

_TORCH = """
import torch
device = "cuda" if torch.cuda.is_available() else "cpu"
assert float((torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)).sum()) == 64**3
print(device)
"""
_LIMIT_S = 120  # the first import of PyTorch from a slow disk


def runtimes(rows: Sequence[Any]) -> Iterator[Finding]:
    """Each installed runtime of `rows`, of `taolite.engines.runtimes`, opens and runs a model. A runtime for GPUs is
    left out where no GPU is here."""
    onnx = tiny_onnx()
    for row in rows:
        if not row.is_here():
            continue
        facts = {"title": row.title}
        try:
            data = onnx
            if not row.runs_onnx:
                shape = (1, 4)
                data = row.load().build(onnx, BuildOrder({"x": Profile(shape, shape, shape)})).data
            with open_engine(data, runtime=row.name) as engine:
                (out,) = engine.infer({"x": np.array([[-1, 0, 1, 2]], np.float32)}).values()
            right = np.allclose(out, [[0, 0, 1, 2]], atol=1e-3)
        except (TaoliteError, ImportError, OSError) as error:
            yield Finding(f"{row.name} probe", "broken", "failed", {**facts, "reason": str(error)})
            continue
        state = ("ok", "") if right else ("broken", "result")
        yield Finding(f"{row.name} probe", state[0], state[1], facts)  # type: ignore[arg-type]


def torch() -> Finding:
    """PyTorch computes one sum, on the GPU where it sees one; in a process of its own, which may crash."""
    done = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return Finding("torch probe", "broken", "failed", {"title": "PyTorch", "reason": last})
    return Finding("torch probe", "ok", "", {"title": "PyTorch", "device": done.stdout.strip()})


def tiny_onnx() -> bytes:
    """An ONNX model of one node: y = max(x, 0), of shape (batch, 4)."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
