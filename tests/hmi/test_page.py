"""The page's server: reads only, gives out nothing but what it should, and survives what is missing."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from inspector.core.part import PartId
from inspector.core.verdict import Reason
from inspector.hmi.app import create_app
from inspector.hmi.view import View
from inspector.records.archive import PictureArchive
from inspector.records.journal import JournalLine
from inspector.records.ledger import Ledger, ledger_file
from inspector.records.pictures import Picture
from inspector.records.row import Record, inspection_started
from inspector.records.status import LaneStatus, LineState, write_status
from tests.hmi.filled_ledger import cup_with_stain, status_of
from tests.records.plant import NOON_NS, configuration, row_of

STARTED = NOON_NS / 1e9
HOUR_NS = 3600 * 10**9


class Page:
    """A page over a records directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "records"
        self.status_file = directory / "status.json"
        self._segment = 0
        self.open_anew()

    def record(self, *numbers: int, reason: Reason = Reason.CLEAN, clock_off_ns: int = 0) -> None:
        rows = [row_of(n, reason) for n in numbers]
        self._take(
            *(replace(row, commanded_unix_ns=row.commanded_unix_ns + clock_off_ns) for row in rows)
        )

    def record_start(self, started: float) -> None:
        self._take(inspection_started(started, resuming=False))

    def _take(self, *records: Record) -> None:
        self._segment += 1
        ledger = Ledger(self.directory)
        segment = f"{self._segment}.jsonl"
        ledger.commit([JournalLine(segment, n, n + 1, b"", r) for n, r in enumerate(records)])
        ledger.close()

    def picture(self, number: int) -> None:
        archive = PictureArchive(self.directory, 10**9, 0)
        cup, heat, _ = cup_with_stain(random.Random(1))
        archive.store(Picture(PartId("lane-1", 7, number), cup, heat))
        ledger = Ledger(self.directory)
        ledger.commit(pictures_added=archive.added)
        ledger.close()

    def open_anew(self) -> None:
        """The page's process is restarted on its own."""
        self.view = View("Hall 3", ("lane-1",), self.directory, self.status_file)
        self.client = TestClient(create_app(self.view))

    def says(
        self,
        state: LineState = LineState.RUNNING,
        started: float = NOON_NS / 1e9,
        **lane: Any,
    ) -> None:
        status = status_of(("lane-1",), state, time.time(), started)
        only = LaneStatus.model_validate(status.lanes[0].model_dump() | lane)
        write_status(self.status_file, status.model_copy(update={"lanes": (only,)}))

    def state(self) -> dict[str, Any]:
        time.sleep(0.25)
        content: dict[str, Any] = self.client.get("/api/state").json()
        return content

    def lane(self) -> dict[str, Any]:
        (lane,) = self.state()["lanes"]
        only: dict[str, Any] = lane
        return only


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def test_before_anything_ran_the_page_says_so(page: Page) -> None:
    state = page.state()

    assert state["headline"]["title"] == "No news from the line"
    assert state["lanes"][0]["passed"] == 0
    assert state["lanes"][0]["reject_percent"] is None
    assert state["lanes"][0]["rejects"] == []
    assert not ledger_file(page.directory).exists(), "reading makes no ledger"


def test_counters_are_what_the_ledger_holds(page: Page) -> None:
    page.says()
    page.record(1, 2, 3)
    page.record(4, reason=Reason.DEFECT)
    lane = page.lane()
    assert (lane["passed"], lane["rejected"], lane["reject_percent"]) == (3, 1, 25.0)

    page.record(5, 6, reason=Reason.MISSING_FRAME)
    lane = page.lane()
    assert (lane["passed"], lane["rejected"]) == (3, 3)
    assert [(r["words"], r["count"]) for r in lane["reasons"]] == [
        ("No picture came from the camera", 2),
        ("Defect on the cup", 1),
    ]


def test_counters_begin_anew_with_the_line_and_with_another_ledger(page: Page) -> None:
    page.record(1, 2)
    page.record_start(STARTED)
    page.record(3)
    page.says(started=STARTED)
    assert page.lane()["passed"] == 1

    # As the remedy for a damaged ledger says.
    ledger_file(page.directory).rename(page.directory / "ledger.db.damaged")
    page.record(*range(10, 20))
    assert page.lane()["passed"] == 10


def test_a_clock_set_back_while_the_line_runs_hides_no_part(page: Page) -> None:
    page.record_start(STARTED)
    page.record(*range(1, 11))
    page.record(*range(11, 111), clock_off_ns=-2 * HOUR_NS)
    page.says(started=STARTED, parts={"clean": 110})

    assert page.lane()["passed"] == 110
    assert page.state()["headline"]["title"] == "Running"


