"""What each engine takes for each recipe here: ``python -m tests.measure.engines --recipe A --recipe B``.

All recipes in all engines look at one golden image in turn, so that whatever else the machine does meets them
alike; prints the table of docs/measurements/engine.md.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np

from inspector.core.errors import EngineError
from inspector.engine import Backend, NetworkPool, choose_detector
from inspector.recipe import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, action="append", required=True)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args()
    choices = []
    for folder, backend in product(given.recipe, Backend):
        recipe = load_recipe(folder, given.models)
        try:
            choice = choose_detector(recipe, NetworkPool(given.threads), backend.value)
        except EngineError as error:
            print(f"{backend} does not run {recipe.label}: {error}")
            continue
        choices.append((recipe, choice, list[float]()))
    for _, (recipe, choice, times) in product(range(given.rounds), choices):
        began = time.perf_counter()
        choice.detector.distances(recipe.golden_images[:1])
        times.append(time.perf_counter() - began)
    print("| engine | precision | ms | of the first | quickest ms | from the golden maps (band) |")
    print("|---|---|---|---|---|---|")
    first = float(np.median(choices[0][2]))
    for _, choice, times in choices:
        median = float(np.median(times))
        print(
            f"| {choice.backend} | {choice.precision} | {1e3 * median:.0f} | {median / first:.0%} "
            f"| {1e3 * min(times):.0f} | {choice.golden_error:.2g} ({choice.band:.2g}) |"
        )


if __name__ == "__main__":
    main()
