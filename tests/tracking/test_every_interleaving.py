"""A small lane in every order in which its events can come: no sampling, no luck.

Two parts, their two frames and one that nobody triggered, a clean verdict about each pair of part and frame
whether it was asked for or not and as often as one likes, the link read or not, time passing in steps across
every deadline, the count starting anew, the line stopping. From each state every event that has not happened
is tried; states that were met before are not entered again, for what follows depends on the state alone.
"""

import copy
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict
from inspector.tracking import Closed, Effect, Inspect, Timing, Tracker, frame_key

LANE = "lane-1"
MS = 1_000_000
TIMING = Timing.from_ms(
    min_interval_ms=80,
    travel_ms=500,
    decide_before_ms=100,
    frame_timeout_ms=200,
    eye_error_ms=10,
)
MOMENTS = (20, 120, 390, 540)
"""What the clock shows, ms: before and after the time-out of each frame, then after the deadlines."""
EXTRA = 9
"""Id of the frame that nobody triggered; it shows part 1 a little off the middle."""


@dataclass(frozen=True, slots=True)
class History:
    """What has happened, as far as what may still come or be claimed depends on it.

    Attributes:
        moment: index of what the clock shows.
        told: parts told.
        frames: ids of frames that arrived.
        asked: (part, frame id) sent to inspection.
        granted: parts with a clean verdict about the frame that was asked, since then and in time.
        rows: (session, part, reason) in order.
        session: of the counter.
        stopped: the line stops.
    """

    moment: int = 0
    told: int = 0
    frames: frozenset[int] = frozenset()
    asked: frozenset[tuple[int, int]] = frozenset()
    granted: frozenset[int] = frozenset()
    rows: tuple[tuple[int, int, str], ...] = ()
    session: int = 1
    stopped: bool = False


def beside(tracker: Tracker) -> Tracker:
    """The same tracker once more; what happens to it leaves the first as it is."""
    other = copy.copy(tracker)
    for name, value in vars(tracker).items():
        if isinstance(value, deque):
            setattr(other, name, deque(map(copy.copy, value), value.maxlen))
    return other


class Lane:
    """Two parts so many milliseconds apart."""

    def __init__(self, apart_ms: int) -> None:
        self.eyes_ms = (0, apart_ms)
        self.exposed_ms = {1: 0, 2: apart_ms, EXTRA: 20}

    def explore(self) -> int:
        """Every state that can be reached; returns how many.

        Raises:
            AssertionError: the claim does not hold in one of them.
        """
        tracker = Tracker(LANE, TIMING, queue_limit=2)
        tracker.resume_after(1, 0, 0)
        tracker.watched(1, -200 * MS, -200 * MS)
        waiting = [(tracker, History())]
        met = {self._state(tracker, History())}
        while waiting:
            tracker, before = waiting.pop()
            for event in self._possible(before):
                after = beside(tracker)
                history = self._happen(after, before, event)
                state = self._state(after, history)
                if state not in met:
                    met.add(state)
                    waiting.append((after, history))
        return len(met)

    @staticmethod
    def _state(tracker: Tracker, history: History) -> int:
        return hash((repr(vars(tracker)), history))

    def _possible(self, history: History) -> Iterator[tuple[str, int, int]]:
        now_ms = MOMENTS[history.moment]
        if history.moment + 1 < len(MOMENTS):
            yield "time", 0, 0
        if not history.stopped:
            yield "stop", 0, 0
        if history.session == 1 and history.told < 2 and self.eyes_ms[history.told] <= now_ms:
            yield "eye", history.told + 1, 0
        if history.session == 1 and history.told:
            yield "count", 0, 0
        yield "link", 0, 0
        for frame, exposed_ms in self.exposed_ms.items():
            if frame not in history.frames and exposed_ms <= now_ms:
                yield "frame", frame, 0
        for frame in history.frames:
            for part in (1, 2):
                yield "verdict", part, frame

    def _happen(self, tracker: Tracker, history: History, event: tuple[str, int, int]) -> History:
        kind, first, second = event
        now_ns = MOMENTS[history.moment] * MS
        effects: list[Effect] = []
        match kind:
            case "time":
                history = replace(history, moment=history.moment + 1)
                effects = tracker.tick(MOMENTS[history.moment] * MS)
                now_ns = MOMENTS[history.moment] * MS
            case "stop":
                history = replace(history, stopped=True)
                effects = tracker.stop(now_ns)
            case "eye":
                history = replace(history, told=first)
                effects = tracker.photo_eye(1, first, self.eyes_ms[first - 1] * MS, now_ns)
            case "count":
                history = replace(history, session=2)
                effects = tracker.watched(2, now_ns, now_ns)
            case "link":
                # A part that is not told yet may have come at its time.
                untold_ms = [*self.eyes_ms[history.told :], MOMENTS[history.moment] + 1]
                until_ns = (min(untold_ms) - 1) * MS
                effects = tracker.watched(history.session, until_ns, now_ns)
            case "frame":
                history = replace(history, frames=history.frames | {first})
                effects = tracker.frame(self._frame(first), now_ns)
            case "verdict":
                deadline_ns = self.eyes_ms[first - 1] * MS + TIMING.decision_ns
                if (first, second) in history.asked and now_ns < deadline_ns:
                    history = replace(history, granted=history.granted | {first})
                verdict = Verdict(PartId(LANE, 1, first), Outcome.PASS, Reason.CLEAN)
                effects = tracker.verdict(verdict, frame_key(self._frame(second)), now_ns)
        return self._claimed(history, effects, now_ns)

    def _claimed(self, history: History, effects: list[Effect], now_ns: int) -> History:
        """The claim, checked on each effect."""
        for effect in effects:
            if isinstance(effect, Inspect):
                asked = (effect.part.number, effect.frame.frame_id)
                assert effect.part.number not in {part for part, _ in history.asked}
                history = replace(history, asked=history.asked | {asked})
            elif isinstance(effect, Closed):
                part = effect.part
                assert [row[1] for row in history.rows] == list(range(1, part.number))
                if effect.verdict.outcome is Outcome.PASS:
                    self._check_pass(history, part.number, now_ns)
                row = (part.session, part.number, str(effect.verdict.reason))
                history = replace(history, rows=(*history.rows, row))
        if history.stopped or history.session == 2:
            assert len(history.rows) == history.told, "a part is left without its command"
        return history

    def _check_pass(self, history: History, number: int, now_ns: int) -> None:
        assert number in history.granted, "passes without its own verdict in time"
        shown = next(frame for part, frame in history.asked if part == number)
        assert shown in ((1, EXTRA) if number == 1 else (2,)), "passes on another part's frame"
        assert now_ns < self.eyes_ms[number - 1] * MS + TIMING.decision_ns
        assert self.eyes_ms[1] - self.eyes_ms[0] >= 80, "passes beside a part too close"
        assert not history.stopped
        assert history.session == 1

    def _frame(self, frame_id: int) -> FrameInfo:
        exposed_ns = self.exposed_ms[frame_id] * MS
        return FrameInfo(
            LANE,
            1,
            frame_id,
            0,
            0,
            2880,
            1860,
            "BayerRG8",
            exposed_ns,
            exposed_ns,
            complete=True,
        )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("apart_ms", [60, 100])
def test_the_claim_holds_in_every_state_that_two_parts_can_reach(apart_ms: int) -> None:
    assert Lane(apart_ms).explore() > 10_000
