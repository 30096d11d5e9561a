"""What the proposals of all tasks share: where the files of a new experiment lie."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Places"]


@dataclass(frozen=True)
class Places:
    """Paths as specs write them. folder: of the specs and everything made from them. pretrained: weights to start from,
    "" for random ones."""

    folder: str
    pretrained: str = ""
