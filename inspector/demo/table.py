"""The demo's live table and its closing one."""

from rich.table import Table

from inspector.core.verdict import Reason
from inspector.demo.summary import Summary
from inspector.records.status import LineStatus


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


def progress_table(status: LineStatus | None, wanted: int | None) -> Table:
    """What the line says of itself right now."""
    table = Table(title="inspector demo", min_width=60)
    for column in ("lane", "parts", "passed", "rejected", "parts/s", "p50", "p99", "state"):
        table.add_column(column, justify="left" if column in ("lane", "state") else "right")
    if status is None:
        table.caption = "waiting for the line"
        return table
    for lane in status.lanes:
        counts = {reason: n for reason, n in lane.parts.items() if reason is not Reason.CLEAN}
        total = sum(lane.parts.values())
        table.add_row(
            lane.name,
            f"{total}/{wanted}" if wanted else str(total),
            str(lane.parts.get(Reason.CLEAN, 0)),
            ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items())) or "0",
            f"{lane.parts_per_s:.1f}",
            _ms(lane.latency_p50_ms),
            _ms(lane.latency_p99_ms),
            f"camera {lane.camera.state}, PLC {'up' if lane.plc.up else 'down'}",
        )
    return table


def summary_table(summary: Summary) -> Table:
    """What came of the run, beside what the twin knows."""
    table = Table("", "parts", title="the gate beside the truth", show_header=False)
    table.add_row("parts", str(summary.parts))
    table.add_row("passed", str(summary.passed))
    rejected = ", ".join(f"{reason} {count}" for reason, count in summary.rejected.items())
    table.add_row("rejected", rejected or "0")
    table.add_row(
        "defective", f"{summary.defective}, of these rejected {summary.defective_rejected}"
    )
    kinds = ", ".join(f"{kind} {hit}/{all_}" for kind, (hit, all_) in summary.detected.items())
    table.add_row("by kind", kinds or "–")
    table.add_row("clean, rejected", str(summary.clean_rejected))
    table.add_row("late", str(summary.late))
    table.add_row("OK not honoured", str(summary.ok_not_honoured))
    table.add_row("trigger → command", f"p50 {_ms(summary.p50_ms)}, p99 {_ms(summary.p99_ms)}")
    table.add_row("parts per second", f"{summary.fps:.2f}")
    mark = "[green]✓[/]" if summary.invariants_held else "[red]✗[/]"
    table.add_row("mis-diverted", f"{summary.mis_diverted} (must be 0)")
    table.add_row("missing rows", f"{summary.missing_rows} (must be 0)")
    table.add_row("rows of no part", f"{summary.foreign_rows} (must be 0)")
    table.add_row("invariants held", mark)
    return table
