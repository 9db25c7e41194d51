"""What the inspection process's threads tell its loop: the loop alone owns the trackers."""

from dataclasses import dataclass

from inspector.camera.channel import CameraHealth
from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.gate import Incoming
from inspector.inspection.eyes import Eyes
from inspector.inspection.judge import Examination
from inspector.tracking import FrameKey
from inspector.vision import CupOutline


@dataclass(frozen=True, slots=True)
class GateAnswered:
    """An exchange with the PLC succeeded."""

    lane: str
    reading: Incoming


@dataclass(frozen=True, slots=True)
class GateFailed:
    """An exchange with the PLC failed; ``reason`` is what and remedy."""

    lane: str
    reason: str


@dataclass(frozen=True, slots=True)
class Located:
    """Free run: the cups in a frame; with a ``fault`` nobody knows which there are."""

    frame: FrameInfo
    cups: tuple[CupOutline, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A frame was judged for a part.

    Attributes:
        part: whom the verdict is about.
        key: the frame that was judged.
        examination: what came of it.
        queue_ns: how long it waited for its turn.
    """

    part: PartId
    key: FrameKey
    examination: Examination
    queue_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class RecipeLoaded:
    """A lane's recipe for a job is there, or cannot be had: then the eyes say why."""

    lane: str
    job: int
    eyes: Eyes


Event = FrameInfo | CameraHealth | GateAnswered | GateFailed | Located | Examined | RecipeLoaded


def lane_of(event: Event) -> str:
    """Whose event it is."""
    match event:
        case FrameInfo(lane=lane) | CameraHealth(lane=lane):
            return lane
        case GateAnswered(lane=lane) | GateFailed(lane=lane) | RecipeLoaded(lane=lane):
            return lane
        case Located(frame=frame):
            return frame.lane
        case Examined(part=part):
            return part.lane
