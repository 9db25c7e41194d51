"""The journal takes every row, whatever the disk and the processes do."""

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.errors import RecordsError
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Region, Verdict
from inspector.records.journal import (
    Journal,
    decode_line,
    encode_line,
    read_lines,
    segments,
    writer_is_gone,
)
from inspector.records.ledger import ledger_file
from inspector.records.reading import newest_number
from inspector.records.row import LedgerEvent, LedgerRow, Record
from tests.records.plant import REPOSITORY, row_of

numbers = st.integers(-(2**70), 2**70)
moments = st.integers(0, 2**63)
floats = st.floats(allow_nan=False)
regions = st.builds(Region, numbers, numbers, numbers, numbers, floats)
rejects = st.builds(
    Verdict,
    part=st.builds(PartId, st.text(), numbers, numbers),
    outcome=st.just(Outcome.REJECT),
    reason=st.sampled_from([reason for reason in Reason if reason is not Reason.CLEAN]),
    score=st.none() | floats,
    regions=st.lists(regions, max_size=5).map(tuple),
    recipe=st.text(),
)
rows = st.builds(
    LedgerRow,
    verdict=rejects,
    commanded_unix_ns=moments,
    triggered_unix_ns=st.none() | moments,
    frame_id=st.none() | numbers,
    stages_ns=st.dictionaries(st.text(), numbers, max_size=5),
    latency_ns=st.none() | numbers,
    late=st.booleans(),
)
events = st.builds(
    LedgerEvent,
    moments,
    kind=st.text(),
    lane=st.text(),
    details=st.dictionaries(st.text(), st.none() | st.text() | numbers | floats, max_size=5),
)


def lines_of(path: Path, complete: bool = True) -> list[Record | None]:
    with path.open("rb") as file:
        return [line.record for line in read_lines(file, path.name, 0, complete)]


def rows_in(directory: Path) -> list[Record | None]:
    return [record for path in segments(directory) for record in lines_of(path)]


@given(rows | events)
def test_a_record_comes_back_from_its_line_as_it_went_in(record: Record) -> None:
    line = encode_line(record)

    assert line.count(b"\n") == 1
    assert decode_line(line.removesuffix(b"\n")) == record


@given(rows | events, st.data())
def test_a_torn_line_is_never_taken_for_a_record(record: Record, data: st.DataObject) -> None:
    line = encode_line(record).removesuffix(b"\n")
    torn = line[: data.draw(st.integers(0, len(line) - 1))]

    with pytest.raises(ValueError, match=r"torn or damaged|invalid literal"):
        decode_line(torn)


@given(rows, st.data())
def test_a_line_with_one_flipped_bit_is_never_taken_for_a_record(
    record: Record, data: st.DataObject
) -> None:
    line = bytearray(encode_line(record).removesuffix(b"\n"))
    place = data.draw(st.integers(9, len(line) - 1))
    line[place] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(ValueError, match="torn or damaged"):
        decode_line(bytes(line))


def test_rows_lie_in_the_journal_in_order_across_segments(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1000)
    for number in range(1, 21):
        journal.append(row_of(number))

    assert rows_in(tmp_path) == [row_of(number) for number in range(1, 21)]
    assert len(segments(tmp_path)) > 5


def test_a_row_is_with_the_kernel_when_append_returns(tmp_path: Path) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from inspector.records.journal import Journal
        from tests.records.plant import row_of
        journal = Journal(Path({str(tmp_path)!r}))
        for number in range(1, 500):
            journal.append(row_of(number))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=REPOSITORY, check=False
    )

    assert run.returncode == -signal.SIGKILL
    assert rows_in(tmp_path) == [row_of(number) for number in range(1, 500)]


