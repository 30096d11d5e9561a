"""Pictures in, pictures out: sources (files, folders, videos, cameras), sinks, and boxes drawn on images. No torch."""

from taolite.media.output import Output, OutputOptions, open_output, open_outputs
from taolite.media.overlay import Colour, draw_boxes, palette
from taolite.media.sheet import contact_sheet
from taolite.media.sinks import KittiFolder, PictureFolder, format_detection
from taolite.media.sources import Flip, Frame, InputOptions, Source, open_source
from taolite.media.videos import VideoFile
from taolite.media.window import has_display

__all__ = [
    "Colour",
    "Flip",
    "Frame",
    "InputOptions",
    "KittiFolder",
    "Output",
    "OutputOptions",
    "PictureFolder",
    "Source",
    "VideoFile",
    "contact_sheet",
    "draw_boxes",
    "format_detection",
    "has_display",
    "open_output",
    "open_outputs",
    "open_source",
    "palette",
]
