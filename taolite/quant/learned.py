"""From the ranges that a network learned layer by layer to those of its ONNX's tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from taolite.errors import ModelError
from taolite.quant.qdq import layers, quantised_tensors

__all__ = ["learned_ranges"]


def learned_ranges(onnx: bytes, ranges: Mapping[str, float], *, heads: Collection[str] = ()) -> dict[str, float]:
    """Range by tensor name, for `insert_qdq`.

    Args:
        onnx: the float network, whose weights keep their names.
        ranges: by layer (see `layers`), the range of what a convolution reads; by `NAME_shortcut`, the range of what
            `NAME_conv_shortcut` gives. Without such a layer a shortcut is what the first convolution beside it reads,
            and has that one's range.
        heads: layers that were not quantised.

    Raises ModelError where the tensors with a range are not the very ones that int8 rounds.
    """
    tensors = layers(onnx)
    found: dict[str, float] = {}
    for name, largest in ranges.items():
        projection = name.removesuffix("_shortcut") + "_conv_shortcut"
        if name in tensors:
            found[tensors[name][0]] = largest
        elif projection in tensors:
            found[tensors[projection][1]] = largest
    other = set(found) ^ set(quantised_tensors(onnx, excluded=heads))
    if other:
        raise ModelError(
            f"this network was not trained with the rounding that int8 has: at {', '.join(sorted(other))} only one of "
            "the two rounds; export with --force_ptq, which finds ranges with images"
        )
    return found
