"""`jetson_config`: ours, for what pytorch-ssd does and TAO's schema has no word for
(reference/jetson_workflows.md 4). A spec with the block needs none of TAO's messages."""

from __future__ import annotations

from taolite.spec import SpecModel

__all__ = ["JetsonConfig"]


class JetsonConfig(SpecModel):
    """The settings of pytorch-ssd's train_ssd.py."""
