"""The journal: rows on their way to the ledger, in files that outlive whoever wrote them.

A segment is a file of lines, each ``crc32 json``. ``Journal.append`` hands one line to the kernel with
one ``write``: from then on the row survives the death of the process, and nobody waits for the disk.
Every writer has a segment of its own and holds its ``flock``. Whoever reads may delete a segment only
while holding that lock itself, which the kernel gives it when the writer rotated or died: no row is
appended to a file that is gone.
"""

import ctypes
import errno
import fcntl
import os
import secrets
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from inspector.core.errors import RecordsError
from inspector.records.row import LedgerRow, Record, from_json, to_json
from inspector.telemetry.metrics import DROPPED, QUEUE_DEPTH

SEGMENT_BYTES = 4 << 20
WAITING_RECORDS = 100_000
_FALLOC_FL_KEEP_SIZE = 1
# What a start cannot mend by waiting: wrong rights, a read-only disk, a path that is no folder.
_HOPELESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)
# What `flock` says on a file system that has no locks, such as an old NFS.
_LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)

_log = structlog.get_logger()


def journal_folder(directory: Path) -> Path:
    """Where the segments lie below the records directory."""
    return directory / "journal"


def encode_line(record: Record) -> bytes:
    """One journal line: CRC-32 of the JSON in eight hex digits, a space, the JSON, a line feed."""
    content = to_json(record).encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(content), content)


def decode_line(line: bytes) -> Record:
    """The record of a line without its line feed.

    Raises:
        ValueError: torn or damaged.
    """
    checksum, _, content = line.partition(b" ")
    if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(content):
        raise ValueError("torn or damaged line: its checksum does not fit")
    return from_json(content)


