"""Opens an engine file after checking its sidecar."""

from __future__ import annotations

from pathlib import Path

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import Sidecar, check_engine
from taolite.engines import onnx_graph, runtimes
from taolite.engines.base import Engine
from taolite.engines.opening import open_engine

__all__ = ["open_built"]


def open_built(
    engine: Path, *, model: Path | None = None, key: Key | None = None, threads: int | None = None, device: int = 0
) -> tuple[Engine, Sidecar]:
    """Open an engine file after checking its sidecar; the caller closes the engine.

    Args:
        model: the `.etlt` or `.onnx` it should have been built from, where available; key opens it.
        threads, device: see `taolite.engines.opening.open_engine`.

    Raises:
        EngineError: there is no sidecar; the sidecar describes another file; the engine is out of date (another model,
        or another version of the runtime) or built for other GPUs; or the runtime refuses it.
    """
    wanted = None if model is None else onnx_graph.sha256(read_model(model, key=key).onnx)
    sidecar = check_engine(engine, onnx_sha256=wanted, backend_version=None)
    sidecar = check_engine(engine, backend_version=_installed(sidecar.backend))
    return open_engine(engine, threads=threads, device=device), sidecar


def _installed(backend: str) -> str:
    """The installed version of the runtime. Raises EngineError where it is not installed."""
    return runtimes.find(backend).load().version()
