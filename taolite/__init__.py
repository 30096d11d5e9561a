"""taolite: NVIDIA TAO's DetectNet_v2 life cycle, spec files and flags unmodified, on PyTorch."""

from taolite.quiet import hush

__version__ = "0.1.0"

hush()
