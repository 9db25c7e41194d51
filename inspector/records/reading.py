"""Reading the ledger while others write it: what the operators' page and the line's restart ask."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.records.journal import read_lines, segments
from inspector.records.ledger import ledger_file
from inspector.records.row import INSPECTION_STARTED, LedgerRow, utc_text


@dataclass(frozen=True, slots=True)
class Box:
    """A defect region's place in the cup image, in its pixels (384×384)."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class RecordedPart:
    """One row as read back.

    Attributes:
        id: the order in which rows arrived in the ledger.
        part: whose row it is.
        commanded: when its command went out, UTC, ``2025-06-01T12:00:00.123456Z``.
        triggered: when it met the photo-eye, likewise, None where nobody saw it.
        outcome: pass or reject.
        reason: why.
        score: image score, None where the part was not inspected.
        boxes: the defect regions, hottest first.
        recipe: name and hash of the recipe that judged.
        exposed_ns: its frame's exposure on the host's monotonic clock.
        frame_id: its frame, None where none came.
        latency_ns: trigger to gate command.
        late: commanded after the deadline.
        picture: stem of its pictures below the pictures folder, None where none is kept.
    """

    id: int
    part: PartId
    commanded: str
    triggered: str | None
    outcome: Outcome
    reason: Reason
    score: float | None
    boxes: tuple[Box, ...]
    recipe: str
    exposed_ns: int | None
    frame_id: int | None
    latency_ns: int | None
    late: bool
    picture: str | None


_COLUMNS = (
    "id, lane, session, number, commanded, triggered, outcome, reason, score, regions, recipe, "
    "exposed_ns, frame_id, latency_ns, late, picture"
)


class LedgerReader:
    """The ledger, open for reading only: it can neither change the ledger nor hold up its writer.

    Raises:
        sqlite3.OperationalError: there is no ledger yet, here and from every query.
    """

    def __init__(self, directory: Path) -> None:
        uri = ledger_file(directory).resolve().as_uri() + "?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, timeout=1.0)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def newest_before(self, started: float) -> int | None:
        """Id of the newest row from before the inspection process started, 0 where there is none.

        Rows and events arrive in the order in which they were recorded, so this holds however the wall
        clock was set meanwhile.

        Args:
            started: as its `LineStatus` says, seconds since 1970 UTC.

        Returns:
            None while nothing of this process has arrived yet. A ledger that knows of no start at all was
            begun meanwhile: all that it holds is newer.
        """
        newest_start = self._connection.execute(
            "SELECT happened, newest_part FROM events WHERE kind = ? ORDER BY id DESC LIMIT 1",
            (INSPECTION_STARTED,),
        ).fetchone()
        if newest_start is None:
            return 0
        happened, newest_part = newest_start
        return newest_part if happened == utc_text(int(started * 1e9)) else None

    def knows_a_start(self) -> bool:
        """False where the ledger was begun while the line ran, in place of one that was moved away."""
        known: int = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM events WHERE kind = ?)", (INSPECTION_STARTED,)
        ).fetchone()[0]
        return bool(known)

    def counts(self, after_id: int = 0) -> tuple[int, dict[str, dict[Reason, int]]]:
        """Parts by lane and reason, and the highest row id counted, to go on from there next time.

        Args:
            after_id: only rows that arrived after this one.
        """
        newest = self._connection.execute("SELECT max(id) FROM parts").fetchone()[0] or 0
        found: dict[str, dict[Reason, int]] = {}
        # The unary + keeps SQLite off the lanes' index and on the rows themselves, of which few are new.
        for lane, reason, count in self._connection.execute(
            "SELECT lane, reason, count(*) FROM parts WHERE id > ? AND id <= ? GROUP BY +lane, reason",
            (after_id, newest),
        ):
            found.setdefault(lane, {})[Reason(reason)] = count
        return newest, found

    def last_rejects(self, lane: str, limit: int = 12) -> list[RecordedPart]:
        """The lane's newest rejects, newest first."""
        return self._parts(
            "lane = ? AND outcome = 'reject' ORDER BY id DESC LIMIT ?", (lane, limit)
        )

    def session(self, lane: str, session: int) -> list[RecordedPart]:
        """All parts of a lane's session, by number."""
        return self._parts("lane = ? AND session = ? ORDER BY number", (lane, session))

    def part(self, part: PartId) -> RecordedPart | None:
        """One part's row, None where there is none."""
        found = self._parts(
            "lane = ? AND session = ? AND number = ?", (part.lane, part.session, part.number)
        )
        return found[0] if found else None

    def taken(self) -> dict[str, int]:
        """How far each journal segment is in the ledger, by its file name."""
        return dict(self._connection.execute("SELECT segment, position FROM journal_positions"))

    def newest_number(self, lane: str, session: int) -> int | None:
        """The highest number of a part of this session, None where it has no row."""
        query = "SELECT max(number) FROM parts WHERE lane = ? AND session = ?"
        number: int | None = self._connection.execute(query, (lane, session)).fetchone()[0]
        return number

    def newest(self, lane: str) -> PartId | None:
        """The lane's part whose row arrived last."""
        row = self._connection.execute(
            "SELECT session, number FROM parts WHERE lane = ? ORDER BY id DESC LIMIT 1", (lane,)
        ).fetchone()
        return None if row is None else PartId(lane, *row)

    def picture(self, part: PartId) -> str | None:
        """Stem of the part's pictures below the pictures folder, None where none is kept."""
        row = self._connection.execute(
            "SELECT stem FROM pictures WHERE lane = ? AND session = ? AND number = ?",
            (part.lane, part.session, part.number),
        ).fetchone()
        return None if row is None else str(row[0])

    def events(self, limit: int = 100) -> list[tuple[str, str, str, dict[str, Any]]]:
        """The audit trail, newest first: UTC time, kind, lane, details."""
        return [
            (happened, kind, lane, json.loads(details))
            for happened, kind, lane, details in self._connection.execute(
                "SELECT happened, kind, lane, details FROM events ORDER BY id DESC LIMIT ?",
                (limit,),
            )
        ]

    def _parts(self, condition: str, values: tuple[Any, ...]) -> list[RecordedPart]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM parts_with_pictures WHERE {condition}",  # noqa: S608
            values,
        )
        return [_recorded(row) for row in rows]


