"""The part tracker of one lane: which frame and which verdict belong to which part.

A pure state machine: events in, effects out; it has no clock, and every event brings its ``now_ns``.
The claim it is written for:

1. Every part that the counter counted is closed exactly once, in the order of the numbers.
2. A part passes only on a clean verdict about the very frame it sent to inspection, in time, and only
   when it is known that no other part was closer than ``min_interval`` on either side.
3. Everything else is a reject with its reason.

Effects come in the order in which they are to be done. ``Closed`` stands before ``Inspect``, so that an
answer given at once, while the effects are still being done, cannot overtake a command.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict, rejected
from inspector.tracking.crossing import Crossed
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

ROWS_PER_JUMP = 10_000
"""Rows are written for at most so many parts that passed unseen; what lies before is `Unaccounted`."""
SILENCE_NS = 100_000_000
"""A tracker not ticked for this long, or with a command overdue as long, is not healthy."""
_REMEMBERED = 64
"""Closed parts and ended sessions remembered, to name late frames and verdicts for what they are."""


@dataclass(slots=True)
class _Part:
    """A part between photo-eye and command."""

    id: PartId
    at_ns: int | None
    deadline_ns: int | None
    frame: FrameInfo | None = None
    inspecting: bool = False
    verdict: Verdict | None = None
    verdict_ns: int = 0

    def reject(self, reason: Reason, now_ns: int) -> None:
        """Bad until proven good: the first reject stands, a pass not yet commanded falls."""
        if self.verdict is None:
            self.verdict = rejected(self.id, reason)
        elif self.verdict.outcome is Outcome.PASS:
            self.verdict = replace(self.verdict, outcome=Outcome.REJECT, reason=reason)
        else:
            return
        self.verdict_ns = now_ns


class Tracker:
    """The parts of one lane.

    Args:
        lane: the lane's name.
        timing: the lane's times.
        queue_limit: parts that may wait for their verdict at once; also frames held without a part.
    """

    def __init__(self, lane: str, timing: Timing, queue_limit: int) -> None:
        self.lane = lane
        self.timing = timing
        self.queue_limit = queue_limit
        self._open: deque[_Part] = deque()
        self._closed: deque[_Part] = deque(maxlen=_REMEMBERED)
        self._held: deque[tuple[FrameInfo, int]] = deque()
        self._session: int | None = None
        self._ended: deque[int] = deque(maxlen=_REMEMBERED)
        self._last_number = 0
        self._last_at_ns: int | None = None
        self._told_any = False
        self._anchor: tuple[FrameKey, int] | None = None
        self._watched_ns: int | None = None
        self._ticked_ns: int | None = None
        self._stopped = False

    # -- what it knows -----------------------------------------------------------------------------

    @property
    def open_parts(self) -> int:
        """Parts without their command."""
        return len(self._open)

    @property
    def held_frames(self) -> int:
        """Frames whose part is not known yet."""
        return len(self._held)

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` has something to do at the latest, None when nothing is pending."""
        times = [expires for _, expires in self._held]
        for part in self._open:
            if part.at_ns is not None and part.deadline_ns is not None:
                waiting = part.verdict is None and part.frame is None
                times.append(self._frame_due(part) if waiting else part.deadline_ns)
        return min(times, default=None)

    def has_ended(self, session: int) -> bool:
        """Another count has begun since, so that parts of this one are ignored; known of the last 64."""
        return session in self._ended

    def healthy(self, now_ns: int) -> bool:
        """True while it is ticked and no command is overdue: the heartbeat to the PLC hangs on it."""
        if self._stopped or self._ticked_ns is None or now_ns - self._ticked_ns > SILENCE_NS:
            return False
        return all(
            part.deadline_ns is None or now_ns - part.deadline_ns <= SILENCE_NS
            for part in self._open
        )

    # -- events ------------------------------------------------------------------------------------

    def resume_after(self, session: int, number: int, now_ns: int) -> list[Effect]:
        """Before the first event of a count: its last part in the ledger. Parts counted since get their rows.

        With ``(session, 0)`` rows begin with part 1; without this call, with part 1 as well, but for the
        very first count, whose rows then begin with the first part seen.
        """
        effects = [] if session == self._session else self._begin_session(session, 1, now_ns)
        self._last_number = number
        return effects

    def photo_eye(self, session: int, number: int, at_ns: int, now_ns: int) -> list[Effect]:
        """The PLC counted part ``number`` at host time ``at_ns``. Known numbers have no effect."""
        effects, part = self._arrive(session, number, at_ns, now_ns)
        if part is not None:
            near = [frame for frame, _ in self._held if self._fits(part, frame)]
            self._held = deque(entry for entry in self._held if not self._fits(part, entry[0]))
            if len(near) == 1:
                claim = self._claim(part, near[0], now_ns)
                return effects + self._flush(now_ns) + claim
            if near:
                part.reject(Reason.MISMATCHED_FRAME, now_ns)
                self._anchor = None
                effects += [Unclaimed(frame, UnclaimedWhy.AMBIGUOUS) for frame in near]
        return effects + self._flush(now_ns)

    def crossing(self, session: int, number: int, crossed: Crossed, now_ns: int) -> list[Effect]:
        """Free run: a cup crossed the picture's centre; it brings its frame along, or none."""
        effects, part = self._arrive(
            session, number, crossed.at_ns, now_ns, crossed.first_ns, crossed.last_ns
        )
        if part is not None:
            part.frame = crossed.frame
            if crossed.frame is None:
                part.reject(Reason.NO_CUP, now_ns)
            else:
                claim = self._inspect(part, crossed.frame, crossed.x_px, now_ns)
                return effects + self._flush(now_ns) + claim
        return effects + self._flush(now_ns)

    def watched(self, session: int, until_ns: int, now_ns: int) -> list[Effect]:
        """Every part of this count that met the photo-eye before host time ``until_ns`` has been told."""
        if session in self._ended:
            return []
        effects: list[Effect] = []
        if session != self._session:
            effects = self._begin_session(session, 1, now_ns)
        if self._last_at_ns is None and not self._told_any:
            # Whatever comes next comes after that, and whatever came before, counted or not, before it.
            self._last_at_ns = until_ns
        if self._watched_ns is None or until_ns > self._watched_ns:
            self._watched_ns = until_ns
        return effects + self._expire_held(now_ns) + self._flush(now_ns)

    def frame(self, frame: FrameInfo, now_ns: int) -> list[Effect]:
        """A frame of a triggered camera arrived. It may come before its photo-eye event is known."""
        if frame.lane != self.lane:
            return [Unclaimed(frame, UnclaimedWhy.FOREIGN_LANE)]
        if self._stopped:
            return [Unclaimed(frame, UnclaimedWhy.STOPPED)]
        if not frame.timed:
            return [Unclaimed(frame, UnclaimedWhy.UNTIMED)]
        near = [part for part in self._open if self._fits(part, frame)]
        if len(near) == 1:
            claim = self._claim(near[0], frame, now_ns)
            return self._flush(now_ns) + claim
        if near:
            for part in near:
                part.reject(Reason.MISMATCHED_FRAME, now_ns)
            self._anchor = None
            return [Unclaimed(frame, UnclaimedWhy.AMBIGUOUS), *self._flush(now_ns)]
        if any(self._fits(part, frame) for part in self._closed):
            return [Unclaimed(frame, UnclaimedWhy.PART_CLOSED)]
        self._held.append((frame, now_ns + self.timing.frame_timeout_ns))
        effects = self._expire_held(now_ns)
        if len(self._held) > self.queue_limit:
            oldest, _ = self._held.popleft()
            effects.append(Unclaimed(oldest, UnclaimedWhy.TOO_MANY_HELD))
        return effects

    def verdict(self, verdict: Verdict, key: FrameKey, now_ns: int) -> list[Effect]:
        """Inspection judged the frame ``key`` for a part. Never opens for any other part or frame."""
        part = next((part for part in self._open if part.id == verdict.part), None)
        if part is None:
            known = any(closed.id == verdict.part for closed in self._closed)
            why = IgnoredWhy.PART_CLOSED if known else IgnoredWhy.UNKNOWN_PART
            return [Ignored(verdict.part, why)]
        if not part.inspecting or part.frame is None or frame_key(part.frame) != key:
            return [Ignored(verdict.part, IgnoredWhy.OTHER_FRAME)]
        if part.verdict is not None:
            return [Ignored(verdict.part, IgnoredWhy.DECIDED)]
        if part.deadline_ns is None or now_ns >= part.deadline_ns:
            part.reject(Reason.LATE, now_ns)
            return [Ignored(verdict.part, IgnoredWhy.LATE), *self._flush(now_ns)]
        part.verdict, part.verdict_ns = verdict, now_ns
        return self._flush(now_ns)

    def tick(self, now_ns: int) -> list[Effect]:
        """Time passes: whoever is overdue is rejected."""
        self._ticked_ns = now_ns
        for part in self._open:
            if part.verdict is not None or part.deadline_ns is None:
                continue
            if part.frame is None:
                if now_ns >= self._frame_due(part):
                    part.reject(Reason.MISSING_FRAME, now_ns)
            elif now_ns >= part.deadline_ns:
                part.reject(Reason.LATE, now_ns)
        return self._expire_held(now_ns) + self._flush(now_ns)

    def stop(self, now_ns: int) -> list[Effect]:
        """The line stops: whatever is open, and whatever still comes, is rejected as ``stopped``."""
        self._stopped = True
        for part in self._open:
            part.reject(Reason.STOPPED, now_ns)
        effects: list[Effect] = [Unclaimed(f, UnclaimedWhy.STOPPED) for f, _ in self._held]
        self._held.clear()
        return effects + self._flush(now_ns)

    # -- parts -------------------------------------------------------------------------------------

    def _arrive(
        self,
        session: int,
        number: int,
        at_ns: int,
        now_ns: int,
        first_ns: int | None = None,
        last_ns: int | None = None,
    ) -> tuple[list[Effect], _Part | None]:
        """Open the part with this number and close those between as unseen; None when it is known.

        Where its time is uncertain, it lies between ``first_ns`` and ``last_ns``.
        """
        effects: list[Effect] = []
        if session != self._session:
            if session in self._ended:
                return [Ignored(PartId(self.lane, session, number), IgnoredWhy.OLD_SESSION)], None
            effects += self._begin_session(session, number, now_ns)
        if number <= self._last_number:
            self._told_any = True
            if self._last_at_ns is None or at_ns > self._last_at_ns:
                # It has its row of a former life of the count, and lies on the belt nonetheless.
                self._last_at_ns = at_ns if number == self._last_number else None
            return effects, None
        effects += self._fill_gap(session, number, now_ns)
        # A photo-eye event of the future is a clock gone wrong: when the part comes is not known.
        known_ns = at_ns if at_ns <= now_ns + self.timing.window_ns else None
        part = self._new_part(PartId(self.lane, session, number), known_ns)
        if self._last_at_ns is None:
            # When the one before it came is not known, nor, on a new count, whether there was one.
            part.reject(Reason.UNSEEN, now_ns)
        if self._open and (known_ns is None or self._open[-1].at_ns is None):
            self._open[-1].reject(Reason.UNSEEN, now_ns)
        if known_ns is None or part.deadline_ns is None:
            part.reject(Reason.UNSEEN, now_ns)
        elif self._last_at_ns is not None:
            nearest_ns = (known_ns if first_ns is None else first_ns) - self.timing.min_interval_ns
            if nearest_ns < self._last_at_ns:
                part.reject(Reason.TOO_CLOSE, now_ns)
                for other in self._open:
                    if other is self._open[-1] or (other.at_ns or 0) > nearest_ns:
                        other.reject(Reason.TOO_CLOSE, now_ns)
        if part.deadline_ns is not None and now_ns >= part.deadline_ns:
            part.reject(Reason.UNSEEN, now_ns)
        if self._stopped:
            part.reject(Reason.STOPPED, now_ns)
        self._open.append(part)
        self._told_any = True
        self._last_number = number
        self._last_at_ns = known_ns if known_ns is None or last_ns is None else last_ns
        return effects, part

    def _begin_session(self, session: int, number: int, now_ns: int) -> list[Effect]:
        """The counter starts anew: nothing of its former life can be told apart any more."""
        first_ever = self._session is None
        if self._session is not None:
            self._ended.append(self._session)
        for part in self._open:
            part.reject(Reason.UNSEEN, now_ns)
        self._session = session
        self._last_number = number - 1 if first_ever else 0
        self._last_at_ns = None
        self._told_any = False
        self._anchor = None
        return self._flush(now_ns)

    def _fill_gap(self, session: int, number: int, now_ns: int) -> list[Effect]:
        """Parts between the last known number and this one came past while nobody watched."""
        first = self._last_number + 1
        if first == number:
            return []
        effects: list[Effect] = []
        rows_from = max(first, number - ROWS_PER_JUMP)
        if rows_from > first:
            effects.append(
                Unaccounted(
                    PartId(self.lane, session, first), PartId(self.lane, session, rows_from - 1)
                )
            )
        if self._open:
            # When its successor came is not known, so it may have been too close.
            self._open[-1].reject(Reason.UNSEEN, now_ns)
        for missed in range(rows_from, number):
            part = self._new_part(PartId(self.lane, session, missed), None)
            part.reject(Reason.UNSEEN, now_ns)
            self._open.append(part)
        self._last_number, self._last_at_ns = number - 1, None
        return effects

    def _new_part(self, part: PartId, at_ns: int | None) -> _Part:
        deadline_ns = None if at_ns is None else at_ns + self.timing.decision_ns
        return _Part(part, at_ns, deadline_ns)

    def _flush(self, now_ns: int) -> list[Effect]:
        """Close from the front whatever has its verdict: a part waits for the one before it."""
        return list(self._closable(now_ns))

    def _closable(self, now_ns: int) -> Iterator[Effect]:
        while self._open:
            part = self._open[0]
            if part.verdict is not None and part.verdict.outcome is Outcome.PASS:
                if part.deadline_ns is None or now_ns >= part.deadline_ns:
                    part.reject(Reason.LATE, now_ns)
                elif not self._alone(part):
                    return
            if part.verdict is None:
                return
            self._open.popleft()
            self._closed.append(part)
            yield Closed(
                verdict=part.verdict,
                trigger_ns=part.at_ns,
                deadline_ns=part.deadline_ns,
                frame=part.frame,
                verdict_ns=part.verdict_ns,
                command_ns=now_ns,
            )

    def _alone(self, part: _Part) -> bool:
        """True when it is known that no part follows ``part``, the oldest open one, too closely."""
        if len(self._open) > 1:
            return True  # its successor's arrival would have rejected it
        return (
            part.at_ns is not None
            and self._watched_ns is not None
            and self._watched_ns >= part.at_ns + self.timing.min_interval_ns
        )

    # -- frames ------------------------------------------------------------------------------------

    def _fits(self, part: _Part, frame: FrameInfo) -> bool:
        return part.at_ns is not None and (
            abs(frame.exposed_ns - part.at_ns) < self.timing.window_ns
        )

    def _frame_due(self, part: _Part) -> int:
        assert part.at_ns is not None
        assert part.deadline_ns is not None
        return min(part.at_ns + self.timing.frame_timeout_ns, part.deadline_ns)

    def _claim(self, part: _Part, frame: FrameInfo, now_ns: int) -> list[Effect]:
        """The time says that this frame is this part's: see whether the ids agree, then inspect it."""
        if part.frame is not None:
            part.reject(Reason.MISMATCHED_FRAME, now_ns)
            self._anchor = None
            return [Unclaimed(frame, UnclaimedWhy.SECOND_FRAME)]
        agrees = self._ids_agree(part, frame)
        self._anchor = (frame_key(frame), part.id.number)
        part.frame = frame
        if not agrees:
            part.reject(Reason.MISMATCHED_FRAME, now_ns)
        return self._inspect(part, frame, None, now_ns)

    def _ids_agree(self, part: _Part, frame: FrameInfo) -> bool:
        """Between two matched frames of one epoch, as many ids must lie as parts."""
        if self._anchor is None or self._anchor[0].epoch != frame.epoch:
            return True
        key, number = self._anchor
        return frame.frame_id - key.frame_id == part.id.number - number

    def _inspect(
        self, part: _Part, frame: FrameInfo, cup_x_px: float | None, now_ns: int
    ) -> list[Effect]:
        if part.verdict is not None:
            return []
        if not frame.complete:
            part.reject(Reason.INCOMPLETE_FRAME, now_ns)
            return []
        if sum(other.inspecting and other.verdict is None for other in self._open) >= (
            self.queue_limit
        ):
            part.reject(Reason.OVERLOAD, now_ns)
            return []
        part.inspecting = True
        return [Inspect(part.id, frame, cup_x_px)]

    def _expire_held(self, now_ns: int) -> list[Effect]:
        """Frames whose part can no longer turn up."""
        kept: deque[tuple[FrameInfo, int]] = deque()
        effects: list[Effect] = []
        for frame, expires_ns in self._held:
            settled = self._watched_ns is not None and (
                self._watched_ns >= frame.exposed_ns + self.timing.window_ns
            )
            if settled or now_ns >= expires_ns:
                effects.append(Unclaimed(frame, UnclaimedWhy.NO_PART))
            else:
                kept.append((frame, expires_ns))
        self._held = kept
        return effects
