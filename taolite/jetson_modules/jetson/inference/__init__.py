"""The former name of jetson_inference."""

from typing import Any

import jetson_inference
from jetson_inference import *  # noqa: F403

__all__ = jetson_inference.__all__


def __getattr__(name: str) -> Any:
    return getattr(jetson_inference, name)
