"""What each fault costs in the running plant: ``python -m tests.measure.faults``.

Runs ``inspector demo --faults SCENARIO`` for every scenario, one after the other, and says what the gate
did. Times are at the photo-eye, so they count in parts: two a second come by.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from inspector.demo.faults import NONE, SCENARIOS
from inspector.demo.traces import read_actions, read_truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=48)
    parser.add_argument("--rate", type=float, default=2.0)
    given = parser.parse_args()
    print(
        "| scenario | parts | rejected as (defects aside) | first reject, s after the fault | "
        "passes again, s after it was mended | passed unchecked | rows lost |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in SCENARIOS:
        if name in (NONE, "all"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            plant, summary = Path(folder) / "plant", Path(folder) / "summary.json"
            command = [sys.executable, "-m", "inspector", "demo", "--faults", name]
            command += ["--parts", str(given.parts), "--rate", str(given.rate), "--seed", "12"]
            command += ["--defect-rate", "0", "--directory", str(plant), "--json", str(summary)]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            print(_row(name, json.loads(summary.read_text()), plant), flush=True)


def _row(name: str, said: dict[str, Any], plant: Path) -> str:
    began_ns = min(fault["at_ns"] for fault in said["faults"])
    mended_ns = max(fault["at_ns"] for fault in said["faults"])
    actions = read_actions(plant / "plc.jsonl")
    cups = [cup for cup in read_truth(plant / "truth.jsonl") if cup.number in actions]
    diverted = [
        cup.eye_ns
        for cup in cups
        if not actions[cup.number].passed and cup.eye_ns > began_ns - 2_000_000_000
    ]
    passed = [cup.eye_ns for cup in cups if actions[cup.number].passed and cup.eye_ns >= mended_ns]
    reasons = {reason: n for reason, n in said["rejected"].items() if reason != "defect"}
    cells = [
        name,
        said["parts"],
        ", ".join(f"{reason} {n}" for reason, n in reasons.items()) or "–",
        f"{(diverted[0] - began_ns) / 1e9:.1f}" if diverted and reasons else "–",
        f"{(passed[0] - mended_ns) / 1e9:.1f}" if passed else "never",
        said["mis_diverted"],
        said["missing_rows"],
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
