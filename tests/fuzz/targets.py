"""The table of what is fuzzed: a row for each reader of bytes that nobody vouches for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from . import models, photos, records, sealed, texts
from .target import Reader, Target

__all__ = ["CHECKS", "TARGETS"]

CONTAINERS, TEXTS, PICTURES, WEIGHTS, OTHERS = (
    "containers", "specs and labels", "pictures", "weights", "records, caches and models",
)  # fmt: skip

TARGETS: dict[str, Target] = {
    row.name: row
    for row in (
        Target("bundle", CONTAINERS, sealed.bundle, 5, 640),  # Argon2id may ask for 512 MiB
        Target("checkpoint", CONTAINERS, sealed.checkpoint, 2, 640),
        Target("etlt", CONTAINERS, sealed.etlt, 2, 640),
        Target("inspect", CONTAINERS, sealed.described, 1, 640),
        Target("picture", PICTURES, photos.picture, 1, 192),
        *(Target(f"weights {kind}", WEIGHTS, models.weights(kind), 10) for kind in models.KINDS),
        Target("tensorfile", WEIGHTS, models.tensorfile, 10),
        *(Target(f"network {task}", WEIGHTS, models.network(task), 2) for task in models.TASKS),  # a network each
        *(Target(name, TEXTS, texts.text(name), 2) for name in texts.TEXTS),
        *(Target(name, TEXTS, texts.label_set(name), 4) for name in texts.FILES),
        Target("spec", TEXTS, texts.spec, 4),
        Target("tfrecord", OTHERS, records.tfrecord, 4),
        Target("tar", OTHERS, records.tar, 4),
        Target("index", OTHERS, records.index, 2),
        Target("mounts", OTHERS, texts.mounts, 2),
        Target("sidecar", OTHERS, texts.sidecar, 2),
        Target("manifest", OTHERS, texts.manifest, 2),
        Target("report", OTHERS, texts.report, 2),
        Target("finds", OTHERS, texts.finds, 2),
        Target("int8 record", OTHERS, models.ranges, 1),
        Target("onnx", OTHERS, models.onnx_model, 1),
        Target("onnx metadata", OTHERS, models.onnx_meta, 1),
    )
}


def _fails_at_3(fail: Callable[[], object]) -> Callable[[Path], Reader]:
    """A target whose case 3 does this."""

    def make(folder: Path) -> Reader:
        numbers = iter(range(1 << 62))  # a new process begins at the case after the one that ended it
        return Reader(lambda rng: b"", lambda data: fail() if next(numbers) == 3 else None, ())

    return make


def _run() -> None:
    while True:
        pass


def _raise() -> None:
    raise KeyError("x")


CHECKS: dict[str, Target] = {
    f"check: {name}": Target(f"check: {name}", OTHERS, _fails_at_3(fail), 1, 64)
    for name, fail in {"ends": os.abort, "runs": _run, "raises": _raise, "grows": lambda: b"x" * (100 << 20)}.items()
}
"""Targets that fail, for the test of what notices it."""
