"""gstCamera and glDisplay, which jetson-utils had before 2020."""

from __future__ import annotations

import os

from taolite.jetson.image import Array, cudaImage
from taolite.jetson.video import videoOutput, videoSource

__all__ = ["gstCamera", "glDisplay"]


class gstCamera(videoSource):
    """A camera."""

    def __init__(self, width: int = 1280, height: int = 720, camera: str = "0") -> None:
        super().__init__(camera, options={"width": width, "height": height})

    def CaptureRGBA(
        self,
        timeout: int = 1000,
        zeroCopy: bool = False,
    ) -> tuple[cudaImage | None, int, int]:
        """The next frame as rgba32f, its width and its height; None where there is none in time."""
        image = self.Capture("rgba32f", timeout)
        return image, *((0, 0) if image is None else (image.width, image.height))


class glDisplay(videoOutput):
    """A window; nothing is shown where there is no display."""

    def __init__(self, title: str = "", width: int = 0, height: int = 0, *more: object) -> None:
        super().__init__("display://0", argv=None if os.environ.get("DISPLAY") else ["--headless"])

    def RenderOnce(self, image: Array, width: int = 0, height: int = 0, x: int = 0, y: int = 0, *more: object) -> None:
        """Show an image."""
        self.Render(image)

    def IsOpen(self) -> bool:
        """Whether the window is open."""
        return self.IsStreaming()

    def IsClosed(self) -> bool:
        """Whether the window was closed."""
        return not self.IsStreaming()

    def SetTitle(self, title: str) -> None:
        """The window's title."""
        self.SetStatus(title)

    def GetFPS(self) -> float:
        """Images a second since it was opened."""
        return self.GetFrameRate()
