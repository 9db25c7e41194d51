"""What the tracker wants done: its only output."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Reason, Verdict


class FrameKey(NamedTuple):
    """What names a frame within its lane: camera epoch and unwrapped frame id."""

    epoch: int
    frame_id: int


def frame_key(frame: FrameInfo) -> FrameKey:
    """The key of a frame."""
    return FrameKey(frame.epoch, frame.frame_id)


class UnclaimedWhy(StrEnum):
    """Why a frame belongs to nobody. Closed list: it labels a metric."""

    NO_PART = "no_part"
    """The photo-eye saw nothing when it was exposed."""
    PART_CLOSED = "part_closed"
    """Its part has its command already."""
    SECOND_FRAME = "second_frame"
    """Its part has a frame already, and is rejected for it."""
    AMBIGUOUS = "ambiguous"
    """It could belong to two parts, or its part to two frames."""
    TOO_MANY_HELD = "too_many_held"
    """More frames without a part than the queue holds; the oldest went."""
    FOREIGN_LANE = "foreign_lane"
    """Another lane's frame."""
    STOPPED = "stopped"
    """The line was stopping."""
    UNTIMED = "untimed"
    """When it was exposed is not known."""


class IgnoredWhy(StrEnum):
    """Why a verdict or a photo-eye event had no effect. Closed list: it labels a metric."""

    LATE = "late"
    """The verdict came after the part's deadline."""
    DECIDED = "decided"
    """The part has its verdict already."""
    PART_CLOSED = "part_closed"
    """The part has its command already."""
    UNKNOWN_PART = "unknown_part"
    """No such part, or not of this lane and session."""
    OTHER_FRAME = "other_frame"
    """The verdict is about a frame that was not sent to inspection for this part."""
    OLD_SESSION = "old_session"
    """A photo-eye event of a counter's life that is over."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A part has its command: to the gate, and a row in the ledger. Exactly one a part, in order.

    Attributes:
        verdict: outcome and reason, and about which part.
        trigger_ns: when the part met the photo-eye; None when that is not known (``unseen``): then it
            need not be told to the gate, which rejects without an OK anyway.
        deadline_ns: the latest useful command, None with ``trigger_ns``.
        frame: the frame that belongs to the part, None when none does.
        verdict_ns: when the verdict stood.
        command_ns: when the command went out.
    """

    verdict: Verdict
    trigger_ns: int | None
    deadline_ns: int | None
    frame: FrameInfo | None
    verdict_ns: int
    command_ns: int

    @property
    def part(self) -> PartId:
        """Whose command it is."""
        return self.verdict.part

    @property
    def late(self) -> bool:
        """No verdict in time, or the command itself went out at the deadline or after."""
        overdue = self.deadline_ns is not None and self.command_ns >= self.deadline_ns
        return overdue or self.verdict.reason is Reason.LATE


@dataclass(frozen=True, slots=True)
class Inspect:
    """Judge this frame for this part; the answer comes back as `Tracker.verdict`.

    Attributes:
        part: whom the verdict will be about.
        frame: a complete frame.
        cup_x_px: in free run, where in the picture the part's cup is; None elsewhere.
    """

    part: PartId
    frame: FrameInfo
    cup_x_px: float | None = None


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A frame is thrown away. To be counted."""

    frame: FrameInfo
    why: UnclaimedWhy


@dataclass(frozen=True, slots=True)
class Ignored:
    """A verdict or photo-eye event had no effect. To be counted."""

    part: PartId
    why: IgnoredWhy


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """The counter jumped further than rows are written for. To be logged and counted.

    Attributes:
        first: first part without a row.
        last: last part without a row.
    """

    first: PartId
    last: PartId


Effect = Closed | Inspect | Unclaimed | Ignored | Unaccounted
