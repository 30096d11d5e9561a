"""Engines take what they take: larger batches are run in parts, a fixed batch is filled up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taolite.preprocessing import Preprocessing
from taolite.stages.inference.models import _engine_model


class Doubler:
    """An engine that doubles its input, and remembers how much it was given at once."""

    name, version, precision, calls = "stub", "1", "fp32", 1
    outputs = dict.fromkeys(("output_cov/Sigmoid", "output_bbox/BiasAdd"), (-1, 3, 16, 16))

    def __init__(self, batch: int) -> None:
        self.inputs = {"input_1": (batch, 3, 16, 16)}
        self.given: list[int] = []

    def infer(self, feeds: dict[str, Any]) -> dict[str, Any]:
        self.given.append(len(feeds["input_1"]))
        return dict.fromkeys(self.outputs, 2 * feeds["input_1"])

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("batch", "largest", "count", "parts"),
    [(-1, None, 5, [5]), (-1, 2, 5, [2, 2, 1]), (-1, 8, 5, [5]), (4, None, 5, [4, 4]), (1, 1, 3, [1, 1, 1])],
)
def test_a_batch_is_run_in_the_parts_an_engine_takes(batch: int, largest: int | None, count: int, parts: list[int]):
    engine = Doubler(batch)
    prep = Preprocessing((16, 16))
    model = _engine_model(Path("e"), engine, "detectnet", ("cat",), prep, {}, largest)  # type: ignore[arg-type]
    pixels = np.random.default_rng(0).random((count, 3, 16, 16), dtype=np.float32)

    cov, bbox = model.predict(pixels)

    assert engine.given == parts
    np.testing.assert_array_equal(cov, 2 * pixels)
    np.testing.assert_array_equal(bbox, 2 * pixels)
