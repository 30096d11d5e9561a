"""Offsets by hand, turned round, and in torch as in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from taolite.tasks.ssd.coding import (
    centres,
    corners,
    decode,
    decode_tensor,
    encode,
    encode_tensor,
)

VARIANCES = (0.1, 0.2, 0.3, 0.4)
PRIOR = np.array([[0.5, 0.4, 0.2, 0.1]])


def scene(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    priors = np.concatenate([rng.uniform(0, 1, (50, 2)), rng.uniform(0.02, 1, (50, 2))], axis=1).astype(dtype)
    boxes = corners(np.concatenate([rng.uniform(0, 1, (50, 2)), rng.uniform(0.02, 1, (50, 2))], axis=1).astype(dtype))
    return boxes, priors


def test_corners_and_centres_by_hand():
    assert corners(PRIOR).tolist() == [pytest.approx([0.4, 0.35, 0.6, 0.45])]
    assert centres(np.array([[0.4, 0.35, 0.6, 0.45]])).tolist() == [pytest.approx([0.5, 0.4, 0.2, 0.1])]


def test_offsets_by_hand():
    box = corners(np.array([[0.54, 0.37, 0.2 * np.e, 0.1 / np.e]]))

    assert encode(box, PRIOR, VARIANCES)[0].tolist() == pytest.approx([0.2 / 0.1, -0.3 / 0.2, 1 / 0.3, -1 / 0.4])


def test_boxes_by_hand():
    offsets = np.array([[2.0, -1.5, np.log(2) / 0.3, np.log(3) / 0.4]])

    assert decode(offsets, PRIOR, VARIANCES)[0].tolist() == pytest.approx(corners(np.array([0.54, 0.37, 0.4, 0.3])))


@pytest.mark.parametrize("seed", range(3))
def test_decoding_turns_encoding_round(seed):
    boxes, priors = scene(seed, np.float64)

    np.testing.assert_allclose(decode(encode(boxes, priors, VARIANCES), priors, VARIANCES), boxes, atol=1e-12)


def test_dtypes_stay():
    boxes, priors = scene(0)

    assert encode(boxes, priors, VARIANCES).dtype == np.float32
    assert decode(encode(boxes, priors, VARIANCES), priors, VARIANCES).dtype == np.float32


@pytest.mark.parametrize("seed", range(3))
def test_torch_says_what_numpy_says_for_batches_too(seed):
    boxes, priors = scene(seed)
    offsets = encode(boxes, priors, VARIANCES)

    batch = torch.from_numpy(np.stack([boxes, boxes[::-1].copy()]))
    encoded = encode_tensor(batch, torch.from_numpy(priors), VARIANCES)
    decoded = decode_tensor(torch.from_numpy(np.stack([offsets, offsets])), torch.from_numpy(priors), VARIANCES)

    np.testing.assert_allclose(encoded[0], offsets, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(encoded[1], encode(boxes[::-1], priors, VARIANCES), rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(decoded[1], boxes, atol=2e-6)


def test_a_box_that_rounding_left_without_sides_encodes_as_the_least_one():
    box = torch.tensor([[0.5, 0.4, 0.5, 0.4]])

    offsets = encode_tensor(box, torch.from_numpy(PRIOR), VARIANCES)[0]

    assert offsets[2:].tolist() == pytest.approx([np.log(1e-6 / 0.2) / 0.3, np.log(1e-6 / 0.1) / 0.4])


def test_offsets_of_a_network_that_has_hardly_begun_are_finite_boxes_in_half_precision_too():
    prior = np.float32([[0.5, 0.5, 1.0, 1.0]])
    wild = np.float32([[0, 0, 600, -600], [0, 0, 30, 0]])

    boxes = decode(wild, prior, VARIANCES)

    half = np.exp(10) / 2  # 0.3 times 600, held at 10
    np.testing.assert_allclose(boxes[0], [0.5 - half, 0.5, 0.5 + half, 0.5], rtol=1e-5)
    assert boxes[1, 2] == pytest.approx(0.5 + np.exp(9) / 2, rel=1e-5)  # below it nothing changes
    assert np.isfinite(boxes.astype(np.float16)).all()
    told = decode_tensor(torch.from_numpy(wild), torch.from_numpy(prior), VARIANCES)
    np.testing.assert_allclose(told.numpy(), boxes, rtol=1e-6)
