from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict, rejected
from inspector.inspection.bookkeeping import ledger_row
from inspector.inspection.events import Examined
from inspector.inspection.judge import Examination
from inspector.tracking import Closed, FrameKey

MS = 1_000_000
PART = PartId("lane-1", 1, 5)
FRAME = FrameInfo("lane-1", 3, 9, 0, 2, 8, 8, "Mono8", 101 * MS, 147 * MS, complete=True)


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
