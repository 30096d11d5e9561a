"""What processes send each other: values come back equal, and nothing that could run code comes in."""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from taolite import spec as specs
from taolite.dist.wire import WireError, pack, unpack
from taolite.errors import SpecProblem
from taolite.sample import Detection, Truth
from taolite.scorecard import ACCURACY, AP, Curve, Metric, ScoreCard
from taolite.stages.evaluate import Evaluation
from taolite.stages.training.checkpoint import State
from taolite.stages.training.run import Best
from taolite.tasks.classification.jetson import Settings, template
from taolite.tasks.found import NO_BOXES, Found

PLAIN = [
    None,
    True,
    0,
    -(2**70),
    0.1,
    -0.0,
    math.inf,
    "",
    "車 \ud800 \x00",
    (),
    [1, (2, [3.5, None])],
    {1: "a", ("b", 2): {"c": ()}},
    {1, 2},
    frozenset({"x"}),
    Path("/a/b"),
    SpecProblem(3, 4, "text"),
    Detection("cat", (1.0, 2.0, 3.0, 4.0), 0.5),
    Best(Path("w.tlt"), 3, 0.25),
    Settings(dataset=Path("d"), epochs=3),
    ScoreCard(
        Metric(AP, 0.5, {"a": 0.25}), {"VOC": Metric(ACCURACY, 1.0, {})}, {"a": 3}, 2, ((1, 2), (3, 4)),
        {"a": Curve((0.5, 1.0), (1.0, 0.5))},
    ),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_a_value_comes_back_equal_and_of_its_type(value):
    back = unpack(pack(value))

    assert (back, type(back)) == (value, type(value))


def test_not_a_number_comes_back():
    assert math.isnan(unpack(pack(float("nan"))))


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint8", "float16", "float32", "float64", ">i4"])
@pytest.mark.parametrize("shape", [(), (0, 4), (3,), (2, 3)])
def test_arrays_keep_their_bits(dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)

    back = unpack(pack([array, array]))[1]

    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    back[...] = 1  # it is the receiver's own


def test_what_a_validation_finds_comes_back():
    found = Found(np.ones((2, 4), np.float32), np.float32([0.5, 0.25]), np.array([1, 0]))
    truth = Truth(np.zeros((1, 4), np.float32), np.array([1]), None)
    ranking = Found(NO_BOXES, np.float32([0.75, 0.25]), np.array([1, 0]), given=1)

    one, two, three, four = unpack(pack((found, truth, ranking, np.float32(0.1))))

    assert (type(one), type(two), type(three)) == (Found, Truth, Found)
    for back, sent in (
        (one.boxes_n4, found.boxes_n4),
        (one.scores_n, found.scores_n),
        (two.classes_n, truth.classes_n),
    ):
        np.testing.assert_array_equal(back, sent)
    assert (two.difficult_n, three.given, four, type(four)) == (None, 1, np.float32(0.1), np.float32)


def test_a_checkpoint_comes_back():
    state = State({"conv": torch.arange(6.0).reshape(2, 3)}, {"step": 3, "rates": [0.1]}, [{"epoch": 1, "loss": None}])

    path, back = unpack(pack((Path("step.ckpt"), state)))

    assert path == Path("step.ckpt")
    assert torch.equal(back.tensors["conv"], state.tensors["conv"])
    assert (back.trainer, back.metrics) == (state.trainer, state.metrics)


def test_a_spec_comes_back_as_its_text():
    assert unpack(pack((template(), None))) == (template(), None)
    assert specs.dumps(template()).encode() in pack(template()).replace(b'\\"', b'"').replace(b"\\n", b"\n")


def test_a_mapping_of_another_kind_comes_back_as_a_dict():
    evaluation = Evaluation(ScoreCard(Metric(AP, 0.5, MappingProxyType({"a": 1.0})), {}, {}, 1), 0.5, 0.1)

    assert unpack(pack(evaluation)).card.main.per_class == {"a": 1.0}
    assert unpack(pack(OrderedDict(a=1))) == {"a": 1}


class Other:
    pass


@pytest.mark.parametrize(
    "value",
    [Other(), print, Other, b"bytes", np.array([None]), np.array(["text"]), 1j, range(3), [object()], {"a": Other()}],
)
def test_a_value_of_another_type_is_not_sent(value):
    with pytest.raises(WireError, match="is not sent between processes"):
        pack(value)


def message(coded: object, arrays: bytes = b"") -> bytes:
    text = json.dumps(coded).encode()
    return struct.pack("<Q", len(text)) + text + arrays


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        pickle.dumps({"a": 1}),
        message(["o", "os:system", {"command": "true"}]),
        message(["o", "subprocess:Popen", {"args": ["true"]}]),
        message(["o", "taolite.files:write_text", {"path": "x", "text": "y"}]),
        message(["o", "taolite.files:os", {}]),
        message(["o", "taolite.quiet:hush", {}]),
        message(["o", "taolite.scorecard:Metric.__init__", {}]),
        message(["o", "taolite.nosuch:Metric", {}]),
        message(["o", "taolite.scorecard:Metric", {"unknown": 1}]),
        message(["e", "taolite.scorecard:Metric", "x"]),
        message(["m", "taolite.scorecard:Metric", "x"]),
        message(["q", 1]),
        message([]),
        message({"a": 1}),
        message(["a", "<f4", [2]], b"1234567"),
        message(["a", "<f4", [-1]], b""),
        message(["a", "O", [1]], b"12345678"),
        message(["a", "|V8", [1]], b"12345678"),
        message(1, b"left over"),
        struct.pack("<Q", 9) + b"not json!",
        struct.pack("<Q", 2**63) + b"1",
        message([["l"]] * 3),
    ],
)
def test_a_message_that_was_not_packed_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(WireError):
        unpack(data)

    assert list(tmp_path.iterdir()) == []


def test_any_damage_to_a_message_is_a_wire_error_or_another_value():
    whole = pack(
        (Found(np.ones((1, 4), np.float32), np.float32([0.5]), np.array([1])), Best(Path("w"), 1, 0.5), "text")
    )
    rng = np.random.default_rng(0)

    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole[: rng.integers(len(whole) + 1)] if rng.random() < 0.3 else whole)
        for place in rng.integers(max(len(damaged), 1), size=rng.integers(1, 4)):
            damaged[place : place + 1] = bytes([rng.integers(256)])
        try:
            unpack(bytes(damaged))
        except WireError:
            refused += 1
    assert 0 < refused < 3000