def test_parts_of_a_former_start_whose_clock_ran_ahead_are_not_counted_again(page: Page) -> None:
    page.record(*range(1, 51), clock_off_ns=2 * HOUR_NS)
    page.record_start(STARTED)
    page.record(51, 52)
    page.says(started=STARTED, parts={"clean": 2})

    assert page.lane()["passed"] == 2


def test_a_page_restarted_on_its_own_counts_since_the_lines_start(page: Page) -> None:
    page.record_start(STARTED)
    page.record(1, 2, 3, clock_off_ns=-2 * HOUR_NS)
    page.says(started=STARTED)
    assert page.lane()["passed"] == 3

    page.open_anew()
    page.record(4)
    assert page.lane()["passed"] == 4


def test_rows_of_a_former_start_that_come_late_are_not_counted(page: Page) -> None:
    page.record_start(STARTED - 3600)
    page.record(1, 2, 3)
    page.says(started=STARTED, parts={"clean": 30})
    assert page.lane()["passed"] == 0
    assert page.state()["headline"]["title"] == "Running, but 30 parts are not recorded yet"

    page.record(4, 5)
    page.record_start(STARTED)
    page.record(*range(6, 36))
    assert page.lane()["passed"] == 30
    assert page.state()["headline"]["title"] == "Running"


def test_the_last_rejects_come_newest_first_with_their_words(page: Page) -> None:
    page.says()
    page.record(1, reason=Reason.DEFECT)
    page.record(2, reason=Reason.MISSING_FRAME)
    page.picture(1)
    newest, before = page.lane()["rejects"]

    assert (newest["number"], newest["words"]) == (2, "No picture came from the camera")
    assert not newest["picture"]
    assert before["picture"]
    assert before["score"] == 1.5
    assert before["boxes"] == [[10, 20, 30, 40]]


