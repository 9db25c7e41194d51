"""The records process: every appended row once in the ledger, whoever dies."""

import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from structlog.testing import CapturingLogger

from inspector.core.part import PartId
from inspector.core.verdict import Reason
from inspector.records.journal import Journal, encode_line, segments
from inspector.records.ledger import ledger_file
from inspector.records.pictures import PictureSender
from inspector.records.reading import newest_number, open_ledger
from inspector.records.recorder import Recorder
from inspector.records.row import LedgerEvent
from inspector.telemetry.metrics import LEDGER_BACKLOG, LEDGER_BYTES, LEDGER_ROWS_DELETED
from tests.records.plant import REPOSITORY, RecordsProcess, configuration, row_of
from tests.records.test_archive import Usage

Eventually = Callable[[Callable[[], bool]], None]


def numbers_in(directory: Path) -> list[int]:
    """Part numbers in the order in which they arrived."""
    try:
        with open_ledger(directory) as ledger:
            recorded = ledger.session("lane-1", 7)
    except sqlite3.OperationalError:
        return []
    return [row.part.number for row in sorted(recorded, key=lambda row: row.id)]


def test_rows_and_events_reach_the_ledger_and_their_segments_go(
    records: RecordsProcess, eventually: Eventually
) -> None:
    journal = Journal(records.directory, segment_bytes=2000)
    records.start()
    for number in range(1, 51):
        journal.append(row_of(number))
    journal.append(LedgerEvent(1, "line_stopped"))

    eventually(lambda: numbers_in(records.directory) == list(range(1, 51)))
    eventually(lambda: len(segments(records.directory)) == 1)
    assert records.end() == 0
    with open_ledger(records.directory) as ledger:
        assert [kind for _, kind, _, _ in ledger.events()] == ["line_stopped"]


def test_on_sigterm_the_journal_is_drained(records: RecordsProcess, eventually: Eventually) -> None:
    journal = Journal(records.directory)
    for number in range(1, 5001):
        journal.append(row_of(number))
    records.start()
    eventually(ledger_file(records.directory).exists)

    assert records.end(signal.SIGTERM) == 0
    assert numbers_in(records.directory) == list(range(1, 5001))


def test_killed_again_and_again_the_records_process_leaves_every_row_exactly_once(
    records: RecordsProcess, eventually: Eventually
) -> None:
    chance = random.Random(5)
    journal = Journal(records.directory, segment_bytes=20_000)
    number = 0
    for _ in range(6):
        records.start()
        until = time.monotonic() + chance.uniform(0.3, 1.2)
        while time.monotonic() < until:
            number += 1
            journal.append(row_of(number))
            time.sleep(0.0005)
        records.end(signal.SIGKILL)
    records.start()

    eventually(lambda: len(numbers_in(records.directory)) == number)
    assert numbers_in(records.directory) == list(range(1, number + 1))
    records.end()
    database = sqlite3.connect(ledger_file(records.directory))
    assert database.execute("SELECT count(*) FROM refused").fetchone() == (0,)
    database.close()


