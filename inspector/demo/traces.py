"""Reads the four records that a run leaves behind."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from inspector.demo.summary import GateAction, Row
from inspector.records.ledger import ledger_file


@dataclass(frozen=True, slots=True)
class Cup:
    """One published cup, from the conveyor's file.

    Attributes:
        number: its place on the belt, from 1.
        eye_ns: when it broke the photo-eye's beam, host monotonic clock.
        kinds: kinds of defect it carries.
    """

    number: int
    eye_ns: int
    kinds: tuple[str, ...]


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a process that was killed may leave a torn last one."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def read_truth(path: Path) -> list[Cup]:
    """All cups the conveyor published, in belt order; a later line of a cup has its newer time."""
    cups: dict[int, Cup] = {}
    for row in _lines(path):
        known = cups.get(row["number"])
        kinds = tuple(defect["kind"] for defect in row.get("defects", ()))
        cups[row["number"]] = Cup(row["number"], row["eye_ns"], known.kinds if known else kinds)
    return list(cups.values())


def read_actions(path: Path) -> dict[int, GateAction]:
    """What the diverter did with each part, from the PLC's log."""
    return {
        row["number"]: GateAction(
            row["number"], row["action"] == "passed", row["reason"], row["result_number"]
        )
        for row in _lines(path)
    }


def read_rows(
    records: Path, wall_minus_monotonic_ns: int, cups: Sequence[Cup] | None, tolerance_ns: int
) -> list[Row]:
    """All ledger rows, in the order they were written.

    Args:
        records: the records directory.
        wall_minus_monotonic_ns: turns the ledger's wall-clock times into monotonic ones.
        cups: where no photo-eye counts, the line numbers the parts itself: then each row is given the
            number of the cup that came past at its trigger time; None where the PLC counts.
        tolerance_ns: how near that must be.
    """
    with sqlite3.connect(ledger_file(records)) as ledger:
        stored = ledger.execute(
            "SELECT number, number, outcome, reason, frame_id, exposed_ns, latency_ns, triggered FROM parts "
            "ORDER BY id"
        ).fetchall()
    rows = []
    for *fields, triggered in stored:
        row = Row(*fields)
        if cups is not None and triggered is not None:
            trigger_ns = _unix_ns(triggered) - wall_minus_monotonic_ns
            row = replace(row, number=_nearest(cups, trigger_ns, tolerance_ns))
        rows.append(row)
    return rows


def _nearest(cups: Sequence[Cup], at_ns: int, tolerance_ns: int) -> int:
    """Number of the cup that came past at ``at_ns``; 0, which no cup has, where none did."""
    cup = min(cups, key=lambda cup: abs(cup.eye_ns - at_ns), default=None)
    return cup.number if cup is not None and abs(cup.eye_ns - at_ns) < tolerance_ns else 0


def _unix_ns(text: str) -> int:
    """``2025-06-01T12:00:00.123456Z`` → ns since 1970."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
