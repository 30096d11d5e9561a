"""The former name of jetson_utils."""

from typing import Any

import jetson_utils
from jetson_utils import *  # noqa: F403

__all__ = jetson_utils.__all__


def __getattr__(name: str) -> Any:
    return getattr(jetson_utils, name)
