import time
from dataclasses import replace
from typing import Any

import pytest

from inspector.camera.channel import CameraHealth, CameraState
from inspector.core.frame import FrameInfo
from inspector.core.gate_codes import GateAction, GateReason
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict, rejected
from inspector.gate import GateResult, Incoming
from inspector.hmi.words import line_headline
from inspector.inspection.bookkeeping import Bookkeeping, ledger_row, line_state
from inspector.inspection.events import Examined
from inspector.inspection.judge import Examination
from inspector.records.status import LineStatus
from inspector.tracking import Closed, FrameKey

MS = 1_000_000
PART = PartId("lane-1", 1, 5)
FRAME = FrameInfo("lane-1", 3, 9, 0, 2, 8, 8, "Mono8", 101 * MS, 147 * MS, complete=True)


class Journal:
    """Takes events, and writes them nowhere."""

    waiting = 0

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def append(self, entry: Any) -> None:
        self.kinds.append(entry.kind)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def books(journal: Journal) -> Bookkeeping:
    paper: Any = journal
    pictures: Any = None
    return Bookkeeping("lane-1", "type-01", "", paper, pictures)


def reading(
    *passed: int,
    stands: bool = False,
    unconfirmed: bool = False,
    runs: bool = True,
    sees_heartbeat: bool = True,
) -> Incoming:
    results = tuple(GateResult(n, GateAction.PASSED, GateReason.OK) for n in passed)
    return Incoming(7, 9, (), 0, 0, runs, sees_heartbeat, stands, unconfirmed, results, 0, 0, MS)


def alarms(books: Bookkeeping) -> list[str]:
    return [alarm.text for alarm in books.status(0).alarms]


def test_a_part_that_passed_on_its_command_is_no_news(books: Bookkeeping, journal: Journal) -> None:
    books.gate(reading(4, 5), {4: Outcome.PASS, 5: Outcome.PASS}, 0)
    assert (alarms(books), journal.kinds) == ([], [])


@pytest.mark.parametrize("commanded", [{4: Outcome.PASS, 5: Outcome.REJECT}, {4: Outcome.PASS}])
def test_a_part_that_passed_without_its_command_is_the_loudest_alarm(
    books: Bookkeeping, journal: Journal, commanded: dict[int, Outcome]
) -> None:
    books.gate(reading(5), commanded, 0)
    assert journal.kinds == ["passed_wrongly"]
    assert alarms(books) == ["The gate let parts pass that it was not told to: 1"]


def test_what_a_former_life_of_the_line_commanded_is_not_held_against_the_gate(
    books: Bookkeeping, journal: Journal
) -> None:
    books.gate(reading(3), {}, 0)
    books.gate(reading(4), {5: Outcome.PASS}, 0)
    assert journal.kinds == []


def test_a_reject_that_was_not_confirmed_and_a_standing_belt_are_alarms_while_they_last(
    books: Bookkeeping, journal: Journal
) -> None:
    books.gate(reading(stands=True, unconfirmed=True), {}, 0)
    books.gate(reading(stands=True, unconfirmed=True), {}, 0)
    assert len(alarms(books)) == 2
    books.gate(reading(), {}, 0)
    assert alarms(books) == []
    assert journal.kinds == [
        *("belt_stands", "reject_unconfirmed"),
        *("belt_stands_over", "reject_unconfirmed_over"),
    ]


def test_while_a_reject_is_not_confirmed_nothing_can_pass(books: Bookkeeping) -> None:
    books.plc(up=True, reason="")
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    assert not books.rejecting
    books.gate(reading(unconfirmed=True), {}, 0)
    assert books.rejecting
    assert books.status(0).rejecting


def diverted(number: int, why: GateReason) -> Incoming:
    row = GateResult(number, GateAction.DIVERTED_BY_DEFAULT, why)
    return replace(reading(), gate_results=(row,))