class Journal:
    """Appends records for the records process to carry into the ledger. Safe to call from several threads.

    Where the disk takes nothing (full, failing), records wait in memory in their order and go out
    with the next ``append`` or ``flush`` that finds room; beyond ``waiting_records`` new ones are
    dropped, counted in ``inspector_dropped_total{what="row"}`` and logged.

    Args:
        directory: the records directory; created where missing.
        segment_bytes: a new segment is begun from this size on. That much disk is reserved when it is
            begun, so that a disk which fills up later still takes its rows.
        waiting_records: how many records wait in memory at most.

    Raises:
        RecordsError: the directory cannot be written at all.
    """

    def __init__(
        self,
        directory: Path,
        segment_bytes: int = SEGMENT_BYTES,
        waiting_records: int = WAITING_RECORDS,
    ) -> None:
        self._folder = journal_folder(directory)
        self._segment_bytes = segment_bytes
        self._waiting_records = waiting_records
        self._lock = threading.Lock()
        self._queue: deque[bytes] = deque()
        self._fd: int | None = None
        self._written = 0
        self._torn = False
        self._failing = False
        self._dropped = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._begin_segment()
        except OSError as error:
            if error.errno in _LOCKLESS:
                raise RecordsError(
                    f"the disk of the records directory {directory} has no file locks: {error.strerror}",
                    "set records.directory to a folder on a local disk",
                ) from error
            if error.errno in _HOPELESS:
                raise RecordsError(
                    f"cannot write to the records directory {directory}: {error.strerror}",
                    "give this user write access to it, or set records.directory to another folder",
                ) from error
            self._note_failure(error)

    @property
    def waiting(self) -> int:
        """Records that wait in memory because the disk takes nothing; 0 on a good day."""
        return len(self._queue)

    def append(self, record: Record) -> None:
        """Hand one record to the kernel; returns at once, also where the disk is full."""
        line = encode_line(record)
        with self._lock:
            if len(self._queue) >= self._waiting_records:
                self._drop(record)
            else:
                self._queue.append(line)
            self._drain()

    def flush(self) -> int:
        """Try to write what waits in memory; return how many records still wait."""
        with self._lock:
            self._drain()
            return len(self._queue)

    def close(self) -> None:
        """Write what can be written and let go of the segment."""
        with self._lock:
            self._drain()
            if self._queue:
                _log.error("journal_closed_with_rows_in_memory", rows=len(self._queue))
            self._end_segment()

    def _drain(self) -> None:
        if not self._queue:
            return
        try:
            while self._queue:
                fd = self._room()
                line = self._queue[0]
                written = os.write(fd, line)
                self._written += written
                self._torn = written < len(line)
                if self._torn:
                    # The rest follows where this left off, as soon as there is room.
                    self._queue[0] = line[written:]
                else:
                    self._queue.popleft()
        except OSError as error:
            self._note_failure(error)
        else:
            if self._failing:
                self._failing = False
                QUEUE_DEPTH.labels("all", "journal").set(0)
                _log.warning("journal_writes_again")

    def _room(self) -> int:
        """The descriptor to write to; begins a new segment when the present one has its size."""
        if self._fd is not None and (self._torn or self._written < self._segment_bytes):
            return self._fd
        try:
            return self._begin_segment()
        except OSError:
            if self._fd is None:
                raise
            return self._fd

    def _begin_segment(self) -> int:
        while True:
            numbers = [int(p.name.split("-")[0]) for p in segments(self._folder.parent)]
            name = f"{max(numbers, default=0) + 1:08d}-{secrets.token_hex(4)}.jsonl"
            path = self._folder / name
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            except OSError:
                os.close(fd)
                path.unlink(missing_ok=True)
                raise
            else:
                if os.fstat(fd).st_nlink:
                    break
            # A reader found the file before it was locked and takes it for a dead writer's: leave it.
            os.close(fd)
        _reserve(fd, self._segment_bytes)
        self._end_segment()
        self._fd = fd
        return fd

    def _end_segment(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None
        self._written = 0

    def _note_failure(self, error: OSError) -> None:
        QUEUE_DEPTH.labels("all", "journal").set(len(self._queue))
        if not self._failing:
            self._failing = True
            _log.error(
                "journal_cannot_write",
                error=error.strerror,
                directory=str(self._folder),
                remedy="free some disk; rows wait in memory until then",
            )

    def _drop(self, record: Record) -> None:
        lane = record.verdict.part.lane if isinstance(record, LedgerRow) else record.lane
        DROPPED.labels(lane, "row").inc()
        self._dropped += 1
        if self._dropped % 1000 == 1:
            _log.critical("rows_lost", rows=self._dropped, remedy="free some disk now")


def _reserve(fd: int, size: int) -> None:
    """Claim disk for a segment without changing its length; file systems that cannot are left as they are."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is not None:
        fallocate(fd, _FALLOC_FL_KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size))


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line as found in a segment.

    Attributes:
        segment: the segment's file name.
        start: offset of its first byte.
        end: offset after its line feed: where reading goes on.
        content: the bytes, without the line feed.
        record: what it says, None where it is torn or damaged.
        fault: why there is no record, else empty.
    """

    segment: str
    start: int
    end: int
    content: bytes
    record: Record | None
    fault: str = ""


def segments(directory: Path) -> list[Path]:
    """The journal's segments, oldest first."""
    return sorted(journal_folder(directory).glob("[0-9]*-*.jsonl"))


def writer_is_gone(file: BinaryIO) -> bool:
    """Take the segment's lock where no writer holds it; it is kept until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def read_lines(file: BinaryIO, segment: str, start: int, complete: bool) -> Iterator[JournalLine]:
    """The lines of a segment from an offset on.

    Args:
        file: the segment, open for reading in binary.
        segment: its file name.
        start: offset to begin at, the ``end`` of the last line taken.
        complete: no writer is left; a last line without its line feed is torn for good then and
            yielded as such, where it otherwise is left for the next reading.
    """
    file.seek(start)
    for raw in file:
        if not raw.endswith(b"\n") and not complete:
            return
        content = raw.removesuffix(b"\n")
        end = start + len(raw)
        try:
            yield JournalLine(segment, start, end, content, decode_line(content))
        except ValueError as error:
            yield JournalLine(segment, start, end, content, None, str(error))
        start = end