def test_pictures_are_given_by_part(page: Page) -> None:
    page.record(1, reason=Reason.DEFECT)
    page.picture(1)

    for kind in ("cup", "heat"):
        answer = page.client.get(f"/pictures/lane-1/7/1/{kind}.jpg")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8")
    assert page.client.get("/pictures/lane-1/7/2/cup.jpg").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/../../../etc/passwd",
        "/pictures/lane-1/7/..%2f..%2fledger.db/cup.jpg",
        "/pictures/..%2f..%2f/7/1/cup.jpg",
        "/pictures/lane-1/7/1/..%2f..%2fledger.jpg",
        "/pictures/lane-1/7/99999999999999999999999/cup.jpg",
        "/pictures/lane-1/-7/1/cup.jpg",
        "/pictures/lane-1/\u0667/1/cup.jpg",
        "/page.py",
        "/static/page.js",
    ],
)
def test_nothing_else_is_given(page: Page, path: str) -> None:
    page.record(1, reason=Reason.DEFECT)
    page.picture(1)

    assert page.client.get(path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/api/state", "/healthz", "/pictures/lane-1/7/1/cup.jpg"])
def test_nothing_can_be_commanded(page: Page, method: str, path: str) -> None:
    assert page.client.request(method, path).status_code == 405


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/state", "/missing"])
def test_the_browser_is_told_to_load_nothing_from_elsewhere(page: Page, path: str) -> None:
    policy = page.client.get(path).headers["content-security-policy"]

    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy


def test_health_is_told(page: Page) -> None:
    assert page.client.get("/healthz").text == "ok"


def test_a_line_that_says_nothing_new_is_silent_even_if_the_clock_is_set_back(page: Page) -> None:
    status = status_of(("lane-1",), LineState.RUNNING, time.time() + 3600, NOON_NS / 1e9)
    write_status(page.status_file, status)
    assert page.state()["headline"]["title"] == "Running"

    time.sleep(2.1)
    assert page.state()["headline"]["title"] == "No news from the line for 2 s"


def test_records_that_fall_behind_are_told(page: Page) -> None:
    page.record_start(STARTED)
    page.says(parts={"clean": 130, "defect": 7})
    page.record(*range(1, 101))

    assert page.state()["headline"]["title"] == "Running, but 37 parts are not recorded yet"


@pytest.mark.parametrize("restarted", [False, True])
def test_in_a_ledger_begun_while_the_line_runs_only_later_rows_can_be_missing(
    page: Page, restarted: bool
) -> None:
    page.record_start(STARTED)
    page.record(*range(1, 101))
    page.says(parts={"clean": 100})
    assert page.state()["headline"]["title"] == "Running"

    ledger_file(page.directory).rename(page.directory / "ledger.db.damaged")
    page.says(parts={"clean": 160})
    assert page.state()["headline"]["title"] == "Running, but 160 parts are not recorded yet"
    page.record(*range(131, 161))
    if restarted:
        page.open_anew()
    assert page.state()["headline"]["title"] == "Running"

    page.says(parts={"clean": 190})
    assert page.state()["headline"]["title"] == "Running, but 30 parts are not recorded yet"
    page.record(*range(161, 191))
    assert page.state()["headline"]["title"] == "Running"


def test_rows_that_had_to_make_room_are_not_missing(page: Page) -> None:
    page.record_start(STARTED)
    page.record(*range(1, 2001))
    ledger = Ledger(page.directory)
    ledger.make_room(0)
    ledger.close()
    page.says(started=STARTED, parts={"clean": 2000})

    state = page.state()
    assert state["headline"]["title"] == "Running"
    assert state["lanes"][0]["passed"] == 1000


def test_a_half_written_status_is_no_status(page: Page) -> None:
    page.status_file.write_text('{"line": "Hall 3", "sta')

    assert page.state()["headline"]["level"] == "silent"


def test_a_damaged_ledger_does_not_stop_the_page(page: Page) -> None:
    page.says()
    page.directory.mkdir()
    ledger_file(page.directory).write_bytes(b"no database" * 1000)

    assert page.lane()["passed"] == 0


def test_a_row_that_says_what_no_line_says_does_not_stop_the_page(page: Page) -> None:
    """As damage leaves it that SQLite does not notice."""
    page.says()
    page.record(1, reason=Reason.DEFECT)
    damaged = sqlite3.connect(ledger_file(page.directory))
    damaged.execute("UPDATE parts SET reason = 'defekt'")
    damaged.commit()
    damaged.close()

    assert page.lane()["rejects"] == []


def test_reading_never_locks_the_ledger(page: Page) -> None:
    page.record(1)
    writer = sqlite3.connect(ledger_file(page.directory), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    assert page.lane()["passed"] == 1
    writer.execute("ROLLBACK")
    writer.close()


def run_page(config: Path, status: Path, *, isolated: bool = False) -> subprocess.Popen[str]:
    program = ["-m", "inspector.hmi"]
    if isolated:
        # As where the extra is not installed: uvicorn cannot be found.
        program = [
            "-c",
            "import sys, runpy; sys.modules['uvicorn'] = None; "
            "runpy.run_module('inspector.hmi', run_name='__main__')",
        ]
    return subprocess.Popen(
        [sys.executable, *program, "--config", str(config), "--status", str(status)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_config(tmp_path: Path, **page: object) -> Path:
    settings = json.loads(configuration(tmp_path / "records"))
    config = tmp_path / "line.yaml"
    config.write_text(json.dumps(settings | {"page": {"port": 0, **page}}))
    return config


def test_the_page_tells_its_address_and_ends_when_asked(tmp_path: Path) -> None:
    process = run_page(write_config(tmp_path), tmp_path / "status.json")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    curl = [
        sys.executable,
        "-c",
        "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read())",
    ]
    answer = subprocess.run([*curl, f"{url}healthz"], capture_output=True, text=True, check=True)
    process.terminate()
    process.communicate(timeout=10)

    assert answer.stdout.strip() == "b'ok'"
    assert process.returncode == 0


def test_a_taken_port_is_one_clear_line_and_code_2(tmp_path: Path) -> None:
    first = run_page(write_config(tmp_path), tmp_path / "status.json")
    assert first.stdout is not None
    port = int(first.stdout.readline().strip().rstrip("/").rsplit(":", 1)[1])
    second = run_page(write_config(tmp_path, port=port), tmp_path / "status.json")
    _, told = second.communicate(timeout=20)
    first.terminate()
    first.communicate(timeout=10)

    assert second.returncode == 2
    assert (
        told.strip()
        .splitlines()[-1]
        .endswith("Address already in use; free the port or set page.port to another (0 takes any)")
    )


def test_without_the_extra_the_remedy_is_told(tmp_path: Path) -> None:
    process = run_page(write_config(tmp_path), tmp_path / "status.json", isolated=True)
    _, told = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "the operators' page needs the package uvicorn; pip install 'inspector[hmi]'" in told


def test_pictures_that_retention_took_are_not_found(page: Page) -> None:
    page.record(1, reason=Reason.DEFECT)
    page.picture(1)
    shutil.rmtree(page.directory / "pictures")

    assert page.client.get("/pictures/lane-1/7/1/cup.jpg").status_code == 404


def test_records_that_wait_behind_a_damaged_ledger_are_told_with_what_mends_it(page: Page) -> None:
    page.directory.mkdir()
    ledger_file(page.directory).write_bytes(b"this is no database" * 1000)
    page.says(parts={"clean": 130, "defect": 7})

    headline = page.state()["headline"]
    assert headline["title"] == "Running, but 137 parts are not recorded yet"
    assert "damaged (then move it away)" in headline["detail"]
