"""The ledger: one SQLite file, one row per part, the audit trail, and how far the journal was read.

The journal's position moves in the same transaction as the rows it covers, so every row arrives exactly
once, whoever dies. What cannot be a row is counted and kept in ``refused``. What has become too much goes in
the order in which it came, whatever the clock said when it did.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from inspector.core.errors import RecordsError
from inspector.core.part import PartId
from inspector.records.journal import JournalLine
from inspector.records.row import LedgerEvent, LedgerRow, utc_text
from inspector.records.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION, UPGRADES
from inspector.telemetry.metrics import DROPPED

_BUSY_TIMEOUT_AT_START_MS = 2000
_BUSY_TIMEOUT_MS = 100
_CHECKED_AT_START_BYTES = 256 << 20
ROW_BYTES = 500
"""A part's row with all its stages and its place in every index."""
EVENTS_KEPT = 1_000_000
"""Decades of an audit trail, or three weeks of a camera that comes and goes every other second: 0.3 GB."""
REFUSED_KEPT = 10_000
"""Lines that cannot be rows, mostly of some hundred bytes: enough to see what is wrong by them."""
# Deleted in some hundredths of a second, and in the long run more than all lanes together bring.
_OLDEST_AT_ONCE = 1000

_log = structlog.get_logger()

_ROW_COLUMNS = (
    "lane", "session", "number", "commanded", "triggered", "outcome", "reason", "score", "regions",
    "recipe", "exposed_ns", "frame_epoch", "frame_id", "stages_ns", "latency_ns", "late",
)  # fmt: skip
# Only the key's conflict is let pass: `INSERT OR IGNORE` would also swallow a broken CHECK.
_INSERT_ROW = (
    f"INSERT INTO parts ({', '.join(_ROW_COLUMNS)}) "  # noqa: S608 - our own column names
    f"VALUES ({', '.join('?' * len(_ROW_COLUMNS))}) ON CONFLICT (lane, session, number) DO NOTHING"
)
_SELECT_ROW = (
    f"SELECT {', '.join(_ROW_COLUMNS)} FROM parts "  # noqa: S608
    "WHERE lane = ? AND session = ? AND number = ?"
)


class LedgerUnavailableError(Exception):
    """The ledger takes nothing at the moment (locked, disk full): nothing was written, try again."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One part's picture files.

    Attributes:
        part: the part they show.
        stem: path below the pictures folder without ``-cup.jpg`` / ``-heat.jpg``.
        size: of all its files together, bytes.
    """

    part: PartId
    stem: str
    size: int


def ledger_file(directory: Path) -> Path:
    """Where the ledger lies below the records directory."""
    return directory / "ledger.db"


