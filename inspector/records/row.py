"""What is recorded: a ledger row per part and the audit trail's events, and their form as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Region, Verdict


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Everything kept of one part.

    Attributes:
        verdict: what was decided, and about which part.
        commanded_unix_ns: when the part's command went out (or, where it is too late to tell the gate,
            when the part was given up), wall clock, ns since 1970 UTC.
        triggered_unix_ns: when the part met the photo-eye, likewise; None where nobody saw it.
        exposed_ns: start of its frame's exposure on the host's monotonic clock, None where no frame
            came.
        frame_epoch: which opening of the camera delivered the frame, None where no frame came.
        frame_id: the camera's unwrapped frame count, None where no frame came.
        stages_ns: time spent in each stage, ns, by the stage names of ``inspector_stage_seconds``.
        latency_ns: trigger to gate command, ns, None where the trigger is not known.
        late: the command went out after the part's deadline.
    """

    verdict: Verdict
    commanded_unix_ns: int
    triggered_unix_ns: int | None = None
    exposed_ns: int | None = None
    frame_epoch: int | None = None
    frame_id: int | None = None
    stages_ns: Mapping[str, int] = field(default_factory=dict)
    latency_ns: int | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """An entry of the audit trail: what happened to the line, rather than to a part.

    Attributes:
        happened_unix_ns: wall clock, ns since 1970 UTC.
        kind: snake_case name, e.g. ``line_started``, ``camera_lost``, ``plc_link_down``.
        lane: the lane's name, empty where the whole line is meant.
        details: whatever else is worth keeping, JSON values only.
    """

    happened_unix_ns: int
    kind: str
    lane: str = ""
    details: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


Record = LedgerRow | LedgerEvent
INSPECTION_STARTED = "inspection_started"
"""The event that comes before all rows of one life of the inspection process."""


def inspection_started(started: float, *, resuming: bool) -> LedgerEvent:
    """What the inspection process records before its first row.

    Args:
        started: as its `LineStatus` says, seconds since 1970 UTC: by this the event is found again.
        resuming: started anew while the line runs.
    """
    return LedgerEvent(int(started * 1e9), INSPECTION_STARTED, details={"resuming": resuming})


def utc_text(unix_ns: int) -> str:
    """Wall-clock time as ``2025-06-01T12:00:00.123456Z``: sorts as text, and SQLite's date functions read it.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    microseconds = unix_ns // 1000
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds % 1_000_000:06d}Z"


def to_json(record: Record) -> str:
    """One line of ASCII JSON without a line break; ``from_json`` gives back an equal value."""
    if isinstance(record, LedgerEvent):
        return _dumps(
            {
                "event": record.kind,
                "lane": record.lane,
                "at": record.happened_unix_ns,
                "details": dict(record.details),
            }
        )
    verdict = record.verdict
    return _dumps(
        {
            "lane": verdict.part.lane,
            "session": verdict.part.session,
            "number": verdict.part.number,
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "score": verdict.score,
            "regions": [[r.x, r.y, r.width, r.height, r.peak] for r in verdict.regions],
            "recipe": verdict.recipe,
            "commanded": record.commanded_unix_ns,
            "triggered": record.triggered_unix_ns,
            "exposed_ns": record.exposed_ns,
            "frame_epoch": record.frame_epoch,
            "frame_id": record.frame_id,
            "stages_ns": dict(record.stages_ns),
            "latency_ns": record.latency_ns,
            "late": record.late,
        }
    )


def from_json(text: str | bytes) -> Record:
    """The record that ``to_json`` wrote.

    Raises:
        ValueError: not JSON, a field is missing, or the verdict contradicts itself.
    """
    fields = json.loads(text)
    try:
        return _event(fields) if "event" in fields else _row(fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a record: {error}") from error


def _dumps(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _event(fields: dict[str, Any]) -> LedgerEvent:
    return LedgerEvent(
        happened_unix_ns=fields["at"],
        kind=fields["event"],
        lane=fields["lane"],
        details=fields["details"],
    )


def _row(fields: dict[str, Any]) -> LedgerRow:
    return LedgerRow(
        verdict=Verdict(
            part=PartId(fields["lane"], fields["session"], fields["number"]),
            outcome=Outcome(fields["outcome"]),
            reason=Reason(fields["reason"]),
            score=fields["score"],
            regions=tuple(Region(*numbers) for numbers in fields["regions"]),
            recipe=fields["recipe"],
        ),
        commanded_unix_ns=fields["commanded"],
        triggered_unix_ns=fields["triggered"],
        exposed_ns=fields["exposed_ns"],
        frame_epoch=fields["frame_epoch"],
        frame_id=fields["frame_id"],
        stages_ns=fields["stages_ns"],
        latency_ns=fields["latency_ns"],
        late=fields["late"],
    )