@contextmanager
def open_ledger(directory: Path) -> Iterator[LedgerReader]:
    """The ledger for one reading; see ``LedgerReader``."""
    reader = LedgerReader(directory)
    try:
        yield reader
    finally:
        reader.close()


def newest_number(directory: Path, lane: str, session: int) -> int | None:
    """The last part of a session with a row, whether that is in the ledger yet or still in the journal.

    A line that meets a count fills the rows between this part and the PLC's count with ``unseen``.

    Returns:
        0 where the lane has rows of other sessions only, None where it has none.
    """
    try:
        with open_ledger(directory) as ledger:
            # In this order: what the records process takes meanwhile is then found twice, never missed.
            waiting = _waiting_parts(directory, lane, ledger.taken())
            known = ledger.newest_number(lane, session)
            empty = known is None and ledger.newest(lane) is None
    except sqlite3.Error:
        # There is none yet, or it is damaged: the journal knows whatever came since.
        waiting = _waiting_parts(directory, lane, {})
        known, empty = None, True
    if empty and not waiting:
        return None
    return max([known or 0, *(part.number for part in waiting if part.session == session)])


def _waiting_parts(directory: Path, lane: str, taken: Mapping[str, int]) -> list[PartId]:
    found: list[PartId] = []
    for path in segments(directory):
        try:
            with path.open("rb") as file:
                found += [
                    line.record.verdict.part
                    for line in read_lines(file, path.name, taken.get(path.name, 0), complete=False)
                    if isinstance(line.record, LedgerRow)
                ]
        except FileNotFoundError:
            continue
    return [part for part in found if part.lane == lane]


def _recorded(row: tuple[Any, ...]) -> RecordedPart:
    (number, lane, session, count, commanded, triggered, outcome, reason, score, regions, recipe,
     exposed_ns, frame_id, latency_ns, late, picture) = row  # fmt: skip
    return RecordedPart(
        id=number,
        part=PartId(lane, session, count),
        commanded=commanded,
        triggered=triggered,
        outcome=Outcome(outcome),
        reason=Reason(reason),
        score=score,
        boxes=tuple(Box(r["x"], r["y"], r["width"], r["height"]) for r in json.loads(regions)),
        recipe=recipe,
        exposed_ns=exposed_ns,
        frame_id=frame_id,
        latency_ns=latency_ns,
        late=bool(late),
        picture=picture,
    )
