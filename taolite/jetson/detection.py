"""jetson-inference's detectNet.Detection."""

from __future__ import annotations

__all__ = ["Detection"]


class Detection:
    """One object. Left, Top, Right, Bottom: pixels of the image. Confidence: 0..1. TrackID: -1 without a tracker.

    TrackStatus is -1 (not tracked), 0 (new) or 1 (tracked).
    """

    def __init__(
        self,
        ClassID: int = 0,
        Confidence: float = 0.0,
        Left: float = 0.0,
        Top: float = 0.0,
        Right: float = 0.0,
        Bottom: float = 0.0,
        TrackID: int = -1,
    ) -> None:
        self.ClassID = int(ClassID)
        self.Confidence = float(Confidence)
        self.Left, self.Top, self.Right, self.Bottom = float(Left), float(Top), float(Right), float(Bottom)
        self.TrackID = TrackID
        self.TrackStatus = -1 if TrackID < 0 else 1
        self.TrackFrames = self.TrackLost = 0

    @property
    def Width(self) -> float:
        return self.Right - self.Left

    @property
    def Height(self) -> float:
        return self.Bottom - self.Top

    @property
    def Area(self) -> float:
        return self.Width * self.Height

    @property
    def Center(self) -> tuple[float, float]:
        """(x, y)"""
        return (self.Left + self.Right) / 2, (self.Top + self.Bottom) / 2

    @property
    def ROI(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom)"""
        return self.Left, self.Top, self.Right, self.Bottom

    @property
    def Instance(self) -> int:
        """TrackID's former name."""
        return self.TrackID

    def Contains(self, x: float, y: float) -> bool:
        """Whether the point is in the box."""
        return self.Left <= x <= self.Right and self.Top <= y <= self.Bottom

    def __repr__(self) -> str:
        return "<detectNet.Detection object>"

    def __str__(self) -> str:
        x, y = self.Center
        rows = {
            "Confidence": f"{self.Confidence:g}",
            "ClassID": f"{self.ClassID}",
            **({"TrackID": f"{self.TrackID}", "TrackStatus": f"{self.TrackStatus}"} if self.TrackID >= 0 else {}),
            **{name: f"{getattr(self, name):g}" for name in ("Left", "Top", "Right", "Bottom")},
            **{name: f"{getattr(self, name):g}" for name in ("Width", "Height", "Area")},
            "Center": f"({x:g}, {y:g})",
        }
        return "<detectNet.Detection object>\n" + "\n".join(
            f"   -- {name + ':':<12}{text}" for name, text in rows.items()
        )
