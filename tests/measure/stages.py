"""CPU per part of each process, and time of each stage, in a run of the whole plant.

    python -m tests.measure.stages --parts 120 > docs/measurements/stages.md

Processes: CPU seconds as the kernel counts them, from the moment the first part passes, divided by the
parts of that time. Stages: as the line's own ledger has them, medians and 99th percentiles.
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from inspector.demo.plant import LANE
from inspector.records.ledger import ledger_file

ROLES = {
    "inspector.camera.acquire": "acquisition (with the simulated camera's own work)",
    "inspector.inspection": "inspection",
    "inspector.records": "records",
    "inspector.hmi": "operators' page",
    "inspector.twin.conveyor": "plant: conveyor, drawing cups",
    "inspector.twin.plc": "plant: PLC",
    "inspector.demo.line": "supervisor",
}


def role(process: psutil.Process) -> str | None:
    """What a process is in the plant, by its command line."""
    words = process.cmdline()
    for marker, name in ROLES.items():
        if marker in words:
            return name
    return None


def parts_so_far(records: Path) -> int:
    """Rows in the ledger."""
    try:
        with sqlite3.connect(f"{ledger_file(records).as_uri()}?mode=ro", uri=True) as ledger:
            return int(ledger.execute("SELECT count(*) FROM parts").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def cpu_seconds(demo: psutil.Process) -> dict[str, float]:
    """CPU seconds used so far, by role."""
    used: dict[str, float] = {}
    for process in demo.children(recursive=True):
        try:
            name = role(process)
            times = process.cpu_times()
        except psutil.Error:
            continue
        if name is not None:
            used[name] = used.get(name, 0.0) + times.user + times.system
    return used


def main() -> None:
    """Run the demo, watch it, print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=120)
    parser.add_argument("--rate", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder).resolve() / "demo"
        summary_file = Path(folder) / "summary.json"
        command = [sys.executable, "-m", "inspector", "demo", "--directory", str(directory)]
        command += ["--parts", str(options.parts), "--rate", str(options.rate)]
        command += ["--json", str(summary_file)]
        plant = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        demo = psutil.Process(plant.pid)
        first: tuple[int, dict[str, float]] | None = None
        last: tuple[int, dict[str, float]] = (0, {})
        while plant.poll() is None:
            count = parts_so_far(directory / "records")
            used = cpu_seconds(demo)
            if count and first is None:
                first = (count, used)
            if used and len(used) >= len(last[1]):
                last = (count, used)
            time.sleep(0.5)
        if plant.returncode != 0 or first is None:
            sys.exit(f"the demo ended with {plant.returncode}")
        summary = json.loads(summary_file.read_text())
        with sqlite3.connect(ledger_file(directory / "records")) as ledger:
            stored = ledger.execute(
                "SELECT stages_ns, latency_ns FROM parts WHERE lane = ? AND score IS NOT NULL",
                (LANE,),
            ).fetchall()
    print_report(options.parts, options.rate, summary, first, last, stored)


def print_report(
    parts: int,
    rate: float,
    summary: dict[str, object],
    first: tuple[int, dict[str, float]],
    last: tuple[int, dict[str, float]],
    stored: list[tuple[str, int]],
) -> None:
    """Markdown on stdout."""
    print("# CPU and time per part\n")
    print(f"`python -m tests.measure.stages --parts {parts} --rate {rate:g}`, ", end="")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, ", end="")
    print(f"Python {platform.python_version()}; simulated plant on the same cores.\n")
    print("## Processes: CPU per part\n")
    print("| process | CPU ms per part |\n|---|---|")
    count = last[0] - first[0]
    for name, used in sorted(last[1].items()):
        spent = (used - first[1].get(name, 0.0)) * 1e3 / count
        print(f"| {name} | {spent:.1f} |")
    stages: dict[str, list[float]] = {}
    for text, latency_ns in stored:
        for stage, spent_ns in json.loads(text).items():
            stages.setdefault(stage, []).append(spent_ns / 1e6)
        stages.setdefault("trigger → command", []).append(latency_ns / 1e6)
    print(f"\n## Stages: time per part, of {len(stored)} inspected parts\n")
    print("| stage | median ms | 99 % ms |\n|---|---|---|")
    for stage, spent_ms in stages.items():
        print(f"| {stage} | {np.median(spent_ms):.2f} | {np.percentile(spent_ms, 99):.2f} |")
    print("\n## The run's own summary\n")
    print("| figure | value |\n|---|---|")
    for key in ("parts", "passed", "rejected", "defective", "defective_rejected", "clean_rejected"):
        print(f"| {key} | {summary[key]} |")
    for key in ("mis_diverted", "missing_rows", "late", "fps", "detected"):
        print(f"| {key} | {summary[key]} |")


if __name__ == "__main__":
    main()
