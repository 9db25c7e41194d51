"""A verdict: pass or reject, and why."""

from dataclasses import dataclass
from enum import StrEnum

from inspector.core.part import PartId


class Outcome(StrEnum):
    """What the gate is told to do with a part."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REJECT = "reject"


class Reason(StrEnum):
    """Why. Closed list: it labels metrics and stands in the PLC's registers (see docs/plc.md)."""

    CLEAN = "clean"
    """The only reason to pass: inspected, nothing found."""
    DEFECT = "defect"
    """The heat map exceeds the recipe's threshold."""
    NO_CUP = "no_cup"
    """The frame shows no whole cup of this type."""
    NO_ORIENTATION = "no_orientation"
    """The cup's angle cannot be told, so its picture cannot be compared."""
    MISSING_FRAME = "missing_frame"
    """No frame came for this trigger."""
    INCOMPLETE_FRAME = "incomplete_frame"
    """The frame's payload was lost in part."""
    FRAME_OVERWRITTEN = "frame_overwritten"
    """The ring came round before the frame was read."""
    MISMATCHED_FRAME = "mismatched_frame"
    """Frame and trigger do not certainly belong together."""
    TOO_CLOSE = "too_close"
    """Closer to its neighbour than frame or gate can separate."""
    LATE = "late"
    """No verdict before the deadline."""
    OVERLOAD = "overload"
    """Too many parts waiting; not inspected."""
    ENGINE_ERROR = "engine_error"
    """A network failed, or disagrees with its golden images."""
    UNSEEN = "unseen"
    """The line was not watching: process restarted, or the PLC link was down."""
    STOPPED = "stopped"
    """The line was stopping."""
    CHANGEOVER = "changeover"
    """The recipe was being changed for another."""


@dataclass(frozen=True, slots=True)
class Region:
    """A connected area of the cup image above the pixel threshold.

    Attributes:
        x: left edge in cup-image pixels (384×384).
        y: top edge in cup-image pixels.
        width: in cup-image pixels.
        height: in cup-image pixels.
        peak: highest normalised heat in the region.
    """

    x: int
    y: int
    width: int
    height: int
    peak: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What inspection says of one part.

    Attributes:
        part: the part it is about, and no other.
        outcome: pass or reject; pass only with ``Reason.CLEAN``.
        reason: why.
        score: image score (normalised heat), None where the part was not inspected.
        regions: where the heat map exceeds the pixel threshold, hottest first.
        recipe: name and hash of the recipe that judged, empty where none did.

    Raises:
        ValueError: a pass for another reason than ``clean``, or a reject because of ``clean``.
    """

    part: PartId
    outcome: Outcome
    reason: Reason
    score: float | None = None
    regions: tuple[Region, ...] = ()
    recipe: str = ""

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.PASS) != (self.reason is Reason.CLEAN):
            raise ValueError(f"a verdict cannot be {self.outcome} because of {self.reason}")


def rejected(part: PartId, reason: Reason) -> Verdict:
    """The verdict for a part that could not be inspected."""
    return Verdict(part=part, outcome=Outcome.REJECT, reason=reason)
