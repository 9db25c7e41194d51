"""What the page shows, gathered from the line's status and the ledger."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.core.part import PartId
from inspector.core.verdict import Reason
from inspector.hmi.words import (
    REASONS,
    Headline,
    Level,
    lane_headline,
    line_headline,
)
from inspector.records.archive import picture_file
from inspector.records.ledger import ledger_file
from inspector.records.reading import LedgerReader, RecordedPart, open_ledger
from inspector.records.status import LaneStatus, LineStatus, read_status

SHOWN_REJECTS = 12
_RECORDS_BEHIND_PARTS = 20
_FRESH_S = 0.2


class View:
    """The page's content, at most some tenths of a second old, for any number of tablets.

    Args:
        line: the line's name, shown until the line itself says its name.
        lanes: names of its lanes, likewise.
        directory: the records directory.
        status_file: what the line writes twice a second.
    """

    def __init__(
        self, line: str, lanes: tuple[str, ...], directory: Path, status_file: Path
    ) -> None:
        self._line = line
        self._lanes = lanes
        self._directory = directory
        self._status_file = status_file
        self._tally = _Tally()
        self._news = _News()
        self._lock = threading.Lock()
        self._content: dict[str, Any] = {}
        self._gathered = -1.0

    def content(self) -> dict[str, Any]:
        """Everything the page shows, as JSON values."""
        with self._lock:
            if time.monotonic() - self._gathered > _FRESH_S:
                self._content = self._gather()
                self._gathered = time.monotonic()
            return self._content

    def picture(self, part: PartId, kind: str) -> Path | None:
        """The file of a part's picture (``cup`` or ``heat``), None where none is kept."""
        try:
            with open_ledger(self._directory) as ledger:
                stem = ledger.picture(part)
        except (sqlite3.Error, OverflowError):
            return None
        return None if stem is None else picture_file(self._directory, stem, kind)

    def _gather(self) -> dict[str, Any]:
        status = read_status(self._status_file)
        silent_s = self._news.silent_s(status)
        headline = line_headline(status, silent_s)
        by_name = {lane.name: lane for lane in status.lanes} if status is not None else {}
        names = tuple(by_name) or self._lanes
        behind, counts, rejects = self._recorded(status, names)
        if behind > _RECORDS_BEHIND_PARTS and headline.level is Level.RUNNING:
            headline = _records_headline(behind)
        return {
            "line": status.line if status is not None else self._line,
            "headline": _headline(headline),
            "silent_s": None if status is None else silent_s,
            "started": None if status is None else status.started,
            "lanes": [
                _lane(
                    name, by_name.get(name), headline, counts.get(name, {}), rejects.get(name, [])
                )
                for name in names
            ],
        }

    def _recorded(
        self, status: LineStatus | None, lanes: tuple[str, ...]
    ) -> tuple[int, Mapping[str, Mapping[Reason, int]], dict[str, list[RecordedPart]]]:
        """Parts without their row yet, counts since the line's start and the last rejects.

        Counts and rejects are empty where there is no ledger yet, or none that can be read.
        """
        started = status.started if status is not None else None
        decided = sum(sum(lane.parts.values()) for lane in status.lanes) if status else 0
        try:
            with open_ledger(self._directory) as ledger:
                inode = ledger_file(self._directory).stat().st_ino
                behind, counts = self._tally.counts(ledger, inode, started, decided)
                rejects = {name: ledger.last_rejects(name, SHOWN_REJECTS) for name in lanes}
                return behind, counts, rejects
        except (sqlite3.Error, OSError, ValueError):  # the last: a row that says what no line says
            return decided, {}, {}


