"""The part tracker: a pure state machine. Bad until proven good."""

from inspector.tracking.crossing import Crossed, Crossing, Sighting
from inspector.tracking.effects import (
    Closed,
    Effect,
    FrameKey,
    Ignored,
    IgnoredWhy,
    Inspect,
    Unaccounted,
    Unclaimed,
    UnclaimedWhy,
    frame_key,
)
from inspector.tracking.timing import Timing
from inspector.tracking.tracker import Tracker

__all__ = [
    "Closed",
    "Crossed",
    "Crossing",
    "Effect",
    "FrameKey",
    "Ignored",
    "IgnoredWhy",
    "Inspect",
    "Sighting",
    "Timing",
    "Tracker",
    "Unaccounted",
    "Unclaimed",
    "UnclaimedWhy",
    "frame_key",
]