def test_a_writer_killed_at_any_moment_loses_no_row_that_was_appended(
    records: RecordsProcess, eventually: Eventually
) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from tests.records.plant import row_of
        from inspector.records.journal import Journal
        journal = Journal(Path({str(records.directory)!r}), segment_bytes=20_000)
        number = int(sys.argv[1])
        while True:
            number += 1
            journal.append(row_of(number))
            print(number, flush=True)
    """
    chance = random.Random(6)
    records.start()
    appended = 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(appended)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        assert int(writer.stdout.readline()) == appended + 1
        time.sleep(chance.uniform(0.01, 0.2))
        writer.kill()
        told = writer.stdout.read().split()
        writer.wait()
        last_told = int(told[-1]) if told else appended + 1
        newest = newest_number(records.directory, "lane-1", 7)
        assert newest is not None
        # The row may be with the kernel before the writer could say so, never the other way round.
        assert newest in (last_told, last_told + 1)
        appended = newest

    eventually(lambda: len(numbers_in(records.directory)) == appended)
    assert numbers_in(records.directory) == list(range(1, appended + 1))


def test_a_torn_last_line_is_kept_aside_and_the_next_writer_goes_on(
    records: RecordsProcess, eventually: Eventually
) -> None:
    journal = Journal(records.directory)
    journal.append(row_of(1))
    journal.close()
    with segments(records.directory)[0].open("ab") as file:
        file.write(encode_line(row_of(2))[:50])
    Journal(records.directory).append(row_of(3))
    records.start()

    eventually(lambda: numbers_in(records.directory) == [1, 3])
    database = sqlite3.connect(ledger_file(records.directory))
    (torn,) = database.execute("SELECT line FROM refused").fetchone()
    database.close()
    assert torn == encode_line(row_of(2))[:50]


def test_rows_wait_while_the_ledger_is_locked(
    records: RecordsProcess, eventually: Eventually
) -> None:
    journal = Journal(records.directory)
    records.start()
    journal.append(row_of(1))
    eventually(lambda: numbers_in(records.directory) == [1])
    other = sqlite3.connect(ledger_file(records.directory), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(2, 100):
        journal.append(row_of(number))
    time.sleep(1)
    assert numbers_in(records.directory) == [1]
    other.execute("ROLLBACK")
    other.close()

    eventually(lambda: numbers_in(records.directory) == list(range(1, 100)))


def test_rows_that_wait_for_a_locked_ledger_are_told_to_prometheus(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    there, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    recorder = Recorder(tmp_path, ["lane-1"], here, 0, 0, rows_bytes=10**9)
    other = sqlite3.connect(ledger_file(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(1, 100):
        journal.append(row_of(number))
    recorder.step()
    waiting = LEDGER_BACKLOG._value.get()
    other.execute("ROLLBACK")
    other.close()
    recorder._housekeeping_due = 0.0
    recorder.step()
    recorder.close()
    there.close()

    assert waiting == sum(len(encode_line(row_of(number))) for number in range(1, 100))
    assert LEDGER_BACKLOG._value.get() == 0


def test_rows_wait_while_the_disk_takes_no_more_bytes(
    records: RecordsProcess, eventually: Eventually
) -> None:
    """The kernel's file-size limit stands for the full disk, for the records process alone."""
    journal = Journal(records.directory)
    process = records.start()
    journal.append(row_of(1))
    eventually(lambda: numbers_in(records.directory) == [1])
    size = sum(path.stat().st_size for path in records.directory.glob("ledger.db*"))
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for number in range(2, 3001):
        journal.append(row_of(number))
    time.sleep(1)
    assert process.poll() is None
    assert len(numbers_in(records.directory)) < 3000

    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, unlimited)
    eventually(lambda: numbers_in(records.directory) == list(range(1, 3001)))


def test_the_records_process_keeps_its_ledger_within_its_bound(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(1, 3001):
        journal.append(row_of(number))
    there, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    recorder = Recorder(tmp_path, ["lane-1"], here, 0, 0, rows_bytes=500_000)
    deleted = LEDGER_ROWS_DELETED._value.get()
    for _ in range(3):
        recorder._housekeeping_due = 0.0
        recorder.step()
    recorder.close()
    there.close()

    kept = numbers_in(tmp_path)
    assert len(kept) < 2000
    assert kept == list(range(3001 - len(kept), 3001))
    assert LEDGER_ROWS_DELETED._value.get() - deleted == 3000 - len(kept)
    assert LEDGER_BYTES._value.get() > 0


def test_a_disk_that_is_nearly_full_is_told_once_and_again_when_it_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log may lie on that very disk."""
    log = CapturingLogger()
    monkeypatch.setattr("inspector.records.recorder._log", log)
    there, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    recorder = Recorder(tmp_path, ["lane-1"], here, 10**9, 10**9, rows_bytes=10**9)
    for free in (2 * 10**9, 10**9 - 1, 10**9 - 1, 2 * 10**9, 2 * 10**9):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(0, 0, free))
        recorder._housekeeping_due = 0.0
        recorder.step()
    recorder.close()
    there.close()

    told = [call.args[0] for call in log.calls]
    assert told == ["ledger_takes_rows", "disk_nearly_full", "disk_has_room"]


def test_pictures_follow_their_rows(records: RecordsProcess, eventually: Eventually) -> None:
    journal = Journal(records.directory)
    sender = PictureSender(records.sender)
    records.start()
    cup = np.full((384, 384, 3), 90, np.uint8)
    journal.append(row_of(1, Reason.DEFECT))
    assert sender.send(PartId("lane-1", 7, 1), cup, np.zeros((24, 24), np.float32))
    # And the other way round: the picture before its row.
    assert sender.send(PartId("lane-1", 7, 2), cup, None)
    time.sleep(0.5)
    journal.append(row_of(2, Reason.NO_ORIENTATION))

    def stems() -> list[str | None]:
        with open_ledger(records.directory) as ledger:
            return [part.picture for part in ledger.session("lane-1", 7)]

    eventually(lambda: len(numbers_in(records.directory)) == 2)
    eventually(lambda: None not in stems())
    pictures = records.directory / "pictures"
    one, two = stems()
    assert (pictures / f"{one}-cup.jpg").exists()
    assert (pictures / f"{one}-heat.jpg").exists()
    assert (pictures / f"{two}-cup.jpg").exists()
    assert not (pictures / f"{two}-heat.jpg").exists()


def test_the_records_process_ends_with_its_parent(records: RecordsProcess, tmp_path: Path) -> None:
    program = f"""
        import socket, subprocess, sys, time
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = subprocess.Popen([sys.executable, "-m", "inspector.records", "--config",
            {str(records.config)!r}, "--channel-fd", str(b.fileno())], pass_fds=[b.fileno()])
        print(child.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    while not ledger_file(records.directory).exists():
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("damaged", "damaged.*move it away"),
        ("not_a_folder", "cannot write to the records directory.*set records.directory"),
        ("twice", "another line records into.*stop it"),
    ],
)
def test_what_keeps_the_records_process_from_starting_is_one_clear_line_and_code_2(
    records: RecordsProcess, tmp_path: Path, fault: str, words: str
) -> None:
    others: list[RecordsProcess] = []
    if fault == "damaged":
        records.directory.mkdir()
        ledger_file(records.directory).write_bytes(b"this is no database" * 1000)
    elif fault == "not_a_folder":
        records.directory.write_text("")
    else:
        config = tmp_path / "other.yaml"
        config.write_text(configuration(records.directory))
        others.append(RecordsProcess(records.directory, config))
        others[0].start()
        while not ledger_file(records.directory).exists():
            time.sleep(0.02)

    process = records.start()
    _, told = process.communicate(timeout=20)
    for other in others:
        other.close()

    assert process.returncode == 2
    last = told.strip().splitlines()[-1]
    assert re.search(words, last), told
    assert "Traceback" not in told