class Ledger:
    """The ledger, open for writing. One process holds it: the records process.

    Args:
        directory: the records directory; created where missing.

    Attributes:
        positions: how far each journal segment was taken, by its file name.

    Raises:
        RecordsError: the directory cannot be written, or the file is damaged, foreign, or of a newer
            version.
    """

    def __init__(self, directory: Path) -> None:
        file = ledger_file(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # SQLite falls back to reading without a word: opening for appending tells about rights.
            with file.open("ab"):
                pass
        except OSError as error:
            raise RecordsError(
                f"cannot write to the records directory {directory}: {error.strerror}",
                "give this user write access to it, or set records.directory to another folder",
            ) from error
        self._file = file
        self._refused = 0
        self._connection = sqlite3.connect(file, isolation_level=None)
        try:
            self._prepare(file)
        except sqlite3.Error as error:
            self._connection.close()
            raise _start_error(file, error) from error
        except RecordsError:
            self._connection.close()
            raise
        self._identity = _identity(file)

    def pictures(self) -> dict[PartId, str]:
        """The pictures it knows: part → stem.

        Raises:
            RecordsError: the file is damaged.
        """
        query = "SELECT lane, session, number, stem FROM pictures"
        try:
            return {
                PartId(lane, session, number): stem
                for lane, session, number, stem in self._connection.execute(query)
            }
        except sqlite3.Error as error:
            raise _start_error(self._file, error) from error

    def commit(
        self,
        lines: Sequence[JournalLine] = (),
        pictures_added: Iterable[StoredPicture] = (),
        pictures_gone: Iterable[PartId] = (),
        segments_gone: Sequence[str] = (),
    ) -> int:
        """Write all of it or nothing, down to the disk; return how many new part rows there are.

        Raises:
            LedgerUnavailableError: locked or the disk is full; call again with the same.
            RecordsError: the file is damaged, or lies there no more.
        """
        self._refused = 0
        with self._transaction() as database:
            rows = sum(self._take(line) for line in lines)
            database.executemany(
                "INSERT INTO journal_positions VALUES (?, ?) "
                "ON CONFLICT (segment) DO UPDATE SET position = excluded.position",
                {line.segment: line.end for line in lines}.items(),
            )
            database.executemany(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)",
                [(p.part.lane, p.part.session, p.part.number, p.stem) for p in pictures_added],
            )
            database.executemany(
                "DELETE FROM pictures WHERE lane = ? AND session = ? AND number = ?",
                [(part.lane, part.session, part.number) for part in pictures_gone],
            )
            database.executemany(
                "DELETE FROM journal_positions WHERE segment = ?",
                [(segment,) for segment in segments_gone],
            )
        DROPPED.labels("all", "journal_line").inc(self._refused)
        self.positions.update((line.segment, line.end) for line in lines)
        for segment in segments_gone:
            self.positions.pop(segment, None)
        return rows

    @property
    def size(self) -> int:
        """Bytes in use. The file may be larger: what was deleted leaves room in it, which is used again.

        Raises:
            LedgerUnavailableError: locked.
            RecordsError: the file is damaged.
        """
        with self._translated_errors():
            pages, free, page_bytes = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        used: int = (pages - free) * page_bytes
        return used

    def make_room(self, limit_bytes: int) -> int:
        """Delete some of the oldest rows where there are more bytes than this; return how many went.

        Oldest is what arrived first: a wall clock that jumps makes no row older than it is. The newest row
        of each lane stays, since the line goes on from there when it starts. Of the audit trail the newest
        ``EVENTS_KEPT`` stay, and of what cannot be a row the newest ``REFUSED_KEPT``.

        Raises:
            LedgerUnavailableError: locked or the disk is full; nothing was deleted.
            RecordsError: the file is damaged, or lies there no more.
        """
        with self._transaction() as database:
            for table, kept in (("events", EVENTS_KEPT), ("refused", REFUSED_KEPT)):
                database.execute(
                    f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} "  # noqa: S608
                    f"WHERE id <= (SELECT max(id) FROM {table}) - ? ORDER BY id LIMIT ?)",
                    (kept, _OLDEST_AT_ONCE),
                )
            oldest = self._oldest_rows() if self.size > limit_bytes else []
            database.executemany("DELETE FROM parts WHERE id = ?", oldest)
        return len(oldest)

    def close(self) -> None:
        """Let go of the file; the write-ahead log is merged into it."""
        with suppress(sqlite3.Error):
            # That of a file that was moved away SQLite would leave where it is, and the next ledger delete.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _prepare(self, file: Path) -> None:
        database = self._connection
        database.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_AT_START_MS}")
        known = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] > 0
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if known and database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise RecordsError(
                f"{file} is not an inspector's ledger",
                "move it away, or set records.directory to another folder",
            )
        if version > SCHEMA_VERSION:
            raise RecordsError(
                f"{file} was written by a newer inspector (ledger version {version})",
                "update this inspector, or set records.directory to another folder",
            )
        database.execute("PRAGMA journal_mode = WAL")
        # Not NORMAL: a row that was reported as committed must survive a power cut.
        database.execute("PRAGMA synchronous = FULL")
        if not known:
            database.executescript(
                f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {SCHEMA_VERSION}; {SCHEMA} COMMIT;"
            )
        elif file.stat().st_size <= _CHECKED_AT_START_BYTES:
            verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise _damaged(file, verdict)
        if known and version < SCHEMA_VERSION:
            upgrade = "".join(UPGRADES[version - 1 :])
            database.executescript(
                f"BEGIN IMMEDIATE; {upgrade} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        self.positions: dict[str, int] = dict(
            database.execute("SELECT segment, position FROM journal_positions")
        )
        database.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what is done within, down to the disk, or nothing."""
        if _identity(self._file) != self._identity:
            raise RecordsError(
                f"the ledger {self._file} was moved away or deleted while the line ran",
                "nothing has to be done: another is begun",
            )
        database = self._connection
        with self._translated_errors():
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise LedgerUnavailableError(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise _damaged(self._file, error) from error

    def _oldest_rows(self) -> list[tuple[int]]:
        """The ids of some rows that arrived first, without any lane's newest."""
        ask = self._connection.execute
        found = ask("SELECT id, lane FROM parts ORDER BY id LIMIT ?", (_OLDEST_AT_ONCE,)).fetchall()
        newest = {
            ask("SELECT max(id) FROM parts WHERE lane = ?", (lane,)).fetchone()[0]
            for lane in {lane for _, lane in found}
        }
        return [(number,) for number, _ in found if number not in newest]

    def _take(self, line: JournalLine) -> int:
        source = f"{line.segment}:{line.start}"
        try:
            if isinstance(line.record, LedgerRow):
                return self._take_row(line.record)
            if isinstance(line.record, LedgerEvent):
                self._take_event(line.record, source)
                return 0
            self._refuse(source, line.fault, line.content)
        except (sqlite3.IntegrityError, OverflowError, ValueError) as error:
            self._refuse(source, str(error), line.content)
        return 0

    def _take_row(self, row: LedgerRow) -> int:
        values = _values(row)
        if self._connection.execute(_INSERT_ROW, values).rowcount == 1:
            return 1
        known = self._connection.execute(_SELECT_ROW, values[:3]).fetchone()
        if known != values:
            raise ValueError("a second, different row for a part that has its row already")
        return 0

    def _take_event(self, event: LedgerEvent, source: str) -> None:
        self._connection.execute(
            "INSERT INTO events (happened, kind, lane, details, source, newest_part) "
            "VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM parts)) "
            "ON CONFLICT (source) DO NOTHING",
            (
                utc_text(event.happened_unix_ns),
                event.kind,
                event.lane,
                json.dumps(dict(event.details)),
                source,
            ),
        )

    def _refuse(self, source: str, why: str, line: bytes) -> None:
        _log.error("journal_line_refused", source=source, why=why, kept_in="table refused")
        self._refused += 1
        self._connection.execute(
            "INSERT INTO refused (source, why, line) VALUES (?, ?, ?) ON CONFLICT (source) DO NOTHING",
            (source, why, line),
        )


