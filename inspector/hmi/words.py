"""What the page says, in plain words: reasons, and the state of line and lane."""

from dataclasses import dataclass
from enum import StrEnum

from inspector.core.verdict import Reason
from inspector.records.status import Alarm, LaneStatus, LineState, LineStatus

SILENT_AFTER_S = 2.0

REASONS: dict[Reason, str] = {
    Reason.CLEAN: "Nothing found",
    Reason.DEFECT: "Defect on the cup",
    Reason.NO_CUP: "No whole cup in the picture",
    Reason.NO_ORIENTATION: "The cup's angle could not be told",
    Reason.MISSING_FRAME: "No picture came from the camera",
    Reason.INCOMPLETE_FRAME: "Part of the picture was lost on the way",
    Reason.FRAME_OVERWRITTEN: "The picture was gone before it was inspected",
    Reason.MISMATCHED_FRAME: "Picture and cup may not belong together",
    Reason.TOO_CLOSE: "Too close to the next cup",
    Reason.LATE: "Inspected too late for the gate",
    Reason.OVERLOAD: "Too many cups waiting",
    Reason.ENGINE_ERROR: "The inspection program failed",
    Reason.UNSEEN: "The line was not watching",
    Reason.STOPPED: "The line was stopping",
    Reason.CHANGEOVER: "The recipe was being changed",
}


class Level(StrEnum):
    """How a headline is shown: each has a colour, a shape and a word."""

    RUNNING = "running"
    ATTENTION = "attention"
    REJECTING = "rejecting"
    WAITING = "waiting"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Headline:
    """The state in words.

    Attributes:
        level: how it is shown.
        title: what is, in a few words to be read from afar.
        detail: why, and what to do about it.
    """

    level: Level
    title: str
    detail: str = ""


def line_headline(status: LineStatus | None, silent_s: float) -> Headline:
    """The whole line's state in words.

    Args:
        status: what the line wrote last, None where it wrote nothing.
        silent_s: since when it has written nothing new, seconds.
    """
    if status is None:
        return Headline(
            Level.SILENT, "No news from the line", "It has not been started on this computer yet"
        )
    if status.state is LineState.STOPPED:
        return Headline(Level.WAITING, "Stopped", "The gate rejects every cup")
    if silent_s > SILENT_AFTER_S:
        return Headline(
            Level.SILENT,
            f"No news from the line for {duration(silent_s)}",
            "Without the line's OK the gate rejects every cup. Is its computer running?",
        )
    if status.state is LineState.STOPPING:
        return Headline(Level.WAITING, "Stopping", "The gate rejects every cup")
    if status.state is LineState.STARTING:
        return Headline(
            Level.WAITING, "Starting", "The gate rejects every cup until the line is ready"
        )
    return _working(status)


def lane_headline(lane: LaneStatus) -> Headline:
    """One lane's state in words, while the line itself gives news."""
    if (cause := lane.cause) is not None:
        return Headline(Level.REJECTING, f"Rejecting everything: {cause.text}", cause.remedy)
    if lane.starting:
        opening = lane.camera.state == "starting"
        detail = "The camera is being opened" if opening else "The gate has not answered yet"
        return Headline(Level.WAITING, "Starting", detail)
    if lane.alarms:
        return Headline(
            Level.ATTENTION, f"Running, but: {lane.alarms[0].text}", lane.alarms[0].remedy
        )
    return Headline(Level.RUNNING, "Running")


def duration(seconds: float) -> str:
    """A time span as one says it: ``4 s``, ``12 min``, ``3 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def _working(status: LineStatus) -> Headline:
    causes = [(lane, cause) for lane in status.lanes if (cause := lane.cause) is not None]
    if status.state is LineState.REJECTING or len(causes) == len(status.lanes):
        alarms = [cause for _, cause in causes] + _alarms(status)
        first = alarms[0] if alarms else Alarm(text="see the line's log")
        return Headline(Level.REJECTING, f"Rejecting everything: {first.text}", first.remedy)
    if causes:
        lane, cause = causes[0]
        return Headline(
            Level.REJECTING, f"{lane.name} rejects everything: {cause.text}", cause.remedy
        )
    for lane in status.lanes:
        if lane.starting:
            detail = "The gate rejects its cups until it is ready"
            return Headline(Level.ATTENTION, f"Running, but: {lane.name} is starting", detail)
    if alarms := _alarms(status):
        return Headline(Level.ATTENTION, f"Running, but: {alarms[0].text}", alarms[0].remedy)
    return Headline(Level.RUNNING, "Running")


def _alarms(status: LineStatus) -> list[Alarm]:
    return [*status.alarms, *(alarm for lane in status.lanes for alarm in lane.alarms)]
