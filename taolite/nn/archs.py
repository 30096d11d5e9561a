"""The backbones a detector's spec may name, and the depths of each. Loads without torch, so that specs can be checked.

`taolite.nn.backbones` builds them.
"""

from __future__ import annotations

__all__ = ["ARCHS"]

ARCHS: dict[str, tuple[int, ...]] = {
    "resnet": (10, 18, 34, 50, 101, 152, 200),
    "vgg": (16, 19),
    "darknet": (19, 53),
    "mobilenet_v1": (),
    "mobilenet_v2": (),
    "squeezenet": (),
    "googlenet": (),
    "efficientnet_b0": (),
}
"""`arch` -> the allowed values of `num_layers`; empty where that field is not used."""
