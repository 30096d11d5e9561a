"""taolite: NVIDIA TAO's DetectNet_v2 life cycle, spec files and flags unmodified, on PyTorch."""

__version__ = "0.1.0"
