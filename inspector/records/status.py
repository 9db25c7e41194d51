"""The line's status: a small file that the line writes twice a second and the operators' page reads."""

import contextlib
import os
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from inspector.core.verdict import Reason


class LineState(StrEnum):
    """What the whole line does."""

    STARTING = "starting"
    RUNNING = "running"
    REJECTING = "rejecting"
    """Every part of every lane is rejected; the alarms say why."""
    STOPPING = "stopping"
    STOPPED = "stopped"


class _Status(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Alarm(_Status):
    """Something a person has to see to.

    Attributes:
        text: what is wrong, in plain words.
        remedy: what to do about it.
    """

    text: str
    remedy: str = ""

    @classmethod
    def of(cls, reason: str) -> Self:
        """``what; remedy``, as all the line's errors are worded."""
        text, _, remedy = reason.partition("; ")
        return cls(text=text, remedy=remedy)


class CameraStatus(_Status):
    """A lane's camera; ``reason``, once it has said a word: why it is not ready, as "what; remedy"."""

    state: Literal["ready", "starting", "lost"]
    reason: str = ""


class PlcStatus(_Status):
    """A lane's PLC link; ``reason``, once it was tried: why it is down, as "what; remedy"."""

    up: bool
    reason: str = ""


class LaneStatus(_Status):
    """One lane.

    Attributes:
        name: as configured.
        recipe: name of the recipe that judges.
        camera: its camera.
        plc: its PLC link.
        session: the part counter's life, None before the first.
        parts: parts commanded since the line started, by reason (``clean`` are the passes).
        parts_per_s: over the last 10 s.
        latency_p50_ms: trigger to gate command, median; None before the first part.
        latency_p99_ms: trigger to gate command, 99th percentile.
        rejecting: no part can pass at present; where camera and PLC link are well, the first alarm says why.
        alarms: what else a person has to see to on this lane.
    """

    name: str
    recipe: str
    camera: CameraStatus
    plc: PlcStatus
    session: int | None = None
    parts: dict[Reason, int] = {}
    parts_per_s: float = 0.0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    rejecting: bool = False
    alarms: tuple[Alarm, ...] = ()

    @property
    def cause(self) -> Alarm | None:
        """Why no part can pass; None where one can, and while camera or PLC have yet to say a word."""
        lost = "the camera is lost; check its cable" if self.camera.state == "lost" else ""
        if reason := self.camera.reason or lost or self.plc.reason:
            return Alarm.of(reason)
        return self.alarms[0] if self.rejecting and self.alarms else None

    @property
    def starting(self) -> bool:
        """It waits for the first word of camera or PLC, and nothing is known to be wrong."""
        return self.rejecting and self.cause is None


class LineStatus(_Status):
    """The whole line.

    Attributes:
        line: its name as configured.
        state: what it does.
        started: when it was started, seconds since 1970 UTC.
        updated: when this was written, seconds since 1970 UTC.
        lanes: in the configuration's order.
        alarms: what concerns the whole line.
    """

    line: str
    state: LineState
    started: float
    updated: float
    lanes: tuple[LaneStatus, ...]
    alarms: tuple[Alarm, ...] = ()


def write_status(file: Path, status: LineStatus) -> bool:
    """Put the status in place, whole or not at all; False where the disk does not take it.

    The file is worth nothing after a restart: put it on a memory file system (``/run``, ``/dev/shm``),
    so that a full or slow disk does not matter.
    """
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(status.model_dump_json(), encoding="utf-8")
        unfinished.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        return False
    return True


def read_status(file: Path) -> LineStatus | None:
    """The last status written, None where there is none (yet) or it is not readable."""
    try:
        return LineStatus.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
