"""The ledger: one row per part, and nothing that contradicts itself."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.core.errors import RecordsError
from inspector.core.part import PartId
from inspector.core.verdict import Reason
from inspector.records.journal import Journal, JournalLine, read_lines, segments
from inspector.records.ledger import ROW_BYTES, Ledger, LedgerUnavailableError, ledger_file
from inspector.records.reading import Box, newest_number, open_ledger
from inspector.records.row import LedgerEvent, LedgerRow, Record, inspection_started, utc_text
from inspector.telemetry.metrics import DROPPED
from tests.records.plant import NOON_NS, row_of


def lines(*records: Record, segment: str = "00000001-ab.jsonl") -> list[JournalLine]:
    return [
        JournalLine(segment, start=100 * i, end=100 * (i + 1), content=b"...", record=record)
        for i, record in enumerate(records)
    ]


def torn(count: int, segment: str = "00000001-ab.jsonl") -> list[JournalLine]:
    return [
        JournalLine(segment, start=100 * n, end=100 * (n + 1), content=b"?" * 500, record=None)
        for n in range(count)
    ]


def query(directory: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(ledger_file(directory))
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def test_a_row_is_read_back_as_it_was_recorded(tmp_path: Path) -> None:
    Ledger(tmp_path).commit(lines(row_of(1), row_of(2, Reason.DEFECT)))

    with open_ledger(tmp_path) as ledger:
        recorded = ledger.part(PartId("lane-1", 7, 2))
        assert ledger.part(PartId("lane-1", 7, 3)) is None
    assert recorded is not None
    assert recorded.reason is Reason.DEFECT
    assert recorded.score == 1.5
    assert recorded.boxes == (Box(10, 20, 30, 40),)
    assert recorded.triggered == utc_text(NOON_NS + 2 * 10**9)
    assert recorded.latency_ns == 80_000_000
    assert recorded.picture is None


def test_the_same_lines_twice_make_the_rows_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    assert ledger.commit(lines(row_of(1), row_of(2))) == 2
    assert ledger.commit(lines(row_of(1), row_of(2), row_of(3))) == 1
    assert query(tmp_path, "SELECT count(*) FROM parts") == [(3,)]
    assert query(tmp_path, "SELECT count(*) FROM refused") == [(0,)]


def test_a_second_different_row_for_a_part_is_kept_aside_and_the_first_stays(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    ledger.commit(lines(row_of(1, Reason.DEFECT)))
    ledger.commit(lines(row_of(1), segment="00000002-cd.jsonl"))

    assert query(tmp_path, "SELECT reason FROM parts") == [("defect",)]
    assert query(tmp_path, "SELECT source, why FROM refused") == [
        ("00000002-cd.jsonl:0", "a second, different row for a part that has its row already")
    ]


def test_a_damaged_line_is_kept_aside_and_does_not_hold_up_the_others(tmp_path: Path) -> None:
    first, last = lines(row_of(1), row_of(2))
    damaged = JournalLine(first.segment, 40, 60, b"\xff torn", None, "torn or damaged")
    Ledger(tmp_path).commit([first, damaged, last])

    assert query(tmp_path, "SELECT number FROM parts ORDER BY id") == [(1,), (2,)]
    assert query(tmp_path, "SELECT line FROM refused") == [(b"\xff torn",)]


def test_a_row_that_sqlite_cannot_hold_is_kept_aside(tmp_path: Path) -> None:
    Ledger(tmp_path).commit(lines(row_of(2**70), row_of(2, lane="\ud800"), row_of(3)))

    assert query(tmp_path, "SELECT number FROM parts") == [(3,)]
    assert query(tmp_path, "SELECT count(*) FROM refused") == [(2,)]


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.CLEAN])
def test_the_ledger_itself_refuses_a_pass_that_is_not_clean(tmp_path: Path, reason: Reason) -> None:
    Ledger(tmp_path).commit(lines(row_of(1), row_of(2, Reason.DEFECT)))
    connection = sqlite3.connect(ledger_file(tmp_path))

    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute("UPDATE parts SET reason = ? WHERE number = 1", (reason,))
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute("UPDATE parts SET outcome = 'pass' WHERE number = 2")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute("UPDATE parts SET reason = 'clean' WHERE number = 2")
    connection.close()


def test_events_make_the_audit_trail(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    trail = lines(
        LedgerEvent(NOON_NS, "line_started", details={"version": "0.1.0"}),
        LedgerEvent(NOON_NS + 1000, "camera_lost", "lane-1"),
    )
    ledger.commit(trail)
    ledger.commit(trail)

    with open_ledger(tmp_path) as reader:
        assert reader.events() == [
            (utc_text(NOON_NS + 1000), "camera_lost", "lane-1", {}),
            (utc_text(NOON_NS), "line_started", "", {"version": "0.1.0"}),
        ]


def test_counts_go_on_from_where_they_were(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.commit(lines(row_of(1), row_of(2), row_of(3, Reason.DEFECT), row_of(1, lane="lane-2")))

    with open_ledger(tmp_path) as reader:
        newest, counts = reader.counts()
        assert counts == {
            "lane-1": {Reason.CLEAN: 2, Reason.DEFECT: 1},
            "lane-2": {Reason.CLEAN: 1},
        }
        assert reader.counts(after_id=newest) == (newest, {})

        ledger.commit(lines(row_of(4), segment="00000002-cd.jsonl"))
        assert reader.counts(after_id=newest) == (newest + 1, {"lane-1": {Reason.CLEAN: 1}})
        assert reader.counts(after_id=2)[1] == {
            "lane-1": {Reason.DEFECT: 1, Reason.CLEAN: 1},
            "lane-2": {Reason.CLEAN: 1},
        }


def test_where_a_start_lies_among_the_rows_is_known(tmp_path: Path) -> None:
    first, second = NOON_NS / 1e9, NOON_NS / 1e9 - 3600
    ledger = Ledger(tmp_path)
    with open_ledger(tmp_path) as reader:
        assert reader.newest_before(first) == 0

        ledger.commit(lines(inspection_started(first, resuming=False), row_of(1), row_of(2)))
        assert reader.newest_before(first) == 0
        assert reader.newest_before(second) is None

        again = lines(inspection_started(second, resuming=True), row_of(3), segment="2-cd.jsonl")
        ledger.commit(again)
        assert reader.newest_before(second) == 2


def to_version_2(directory: Path) -> None:
    """Make a ledger what it was when lines that cannot be rows had no order."""
    old = sqlite3.connect(ledger_file(directory))
    old.executescript(
        """
        CREATE TABLE of_old (source TEXT PRIMARY KEY, why TEXT NOT NULL, line BLOB NOT NULL)
            STRICT, WITHOUT ROWID;
        INSERT INTO of_old SELECT source, why, line FROM refused;
        DROP TABLE refused;
        ALTER TABLE of_old RENAME TO refused;
        PRAGMA user_version = 2;
        """
    )
    old.close()


def test_a_ledger_of_the_second_version_keeps_what_it_kept_aside(tmp_path: Path) -> None:
    Ledger(tmp_path).commit(torn(3))
    to_version_2(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.commit(torn(2, segment="00000002-cd.jsonl"))

    kept = query(tmp_path, "SELECT source FROM refused ORDER BY id")
    assert [source for (source,) in kept] == [
        *("00000001-ab.jsonl:0", "00000001-ab.jsonl:100", "00000001-ab.jsonl:200"),
        *("00000002-cd.jsonl:0", "00000002-cd.jsonl:100"),
    ]


def test_a_ledger_of_the_first_version_is_carried_over(tmp_path: Path) -> None:
    Ledger(tmp_path).commit(lines(LedgerEvent(NOON_NS, "camera_lost"), row_of(1)))
    to_version_2(tmp_path)
    old = sqlite3.connect(ledger_file(tmp_path))
    old.executescript("ALTER TABLE events DROP COLUMN newest_part; PRAGMA user_version = 1;")
    old.close()
    ledger = Ledger(tmp_path)
    ledger.commit(lines(inspection_started(1.0, resuming=False), row_of(2), segment="2-cd.jsonl"))

    with open_ledger(tmp_path) as reader:
        assert [kind for _, kind, _, _ in reader.events()] == ["inspection_started", "camera_lost"]
        assert reader.newest_before(1.0) == 1
        assert reader.counts(after_id=0) == (2, {"lane-1": {Reason.CLEAN: 2}})


def test_the_last_rejects_come_newest_first(tmp_path: Path) -> None:
    reasons = [Reason.CLEAN, Reason.DEFECT, Reason.MISSING_FRAME]
    Ledger(tmp_path).commit(lines(*(row_of(n, reasons[n % 3]) for n in range(1, 40))))

    with open_ledger(tmp_path) as ledger:
        rejects = ledger.last_rejects("lane-1", 4)
    assert [reject.part.number for reject in rejects] == [38, 37, 35, 34]


def numbers(directory: Path, lane: str = "lane-1") -> list[object]:
    rows = query(directory, f"SELECT number FROM parts WHERE lane = '{lane}' ORDER BY id")
    return [number for (number,) in rows]


def test_a_count_goes_on_after_its_own_newest_row_wherever_that_is_and_whoever_came_since(
    tmp_path: Path,
) -> None:
    def of(session: int, number: int) -> LedgerRow:
        row = row_of(number)
        part = replace(row.verdict.part, session=session)
        return replace(row, verdict=replace(row.verdict, part=part))

    journal = Journal(tmp_path)
    for record in (of(7, 1), of(7, 2), of(8, 1)):
        journal.append(record)
    (segment,) = segments(tmp_path)
    with segment.open("rb") as file:
        Ledger(tmp_path).commit(list(read_lines(file, segment.name, 0, complete=False)))
    journal.append(of(8, 2))

    found = {session: newest_number(tmp_path, "lane-1", session) for session in (7, 8, 9)}
    assert found == {7: 2, 8: 2, 9: 0}
    assert newest_number(tmp_path, "lane-2", 7) is None


def test_when_the_ledger_is_full_the_oldest_rows_go_and_their_room_is_used_again(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    for thousand in range(20):
        first = 1 + 1000 * thousand
        rows = (row_of(n) for n in range(first, first + 1000))
        ledger.commit(lines(*rows, segment=f"{thousand:08d}-ab.jsonl"))
        while ledger.make_room(1_000_000):
            pass
    ledger.close()

    kept = numbers(tmp_path)
    assert 1000 < len(kept) < 5000
    assert kept == list(range(20_001 - len(kept), 20_001))
    assert ledger_file(tmp_path).stat().st_size < 2_000_000
    assert query(tmp_path, "PRAGMA quick_check") == [("ok",)]


def test_a_ledger_that_has_room_loses_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.commit(lines(*(row_of(n) for n in range(1, 101))))

    assert ledger.make_room(10_000_000) == 0
    assert numbers(tmp_path) == list(range(1, 101))


def test_only_a_few_rows_go_at_a_time_so_that_no_commit_waits_for_them(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.commit(lines(*(row_of(n) for n in range(1, 2501))))

    assert [ledger.make_room(0) for _ in range(4)] == [1000, 1000, 499, 0]


def test_a_clock_that_jumps_deletes_no_fresh_row(tmp_path: Path) -> None:
    year_ns = 365 * 24 * 3600 * 10**9
    ledger = Ledger(tmp_path)
    for step, off_ns in enumerate((0, year_ns, -year_ns, 0)):
        rows = (row_of(n) for n in range(1 + 1000 * step, 1001 + 1000 * step))
        shifted = (replace(r, commanded_unix_ns=r.commanded_unix_ns + off_ns) for r in rows)
        ledger.commit(lines(*shifted, segment=f"{step:08d}-ab.jsonl"))

    assert ledger.make_room(1_000_000) == 1000
    assert numbers(tmp_path) == list(range(1001, 4001))


def test_each_lanes_newest_row_stays_for_the_next_start_to_go_on_from(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    idle = (row_of(n, lane="lane-2") for n in range(1, 11))
    ledger.commit(lines(*idle, *(row_of(n) for n in range(1, 501))))
    while ledger.make_room(0):
        pass

    assert numbers(tmp_path, "lane-2") == [10]
    assert newest_number(tmp_path, "lane-2", 7) == 10
    assert numbers(tmp_path) == [500]
    ledger.commit(lines(row_of(501), segment="00000002-cd.jsonl"))
    with open_ledger(tmp_path) as reader:
        assert reader.counts(after_id=510)[0] == 511, "row ids never come twice"


def test_the_audit_trail_has_a_bound_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.records.ledger.EVENTS_KEPT", 30)
    ledger = Ledger(tmp_path)
    ledger.commit(lines(*(LedgerEvent(n, "camera_lost", details={"n": n}) for n in range(100))))
    ledger.make_room(10_000_000)

    with open_ledger(tmp_path) as reader:
        assert [details["n"] for *_, details in reader.events()] == list(range(99, 69, -1))


def test_lines_that_are_no_rows_do_not_drive_out_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.records.ledger.REFUSED_KEPT", 30)
    ledger = Ledger(tmp_path)
    ledger.commit(lines(*(row_of(n) for n in range(1, 101))))
    told = DROPPED.labels("all", "journal_line")
    before = told._value.get()
    for thousand in range(3):
        # The later, the smaller its name: what counts is when it came.
        ledger.commit(torn(1000, segment=f"{9 - thousand:08d}-ab.jsonl"))
        ledger.make_room(500_000)
    while ledger.make_room(500_000):
        pass

    assert numbers(tmp_path) == list(range(1, 101))
    assert told._value.get() - before == 3000
    kept = query(tmp_path, "SELECT source FROM refused ORDER BY id")
    assert [source for (source,) in kept] == [
        f"00000007-ab.jsonl:{100 * n}" for n in range(970, 1000)
    ]


def test_nothing_is_deleted_while_the_ledger_is_locked(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.commit(lines(row_of(1), row_of(2)))
    other = sqlite3.connect(ledger_file(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(LedgerUnavailableError, match="locked"):
        ledger.make_room(0)
    other.execute("ROLLBACK")
    other.close()
    assert numbers(tmp_path) == [1, 2]


def test_a_row_takes_as_much_room_as_the_doctor_reckons_with(tmp_path: Path) -> None:
    names = (
        "exposure transfer queue reduce segment outline demosaic rim orientation unroll detector"
    )
    stages = dict.fromkeys([*names.split(), "decision", "command"], 12_345_678)
    rows = (replace(row_of(n), stages_ns=stages, exposed_ns=10**15) for n in range(1, 4001))
    ledger = Ledger(tmp_path)
    ledger.commit(lines(*rows))
    ledger.close()

    assert ledger_file(tmp_path).stat().st_size / 4000 == pytest.approx(ROW_BYTES, rel=0.1)


def test_a_locked_ledger_takes_nothing_and_says_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    other = sqlite3.connect(ledger_file(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(LedgerUnavailableError, match="locked"):
        ledger.commit(lines(row_of(1)))
    other.execute("ROLLBACK")
    assert ledger.commit(lines(row_of(1))) == 1
    other.close()


def test_a_ledger_that_is_moved_while_it_is_open_is_whole_where_it_lies_then(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "here")
    ledger.commit(lines(*(row_of(n) for n in range(1, 101))))
    (tmp_path / "there").mkdir()
    ledger_file(tmp_path / "here").rename(ledger_file(tmp_path / "there"))
    ledger.close()
    Ledger(tmp_path / "here").close()

    assert numbers(tmp_path / "there") == list(range(1, 101))


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    assert ledger._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("damage", ["header", "middle"])
def test_a_damaged_ledger_is_told_with_its_remedy(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.commit(lines(*(row_of(n) for n in range(1, 500))))
    ledger.close()
    content = bytearray(ledger_file(tmp_path).read_bytes())
    place = 0 if damage == "header" else len(content) // 2
    content[place : place + 8000] = b"\xa5" * 8000
    ledger_file(tmp_path).write_bytes(content)

    with pytest.raises(RecordsError, match=r"damaged.*; move it away"):
        Ledger(tmp_path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(ledger_file(tmp_path))
    other.execute("CREATE TABLE accounts (id)")
    other.close()

    with pytest.raises(RecordsError, match="not an inspector's ledger"):
        Ledger(tmp_path)


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    newer = sqlite3.connect(ledger_file(tmp_path))
    newer.execute("PRAGMA user_version = 99")
    newer.close()

    with pytest.raises(RecordsError, match="newer inspector"):
        Ledger(tmp_path)


def test_a_ledger_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    begun = sqlite3.connect(ledger_file(tmp_path))
    begun.execute("PRAGMA journal_mode = WAL")
    begun.close()

    assert Ledger(tmp_path).commit(lines(row_of(1))) == 1
