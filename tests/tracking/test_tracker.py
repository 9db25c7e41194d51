"""The part tracker, one sentence a test. Times are in ms on the line's clock."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspector.core.frame import CERTAIN_NS, FrameInfo
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
    Unclaimed,
    UnclaimedWhy,
)
from inspector.tracking.tracker import ROWS_PER_JUMP

LANE = "lane-1"
SESSION = 77
TIMING = Timing.from_ms(
    min_interval_ms=70, travel_ms=1200, decide_before_ms=150, frame_timeout_ms=400, eye_error_ms=0
)


def ms(value: float) -> int:
    return round(value * 1e6)


def a_frame(
    frame_id: int, exposed_ms: float, *, epoch: int = 1, complete: bool = True, lane: str = LANE
) -> FrameInfo:
    return FrameInfo(
        lane=lane,
        epoch=epoch,
        frame_id=frame_id,
        slot=frame_id % 12,
        generation=frame_id,
        width=2880,
        height=1860,
        pixel_format="BayerRG8",
        exposed_ns=ms(exposed_ms),
        received_ns=ms(exposed_ms + 45),
        complete=complete,
    )


def clean(number: int, *, session: int = SESSION, lane: str = LANE) -> Verdict:
    return Verdict(PartId(lane, session, number), Outcome.PASS, Reason.CLEAN, score=0.1)


class Line:
    """A tracker with its effects sorted, and a link that has been read up to each event."""

    def __init__(self, queue_limit: int = 8) -> None:
        self.tracker = Tracker(LANE, TIMING, queue_limit)
        self.effects: list[Effect] = []
        self.session: int | None = None

    def eye(self, number: int, at: float, now: float | None = None, session: int = SESSION) -> None:
        now = at + 5 if now is None else now
        if self.session is None and number == 1:
            self.clear_until(at - 1000, session)
        self.session = session
        self.effects += self.tracker.photo_eye(session, number, ms(at), ms(now))
        self.watched(now)

    def clear_until(self, until: float, session: int = SESSION) -> None:
        """The line met the PLC before its first part: nothing was on the belt until then."""
        self.session = session
        self.tracker.resume_after(session, 0, 0)
        self.watched(until)

    def watched(self, until: float, now: float | None = None) -> None:
        if self.session is not None:
            now = until if now is None else now
            self.effects += self.tracker.watched(self.session, ms(until), ms(now))

    def frame(self, frame: FrameInfo, now: float | None = None) -> None:
        at_ns = frame.received_ns if now is None else ms(now)
        self.effects += self.tracker.frame(frame, at_ns)

    def verdict(self, verdict: Verdict, key: tuple[int, int], now: float) -> None:
        self.effects += self.tracker.verdict(verdict, FrameKey(*key), ms(now))

    def tick(self, now: float) -> None:
        self.watched(now)
        self.effects += self.tracker.tick(ms(now))

    def stop(self, now: float) -> None:
        self.effects += self.tracker.stop(ms(now))

    @property
    def closed(self) -> list[Closed]:
        return [effect for effect in self.effects if isinstance(effect, Closed)]

    @property
    def outcomes(self) -> list[tuple[int, str]]:
        return [(closed.part.number, str(closed.verdict.reason)) for closed in self.closed]

    @property
    def unclaimed(self) -> list[UnclaimedWhy]:
        return [effect.why for effect in self.effects if isinstance(effect, Unclaimed)]

    @property
    def ignored(self) -> list[IgnoredWhy]:
        return [effect.why for effect in self.effects if isinstance(effect, Ignored)]

    @property
    def inspected(self) -> list[tuple[int, int]]:
        return [
            (effect.part.number, effect.frame.frame_id)
            for effect in self.effects
            if isinstance(effect, Inspect)
        ]


def test_a_part_with_its_frame_and_a_clean_verdict_passes() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0.5))
    line.verdict(clean(1), (1, 10), now=120)
    line.watched(130)
    assert line.outcomes == [(1, "clean")]
    (closed,) = line.closed
    assert closed.verdict.outcome is Outcome.PASS
    assert (closed.trigger_ns, closed.verdict_ns, closed.command_ns) == (0, ms(120), ms(130))
    assert closed.frame is not None
    assert closed.frame.frame_id == 10
    assert not closed.late


def test_a_defect_is_rejected_with_the_score_it_was_given() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0.5))
    bad = Verdict(PartId(LANE, SESSION, 1), Outcome.REJECT, Reason.DEFECT, score=3.0)
    line.verdict(bad, (1, 10), now=60)
    assert line.closed[0].verdict == bad


def test_a_frame_may_come_before_its_photo_eye_event_is_known() -> None:
    line = Line()
    line.frame(a_frame(10, exposed_ms=0.5))
    assert line.tracker.held_frames == 1
    line.eye(1, at=3, now=60)
    assert line.inspected == [(1, 10)]
    assert line.tracker.held_frames == 0


def test_a_pass_waits_until_it_is_known_that_nobody_follows_too_closely() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.verdict(clean(1), (1, 10), now=50)
    line.watched(69, now=300)
    assert line.outcomes == []
    line.watched(70, now=300)
    assert line.outcomes == [(1, "clean")]


def test_a_pass_falls_when_a_neighbour_turns_up_too_close() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.verdict(clean(1), (1, 10), now=50)
    line.eye(2, at=69, now=75)
    assert line.outcomes == [(1, "too_close"), (2, "too_close")]
    assert line.closed[0].verdict.score == 0.1


def test_parts_just_far_enough_apart_both_pass() -> None:
    line = Line()
    line.eye(1, at=0)
    line.eye(2, at=70)
    line.frame(a_frame(10, exposed_ms=0))
    line.frame(a_frame(11, exposed_ms=70))
    line.verdict(clean(1), (1, 10), now=150)
    line.verdict(clean(2), (1, 11), now=160)
    line.watched(170)
    assert line.outcomes == [(1, "clean"), (2, "clean")]


def test_without_a_frame_in_time_a_part_is_missing_its_frame() -> None:
    line = Line()
    line.eye(1, at=0)
    line.tick(399)
    assert line.outcomes == []
    line.tick(400)
    assert line.outcomes == [(1, "missing_frame")]


def test_a_frame_that_comes_after_its_part_was_given_up_belongs_to_nobody() -> None:
    line = Line()
    line.eye(1, at=0)
    line.tick(400)
    line.frame(a_frame(10, exposed_ms=0), now=410)
    assert line.unclaimed == [UnclaimedWhy.PART_CLOSED]
    assert line.inspected == []


def test_without_a_verdict_before_its_deadline_a_part_is_late() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.tick(1049)
    assert line.outcomes == []
    line.tick(1050)
    assert line.outcomes == [(1, "late")]
    assert line.closed[0].late


def test_a_late_verdict_does_not_open_the_gate() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.verdict(clean(1), (1, 10), now=1050)
    assert line.outcomes == [(1, "late")]
    assert line.ignored == [IgnoredWhy.LATE]


def test_a_pass_whose_command_would_go_out_late_is_a_reject() -> None:
    line = Line()
    line.eye(1, at=0)
    line.eye(2, at=200)
    for number, frame_id in ((1, 10), (2, 11)):
        line.frame(a_frame(frame_id, exposed_ms=200 * (number - 1)))
    line.verdict(clean(2), (1, 11), now=300)
    # Nobody ticked for long: part 1 is overdue, and so is by now part 2, which waited behind it.
    line.tick(1300)
    assert line.outcomes == [(1, "late"), (2, "late")]


def test_commands_go_out_in_order_of_part_number() -> None:
    line = Line()
    for number in (1, 2, 3):
        line.eye(number, at=100 * number)
        line.frame(a_frame(number, exposed_ms=100 * number))
    line.verdict(clean(3), (1, 3), now=400)
    line.verdict(clean(2), (1, 2), now=410)
    assert line.outcomes == []
    line.watched(420)
    line.verdict(clean(1), (1, 1), now=420)
    assert line.outcomes == [(1, "clean"), (2, "clean"), (3, "clean")]


@pytest.mark.parametrize(
    ("verdict", "key", "why"),
    [
        (clean(1), (1, 11), IgnoredWhy.OTHER_FRAME),
        (clean(1), (2, 10), IgnoredWhy.OTHER_FRAME),
        (clean(2), (1, 10), IgnoredWhy.UNKNOWN_PART),
        (clean(1, session=SESSION + 1), (1, 10), IgnoredWhy.UNKNOWN_PART),
        (clean(1, lane="lane-2"), (1, 10), IgnoredWhy.UNKNOWN_PART),
    ],
)
def test_a_verdict_about_another_part_or_frame_does_not_open_the_gate(
    verdict: Verdict, key: tuple[int, int], why: IgnoredWhy
) -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.verdict(verdict, key, now=100)
    line.tick(1050)
    assert line.ignored == [why]
    assert line.outcomes == [(1, "late")]


def test_a_verdict_for_a_part_that_was_never_sent_to_inspection_is_ignored() -> None:
    line = Line()
    line.eye(1, at=0)
    line.verdict(clean(1), (1, 10), now=30)
    line.tick(400)
    assert line.outcomes == [(1, "missing_frame")]


def test_a_second_verdict_changes_nothing() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.verdict(rejected(PartId(LANE, SESSION, 1), Reason.NO_CUP), (1, 10), now=50)
    line.verdict(clean(1), (1, 10), now=60)
    assert line.outcomes == [(1, "no_cup")]
    assert line.ignored == [IgnoredWhy.PART_CLOSED]


def test_an_incomplete_frame_is_not_inspected() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0, complete=False))
    assert line.inspected == []
    assert line.outcomes == [(1, "incomplete_frame")]


def test_a_lost_frame_costs_its_own_part_only() -> None:
    line = Line()
    for number in (1, 2, 3):
        line.eye(number, at=100 * number)
    line.frame(a_frame(10, exposed_ms=100))
    line.frame(a_frame(12, exposed_ms=300))
    line.verdict(clean(1), (1, 10), now=350)
    line.verdict(clean(3), (1, 12), now=380)
    line.tick(650)
    assert line.outcomes == [(1, "clean"), (2, "missing_frame"), (3, "clean")]


def test_ids_that_disagree_with_the_count_reject_the_part_and_begin_anew() -> None:
    line = Line()
    for number in (1, 2, 3):
        line.eye(number, at=100 * number)
    # The camera ignored a trigger between: by time it is part 2's, by count it is not.
    line.frame(a_frame(10, exposed_ms=100))
    line.frame(a_frame(12, exposed_ms=200))
    line.frame(a_frame(13, exposed_ms=300))
    assert line.inspected == [(1, 10), (3, 13)]
    line.verdict(clean(1), (1, 10), now=400)
    line.verdict(clean(3), (1, 13), now=410)
    line.watched(420)
    assert line.outcomes == [(1, "clean"), (2, "mismatched_frame"), (3, "clean")]


def test_frame_ids_begin_anew_when_the_camera_was_opened_again() -> None:
    line = Line()
    line.eye(1, at=100)
    line.eye(2, at=200)
    line.frame(a_frame(10, exposed_ms=100, epoch=1))
    line.frame(a_frame(1, exposed_ms=200, epoch=2))
    assert line.inspected == [(1, 10), (2, 1)]


def test_a_second_frame_for_the_same_part_rejects_it() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.frame(a_frame(11, exposed_ms=20))
    line.verdict(clean(1), (1, 10), now=100)
    assert line.outcomes == [(1, "mismatched_frame")]
    assert line.unclaimed == [UnclaimedWhy.SECOND_FRAME]


def test_two_frames_that_both_wait_for_the_same_part_reject_it() -> None:
    line = Line()
    line.frame(a_frame(10, exposed_ms=0), now=50)
    line.frame(a_frame(11, exposed_ms=20), now=60)
    line.eye(1, at=5, now=65)
    assert line.inspected == []
    assert line.outcomes == [(1, "mismatched_frame")]
    assert line.unclaimed == [UnclaimedWhy.AMBIGUOUS] * 2


def test_a_frame_far_from_every_photo_eye_event_belongs_to_nobody() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=36))
    line.watched(100)
    assert line.unclaimed == [UnclaimedWhy.NO_PART]
    assert line.inspected == []


def test_frames_without_a_part_are_held_no_longer_than_the_frame_timeout() -> None:
    line = Line()
    line.frame(a_frame(10, exposed_ms=0), now=45)
    line.effects += line.tracker.tick(ms(444))
    assert line.unclaimed == []
    assert line.tracker.next_deadline_ns == ms(445)
    line.effects += line.tracker.tick(ms(445))
    assert line.unclaimed == [UnclaimedWhy.NO_PART]


def test_no_more_frames_are_held_than_the_queue_allows() -> None:
    line = Line(queue_limit=2)
    for frame_id in range(5):
        line.frame(a_frame(frame_id, exposed_ms=100 * frame_id), now=450)
    assert line.tracker.held_frames == 2
    assert line.unclaimed == [UnclaimedWhy.TOO_MANY_HELD] * 3


def test_another_lanes_frame_is_not_taken() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0, lane="lane-2"))
    assert line.inspected == []
    assert line.unclaimed == [UnclaimedWhy.FOREIGN_LANE]


def test_a_frame_whose_time_is_not_known_is_nobodys() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(replace(a_frame(10, exposed_ms=0), timed=False))
    assert line.inspected == []
    assert line.unclaimed == [UnclaimedWhy.UNTIMED]
    line.tick(1_000)
    assert line.outcomes == [(1, "missing_frame")]


def test_more_parts_than_inspection_can_hold_are_overload() -> None:
    line = Line(queue_limit=2)
    for number in (1, 2, 3):
        line.eye(number, at=100 * number)
        line.frame(a_frame(number, exposed_ms=100 * number))
    assert line.inspected == [(1, 1), (2, 2)]
    line.verdict(clean(1), (1, 1), now=400)
    line.verdict(clean(2), (1, 2), now=410)
    assert line.outcomes == [(1, "clean"), (2, "clean"), (3, "overload")]


def test_the_same_part_told_again_has_no_effect() -> None:
    line = Line()
    line.eye(1, at=0)
    for now in (20, 30, 40):
        line.eye(1, at=1, now=now)
    line.tick(400)
    assert line.outcomes == [(1, "missing_frame")]


def test_parts_that_nobody_saw_are_unseen_and_so_are_both_their_neighbours() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    # How far from them parts 2 and 3 were is not known.
    line.eye(4, at=300)
    assert line.outcomes == [(1, "unseen"), (2, "unseen"), (3, "unseen"), (4, "unseen")]
    assert [closed.trigger_ns for closed in line.closed] == [0, None, None, ms(300)]


def test_a_part_learned_of_after_its_deadline_is_unseen() -> None:
    line = Line()
    line.eye(1, at=0, now=1050)
    assert line.outcomes == [(1, "unseen")]
    assert line.closed[0].late


def test_the_gap_while_the_line_was_down_is_filled_from_the_ledger() -> None:
    line = Line()
    line.tracker.resume_after(SESSION, 40, 0)
    for number in (42, 43, 44):
        line.eye(number, at=100 * number, now=4405)
    assert line.outcomes == [(41, "unseen"), (42, "unseen")]
    assert line.tracker.open_parts == 2


def test_after_a_restart_the_ledgers_last_part_still_says_how_far_its_successor_is() -> None:
    line = Line()
    line.tracker.resume_after(SESSION, 40, 0)
    line.eye(40, at=4000, now=4110)
    line.eye(41, at=4100, now=4110)
    assert line.outcomes == []
    line.tracker = Tracker(LANE, TIMING, 8)
    line.tracker.resume_after(SESSION, 40, 0)
    line.eye(40, at=4000, now=4110)
    line.eye(41, at=4069, now=4110)
    assert line.outcomes == [(41, "too_close")]


def test_a_count_that_has_rows_of_a_former_life_goes_on_after_them() -> None:
    line = Line()
    line.clear_until(-1000)
    line.eye(1, at=0)
    line.effects += line.tracker.resume_after(8, 40, ms(300))
    line.session = 8
    for number, at in ((3, 310), (40, 320), (41, 400)):
        line.eye(number, at=at, session=8)
    assert line.outcomes == [(1, "unseen")]
    assert line.tracker.open_parts == 1


@pytest.mark.parametrize("here_before", [True, False])
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (((1, 310), (2, 400), (3, 425)), "too_close"),
        (((1, 310), (3, 425)), "unseen"),
        (((1, 310), (2, 400), (3, 500)), "clean"),
    ],
)
def test_a_part_that_has_its_row_of_a_former_life_still_says_how_far_its_successor_is(
    here_before: bool, told: tuple[tuple[int, int], ...], reason: str
) -> None:
    """A count that begins anew under its session: nobody judges part 2, but it lies on the belt.

    Part 3 was thought to be alone, and where its own frame was lost it passed on that of part 2.
    """
    line = Line()
    if here_before:
        for number, at in ((1, 0), (2, 100)):
            line.eye(number, at=at)
        line.tick(250)
    else:
        line.tracker.resume_after(SESSION, 2, 0)
        line.session = SESSION
        line.watched(300)
    line.tracker.tick(ms(305))
    for number, at in told:
        line.eye(number, at=at)
    shown = told[-1][1] if reason == "clean" else 400
    line.frame(a_frame(12, exposed_ms=shown))
    line.verdict(clean(3), (1, 12), now=700)
    line.tick(800)
    line.tick(2000)
    assert line.outcomes[-1] == (3, reason)


def test_without_a_ledger_rows_begin_with_the_first_part_seen() -> None:
    line = Line()
    line.eye(500, at=0)
    assert line.outcomes == [(500, "unseen")]
    line.eye(501, at=100)
    assert line.tracker.open_parts == 1


def test_a_counter_that_starts_anew_closes_what_is_open() -> None:
    line = Line()
    line.eye(1, at=0)
    line.eye(2, at=100)
    line.eye(1, at=300, session=SESSION + 1)
    assert [(c.part.session, c.part.number, str(c.verdict.reason)) for c in line.closed] == [
        (SESSION, 1, "unseen"),
        (SESSION, 2, "unseen"),
        (SESSION + 1, 1, "unseen"),
    ]
    line.eye(2, at=400, session=SESSION + 1)
    assert line.tracker.open_parts == 1


@pytest.mark.parametrize(("seen_empty_ms", "passes"), [(120, True), (131, False), (None, False)])
def test_the_first_part_of_a_new_count_passes_only_if_the_belt_was_seen_empty_before_it(
    seen_empty_ms: float | None, passes: bool
) -> None:
    line = Line()
    line.eye(1, at=0)
    line.tracker.tick(ms(90))
    if seen_empty_ms is not None:
        # The PLC started anew; a part that it did not count may lie right before the first it did.
        line.session = SESSION + 1
        line.watched(seen_empty_ms)
        assert line.outcomes == [(1, "unseen")]
    line.eye(1, at=200, session=SESSION + 1)
    line.frame(a_frame(10, exposed_ms=200))
    line.verdict(clean(1, session=SESSION + 1), (1, 10), now=260)
    line.watched(300)
    assert (line.closed[-1].verdict.outcome is Outcome.PASS) == passes


def test_parts_of_a_session_that_is_over_do_not_come_back() -> None:
    line = Line()
    line.eye(1, at=0)
    line.eye(1, at=300, session=SESSION + 1)
    line.eye(2, at=400, session=SESSION)
    assert line.ignored == [IgnoredWhy.OLD_SESSION]
    assert line.outcomes == [(1, "unseen"), (1, "unseen")]


def test_a_huge_jump_of_the_counter_is_told_and_does_not_fill_the_memory() -> None:
    line = Line()
    line.eye(1, at=0)
    line.eye(4_000_000_000, at=100)
    assert len(line.closed) == ROWS_PER_JUMP + 2
    (unaccounted,) = (e for e in line.effects if isinstance(e, Unaccounted))
    assert unaccounted.first.number == 2
    assert unaccounted.last.number == 4_000_000_000 - ROWS_PER_JUMP - 1


def test_a_photo_eye_event_of_the_future_is_not_believed() -> None:
    line = Line()
    line.clear_until(-1000)
    line.eye(1, at=10_000, now=5)
    assert line.outcomes == [(1, "unseen")]
    line.eye(2, at=100)
    assert line.outcomes == [(1, "unseen"), (2, "unseen")]


def test_stopping_rejects_whatever_is_open_and_whatever_still_comes() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.verdict(clean(1), (1, 10), now=50)
    line.frame(a_frame(11, exposed_ms=100))
    line.stop(now=60)
    line.eye(2, at=100)
    line.frame(a_frame(12, exposed_ms=100))
    assert line.outcomes == [(1, "stopped"), (2, "stopped")]
    assert line.unclaimed == [UnclaimedWhy.STOPPED] * 2
    assert not line.tracker.healthy(ms(60))


def test_it_is_healthy_only_while_it_is_ticked() -> None:
    line = Line()
    assert not line.tracker.healthy(ms(0))
    line.tick(10)
    assert line.tracker.healthy(ms(110))
    assert not line.tracker.healthy(ms(111))


def test_it_says_when_it_must_be_ticked_next() -> None:
    line = Line()
    assert line.tracker.next_deadline_ns is None
    line.eye(1, at=0)
    assert line.tracker.next_deadline_ns == ms(400)
    line.frame(a_frame(10, exposed_ms=0))
    assert line.tracker.next_deadline_ns == ms(1050)


def crossed(at: float, frames: Sequence[FrameInfo], x_px: float = 1500) -> Crossed:
    frame = frames[0] if frames else None
    x, y = (x_px, 900) if frame else (None, None)
    return Crossed(ms(at), frame, x, y, ms(at), ms(at))


def test_in_free_run_a_crossing_brings_its_frame_along() -> None:
    line = Line()
    line.clear_until(-1000)
    first, second = crossed(0, [a_frame(10, exposed_ms=20)]), crossed(200, [])
    line.effects += line.tracker.crossing(SESSION, 1, first, ms(100))
    line.effects += line.tracker.crossing(SESSION, 2, second, ms(300))
    assert line.inspected == [(1, 10)]
    assert [e.cup_x_px for e in line.effects if isinstance(e, Inspect)] == [1500]
    line.verdict(clean(1), (1, 10), now=350)
    assert line.outcomes == [(1, "clean"), (2, "no_cup")]


@pytest.mark.parametrize(
    ("times", "complaint"),
    [
        ((70, 0, 150, 400, 0), "positive"),
        ((70, 1200, 150, 400, -1), "positive"),
        ((70, 200, 150, 400, 0), "min_interval"),
        ((70, 1200, 150, 400, 15), "five times eye_error"),
    ],
)
def test_times_with_which_no_part_could_pass_are_refused(
    times: tuple[float, float, float, float, float], complaint: str
) -> None:
    interval, travel, before, timeout, error = times
    with pytest.raises(ValueError, match=complaint):
        Timing.from_ms(
            min_interval_ms=interval,
            travel_ms=travel,
            decide_before_ms=before,
            frame_timeout_ms=timeout,
            eye_error_ms=error,
        )


@pytest.mark.parametrize(("eye_error_ms", "claimed"), [(0, True), (10, False)])
def test_a_frame_that_may_show_the_neighbour_is_nobodys(eye_error_ms: int, claimed: bool) -> None:
    # Told at 0 and 70, the parts were there up to the error earlier: 30 lies nearer to the second then.
    line = Line()
    timing = replace(TIMING, eye_error_ns=ms(eye_error_ms))
    line.tracker = Tracker(LANE, timing, 8)
    line.eye(1, at=0)
    line.eye(2, at=70)
    line.frame(a_frame(10, exposed_ms=30))
    assert line.inspected == ([(1, 10)] if claimed else [])


SHARE = st.floats(0, 1)


@given(
    interval_ms=st.integers(20, 120),
    error=SHARE,
    link=SHARE,
    lates=st.tuples(SHARE, SHARE),
    later=SHARE,
    off=st.floats(-1, 1),
    frame_first=st.booleans(),
)
@example(interval_ms=70, error=0, link=1, lates=(0, 1), later=0, off=-1, frame_first=False)
def test_a_frame_is_never_taken_for_the_part_before_its_own_that_has_none(
    interval_ms: int,
    error: float,
    link: float,
    lates: tuple[float, float],
    later: float,
    off: float,
    frame_first: bool,
) -> None:
    """However late parts are told and however early their frame is dated, within what is allowed."""
    interval_ns, error_ns = ms(interval_ms), ms(error * interval_ms / 5)
    timing = replace(TIMING, min_interval_ns=interval_ns, eye_error_ns=error_ns)
    link_ns = round(link * timing.clock_error_ns)
    first_late_ns, second_late_ns = (link_ns + round(late * error_ns) for late in lates)
    first_told_ns = first_late_ns
    second_told_ns = first_told_ns + interval_ns + round(later * interval_ns)
    exposed_ns = second_told_ns - second_late_ns + round(off * CERTAIN_NS)
    line = Line()
    line.tracker = Tracker(LANE, timing, 8)
    line.clear_until(-1000)
    frame = replace(a_frame(20, 0), exposed_ns=exposed_ns)
    if frame_first:
        line.frame(frame, now=300)
    line.effects += line.tracker.photo_eye(SESSION, 1, first_told_ns, ms(300))
    line.effects += line.tracker.photo_eye(SESSION, 2, second_told_ns, ms(300))
    if not frame_first:
        line.frame(frame, now=300)
    assert line.inspected in ([], [(2, 20)])


def test_the_first_reason_to_reject_stands() -> None:
    line = Line()
    line.eye(1, at=0)
    line.eye(2, at=100)
    line.frame(a_frame(11, exposed_ms=100, complete=False))
    line.stop(now=160)
    assert line.outcomes == [(1, "stopped"), (2, "incomplete_frame")]
    assert line.closed[1].verdict_ns == ms(145)


def test_frame_ids_are_not_compared_across_two_lives_of_the_counter() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    line.session = SESSION + 1
    line.watched(200)
    line.eye(1, at=300, session=SESSION + 1)
    line.frame(a_frame(14, exposed_ms=300))
    assert line.inspected == [(1, 10), (1, 14)]


def test_a_verdict_for_a_part_rejected_meanwhile_changes_nothing() -> None:
    line = Line()
    line.eye(1, at=0)
    line.eye(2, at=200)
    line.eye(3, at=260)
    line.frame(a_frame(11, exposed_ms=200))
    line.verdict(clean(2), (1, 11), now=300)
    assert line.ignored == [IgnoredWhy.OTHER_FRAME]
    line.tick(400)
    assert line.outcomes == [(1, "missing_frame"), (2, "too_close"), (3, "too_close")]


def test_an_answer_given_at_once_does_not_overtake_an_overdue_command() -> None:
    line = Line()
    line.eye(1, at=0)
    line.frame(a_frame(10, exposed_ms=0))
    # Nothing was read from the link since: part 1 waits behind that, and is overdue in the end.
    line.verdict(clean(1), (1, 10), now=60)
    line.frame(a_frame(11, exposed_ms=1000), now=1045)
    effects = line.tracker.photo_eye(SESSION, 2, ms(1000), ms(1060))
    assert [type(effect) for effect in effects] == [Closed, Inspect]
