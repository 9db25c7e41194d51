"""The tracker's claim, against random interleavings and a plant whose truth is known.

The model knows what is true: which part a frame really shows, which verdict is about what. The rules are
checked from outside, on the effects alone.
"""

import random
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict, rejected
from inspector.tracking import (
    Closed,
    Crossed,
    Effect,
    FrameKey,
    Ignored,
    IgnoredWhy,
    Inspect,
    Timing,
    Tracker,
    Unaccounted,
    frame_key,
)

LANE = "lane-1"
MS = 1_000_000
TIMING = Timing.from_ms(
    min_interval_ms=70, travel_ms=600, decide_before_ms=100, frame_timeout_ms=200, eye_error_ms=0
)
QUEUE = 4


def a_frame(frame_id: int, exposed_ns: int, *, epoch: int, complete: bool) -> FrameInfo:
    return FrameInfo(
        LANE, epoch, frame_id, 0, 0, 2880, 1860, "BayerRG8", exposed_ns, exposed_ns, complete
    )


@dataclass
class Witness:
    """Sees every event and effect, and knows nothing of how the tracker works."""

    counted: list[PartId] = field(default_factory=list)
    at_ns: dict[PartId, int] = field(default_factory=dict)
    sent: dict[PartId, FrameInfo] = field(default_factory=dict)
    answers: dict[tuple[PartId, FrameKey], tuple[Verdict, int]] = field(default_factory=dict)
    closed: dict[PartId, Closed] = field(default_factory=dict)
    order: list[PartId] = field(default_factory=list)

    def count(self, part: PartId, at_ns: int) -> None:
        self.counted.append(part)
        self.at_ns[part] = at_ns

    def see(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert not isinstance(effect, Unaccounted)
            if isinstance(effect, Inspect):
                assert effect.part not in self.sent, "sent to inspection twice"
                assert effect.part not in self.closed, "sent to inspection after its command"
                assert effect.frame.complete
                self.sent[effect.part] = effect.frame
            elif isinstance(effect, Closed):
                assert effect.part not in self.closed, "two commands for one part"
                self.closed[effect.part] = effect
                self.order.append(effect.part)
                if effect.verdict.outcome is Outcome.PASS:
                    self.check_pass(effect)

    def check_pass(self, closed: Closed) -> None:
        part = closed.part
        frame = self.sent[part]
        verdict, answered_ns = self.answers[part, frame_key(frame)]
        assert verdict == closed.verdict
        assert verdict.outcome is Outcome.PASS
        deadline_ns = self.at_ns[part] + TIMING.decision_ns
        assert answered_ns <= closed.command_ns < deadline_ns
        assert abs(frame.exposed_ns - self.at_ns[part]) < TIMING.window_ns

    def check_order(self) -> None:
        """Within a session every number once, rising by one; sessions do not mix."""
        for before, after in zip(self.order, self.order[1:], strict=False):
            if before.session == after.session:
                assert after.number == before.number + 1

    def check_neighbours(self) -> None:
        """No part that passed had another one nearer than the interval."""
        for part, closed in self.closed.items():
            if closed.verdict.outcome is not Outcome.PASS:
                continue
            for number in (part.number - 1, part.number + 1):
                neighbour = self.at_ns.get(PartId(part.lane, part.session, number))
                if neighbour is not None:
                    assert abs(neighbour - self.at_ns[part]) >= TIMING.min_interval_ns


class Interleavings(RuleBasedStateMachine):
    """Any event at any time, possible or not."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker(LANE, TIMING, QUEUE)
        self.witness = Witness()
        self.now_ns = 1_000_000_000
        self.session = 1
        self.number = 0
        self.last_at_ns = self.now_ns
        self.epoch = 1
        self.frame_id = 0
        self.frames: list[FrameInfo] = []

    @initialize(number=st.integers(0, 3))
    def begins_after_the_ledgers_last_part(self, number: int) -> None:
        self.number = number
        self.tracker.resume_after(self.session, number, self.now_ns)

    @rule(milliseconds=st.sampled_from([1, 10, 60, 70, 120, 300]))
    def time_passes(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * MS

    @rule(ago_ms=st.integers(0, 120), missed=st.sampled_from([0, 0, 0, 0, 1, 3]))
    def a_part_is_counted(self, ago_ms: int, missed: int) -> None:
        at_ns = max(self.now_ns - ago_ms * MS, self.last_at_ns)
        for number in range(self.number + 1, self.number + missed + 1):
            self.witness.counted.append(PartId(LANE, self.session, number))
        self.number += missed + 1
        self.last_at_ns = at_ns
        self.witness.count(PartId(LANE, self.session, self.number), at_ns)
        self.witness.see(self.tracker.photo_eye(self.session, self.number, at_ns, self.now_ns))

    @rule(back=st.integers(0, 3))
    def an_old_part_is_told_again(self, back: int) -> None:
        if self.number - back >= 1:
            before = len(self.witness.order)
            self.witness.see(
                self.tracker.photo_eye(
                    self.session, self.number - back, self.last_at_ns, self.now_ns
                )
            )
            assert len(self.witness.order) == before

    @rule(lag_ms=st.sampled_from([0, 0, 5, 80]))
    def the_link_is_read(self, lag_ms: int) -> None:
        # What was counted before the last part's own time cannot be known better than that.
        until_ns = max(self.now_ns - lag_ms * MS, self.last_at_ns)
        self.last_at_ns = max(self.last_at_ns, until_ns)
        self.witness.see(self.tracker.watched(self.session, until_ns, self.now_ns))

    @rule()
    def the_counter_starts_anew(self) -> None:
        self.session += 1
        self.number = 0

    @rule(
        ago_ms=st.integers(0, 100),
        skipped=st.sampled_from([0, 0, 0, 1]),
        complete=st.sampled_from([True, True, True, False]),
    )
    def a_frame_arrives(self, ago_ms: int, skipped: int, complete: bool) -> None:
        self.frame_id += 1 + skipped
        frame = a_frame(
            self.frame_id, self.now_ns - ago_ms * MS, epoch=self.epoch, complete=complete
        )
        self.frames.append(frame)
        self.witness.see(self.tracker.frame(frame, self.now_ns))

    @rule(off_ms=st.integers(-40, 40))
    def the_last_parts_frame_arrives(self, off_ms: int) -> None:
        self.frame_id += 1
        frame = a_frame(
            self.frame_id, self.last_at_ns + off_ms * MS, epoch=self.epoch, complete=True
        )
        self.frames.append(frame)
        self.witness.see(self.tracker.frame(frame, self.now_ns))

    @rule()
    def the_camera_is_opened_anew(self) -> None:
        self.epoch += 1
        self.frame_id = 0

    @rule(data=st.data(), good=st.booleans())
    def inspection_answers(self, data: st.DataObject, good: bool) -> None:
        if not self.witness.sent:
            return
        part = data.draw(st.sampled_from(sorted(self.witness.sent)))
        self.answer(part, frame_key(self.witness.sent[part]), good)

    @rule(data=st.data(), good=st.booleans())
    def inspection_answers_about_the_wrong_thing(self, data: st.DataObject, good: bool) -> None:
        if not self.frames or not self.witness.counted:
            return
        part = data.draw(st.sampled_from(self.witness.counted))
        frame = data.draw(st.sampled_from(self.frames))
        self.answer(part, frame_key(frame), good)

    def answer(self, part: PartId, key: FrameKey, good: bool) -> None:
        verdict = (
            Verdict(part, Outcome.PASS, Reason.CLEAN) if good else rejected(part, Reason.DEFECT)
        )
        self.witness.answers.setdefault((part, key), (verdict, self.now_ns))
        self.witness.see(self.tracker.verdict(verdict, key, self.now_ns))

    @rule()
    def it_is_ticked(self) -> None:
        self.witness.see(self.tracker.tick(self.now_ns))
        due_ns = self.tracker.next_deadline_ns
        assert due_ns is None or due_ns > self.now_ns, "a deadline survives its tick"

    @invariant()
    def every_command_is_in_order_and_apart(self) -> None:
        self.witness.check_order()
        self.witness.check_neighbours()

    @invariant()
    def nothing_grows_without_bound(self) -> None:
        assert self.tracker.held_frames <= QUEUE

    def teardown(self) -> None:
        self.witness.see(self.tracker.stop(self.now_ns))
        self.witness.check_order()
        # In the order counted, and not one missing.
        assert self.witness.order == self.witness.counted


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def run_plant(seed: int, parts: int) -> tuple[int, int]:
    """A plant with faults at random; returns parts passed and parts in all. Times of a loaded host."""
    dice = random.Random(seed)
    tracker, witness = Tracker(LANE, TIMING, QUEUE), Witness()
    shows: dict[FrameKey, int] = {}
    events: list[tuple[int, int, str, object]] = []
    at_ns, epoch, frame_id = 1_000_000_000, 1, 0
    tracker.resume_after(1, 0, 0)

    def plan(when_ns: int, kind: str, what: object) -> None:
        events.append((when_ns, len(events), kind, what))

    for number in range(1, parts + 1):
        at_ns += dice.choice([71, 90, 150, 400, 400, 69, 40]) * MS
        told_ns = at_ns + dice.randrange(0, 6) * MS
        outage = dice.random() < 0.03
        plan(told_ns + dice.randrange(1, 12) * MS + outage * 400 * MS, "eye", (number, told_ns))
        if dice.random() < 0.02:
            epoch, frame_id = epoch + 1, 0
        if dice.random() < 0.03:
            continue  # the camera missed the trigger
        frame_id += 1
        exposed_ns = at_ns + dice.randrange(-4, 5) * MS
        frame = a_frame(frame_id, exposed_ns, epoch=epoch, complete=dice.random() > 0.03)
        shows[frame_key(frame)] = number
        if dice.random() > 0.03:  # else lost on the wire
            plan(exposed_ns + dice.randrange(30, 90) * MS, "frame", frame)
        if dice.random() < 0.03:  # a trigger out of nothing
            frame_id += 1
            ghost = a_frame(
                frame_id, at_ns + dice.randrange(-35, 36) * MS, epoch=epoch, complete=True
            )
            shows[frame_key(ghost)] = 0
            plan(ghost.exposed_ns + dice.randrange(30, 90) * MS, "frame", ghost)
    for now_ns in range(1_000_000_000, at_ns + 2_000_000_000, 10 * MS):
        plan(now_ns, "tick", None)
    known: dict[int, int] = {}

    def handle(effects: list[Effect], now_ns: int) -> None:
        witness.see(effects)
        for effect in effects:
            if isinstance(effect, Inspect):
                plan(now_ns + dice.choice([20, 60, 150, 600]) * MS, "answer", effect)

    while events:
        events.sort()
        now_ns, _, kind, what = events.pop(0)
        if kind == "eye":
            assert isinstance(what, tuple)
            known[what[0]] = what[1]
            # The PLC tells in order: whoever is still on the wire is told with the next.
            for number in sorted(known):
                if number == tracker_last(witness) + 1:
                    witness.count(PartId(LANE, 1, number), known.pop(number))
                    told = witness.at_ns[PartId(LANE, 1, number)]
                    handle(tracker.photo_eye(1, number, told, now_ns), now_ns)
        elif kind == "frame":
            assert isinstance(what, FrameInfo)
            handle(tracker.frame(what, now_ns), now_ns)
        elif kind == "answer":
            assert isinstance(what, Inspect)
            truth = shows[frame_key(what.frame)]
            verdict = Verdict(what.part, Outcome.PASS, Reason.CLEAN, score=float(truth))
            witness.answers.setdefault((what.part, frame_key(what.frame)), (verdict, now_ns))
            handle(tracker.verdict(verdict, frame_key(what.frame), now_ns), now_ns)
        else:
            untold = [e for e in events if e[2] == "eye"]
            until_ns = min(
                [now_ns, *(e[3][1] - 1 for e in untold if isinstance(e[3], tuple))],
            )
            handle(tracker.watched(1, until_ns, now_ns) + tracker.tick(now_ns), now_ns)
    witness.see(tracker.stop(at_ns + 2_000_000_000))
    assert witness.order == [PartId(LANE, 1, number) for number in range(1, parts + 1)]
    witness.check_neighbours()
    passed = [c for c in witness.closed.values() if c.verdict.outcome is Outcome.PASS]
    ghosts = [c for c in passed if c.verdict.score == 0.0]
    strangers = [c for c in passed if c.verdict.score not in (0.0, float(c.part.number))]
    assert not strangers, f"passed on another part's frame: {strangers[0]}"
    # A ghost beside a lost frame looks like the real one until the next frame's id tells.
    assert len(ghosts) <= parts * 0.01
    return len(passed), parts


def tracker_last(witness: Witness) -> int:
    return witness.counted[-1].number if witness.counted else 0


def test_no_part_of_a_faulty_plant_passes_on_another_parts_frame() -> None:
    passed = total = 0
    for seed in range(8):
        some, of = run_plant(seed, 120)
        passed, total = passed + some, total + of
    # It would be easy never to be wrong by never passing anything.
    assert passed > total * 0.25


def test_in_free_run_crossings_are_commanded_in_order_too() -> None:
    tracker, witness = Tracker(LANE, TIMING, QUEUE), Witness()
    tracker.watched(9, 0, 0)
    for number in range(1, 20):
        at_ns = number * 200 * MS
        part = PartId(LANE, 9, number)
        witness.count(part, at_ns)
        frame = a_frame(3 * number, at_ns + 5 * MS, epoch=1, complete=True)
        witness.see(
            tracker.crossing(
                9, number, Crossed(at_ns, frame, 1.0, 1.0, at_ns, at_ns), at_ns + 60 * MS
            )
        )
        verdict = Verdict(part, Outcome.PASS, Reason.CLEAN)
        witness.answers[part, frame_key(frame)] = (verdict, at_ns + 80 * MS)
        witness.see(tracker.verdict(verdict, frame_key(frame), at_ns + 80 * MS))
        witness.see(tracker.watched(9, at_ns + 90 * MS, at_ns + 90 * MS))
    assert witness.order == witness.counted
    assert all(c.verdict.outcome is Outcome.PASS for c in witness.closed.values())


def test_a_verdict_told_twice_counts_once() -> None:
    tracker = Tracker(LANE, TIMING, QUEUE)
    tracker.watched(1, -100 * MS, -100 * MS)
    tracker.photo_eye(1, 1, 0, 0)
    frame = a_frame(1, 0, epoch=1, complete=True)
    tracker.frame(frame, 50 * MS)
    verdict = Verdict(PartId(LANE, 1, 1), Outcome.PASS, Reason.CLEAN)
    assert tracker.verdict(verdict, frame_key(frame), 60 * MS) == []
    (again,) = tracker.verdict(verdict, frame_key(frame), 61 * MS)
    assert again == Ignored(verdict.part, IgnoredWhy.DECIDED)
