"""Watches an episode from outside, and raises when the claim of docs/safety.md is broken.

It sees cups, commands and the diverter, and knows nothing of how tracker and PLC program work.
"""

from collections import Counter
from dataclasses import dataclass

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict
from inspector.tracking import Closed, FrameKey, Inspect, Timing, Unaccounted

REACTION_NS = 100_000_000
"""A part that cannot pass is commanded so long after its deadline, or after it is heard of, at the latest."""


class ClaimBrokenError(AssertionError):
    """What must never happen did."""


@dataclass(slots=True)
class Cup:
    """A cup on the belt.

    Attributes:
        name: 1 for the first.
        eye_ns: when it breaks the photo-eye's beam, below the camera.
        gate_ns: when it is at the diverter.
        defective: it must not pass.
    """

    name: int
    eye_ns: int
    gate_ns: int
    defective: bool


class Witness:
    """What was seen of an episode.

    Args:
        cups: all of them, in order.
        timing: the line's.
    """

    def __init__(self, cups: list[Cup], timing: Timing) -> None:
        self._cups, self._timing = cups, timing
        self.next_at_gate = 0
        self._part_of: dict[int, PartId] = {}
        self._eye_ns: dict[PartId, int] = {}
        self._told_ns: dict[PartId, int] = {}
        self._heard_ns: dict[PartId, int] = {}
        self._last_told = (0, 0)
        self.sent: dict[PartId, FrameKey] = {}
        self._answers: dict[PartId, tuple[Verdict, int]] = {}
        self._rows: dict[PartId, Closed] = {}
        self._last_row: dict[int, int] = {}
        self._last_counted: dict[int, int] = {}
        self.newest_row: PartId | None = None
        self.tally: Counter[str] = Counter()

    def counted(self, part: PartId, cup: Cup, now_ns: int) -> None:
        """The PLC counted a cup as this part."""
        self._part_of[cup.name] = part
        self._eye_ns[part] = now_ns
        self._last_counted[part.session] = part.number
        self.tally["counted"] += 1

    def line_started(self) -> None:
        """A new inspection process knows nothing of what its predecessor was told."""
        self._heard_ns.clear()
        self._last_told = (0, 0)

    def told(self, part: PartId, at_ns: int, now_ns: int) -> int:
        """The line is told of a part; the time it heard first is the time that counts."""
        self._heard_ns.setdefault(part, now_ns)
        if part not in self._told_ns:
            self._check_alone(PartId(part.lane, part.session, part.number - 1), at_ns)
        self._last_told = max(self._last_told, (part.session, part.number))
        return self._told_ns.setdefault(part, at_ns)

    def inspected(self, inspect: Inspect, key: FrameKey) -> None:
        """A frame is sent to inspection for a part."""
        _must(inspect.part not in self._rows, f"{inspect.part} inspected after its command")
        _must(inspect.frame.complete, f"{inspect.part} inspected on an incomplete frame")
        self.sent[inspect.part] = key
        self._answers.pop(inspect.part, None)

    def answered(self, verdict: Verdict, key: FrameKey, now_ns: int) -> None:
        """Inspection gave its verdict about the frame it was sent."""
        if self.sent.get(verdict.part) == key:
            self._answers.setdefault(verdict.part, (verdict, now_ns))

    def closed(self, closed: Closed) -> None:
        """A part got its command and its row."""
        part = closed.part
        _must(part not in self._rows, f"two commands for {part}")
        last = self._last_row.get(part.session)
        _must(last is None or part.number == last + 1, f"{part} commanded after {last}")
        newest = self.newest_row
        _must(newest is None or part.session >= newest.session, f"{part} after {newest}")
        self._rows[part] = closed
        self._last_row[part.session] = part.number
        self.newest_row = part
        self.tally[f"command {closed.verdict.reason}"] += 1
        heard_ns = self._heard_ns.get(part)
        if heard_ns is not None:
            due_ns = max(heard_ns, self._told_ns[part] + self._timing.decision_ns)
            _must(closed.command_ns <= due_ns + REACTION_NS, f"{part} commanded too late")
        if closed.verdict.outcome is Outcome.PASS:
            self._check_pass(closed)

    def unaccounted(self, effect: Unaccounted) -> None:
        """Parts without rows: never in so short an episode."""
        raise ClaimBrokenError(f"no rows from {effect.first} to {effect.last}")

    def gate(self, now_ns: int, *, open_: bool) -> None:
        """The diverter has stood like this until now, since the last call."""
        while (
            self.next_at_gate < len(self._cups) and self._cups[self.next_at_gate].gate_ns <= now_ns
        ):
            cup = self._cups[self.next_at_gate]
            self.next_at_gate += 1
            if open_:
                self._check_let_through(cup)
            self.tally["let through" if open_ else "diverted"] += 1
            if not cup.defective:
                self.tally["clean let through" if open_ else "clean diverted"] += 1

    def check_end(self, *, complete: bool) -> None:
        """At the end every part that the living line was told of has its row."""
        session, number = self._last_told
        if complete and session:
            rows = self._last_row.get(session, 0)
            _must(rows == number, f"{number} parts told of in count {session}, rows until {rows}")

    def _check_pass(self, closed: Closed) -> None:
        part = closed.part
        verdict, answered_ns = self._answers.get(part, (None, 0))
        _must(verdict == closed.verdict, f"{part} passes without its own verdict")
        told_ns = self._told_ns.get(part)
        _must(told_ns is not None, f"{part} passes though nobody told of it")
        assert told_ns is not None
        _must(
            answered_ns <= closed.command_ns < told_ns + self._timing.decision_ns,
            f"{part} passes after its deadline",
        )
        for beside in (part.number - 1, part.number + 1):
            other_ns = self._told_ns.get(PartId(part.lane, part.session, beside))
            if other_ns is not None:
                self._check_alone(part, other_ns)

    def _check_alone(self, part: PartId, other_ns: int) -> None:
        """A part that passed has no neighbour too close, told of before or after."""
        row, told_ns = self._rows.get(part), self._told_ns.get(part)
        if row is not None and told_ns is not None and row.verdict.outcome is Outcome.PASS:
            near = abs(other_ns - told_ns) < self._timing.min_interval_ns
            _must(not near, f"{part} passes with a neighbour too close")

    def _check_let_through(self, cup: Cup) -> None:
        part = self._part_of.get(cup.name)
        _must(part is not None, f"cup {cup.name} let through though it was never counted")
        assert part is not None
        row = self._rows.get(part)
        _must(row is not None, f"cup {cup.name} let through without a verdict")
        assert row is not None
        _must(
            row.verdict.reason is Reason.CLEAN,
            f"cup {cup.name} let through though rejected as {row.verdict.reason}",
        )
        _must(
            row.verdict.score == float(cup.name),
            f"cup {cup.name} let through on the verdict of cup {row.verdict.score}",
        )
        _must(not cup.defective, f"cup {cup.name} let through though defective")
        apart_ns = self._timing.min_interval_ns - self._timing.eye_error_ns
        for beside in self._cups[max(cup.name - 2, 0) : cup.name + 1]:
            near = beside is not cup and abs(beside.eye_ns - cup.eye_ns) < apart_ns
            _must(not near, f"cup {cup.name} let through with cup {beside.name} too close")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ClaimBrokenError(otherwise)
