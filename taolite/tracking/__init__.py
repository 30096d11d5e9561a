"""What becomes of detections over the frames of a video: numbers that stay with an object, and crossings of a line."""

from __future__ import annotations

from taolite.tracking.counting import Anchor, Crossing, Direction, LineCounter
from taolite.tracking.tracker import TRACKERS, Tracker, open_tracker

__all__ = ["TRACKERS", "Anchor", "Crossing", "Direction", "LineCounter", "Tracker", "open_tracker"]
