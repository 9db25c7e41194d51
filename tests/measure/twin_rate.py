"""How fast the endless line draws cups: ``python -m tests.measure.twin_rate``.

Draws cups of each type as the demo's conveyor does, on one core, and counts what a belt would have got.
"""

import argparse
import time

import cv2
import numpy as np

from inspector.twin.cups import CUP_TYPES, CupStream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cups", type=int, default=300, help="of each type")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    print(
        "| type | first cup s | parts/s | ms a clean cup 50 / 99 % | ms a defective cup 50 / 99 % |"
    )
    print("|---|---|---|---|---|")
    for name in CUP_TYPES:
        start = time.perf_counter()
        stream = CupStream(name, given.seed)
        next(stream)
        first = time.perf_counter() - start
        spent: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(given.cups):
            before = time.perf_counter()
            defective = next(stream).truth.defective
            spent[defective].append(time.perf_counter() - before)
        rate = given.cups / sum(map(sum, spent.values()))
        times = " | ".join(
            " / ".join(f"{1e3 * np.quantile(spent[kind], part):.0f}" for part in (0.5, 0.99))
            for kind in (False, True)
        )
        print(f"| {name} | {first:.1f} | {rate:.1f} | {times} |", flush=True)


if __name__ == "__main__":
    main()