def test_a_gate_that_rejects_every_cup_that_the_line_lets_pass_is_told_with_its_reason(
    books: Bookkeeping,
) -> None:
    """With another travel in the PLC than in the line all results come too late, and nobody was told."""
    books.plc(up=True, reason="")
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    for number in range(1, 21):
        assert not books.rejecting, "a few may have been unlucky"
        books.gate(diverted(number, GateReason.LATE_RESULT), {number: Outcome.PASS}, 0)
    assert books.rejecting
    assert "The gate rejects every cup that the line lets pass (late_result)" in page(books)
    books.gate(reading(21), {21: Outcome.PASS}, 0)
    assert not books.rejecting


@pytest.mark.parametrize(
    ("commanded", "why"),
    [
        (Outcome.REJECT, GateReason.NOK),
        (None, GateReason.NO_RESULT),
        (Outcome.PASS, GateReason.BELT_STOPPED),
        (Outcome.PASS, GateReason.LINE_NOT_RUNNING),
    ],
)
def test_a_gate_that_rejects_what_it_should_or_has_said_why_is_no_news(
    books: Bookkeeping, commanded: Outcome | None, why: GateReason
) -> None:
    told = {} if commanded is None else dict.fromkeys(range(1, 41), commanded)
    for number in range(1, 41):
        books.gate(diverted(number, why), told, 0)
    assert alarms(books) == []


def test_while_no_frame_can_be_searched_for_cups_nothing_can_pass_and_the_page_says_why(
    books: Bookkeeping,
) -> None:
    """In free run no part is counted then: nothing was rejected, as far as the page knew."""
    books.plc(up=True, reason="")
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    for at_ms in range(0, 1_000, 50):
        books.searched("frames come incomplete; check the cable", at_ms * MS)
        assert not books.rejecting, "one frame is no trouble"
    books.searched("frames come incomplete; check the cable", 1_000 * MS)
    assert books.rejecting
    assert "Cups are not seen: frames come incomplete; check the cable" in page(books)
    books.searched("", 1_050 * MS)
    assert not books.rejecting
    assert page(books) == "Running; "


def test_a_camera_whose_frames_cannot_be_dated_rejects_everything_and_says_why(
    books: Bookkeeping, journal: Journal
) -> None:
    books.plc(up=True, reason="")
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=False))
    assert books.rejecting
    assert "none is any part's; take a camera whose clock can be latched" in page(books)
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    assert not books.rejecting
    assert page(books) == "Running; "
    assert journal.kinds == [
        *("plc_link_up", "camera_ready"),
        *("camera_untimed", "camera_untimed_over"),
    ]


def page(*lanes: Bookkeeping) -> str:
    """What the page says of these lanes."""
    status = tuple(lane.status(0) for lane in lanes)
    line = LineStatus(line="Hall 3", state=line_state(status), started=0, updated=0, lanes=status)
    headline = line_headline(line, 0.1)
    return f"{headline.title}; {headline.detail}"


def test_until_camera_and_plc_were_first_heard_of_the_line_starts(books: Bookkeeping) -> None:
    assert page(books).startswith("Starting; ")
    books.plc(up=True, reason="")
    assert page(books).startswith("Starting; ")
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    assert page(books) == "Running; "


def test_a_plc_that_is_down_before_the_first_cup_is_told_with_its_remedy(
    books: Bookkeeping,
) -> None:
    books.plc(up=False, reason="the PLC of lane-1 cannot be reached; switch it on")
    assert page(books) == "Rejecting everything: the PLC of lane-1 cannot be reached; switch it on"
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    assert page(books) == "Rejecting everything: the PLC of lane-1 cannot be reached; switch it on"


@pytest.mark.parametrize("first", [CameraState.READY, CameraState.SEARCHING])
def test_a_camera_that_is_gone_before_the_first_cup_is_told_with_its_remedy(
    books: Bookkeeping, first: CameraState
) -> None:
    books.plc(up=True, reason="")
    if first is CameraState.READY:
        books.camera(CameraHealth("lane-1", first, "", 0, timed=True))
    books.camera(CameraHealth("lane-1", CameraState.SEARCHING, "no camera answers; check it", 0))
    assert page(books) == "Rejecting everything: no camera answers; check it"


