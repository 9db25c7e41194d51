"""The records process's work: journal → ledger, picture channel → archive, one step after the other."""

import contextlib
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

from inspector.core.errors import RecordsError
from inspector.records.archive import PictureArchive
from inspector.records.journal import JournalLine, read_lines, segments, writer_is_gone
from inspector.records.ledger import Ledger, LedgerUnavailableError
from inspector.records.pictures import receive
from inspector.telemetry.metrics import (
    ARCHIVE_BYTES,
    DISK_FREE,
    DROPPED,
    LEDGER_BACKLOG,
    LEDGER_BYTES,
    LEDGER_ROWS,
    LEDGER_ROWS_DELETED,
    LINK_UP,
)

STEP_SECONDS = 0.1
_LINES_A_STEP = 2000
# A JPEG pair takes some milliseconds: this many keep a step well below the 200 ms rows may lag.
_PICTURES_A_STEP = 8
_HOUSEKEEPING_SECONDS = 1.0
_LAST_CHANCE_SECONDS = 0.8

_log = structlog.get_logger()


class Recorder:
    """Carries rows and pictures until it is told to stop.

    Args:
        directory: the records directory.
        lanes: names of the line's lanes, whose ``records`` link is reported.
        channel: receiver's end of the picture channel.
        pictures_bytes: size of the picture archive at most.
        keep_free_bytes: disk space that pictures must leave.
        rows_bytes: size of the ledger at most; the oldest rows go first.

    Raises:
        RecordsError: the directory cannot be used, is used by another records process, or the ledger is
            damaged.
    """

    def __init__(
        self,
        directory: Path,
        lanes: Sequence[str],
        channel: socket.socket,
        pictures_bytes: int,
        keep_free_bytes: int,
        rows_bytes: int,
    ) -> None:
        self._directory = directory
        self._lanes = lanes
        self._channel: socket.socket | None = channel
        self._claim = _claim(directory)
        self._ledger = Ledger(directory)
        self._rows_bytes = rows_bytes
        known = self._ledger.pictures()
        self._archive = PictureArchive(directory, pictures_bytes, keep_free_bytes, known)
        here = {path.name for path in segments(directory)}
        self._segments_gone = [name for name in self._ledger.positions if name not in here]
        self._available: bool | None = None
        self._roomy = True
        self._housekeeping_due = 0.0

    def run(self, stopping: Callable[[], bool]) -> None:
        """Carry on until ``stopping``, then take what is left, for less than a second.

        Raises:
            RecordsError: the ledger is damaged or was moved away.
        """
        while not stopping():
            started = time.monotonic()
            if not self.step():
                time.sleep(max(0.0, started + STEP_SECONDS - time.monotonic()))
        give_up = time.monotonic() + _LAST_CHANCE_SECONDS
        while self.step() and time.monotonic() < give_up:
            pass
        if left := self._backlog():
            _log.warning("journal_left_for_next_start", bytes=left)

    def step(self) -> bool:
        """Take some rows and some pictures; True where more wait already.

        Raises:
            RecordsError: the ledger is damaged or was moved away.
        """
        more_pictures = self._take_pictures()
        more_lines = self._take_lines()
        if time.monotonic() >= self._housekeeping_due:
            self._housekeeping_due = time.monotonic() + _HOUSEKEEPING_SECONDS
            self._keep_house()
        return more_pictures or more_lines

    def close(self) -> None:
        """Let go of the ledger and of the directory."""
        self._ledger.close()
        self._claim.close()

    def _take_lines(self) -> bool:
        """Commit the next lines of the journal; True where more wait and the ledger takes them."""
        lines: list[JournalLine] = []
        emptied: list[Path] = []
        with contextlib.ExitStack() as open_segments:
            for path in segments(self._directory):
                if len(lines) >= _LINES_A_STEP:
                    break
                file = open_segments.enter_context(path.open("rb"))
                complete = writer_is_gone(file)
                position = self._ledger.positions.get(path.name, 0)
                taken, all_taken = self._read(file, path.name, position, complete, len(lines))
                lines += taken
                if complete and all_taken:
                    emptied.append(path)
            if not self._commit(lines):
                return False
            # Only now, and still under the lock of each: its rows are in the ledger, on disk.
            for path in emptied:
                path.unlink()
                self._segments_gone.append(path.name)
        return len(lines) >= _LINES_A_STEP

    def _read(
        self, file: BinaryIO, segment: str, position: int, complete: bool, already: int
    ) -> tuple[list[JournalLine], bool]:
        """Some lines from a position on, and whether they are the segment's last."""
        taken: list[JournalLine] = []
        for line in read_lines(file, segment, position, complete):
            if already + len(taken) >= _LINES_A_STEP:
                return taken, False
            taken.append(line)
        return taken, True

    def _commit(self, lines: list[JournalLine]) -> bool:
        archive = self._archive
        if not (lines or archive.added or archive.gone or self._segments_gone):
            self._note_available(self._available is not False)
            return True
        try:
            rows = self._ledger.commit(lines, archive.added, archive.gone, self._segments_gone)
        except LedgerUnavailableError as error:
            self._note_available(False, str(error))
            return False
        archive.added.clear()
        archive.gone.clear()
        self._segments_gone.clear()
        LEDGER_ROWS.inc(rows)
        self._note_available(True)
        return True

    def _take_pictures(self) -> bool:
        """Store the next pictures; True where more may wait."""
        for _ in range(_PICTURES_A_STEP):
            if self._channel is None:
                return False
            try:
                picture = receive(self._channel)
                if picture is None:
                    return False
                if not self._archive.store(picture):
                    DROPPED.labels(picture.part.lane, "picture").inc()
            except EOFError:
                self._channel = None
            except ValueError as error:
                _log.error("picture_refused", error=str(error))
                DROPPED.labels("all", "picture").inc()
        return True

    def _keep_house(self) -> None:
        roomy = self._archive.make_room()
        if roomy != self._roomy:
            self._note_room(roomy)
        # A ledger that takes nothing at the moment is `_commit`'s to tell.
        with contextlib.suppress(LedgerUnavailableError):
            LEDGER_ROWS_DELETED.inc(self._ledger.make_room(self._rows_bytes))
            LEDGER_BYTES.set(self._ledger.size)
        LEDGER_BACKLOG.set(self._backlog())
        ARCHIVE_BYTES.set(self._archive.size)
        DISK_FREE.set(shutil.disk_usage(self._directory).free)

    def _backlog(self) -> int:
        """Bytes of the journal that are not in the ledger yet."""
        total = 0
        for path in segments(self._directory):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size - self._ledger.positions.get(path.name, 0)
        return total

    def _note_room(self, roomy: bool) -> None:
        self._roomy = roomy
        if roomy:
            _log.info("disk_has_room")
        else:
            _log.error(
                "disk_nearly_full",
                directory=str(self._directory),
                remedy="free some disk: no pictures are stored until then, rows still are",
            )

    def _note_available(self, available: bool, why: str = "") -> None:
        if available == self._available:
            return
        if available:
            _log.info("ledger_takes_rows")
        else:
            _log.error(
                "ledger_unavailable", why=why, remedy="rows wait in the journal, none is lost"
            )
        self._available = available
        for lane in self._lanes:
            LINK_UP.labels(lane, "records").set(int(available))


def _claim(directory: Path) -> BinaryIO:
    """Hold the directory for this process alone, until the file is closed."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "records.lock").open("ab")
    except OSError as error:
        raise RecordsError(
            f"cannot write to the records directory {directory}: {error.strerror}",
            "give this user write access to it, or set records.directory to another folder",
        ) from error
    deadline = time.monotonic() + 2.0
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            file.close()
            raise RecordsError(
                f"another line records into {directory} already",
                "stop it, or set records.directory to another folder",
            ) from None
        os.ftruncate(file.fileno(), 0)
        return file
