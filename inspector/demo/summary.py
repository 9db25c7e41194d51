"""What the gate did beside what the twin knows to be true: pure functions over four records.

The twin's conveyor knows which cup was which part and what is wrong with it; its camera knows which part
stood in which frame; its PLC knows what the diverter did with each part. The line's ledger says what the
line believes. Nothing here asks the line what it thinks it did at the gate.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from inspector.twin.rig import LoggedFrame

FRAME_TOLERANCE_NS = 10_000_000
"""A ledger row's exposure time may differ this much from the camera's own record of the frame."""


@dataclass(frozen=True, slots=True)
class GateAction:
    """What the diverter did with one part, from the PLC's log.

    Attributes:
        number: the part's.
        passed: let through.
        reason: the PLC's own.
        result: the number of the line's result that it went by, None without one.
    """

    number: int
    passed: bool
    reason: str
    result: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger says of one part.

    Attributes:
        number: the part that it is about.
        told_as: the number under which the line told the PLC of it: its own count's in free run.
    """

    number: int
    told_as: int
    outcome: str
    reason: str
    frame_id: int | None
    exposed_ns: int | None
    command_latency_ns: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a run; every count is of parts.

    Attributes:
        parts: cups that came past the photo-eye.
        passed: let through by the diverter.
        rejected: diverted, by the ledger's reason.
        defective: cups that carry a defect, as the twin knows.
        defective_rejected: of these, diverted.
        clean_rejected: clean cups that were diverted.
        mis_diverted: diverted on another part's verdict, or passed without an OK of its own. Must be 0.
        missing_rows: parts without exactly one ledger row. Must be 0.
        foreign_rows: ledger rows of parts that never were. Must be 0.
        ok_not_honoured: an OK that came too late for the PLC, which then diverted.
        late: parts without a verdict in time.
        p50_ms: trigger to gate command, of inspected parts; None when none was.
        p99_ms: likewise.
        fps: parts per second over the run.
        detected: per defect kind, [diverted, all].
        broken: what went wrong with which part, in words, for the log.
    """

    parts: int
    passed: int
    rejected: dict[str, int]
    defective: int
    defective_rejected: int
    clean_rejected: int
    mis_diverted: int
    missing_rows: int
    foreign_rows: int
    ok_not_honoured: int
    late: int
    p50_ms: float | None
    p99_ms: float | None
    fps: float
    detected: dict[str, list[int]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def invariants_held(self) -> bool:
        """No part on another's verdict, none without its row, and at least one part seen."""
        return not (self.parts == 0 or self.mis_diverted or self.missing_rows or self.foreign_rows)

    def as_json(self) -> dict[str, object]:
        """Plain values, with the verdict on the run itself."""
        return asdict(self) | {"invariants_held": self.invariants_held}


def summarise(
    truth: Mapping[int, Sequence[str]],
    rows: Sequence[Row],
    actions: Mapping[int, GateAction],
    frames: Sequence[LoggedFrame],
    duration_s: float,
) -> Summary:
    """Compare what happened with what is true.

    Args:
        truth: part number → kinds of defect it carries (empty for a clean cup).
        rows: all ledger rows of the run.
        actions: part number → what the diverter did.
        frames: every exposed frame, from the camera's own log.
        duration_s: first to last part at the photo-eye, seconds.
    """
    by_number: dict[int, list[Row]] = {}
    for written in rows:
        by_number.setdefault(written.number, []).append(written)
    broken: list[str] = []
    mis_diverted = missing_rows = ok_not_honoured = 0
    rejected: Counter[str] = Counter()
    detected: dict[str, list[int]] = {}
    for number, kinds in sorted(truth.items()):
        own = by_number.get(number, [])
        if len(own) != 1:
            missing_rows += 1
            broken.append(f"part {number} has {len(own)} ledger rows")
        row = own[0] if len(own) == 1 else None
        action = actions.get(number)
        fault = _mis_diversion(number, own, action, frames)
        if fault:
            mis_diverted += 1
            broken.append(f"part {number}: {fault}")
        passed = action is not None and action.passed
        if not passed:
            if row is not None and row.outcome == "pass":
                ok_not_honoured += 1
                rejected["ok_not_honoured"] += 1
            else:
                rejected[row.reason if row is not None else "no_row"] += 1
        for kind in set(kinds):
            counts = detected.setdefault(kind, [0, 0])
            counts[0] += not passed
            counts[1] += 1
    passed_numbers = {n for n in truth if n in actions and actions[n].passed}
    defective = {n for n, kinds in truth.items() if kinds}
    latencies = [
        inspected.command_latency_ns / 1e6
        for inspected in rows
        if inspected.command_latency_ns is not None and inspected.reason in ("clean", "defect")
    ]
    foreign = sorted(set(by_number) - set(truth))
    broken += [f"the ledger has a row for part {number}, which never was" for number in foreign]
    return Summary(
        parts=len(truth),
        passed=len(passed_numbers),
        rejected=dict(sorted(rejected.items())),
        defective=len(defective),
        defective_rejected=len(defective - passed_numbers),
        clean_rejected=len(set(truth) - defective - passed_numbers),
        mis_diverted=mis_diverted,
        missing_rows=missing_rows,
        foreign_rows=len(foreign),
        ok_not_honoured=ok_not_honoured,
        late=sum(each.reason == "late" for each in rows),
        p50_ms=float(np.percentile(latencies, 50)) if latencies else None,
        p99_ms=float(np.percentile(latencies, 99)) if latencies else None,
        fps=len(truth) / duration_s if duration_s > 0 else 0.0,
        detected=dict(sorted(detected.items())),
        broken=broken,
    )


def _mis_diversion(
    number: int, own: Sequence[Row], action: GateAction | None, frames: Sequence[LoggedFrame]
) -> str | None:
    """Why this part went the wrong way for the wrong reason, or None.

    Two rows of one part are a fault, but a part that went by the OK of one of them had an OK of its own.
    """
    if action is None:
        return "the gate has no record of it"
    if action.passed:
        by = [row for row in own if row.outcome == "pass" and row.told_as == action.result]
        if not by:
            return "passed without an OK of its own"
        if any(row.frame_id is None or row.exposed_ns is None for row in by):
            return "passed without a frame"
    for row in own:
        if row.frame_id is None or row.exposed_ns is None or row.reason not in ("clean", "defect"):
            continue
        # The camera's log has the ids as they go over the wire, which a camera of 16 bits counts round.
        ids = (row.frame_id, (row.frame_id - 1) % 65_535 + 1)
        seen = [
            frame.part
            for frame in frames
            if frame.frame_id in ids and abs(frame.exposed_ns - row.exposed_ns) < FRAME_TOLERANCE_NS
        ]
        if seen != [number]:
            return f"judged on a frame that shows part {seen or 'nobody knows'}"
    return None