def test_a_ledger_damaged_while_the_line_runs_is_no_reason_to_end_the_line(
    records: RecordsProcess, eventually: Eventually
) -> None:
    """Code 2 is a configuration that cannot be used: of a process's first life it ends the whole line."""
    journal = Journal(records.directory)
    process = records.start()
    for number in range(1, 1001):
        journal.append(row_of(number))
    eventually(lambda: len(numbers_in(records.directory)) == 1000)
    # SQLite's own index as well, or it would go on with what it remembers.
    for file in records.directory.glob("ledger.db*"):
        with file.open("r+b") as damaged:
            damaged.write(b"\xa5" * file.stat().st_size)
    for number in range(1001, 1101):
        journal.append(row_of(number))
    _, told = process.communicate(timeout=20)

    assert process.returncode == 1
    assert re.search("damaged.*move it away", told.strip().splitlines()[-1]), told
    for file in records.directory.glob("ledger.db*"):
        file.unlink()
    records.start()
    eventually(lambda: numbers_in(records.directory)[-100:] == list(range(1001, 1101)))


@pytest.mark.parametrize("fate", ["moved", "deleted"])
def test_when_the_ledger_is_taken_away_from_a_line_that_runs_no_row_goes_after_it(
    records: RecordsProcess, eventually: Eventually, fate: str
) -> None:
    """To look at it elsewhere, say: what came until then is whole there, and the next begins at once."""
    journal = Journal(records.directory, segment_bytes=2000)
    process = records.start()
    for number in range(1, 101):
        journal.append(row_of(number))
    eventually(lambda: numbers_in(records.directory) == list(range(1, 101)))
    elsewhere = records.directory.parent / "elsewhere"
    elsewhere.mkdir()
    ledger_file(records.directory).rename(ledger_file(elsewhere))
    if fate == "deleted":
        ledger_file(elsewhere).unlink()
    for number in range(101, 201):
        journal.append(row_of(number))
    _, told = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "moved away or deleted" in told.strip().splitlines()[-1]
    records.start()
    eventually(lambda: numbers_in(records.directory)[-100:] == list(range(101, 201)))
    if fate == "moved":
        assert numbers_in(elsewhere) == list(range(1, 101))


def test_a_missing_configuration_is_one_clear_line_and_code_2(tmp_path: Path) -> None:
    missing = RecordsProcess(tmp_path, tmp_path / "missing.yaml")
    process = missing.start()
    _, told = process.communicate(timeout=20)
    missing.close()

    assert process.returncode == 2
    assert "cannot read the configuration" in told
    assert os.fspath(tmp_path) in told
