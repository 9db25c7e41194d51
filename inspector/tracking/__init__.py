"""The part tracker: a pure state machine. Bad until proven good."""

from inspector.tracking.crossing import Crossed, Crossing, Sighting, Unwatched
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
from inspector.tracking.reject_watch import RejectAlarm, RejectLimits, RejectWatch
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
    "RejectAlarm",
    "RejectLimits",
    "RejectWatch",
    "Sighting",
    "Timing",
    "Tracker",
    "Unaccounted",
    "Unclaimed",
    "UnclaimedWhy",
    "Unwatched",
    "frame_key",
]
