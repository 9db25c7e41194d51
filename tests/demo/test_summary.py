"""The summary must see every way in which a line can go wrong; each test breaks one thing."""

from dataclasses import replace

from inspector.demo.summary import GateAction, Row, Summary, summarise
from inspector.twin.rig import LoggedFrame

MS = 1_000_000


def exposed_at(number: int) -> int:
    return number * 500 * MS


def row(number: int, reason: str = "clean", shows: int | None = None) -> Row:
    frame = number if shows is None else shows
    return Row(
        number=number,
        told_as=number,
        outcome="pass" if reason == "clean" else "reject",
        reason=reason,
        frame_id=frame,
        exposed_ns=exposed_at(frame) + 2 * MS,
        command_latency_ns=200 * MS,
    )


def run(rows: list[Row], passed: set[int], truth: dict[int, list[str]] | None = None) -> Summary:
    truth = truth or {1: [], 2: ["mould"], 3: []}
    return summarise(
        truth=truth,
        rows=rows,
        actions={n: GateAction(n, n in passed, "", n) for n in truth},
        frames=[LoggedFrame(n, 1, n, n, exposed_at(n), n, 0) for n in truth],
        duration_s=1.0,
    )


GOOD = [row(1), row(2, "defect"), row(3)]


def test_a_good_run_is_told_as_it_was() -> None:
    summary = run(GOOD, passed={1, 3})
    assert summary.invariants_held
    assert (summary.parts, summary.passed, summary.rejected) == (3, 2, {"defect": 1})
    assert (summary.defective, summary.defective_rejected, summary.clean_rejected) == (1, 1, 0)
    assert summary.detected == {"mould": [1, 1]}
    assert (summary.p50_ms, summary.fps) == (200.0, 3.0)


def test_a_missed_defect_is_a_miss_but_no_mis_diversion() -> None:
    summary = run([row(1), row(2), row(3)], passed={1, 2, 3})
    assert summary.invariants_held
    assert summary.defective_rejected == 0


def test_a_part_that_passed_without_an_ok_of_its_own_is_seen() -> None:
    summary = run(GOOD, passed={1, 2, 3})
    assert summary.mis_diverted == 1
    assert not summary.invariants_held


def test_a_verdict_made_on_the_neighbours_picture_is_seen_though_the_numbers_agree() -> None:
    summary = run([row(1), row(2, "defect"), row(3, shows=1)], passed={1, 3})
    assert summary.mis_diverted == 1
    assert "part 3" in summary.broken[0]


def test_a_reject_on_the_neighbours_picture_is_a_mis_diversion_too() -> None:
    assert run([row(1), row(2, "defect", shows=3), row(3)], passed={1, 3}).mis_diverted == 1


def test_a_pass_without_any_frame_is_seen() -> None:
    ghost = replace(row(3), frame_id=None, exposed_ns=None)
    assert run([row(1), row(2, "defect"), ghost], passed={1, 3}).mis_diverted == 1


def test_a_part_that_passed_on_another_parts_ok_is_seen_though_it_had_one_itself() -> None:
    summary = run([row(1), row(2), replace(row(3), told_as=4)], passed={1, 2, 3})
    assert summary.broken == ["part 3: passed without an OK of its own"]


def test_a_part_with_a_row_too_many_that_passed_on_its_own_ok_is_no_mis_diversion() -> None:
    nothing = replace(row(1, "no_cup"), told_as=7, frame_id=None, exposed_ns=None)
    summary = run([nothing, *GOOD], passed={1, 3})
    assert summary.broken == ["part 1 has 2 ledger rows"]
    assert (summary.mis_diverted, summary.missing_rows) == (0, 1)
    assert not summary.invariants_held


def test_a_part_without_its_row_and_one_with_two_rows_are_seen() -> None:
    assert run(GOOD[:2], passed={1}).missing_rows == 1
    assert run([*GOOD, row(3)], passed={1, 3}).missing_rows == 1


def test_a_row_for_a_part_that_never_was_is_seen() -> None:
    summary = run([*GOOD, row(9, "missing_frame")], passed={1, 3})
    assert summary.foreign_rows == 1
    assert not summary.invariants_held


def test_an_ok_that_came_too_late_for_the_gate_is_a_reject_of_its_own_kind() -> None:
    summary = run(GOOD, passed={1})
    assert summary.ok_not_honoured == 1
    assert summary.rejected == {"defect": 1, "ok_not_honoured": 1}
    assert summary.clean_rejected == 1


def test_a_run_in_which_nothing_came_past_proves_nothing() -> None:
    summary = summarise(truth={}, rows=[], actions={}, frames=[], duration_s=0.0)
    assert not summary.invariants_held
