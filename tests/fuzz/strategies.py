"""Hypothesis strategies: documents that nobody would write, and documents whose meaning is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

__all__ = ["boxes", "json_values", "labels_text", "names", "records", "spec_text", "tar_members"]

FIELDS = (
    "random_seed", "dataset_config", "data_sources", "tfrecords_path", "image_directory_path", "target_class_mapping",
    "key", "value", "validation_fold", "model_config", "arch", "num_layers", "objective_set", "cov", "bbox", "scale",
    "offset", "training_config", "batch_size_per_gpu", "num_epochs", "learning_rate", "soft_start_annealing_schedule",
    "min_learning_rate", "regularizer", "type", "weight", "optimizer", "adam", "epsilon", "augmentation_config",
    "preprocessing", "output_image_width", "bbox_rasterizer_config", "cost_function_config", "target_classes", "name",
    "train_config", "ssd_config", "aspect_ratios_global", "nms_config", "kitti_config", "inferencer_config", "other",
)  # fmt: skip


def names() -> st.SearchStrategy[str]:
    """Any text that UTF-8 can hold; also empty, blank, with control characters and in any script."""
    return st.text(st.characters(codec="utf-8"), max_size=40)


def json_values(keys: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Any JSON value; objects often have some of `keys`."""
    numbers = st.one_of(st.integers(-(10**20), 10**20), st.floats(), st.just(10**400))
    leaves = st.one_of(st.none(), st.booleans(), numbers, names())
    key = st.one_of(st.sampled_from(keys), names()) if keys else names()
    return st.recursive(
        leaves, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(key, inner)), max_leaves=12
    )


def spec_text() -> st.SearchStrategy[str]:
    """Protobuf text with fields that specs have, in blocks that they do not belong to, and values of any kind."""
    strings = names().map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"')
    numbers = st.one_of(st.integers().map(str), st.floats().map(repr))
    words = st.sampled_from(("true", "DEFAULT", "inf", "-nan", "0x1F", "1e400", "''", "[]", "[1, 2]", "{}"))
    name = st.sampled_from(FIELDS)
    entry = st.builds("{}: {}".format, name, st.one_of(strings, numbers, words))
    block = st.recursive(
        st.lists(entry, max_size=5).map("\n".join),
        lambda inner: st.lists(st.builds("{} {{\n{}\n}}".format, name, inner), max_size=4).map("\n".join),
        max_leaves=20,
    )
    return st.one_of(block, st.builds(lambda text, cut: text[: len(text) * cut // 100], block, st.integers(0, 100)))


def labels_text(separator: str, columns: int) -> st.SearchStrategy[str]:
    """Lines of words and numbers, mostly as many as a line of labels has."""
    numbers = st.one_of(st.floats(-10, 2000).map(lambda value: f"{value:.6g}"), st.integers(-3, 99).map(str))
    cell = st.one_of(
        numbers, numbers, st.sampled_from(("cat", "nan", "inf", "-1", "1e999", "", "0x1", "١", "1_0")), names()
    )
    line = st.one_of(st.lists(cell, min_size=columns, max_size=columns), st.lists(cell, max_size=columns + 3))
    return st.lists(line.map(separator.join), max_size=6).map("\n".join)


def boxes() -> st.SearchStrategy[tuple[float, float, float, float]]:
    """x1, y1, x2, y2 in a picture of 1000 x 1000 pixels; whole in float32, which records hold."""
    side = st.floats(0, 999, width=32)
    size = st.tuples(st.integers(1, 900), st.integers(1, 900))

    def box(at: tuple[float, float], of: tuple[int, int]) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = np.float32([*at, at[0] + of[0], at[1] + of[1]]).clip(0, 1000).tolist()
        return x1, y1, x2, y2

    return st.builds(box, st.tuples(side, side), size)


def records() -> st.SearchStrategy[list[tuple[str, tuple[int, int], list[tuple[str, tuple[float, ...]]]]]]:
    """Pictures by name, with size and labelled boxes."""
    name = st.text("abcXYZ019-_/.犬", min_size=1, max_size=20).map(
        lambda text: "i/" + text.replace("..", ".").strip("/.")
    )
    labels = st.lists(st.tuples(st.text("catdog_犬", min_size=1, max_size=9), boxes()), max_size=5)
    return st.lists(st.tuples(name.filter(lambda text: len(text) > 2), st.just((1000, 1000)), labels), max_size=5)


def tar_members() -> st.SearchStrategy[list[tuple[str, int]]]:
    """Names and sizes of files, some of them long."""
    part = st.text("abcXYZ0129-_ 犬é", min_size=1, max_size=30).filter(lambda text: text.strip() == text)
    name = st.lists(part, min_size=1, max_size=8).map("/".join)
    return st.lists(st.tuples(name, st.integers(0, 3000)), max_size=6)
