"""Pictures in, pictures out: sources (files, folders, videos, cameras), sinks, and boxes drawn on images. No torch."""

from taolite.media.overlay import Colour, contact_sheet, draw_boxes, palette
from taolite.media.sinks import KittiFolder, PictureFolder, VideoFile, format_detection, open_video
from taolite.media.sources import Flip, Frame, InputOptions, Source, open_source

__all__ = [
    "Colour",
    "Flip",
    "Frame",
    "InputOptions",
    "KittiFolder",
    "PictureFolder",
    "Source",
    "VideoFile",
    "contact_sheet",
    "draw_boxes",
    "format_detection",
    "open_source",
    "open_video",
    "palette",
]
