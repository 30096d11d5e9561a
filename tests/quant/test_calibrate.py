"""Ranges found by running images through the network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnxruntime.quantization.calibrate import HistogramCollector

from taolite.errors import DataError, ModelError
from taolite.quant.calibrate import BINS, calibrate, entropy_range, float_tensors, histogram, percentile_range

TENSORS = ("input_1", "a", "ra", "b", "sum", "rs", "logits", "cov", "bbox")


def batches(count: int = 5):
    rng = np.random.default_rng(2)
    made = [rng.random((2, 2, 6, 8), dtype=np.float32) for _ in range(count)]
    return lambda: iter(made)


@pytest.fixture(scope="module")
def tensors(residual) -> dict[str, np.ndarray]:
    """Every tensor over all batches, by the plain way: all of them as outputs."""
    import onnxruntime

    model = onnx.load_model_from_string(residual.onnx)
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in TENSORS[1:])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = [[batch, *session.run(list(TENSORS[1:]), {"input_1": batch})] for batch in batches()()]
    return {name: np.concatenate(parts) for name, parts in zip(TENSORS, zip(*found, strict=True), strict=True)}


def test_every_float_tensor_is_calibrated_in_the_graphs_order(residual):
    assert float_tensors(residual.onnx) == TENSORS
    assert tuple(calibrate(residual.onnx, batches())) == TENSORS


def test_minmax_is_the_largest_size_over_all_batches(residual, tensors):
    found = calibrate(residual.onnx, batches())

    for name in TENSORS:
        assert found[name] == np.abs(tensors[name]).max()


def test_percentile_holds_that_share_of_the_values(residual, tensors):
    found = calibrate(residual.onnx, batches(), method="percentile", percentile=95.0)

    for name in TENSORS:
        sizes = np.abs(tensors[name])
        assert (sizes <= found[name]).mean() >= 0.95 - 1e-9
        assert (sizes <= found[name] - sizes.max() / BINS).mean() < 0.95 or found[name] == sizes.max() / BINS


def test_percentile_agrees_with_onnx_runtimes():
    values = np.random.default_rng(4).normal(size=20000).astype(np.float32)
    theirs = HistogramCollector("percentile", True, BINS, 128, 99.0, "same")
    theirs.collect({"x": values})

    ours = percentile_range(histogram(values, float(np.abs(values).max())), float(np.abs(values).max()), 99.0)

    low, high = theirs.compute_collection_result()["x"][:2]
    width = float(np.abs(values).max()) / BINS
    assert low == -high
    assert ours == pytest.approx(float(high), abs=1.01 * width)


def test_a_histogram_counts_sizes_up_to_the_largest():
    counts = histogram(np.float32([[0.0, -0.1, 0.5], [-1.0, 1.0, 0.9999]]), 1.0)

    wanted = np.zeros(BINS, np.int64)
    wanted[[0, int(0.1 * BINS), BINS // 2]] = 1
    wanted[-1] = 3
    np.testing.assert_array_equal(counts, wanted)
    assert histogram(np.zeros((2, 3), np.float32), 0.0)[0] == 6


def entropy_by_loops(counts: np.ndarray, largest: float) -> float:
    """The same search, bin by bin."""
    counts = [float(value) for value in counts]
    counts[0] = counts[1]
    best = (float("inf"), len(counts))
    for size in range(128, len(counts) + 1):
        p = counts[:size]
        q = [0.0] * size
        for level in range(128):
            members = [index for index in range(size) if index * 128 // size == level and p[index] > 0]
            for index in members:
                q[index] = sum(p[i] for i in members) / len(members)
        p = [*p[:-1], p[-1] + sum(counts[size:])]
        if any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)) or sum(q) == 0:
            continue
        total_p, total_q = sum(p), sum(q)
        pairs = [(a / total_p, b / total_q) for a, b in zip(p, q, strict=True) if a > 0]
        divergence = sum(a * np.log(a / b) for a, b in pairs)
        if divergence < best[0] - 1e-15:
            best = (divergence, size)
    return largest * best[1] / len(counts)


@pytest.mark.parametrize("seed", range(4))
def test_entropy_finds_what_the_search_by_loops_finds(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([np.abs(rng.normal(size=3000)), np.abs(rng.normal(size=3)) * 6])
    counts = np.histogram(values, bins=200, range=(0, values.max()))[0]

    assert entropy_range(counts, float(values.max())) == entropy_by_loops(counts, float(values.max()))


def test_entropy_cuts_an_outlier_off():
    values = np.abs(np.random.default_rng(0).normal(size=200000)).astype(np.float32)
    values[0] = 40.0

    found = entropy_range(histogram(values, 40.0), 40.0)

    assert 2.5 < found < 6


def test_entropy_of_the_network_is_no_larger_than_minmax(residual):
    cut, whole = (calibrate(residual.onnx, batches(), method=method) for method in ("entropy", "minmax"))

    assert all(0 < cut[name] <= whole[name] for name in TENSORS)
    assert any(cut[name] < whole[name] for name in TENSORS)


def test_progress_counts_images_over_both_passes(residual):
    heard: list[int] = []

    calibrate(residual.onnx, batches(3), method="percentile", tick=heard.append)

    assert heard == [2, 4, 6, 8, 10, 12]


def test_no_images_and_numbers_that_are_none_are_refused(residual):
    with pytest.raises(DataError) as nothing:
        calibrate(residual.onnx, lambda: iter(()))
    with pytest.raises(ModelError) as broken:
        calibrate(residual.onnx, lambda: iter([np.full((1, 2, 6, 8), np.inf, np.float32)]))

    assert str(nothing.value) == "there are no images to calibrate with; int8 needs some of the training images"
    assert str(broken.value) == "input_1 takes a value that is not finite; this model cannot be quantised"
