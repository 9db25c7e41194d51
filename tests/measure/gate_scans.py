"""How regularly a gate without a PLC is scanned on this machine: ``python -m tests.measure.gate_scans``.

The gate's thread on wires that lead nowhere: alone, beside a thread of the same process that decodes and
copies pictures as inspection does, and beside one that only runs Python. Prints the times between scans.
"""

import argparse
import threading
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from inspector.core.belt import BeltLimits
from inspector.core.gate_program import Parameters
from inspector.gate import LineState, Outgoing
from inspector.gate.direct import DirectGate
from inspector.gate.scanner import Pace

MS = 1_000_000
PACE = Pace(scan_ns=2 * MS, late_ns=10 * MS, hold_ns=10 * MS, eye_delay_ns=MS)


class Nowhere:
    """Wires that note when they are asked."""

    def __init__(self) -> None:
        self.asked_ns: list[int] = []

    def edges(self) -> Sequence[int]:
        self.asked_ns.append(time.monotonic_ns())
        return ()

    def belt_runs(self) -> bool:
        return True

    def pass_until(self, until_ns: int) -> None: ...

    def reject(self) -> None: ...

    def close(self) -> None: ...


def nothing() -> None:
    time.sleep(0.01)


def pictures() -> None:
    raw = np.zeros((1860, 2880), np.uint8)
    colours = cv2.cvtColor(raw, cv2.COLOR_BayerRG2RGB)
    cv2.warpAffine(colours, np.eye(2, 3), (384, 384))
    (colours[:384, :384].astype(np.float32) / 255).mean()


def python() -> None:
    sum(number * number for number in range(20_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    print("| beside it | scans | between two, ms: median | 99 % | 99.9 % | longest | over 10 ms |")
    print("|---|---|---|---|---|---|---|")
    for name, work in (("nothing", nothing), ("pictures", pictures), ("Python", python)):
        gaps_ms = np.diff(scanned_beside(work, given.seconds)) / MS
        shares = " | ".join(f"{np.percentile(gaps_ms, share):.1f}" for share in (50, 99, 99.9, 100))
        print(f"| {name} | {len(gaps_ms)} | {shares} | {np.sum(gaps_ms > 10)} |", flush=True)


def scanned_beside(work: Callable[[], None], seconds: float) -> list[int]:
    """When the gate was scanned, ns, while ``work`` was done again and again."""
    stopping = threading.Event()

    def again_and_again() -> None:
        while not stopping.is_set():
            work()

    wires = Nowhere()
    parameters = Parameters(belt=BeltLimits(settle_ns=0))
    gate = DirectGate(lambda: wires, parameters, PACE, "lane-1", where="nowhere", timeout_ms=60_000)
    worker = threading.Thread(target=again_and_again)
    worker.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        gate.exchange(Outgoing(True, LineState.RUNNING))
        time.sleep(0.01)
    stopping.set()
    worker.join()
    gate.close()
    return wires.asked_ns


if __name__ == "__main__":
    main()
