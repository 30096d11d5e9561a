"""pytorch-ssd's preprocessing and decoding. No torch, for edge devices."""

from __future__ import annotations

from typing import Any

from taolite.preprocessing import Preprocessing

__all__ = ["FOUND", "IN_USE", "foreign_onnx", "pytorch_ssd_preprocessing"]

_VGG_PRIORS = 8732  # priors of vgg16-ssd at 300 pixels, its only size in pytorch-ssd

FOUND = {"confidence_threshold": 0.01, "nms_iou": 0.45, "top_k": 0, "candidates": 200}
"""Decoding in pytorch-ssd's evaluation."""
IN_USE = {"confidence_threshold": 0.5}
"""Score threshold in use (detectnet's); evaluation also counts detections with lower scores."""


def foreign_onnx(input_hw: tuple[int, int], *, priors: int) -> tuple[Preprocessing, dict[str, Any]]:
    """The preprocessing and decoding of an ONNX of onnx_export.py; the number of priors identifies its network."""
    net = "vgg16-ssd" if priors == _VGG_PRIORS else "mb1-ssd"
    return pytorch_ssd_preprocessing(net, input_hw), {**FOUND, **IN_USE, "method": "hard"}


def pytorch_ssd_preprocessing(net: str, input_hw: tuple[int, int]) -> Preprocessing:
    """Pictures are stretched, in RGB."""
    if net == "vgg16-ssd":
        return Preprocessing(input_hw, fit="stretch", scale=1.0, offsets=(123.0, 117.0, 104.0))
    return Preprocessing(input_hw, fit="stretch", scale=1.0, offsets=(127.0,) * 3, stds=(128.0,) * 3)
