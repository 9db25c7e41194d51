"""A lane at its highest rate for half an hour: ``python -m tests.measure.endurance --recipe FOLDER``.

Runs ``inspector demo`` and looks at the line's processes every ten seconds. It says whether every part got
its own verdict, and by how much each process's own resident memory (without ring and simulated plant, which
are shared) grew an hour, as a straight line through all looks after the warm-up. The cups are drawn once and
come again and again, so that the simulation leaves the processor to the line; a quick recipe is made with
``inspector teach --depth 1``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil

LOOK_S = 10.0
PROCESSES = {
    "inspector.inspection": "inspection",
    "inspector.inspection.sight_process": "sight",
    "inspector.camera.acquire": "acquisition",
    "inspector.records": "records",
    "inspector.hmi": "page",
    "inspector.demo.line": "supervisor",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=14.0)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=5.0, help="minutes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--drawn", type=int, default=24, help="cups")
    given = parser.parse_args()
    parts = round(given.rate * 60 * given.minutes)
    looks: dict[str, list[tuple[float, int]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        command = [sys.executable, "-m", "inspector", "demo", "--parts", str(parts)]
        command += ["--rate", str(given.rate), "--recipe", str(given.recipe)]
        command += ["--workers", str(given.workers)]
        command += ["--drawn", str(given.drawn), "--json", str(summary)]
        command += ["--directory", str(Path(folder) / "plant")]
        demo = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        while demo.poll() is None:
            for process in psutil.Process(demo.pid).children(recursive=True):
                look_at(process, looks, time.monotonic() - began)
            time.sleep(LOOK_S)
        said = json.loads(summary.read_text())
    print(f"{said['parts']} parts, {given.rate:g} a second asked, {said['fps']:.2f} came")
    print(f"passed {said['passed']}, rejected {said['rejected']}, late {said['late']}")
    print(f"trigger → command p50 {said['p50_ms']:.0f} ms, p99 {said['p99_ms']:.0f} ms")
    print(f"mis-diverted {said['mis_diverted']}, rows missing {said['missing_rows']}")
    print("\n| process | MB after the warm-up, half-way, at the end | MB an hour |\n|---|---|---|")
    for name, seen in sorted(looks.items()):
        late = np.array([look for look in seen if look[0] > 60 * given.warm_up])
        slope = np.polyfit(late[:, 0], late[:, 1], 1)[0] * 3600 / 1e6 if len(late) > 2 else np.nan
        shown = [f"{late[at, 1] / 1e6:.1f}" for at in (0, len(late) // 2, -1)]
        print(f"| {name} | {', '.join(shown)} | {slope:+.2f} |")


def look_at(
    process: psutil.Process, looks: dict[str, list[tuple[float, int]]], at_s: float
) -> None:
    """Note a process's resident memory, if it is one of the line's."""
    try:
        words, memory = process.cmdline(), process.memory_info()
    except psutil.Error:
        return
    for module, name in PROCESSES.items():
        if module in words:
            looks[name].append((at_s, memory.rss - memory.shared))


if __name__ == "__main__":
    main()