def _identity(file: Path) -> tuple[int, int] | None:
    """What a file is, whatever it is called; None where there is none."""
    try:
        state = file.stat()
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _values(row: LedgerRow) -> tuple[Any, ...]:
    verdict = row.verdict
    return (
        verdict.part.lane,
        verdict.part.session,
        verdict.part.number,
        utc_text(row.commanded_unix_ns),
        None if row.triggered_unix_ns is None else utc_text(row.triggered_unix_ns),
        str(verdict.outcome),
        str(verdict.reason),
        _finite(verdict.score),
        json.dumps(
            [
                {"x": r.x, "y": r.y, "width": r.width, "height": r.height, "peak": _finite(r.peak)}
                for r in verdict.regions
            ],
            separators=(",", ":"),
        ),
        verdict.recipe,
        row.exposed_ns,
        row.frame_epoch,
        row.frame_id,
        _json(row.stages_ns),
        row.latency_ns,
        int(row.late),
    )


def _json(values: Mapping[str, int]) -> str:
    return json.dumps(dict(values), separators=(",", ":"))


def _finite(value: float | None) -> float | None:
    """SQLite has no NaN, and JSON neither NaN nor infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def _damaged(file: Path, error: object) -> RecordsError:
    return RecordsError(
        f"the ledger {file} is damaged ({' '.join(str(error).split())})",
        f"move it away (mv {file} {file}.damaged), then start again; "
        "`sqlite3 FILE .recover` gets its rows back",
    )


def _start_error(file: Path, error: sqlite3.Error) -> RecordsError:
    if isinstance(error, sqlite3.OperationalError):
        text = str(error)
        if "locked" in text:
            return RecordsError(
                f"the ledger {file} is locked by another program",
                "close whatever has it open for writing, then start again",
            )
        if "full" in text:
            return RecordsError(
                f"no room for the ledger {file}: the disk is full", "free some disk space"
            )
        return RecordsError(
            f"cannot open the ledger {file}: {text}",
            "check that this user may write the file and its folder",
        )
    return _damaged(file, error)
