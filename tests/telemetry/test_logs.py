"""The log is one JSON object a line, and never what stops the line."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path


def run(program: str, stderr: Path) -> subprocess.CompletedProcess[bytes]:
    with stderr.open("wb") as file:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], stderr=file, check=False
        )


def test_every_line_of_the_log_is_json_and_names_its_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(
        """
        from inspector.telemetry.logs import configure_logs
        configure_logs("inspection").warning("camera_lost", lane="lane-1", since_s=1.5)
        """,
        log,
    )
    (line,) = log.read_text().splitlines()

    told = json.loads(line)
    assert told["event"] == "camera_lost"
    assert (told["process"], told["level"], told["lane"]) == ("inspection", "warning", "lane-1")
    assert told["timestamp"].endswith("Z")


def test_levels_below_the_configured_one_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(
        """
        from inspector.telemetry.logs import configure_logs
        told = configure_logs("inspection", "warning")
        told.info("chatter")
        told.error("trouble")
        """,
        log,
    )

    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["trouble"]


def test_a_log_on_a_full_disk_does_not_stop_the_process(tmp_path: Path) -> None:
    """The kernel's file-size limit stands for the full disk."""
    log = tmp_path / "log"
    done = run(
        """
        import resource, sys
        from inspector.telemetry.logs import configure_logs
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        told = configure_logs("inspection")
        for number in range(1000):
            told.error("journal_cannot_write", number=number)
        sys.stdout.write("went on")
        """,
        log,
    )

    assert done.returncode == 0
    assert log.stat().st_size == 100
