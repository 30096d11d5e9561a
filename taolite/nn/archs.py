"""A detector's backbones by the names that specs give them, and the depths each comes in; no torch, for specs to
check against.

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
"""`arch` -> the values of `num_layers`; none where the field is not read."""
