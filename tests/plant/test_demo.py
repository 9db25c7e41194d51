"""The whole plant, as a newcomer starts it: conveyor, simulated Triton, line, PLC, page."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from inspector.demo.faults import SCENARIOS
from inspector.records.reading import open_ledger

pytestmark = [pytest.mark.plant, pytest.mark.timeout(240)]


def demo(directory: Path, *options: str) -> list[str]:
    command = [sys.executable, "-m", "inspector", "demo", "--directory", str(directory / "demo")]
    return [*command, "--json", str(directory / "summary.json"), *options]


def run_demo(directory: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        demo(directory, *options), capture_output=True, text=True, timeout=220, check=False
    )
    log = directory / "demo" / "line.log"
    tail = log.read_text()[-3000:] if log.exists() else ""
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-1500:]}\n{tail}"
    summary: dict[str, Any] = json.loads((directory / "summary.json").read_text())
    return summary


def assert_every_part_is_accounted_for(summary: dict[str, Any], parts: int) -> None:
    assert summary["parts"] == parts
    assert summary["mis_diverted"] == 0
    assert summary["missing_rows"] == 0
    assert summary["foreign_rows"] == 0
    assert summary["passed"] + sum(summary["rejected"].values()) == parts


def test_every_part_of_a_run_gets_its_own_verdict_its_own_row_and_its_own_way_at_the_gate(
    tmp_path: Path,
) -> None:
    options = "--parts", "60", "--defect-rate", "0.3", "--seed", "5", "--workers", "2"
    summary = run_demo(tmp_path, *options)
    assert_every_part_is_accounted_for(summary, 60)
    assert summary["defective"] >= 9
    assert summary["passed"] > 0
    assert summary["rejected"].get("defect", 0) > 0


def test_faults_of_every_kind_cost_parts_but_never_their_rows_nor_a_wrong_pass(
    tmp_path: Path,
) -> None:
    last = SCENARIOS["all"][-1]
    parts = int(2 * (last.at_s + 8))
    summary = run_demo(tmp_path, "--parts", str(parts), "--faults", "all", "--seed", "9")
    assert_every_part_is_accounted_for(summary, parts)
    assert [done["says"] for done in summary["faults"]] == [f.says for f in SCENARIOS["all"]]
    rejected = summary["rejected"]
    assert rejected["unseen"] > 0, "inspection or PLC were away and parts passed the camera"
    assert rejected["engine_error"] > 0, "the recipe was damaged"
    assert rejected["changeover"] > 0, "the PLC asked for another product"
    assert rejected["missing_frame"] + rejected.get("incomplete_frame", 0) >= 4
    with open_ledger(tmp_path / "demo" / "records") as ledger:
        kinds = [kind for _, kind, _, _ in ledger.events()]
        newest = ledger.newest("lane-1")
        assert newest is not None
        rows = ledger.session("lane-1", newest.session)
    assert {"camera_lost", "plc_link_down", "plc_link_up", "recipe_unusable"} <= set(kinds)
    assert {"belt_stands", "belt_stands_over", "recipe_changed"} <= set(kinds)
    assert "passed_wrongly" not in kinds
    reasons = "".join("." if row.reason == "clean" else "x" for row in rows)
    assert reasons.count("x.") >= 5, "the line did not recover between its faults"
    assert "." in reasons[-8:], "the line did not recover in the end"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_costs_no_part_and_no_row(tmp_path: Path) -> None:
    options = ("--parts", "40", "--faults", "disk-full", "--defect-rate", "0", "--encoder")
    summary = run_demo(tmp_path, *options)
    assert_every_part_is_accounted_for(summary, 40)
    assert len(summary["faults"]) == 2
    assert summary["passed"] >= 30


@pytest.mark.parametrize("trigger", ["software", "free_run"])
def test_the_line_runs_without_a_photo_eye_at_the_camera(tmp_path: Path, trigger: str) -> None:
    summary = run_demo(
        tmp_path, "--parts", "16", "--trigger", trigger, "--rate", "1.4", "--seed", "8"
    )
    assert_every_part_is_accounted_for(summary, 16)
    assert summary["passed"] > 0


def test_ctrl_c_ends_every_process_within_three_seconds(tmp_path: Path) -> None:
    plant = subprocess.Popen(
        demo(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert plant.stdout is not None
    try:
        page = metrics = ""
        while not metrics:
            line = plant.stdout.readline()
            assert line, "the demo ended before it was ready"
            if "operators' page" in line:
                page = line.split()[-1]
            elif line.startswith("metrics"):
                metrics = line.split()[-1]
        time.sleep(8)
        with urllib.request.urlopen(page, timeout=5) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            text = answer.read().decode()
        assert 'inspector_parts_total{lane="lane-1"' in text
        children = psutil.Process(plant.pid).children(recursive=True)
        assert len(children) >= 6, "supervisor, acquisition, inspection, records, page, PLC, belt"
        plant.send_signal(signal.SIGINT)
        plant.communicate(timeout=30)
        _, alive = psutil.wait_procs(children, timeout=2)
        assert not alive
    finally:
        plant.kill()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["invariants_held"]
    assert summary["stopped_within_s"] < 3


def test_no_process_survives_a_demo_that_is_killed(tmp_path: Path) -> None:
    plant = subprocess.Popen(demo(tmp_path), stdout=subprocess.PIPE, text=True)
    assert plant.stdout is not None
    while not plant.stdout.readline().startswith("metrics"):
        assert plant.poll() is None
    children = psutil.Process(plant.pid).children(recursive=True)
    plant.kill()
    plant.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_line_whose_camera_is_not_there_does_not_start_and_says_why(tmp_path: Path) -> None:
    configuration = tmp_path / "line.yaml"
    configuration.write_text(
        "lanes: [{name: lane-1, recipe: none, camera: {producer: none.cti}}]\n"
        f"records: {{directory: {tmp_path}/records}}\npage: {{port: 0}}\nmetrics: {{port: 0}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "inspector", "run", str(configuration)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert any("none.cti" in line for line in lines)
    assert any("recipe" in line for line in lines)
    assert any("plc" in line for line in lines)
    assert "Traceback" not in done.stderr