def test_rows_wait_in_order_while_the_disk_takes_no_more_and_follow_when_it_does(
    tmp_path: Path,
) -> None:
    """The kernel's file-size limit stands for the full disk: it, too, cuts a write in its middle."""
    journal = Journal(tmp_path)
    line = len(encode_line(row_of(1)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * line + line // 2, limits[1]))
    try:
        for number in range(1, 9):
            journal.append(row_of(number))
        (segment,) = segments(tmp_path)
        assert lines_of(segment, complete=False) == [row_of(1), row_of(2), row_of(3)]
        assert journal.waiting == 5
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert journal.flush() == 0
    assert rows_in(tmp_path) == [row_of(number) for number in range(1, 9)]


def test_rows_wait_while_no_segment_can_be_begun(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1)
    journal.append(row_of(1))
    folder = segments(tmp_path)[0].parent
    # No further file fits: the folder is gone from under the journal, its open segment is not.
    folder.rename(tmp_path / "aside")

    journal.append(row_of(2))
    (tmp_path / "aside").rename(folder)
    journal.append(row_of(3))

    assert rows_in(tmp_path) == [row_of(1), row_of(2), row_of(3)]


def test_what_is_too_much_for_memory_is_dropped_newest_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path, waiting_records=4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        for number in range(1, 9):
            journal.append(row_of(number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.flush()

    assert rows_in(tmp_path) == [row_of(number) for number in range(1, 5)]


def test_two_writers_have_a_segment_each(tmp_path: Path) -> None:
    one, other = Journal(tmp_path), Journal(tmp_path)
    one.append(row_of(1))
    other.append(row_of(2))
    one.append(row_of(3))

    assert [lines_of(path) for path in segments(tmp_path)] == [
        [row_of(1), row_of(3)],
        [row_of(2)],
    ]


def test_a_segment_is_its_writers_until_the_writer_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (path,) = segments(tmp_path)
    with path.open("rb") as file:
        assert not writer_is_gone(file)
        journal.close()
        assert writer_is_gone(file)


def test_a_writer_does_not_write_to_a_segment_that_a_reader_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open
    hurried: list[Path] = []

    def open_slowly(path: Path, flags: int, mode: int = 0o777) -> int:
        fd = real_open(path, flags, mode)
        if not hurried:
            hurried.append(path)
            Path(path).unlink()
        return fd

    monkeypatch.setattr("inspector.records.journal.os.open", open_slowly)
    Journal(tmp_path).append(row_of(1))

    assert rows_in(tmp_path) == [row_of(1)]


def test_the_end_of_a_dead_writers_last_line_is_seen_as_torn(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(row_of(1))
    journal.close()
    (path,) = segments(tmp_path)
    with path.open("ab") as file:
        file.write(encode_line(row_of(2))[:40])

    assert lines_of(path, complete=False) == [row_of(1)]
    assert lines_of(path, complete=True) == [row_of(1), None]


def test_a_directory_that_cannot_be_written_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file where a folder should be")

    with pytest.raises(RecordsError, match=r"records.*; .*records\.directory"):
        Journal(tmp_path / "records")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def without_locks(*_given: object) -> None:
    """What ``flock`` says on a file system that has none: no such one can be mounted here."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_disk_without_file_locks_is_told_with_its_remedy_and_nothing_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.records.journal.fcntl.flock", without_locks)
    open_before = open_descriptors()
    with pytest.raises(RecordsError, match=r"file locks.*; .*records\.directory.* local"):
        Journal(tmp_path)
    assert open_descriptors() == open_before
    assert segments(tmp_path) == []


def test_a_disk_that_gives_no_further_lock_takes_rows_where_it_took_them_and_nothing_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, segment_bytes=1)
    journal.append(row_of(1))
    open_before = open_descriptors()
    with monkeypatch.context() as patched:
        patched.setattr("inspector.records.journal.fcntl.flock", without_locks)
        for number in (2, 3, 4):
            journal.append(row_of(number))
        assert open_descriptors() == open_before
        assert len(segments(tmp_path)) == 1
    journal.append(row_of(5))
    assert rows_in(tmp_path) == [row_of(number) for number in range(1, 6)]


def test_the_newest_row_is_found_before_there_is_a_ledger(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in (1, 2, 3):
        journal.append(row_of(number))
    journal.append(row_of(9, lane="lane-2"))

    assert newest_number(tmp_path, "lane-1", 7) == 3
    assert newest_number(tmp_path, "lane-1", 8) == 0
    assert newest_number(tmp_path, "lane-3", 7) is None


def test_the_newest_row_is_found_beside_a_damaged_ledger(tmp_path: Path) -> None:
    """Inspection asks when it starts, perhaps anew: it must not die of a file that it does not need."""
    ledger_file(tmp_path).write_bytes(b"this is no database" * 1000)
    assert newest_number(tmp_path, "lane-1", 7) is None
    journal = Journal(tmp_path)
    for number in (1, 2, 3):
        journal.append(row_of(number))

    assert newest_number(tmp_path, "lane-1", 7) == 3