class _Tally:
    """Counts kept up by what is new, so that a long day does not make the page slow."""

    def __init__(self) -> None:
        self._of: tuple[int, float | None] | None = None
        self._before = self._newest = 0
        self._elsewhere = 0
        self._counts: dict[str, Counter[Reason]] = {}

    def counts(
        self, ledger: LedgerReader, inode: int, started: float | None, decided: int
    ) -> tuple[int, Mapping[str, Mapping[Reason, int]]]:
        """How many of the parts decided have no row yet, and what the rows since the line's start say.

        Where the oldest had to make room before this process began, those are fewer. Without a start they
        are all rows. Into a ledger that was begun after the line's start rows of before never come: there the
        fewest that were ever missing are not told as missing.
        """
        if (inode, started) != self._of:
            before = 0 if started is None else ledger.newest_before(started)
            if before is None:
                return decided, {}
            self._of, self._counts = (inode, started), {}
            self._before = self._newest = before
            self._elsewhere = 0 if ledger.knows_a_start() else decided
        self._newest, new = ledger.counts(self._newest)
        for lane, by_reason in new.items():
            self._counts.setdefault(lane, Counter()).update(by_reason)
        missing = max(0, decided - (self._newest - self._before))
        self._elsewhere = min(self._elsewhere, missing)
        return missing - self._elsewhere, self._counts


class _News:
    """How long the line has said nothing new, by this process's own clock after the first reading.

    A wall clock that is set back must not make a dead line look alive.
    """

    def __init__(self) -> None:
        self._updated: float | None = None
        self._changed = 0.0

    def silent_s(self, status: LineStatus | None) -> float:
        if status is None:
            return 0.0
        now = time.monotonic()
        if self._updated is None:
            self._changed = now - max(0.0, time.time() - status.updated)
        elif status.updated != self._updated:
            self._changed = now
        self._updated = status.updated
        return now - self._changed


def _records_headline(behind: int) -> Headline:
    """The page counts what is recorded; where that falls behind what the gate was told, it says so."""
    return Headline(
        Level.ATTENTION,
        f"Running, but {behind} parts are not recorded yet",
        "The counters below are behind. Is the disk full, the ledger locked, or damaged (then move it away)?",
    )


def _headline(headline: Headline) -> dict[str, str]:
    detail = headline.detail[:1].upper() + headline.detail[1:]
    return {"level": headline.level, "title": headline.title, "detail": detail}


def _lane(
    name: str,
    status: LaneStatus | None,
    line: Headline,
    counts: Mapping[Reason, int],
    rejects: list[RecordedPart],
) -> dict[str, Any]:
    passed = counts.get(Reason.CLEAN, 0)
    rejected = {reason: n for reason, n in counts.items() if reason is not Reason.CLEAN and n}
    total = passed + sum(rejected.values())
    # Where the line itself is silent, stopped or starting, no lane can be better than that.
    own = line.level in (Level.RUNNING, Level.ATTENTION, Level.REJECTING) and status is not None
    return {
        "name": name,
        "recipe": status.recipe if status is not None else "",
        "headline": _headline(lane_headline(status) if own and status is not None else line),
        "passed": passed,
        "rejected": sum(rejected.values()),
        "reject_percent": 100 * sum(rejected.values()) / total if total else None,
        "reasons": [
            {"reason": reason, "words": REASONS[reason], "count": n}
            for reason, n in sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
        ],
        "parts_per_s": status.parts_per_s if own and status is not None else None,
        "latency_p50_ms": status.latency_p50_ms if own and status is not None else None,
        "latency_p99_ms": status.latency_p99_ms if own and status is not None else None,
        "rejects": [_reject(part) for part in rejects],
    }


def _reject(part: RecordedPart) -> dict[str, Any]:
    return {
        "session": part.part.session,
        "number": part.part.number,
        "time": part.triggered or part.commanded,
        "reason": part.reason,
        "words": REASONS[part.reason],
        "score": part.score,
        "picture": part.picture is not None,
        "heat": part.picture is not None and part.score is not None,
        "boxes": [[box.x, box.y, box.width, box.height] for box in part.boxes],
    }