def test_a_camera_whose_process_never_says_a_word_is_not_starting_for_ever(
    books: Bookkeeping,
) -> None:
    """A producer may crash or hang while it is loaded, again and again."""
    books.plc(up=True, reason="")
    began_ns = time.monotonic_ns()
    assert books.status(began_ns + 20_000 * MS).starting
    status = books.status(began_ns + 31_000 * MS)
    assert not status.starting
    assert status.cause is not None
    assert status.cause.text == "the camera's process has not said a word"
    assert "see the log" in status.cause.remedy
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    assert page(books) == "Running; "


def test_a_lane_that_starts_does_not_hide_why_another_rejects(
    books: Bookkeeping, journal: Journal
) -> None:
    paper: Any = journal
    pictures: Any = None
    second = Bookkeeping("lane-2", "type-01", "", paper, pictures)
    second.plc(up=False, reason="the PLC of lane-2 cannot be reached; switch it on")
    assert page(books, second).startswith("Rejecting everything: the PLC of lane-2 cannot")
    second.plc(up=True, reason="")
    second.camera(CameraHealth("lane-2", CameraState.READY, "", 0, timed=True))
    assert page(books, second).startswith("Running, but: lane-1 is starting; ")


@pytest.mark.parametrize(
    ("silent", "told"),
    [
        ({"runs": False}, "The PLC answers, but its program does not run: the gate rejects"),
        ({"sees_heartbeat": False}, "The gate does not see the line's heartbeat: it rejects"),
    ],
)
def test_a_gate_that_rejects_every_cup_of_a_line_that_is_well_is_told_with_its_remedy(
    books: Bookkeeping, journal: Journal, silent: dict[str, Any], told: str
) -> None:
    books.plc(up=True, reason="")
    books.camera(CameraHealth("lane-1", CameraState.READY, "", 0, timed=True))
    for ms in range(0, 1000, 100):
        books.gate(reading(**silent), {}, ms * MS)
    assert page(books) == "Running; "
    books.gate(reading(**silent), {}, 1000 * MS)
    assert books.rejecting
    assert page(books).startswith(f"Rejecting everything: {told} every cup; ")
    books.gate(reading(), {}, 1100 * MS)
    assert page(books) == "Running; "
    (condition,) = {"plc_stopped", "heartbeat_unseen"} & set(journal.kinds)
    assert journal.kinds[-2:] == [condition, f"{condition}_over"]


def test_a_rows_stages_tell_the_parts_whole_way() -> None:
    verdict = Verdict(PART, Outcome.PASS, Reason.CLEAN, 0.2, recipe="r")
    closed = Closed(verdict, 100 * MS, 1000 * MS, FRAME, 260 * MS, 265 * MS)
    seen = Examined(
        PART, FrameKey(3, 9), Examination(verdict, None, None, {"detector": 80 * MS}), 4 * MS
    )
    row = ledger_row(closed, seen, wall_minus_monotonic_ns=10_000 * MS)
    assert row.stages_ns == {
        "exposure": 1 * MS,
        "transfer": 46 * MS,
        "queue": 4 * MS,
        "detector": 80 * MS,
        "command": 5 * MS,
    }
    assert row.latency_ns == 165 * MS
    assert row.triggered_unix_ns == 10_100 * MS
    assert row.commanded_unix_ns == 10_265 * MS
    assert (row.frame_epoch, row.frame_id, row.exposed_ns) == (3, 9, 101 * MS)


def test_a_part_nobody_saw_has_a_row_without_trigger_frame_or_latency() -> None:
    closed = Closed(rejected(PART, Reason.UNSEEN), None, None, None, 260 * MS, 265 * MS)
    row = ledger_row(closed, None, wall_minus_monotonic_ns=0)
    assert row.triggered_unix_ns is None
    assert row.frame_id is None
    assert row.latency_ns is None
