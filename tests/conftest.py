"""What every test may lean on: the real data where it is, and one thread, so that two cores stay quiet."""

from __future__ import annotations

import atexit
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .offline import pytest_runtest_call, pytest_runtest_protocol, pytest_runtest_setup  # noqa: F401  (hooks)

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="taolite-tests-")  # indexes and caches of the tests alone
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

SHARED = Path(os.environ.get("TAOLITE_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: $TAOLITE_TEST_DATA, else ../shared/data; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared data sets are not at {SHARED}; TAOLITE_TEST_DATA names their folder")
    return SHARED


HOSTILE = [
    *(b"Infinity", b"-Infinity", b"NaN", b"1e999", b"-1", b"0", b"null", b"true", b"[]", b"{}", b'""', b"[[]]", b"3.5"),
    *(
        b"9" * 400,
        b"9" * 5000,
        b'"\\u0000"',
        b'"\\ud800"',
        b"\xff\xfe",
        b"\0",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"a" * 300,
    ),
]


@pytest.fixture(scope="session")
def mutations() -> Callable[..., Iterator[bytes]]:
    """mutations(good, count, seed=0): that many damaged copies of a file, the same ones every time. Bytes are changed,
    cut off, taken out, doubled; and a number, a text or a bracket makes way for a hostile one."""

    def make(good: bytes, count: int, *, seed: int = 0) -> Iterator[bytes]:
        rng = random.Random(seed)
        places = [found.span() for found in re.finditer(rb'"[^"]*"|[-+.\w]+|[{}\[\]<>:,]', good)] or [(0, len(good))]
        for _ in range(count):
            data = bytearray(good)
            for _ in range(rng.choice((1, 1, 2, 5))):
                low, high = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
                way = rng.randrange(6)
                if way == 0 and data:
                    data[rng.randrange(len(data))] = rng.randrange(256)
                elif way == 1:
                    del data[high:]
                elif way == 2:
                    del data[low : min(high, low + 8)]
                elif way == 3:
                    data[low:low] = data[low : min(high, low + 64)]
                else:
                    start, stop = rng.choice(places)
                    data[start:stop] = rng.choice((*HOSTILE, good[slice(*rng.choice(places))]))
            yield bytes(data)

    return make


@pytest.fixture(scope="module", autouse=True)
def _small_disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a module's tests wrote goes when it ends, unless one failed: models and checkpoints are gigabytes."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        for path in tmp_path_factory.getbasetemp().iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch computes with one thread in this module: the order of its sums is then the same on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def write_keras() -> Callable[..., Path]:
    """write(path, state_dict, layers=(), top="model_weights"): the network as Keras 2 saves it, its convolutions told
    from its batch norms by their shapes; `layers` are groups without weights, `top` the group that holds all."""
    h5py = pytest.importorskip("h5py")

    def write(path: Path, state: Mapping[str, Any], *, layers: Sequence[str] = (), top: str = "model_weights") -> Path:
        norms = {name.split(".")[-2] for name in state if name.endswith("running_mean")}
        ends = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        with h5py.File(path, "w") as file:
            for name, tensor in state.items():
                layer, end = name.split(".")[-2:]
                if end == "num_batches_tracked":
                    continue
                values, kind = tensor.detach().numpy(), ends[end] if layer in norms else end
                if kind == "weight":
                    depthwise = any(part in layer for part in ("dw", "depthwise"))
                    values = values.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
                    kind = "depthwise_kernel" if depthwise else "kernel"
                file[f"{top}/{layer}/{layer}/{kind}:0"] = values
            for layer in layers:
                file.create_group(f"{top}/{layer}")
        return path

    return write


@pytest.fixture
def raw_ssd() -> Callable[..., bytes]:
    """raw_ssd(priors, classes, opset=17): an ONNX with an SSD's outputs `scores` and `boxes`, which its `input_0`
    (N, priors, classes + 5) holds side by side."""
    from onnx import TensorProto, helper

    def model(priors: int, classes: int, *, opset: int = 17) -> bytes:
        channels = classes + 1
        numbers = {"zero": 0, "middle": channels, "end": channels + 4, "axis": 2}
        graph = helper.make_graph(
            [
                helper.make_node("Slice", ["input_0", "zero", "middle", "axis"], ["scores"]),
                helper.make_node("Slice", ["input_0", "middle", "end", "axis"], ["boxes"]),
            ],
            "raw",
            [helper.make_tensor_value_info("input_0", TensorProto.FLOAT, ["batch", priors, channels + 4])],
            [
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", priors, channels]),
                helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", priors, 4]),
            ],
            [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in numbers.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        return bytes(made.SerializeToString())

    return model


@pytest.fixture
def without_network(tmp_path: Path) -> Callable[[str], list[str]]:
    """without_network(code): run Python code in a process that ends at the first look-up or connection, with a fresh
    home folder; the files that are in that folder afterwards. Skipped where the system cannot watch a process so."""
    program = Path(__file__).with_name("no_network.py")

    def run(code: str) -> list[str]:
        home = tmp_path / "home"
        home.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
        environ = {**kept, "HOME": str(home), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(program), code], capture_output=True, text=True, env=environ, check=False
        )
        if done.returncode == 77:
            pytest.skip("this system cannot refuse a process its sockets")
        assert done.returncode == 0, f"it ended with {done.returncode} (-31: it opened a socket)\n{done.stderr}"
        assert "NETWORK" not in done.stderr
        return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())

    return run
