"""``make soak``: millions of simulated parts with random faults, and not one may break the claim.

``python -m tests.soak --parts 10_000_000 --processes 2``. Each episode of 2,000 parts has a seed of its
own: one that breaks the claim is named and can be played again alone (``--first SEED --parts 2000``).
"""

import argparse
import multiprocessing
import time
from collections import Counter

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.soak.episodes import EPISODE, soak, weather_of
from tests.soak.plant import WEATHERS


def main() -> int:
    """Runs the soak, prints its table; exit code 1 when the claim was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=10_000_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first episode")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    given = parser.parse_args()
    seeds = range(given.first, given.first + max(1, given.parts // EPISODE))
    tallies = {name: Counter[str]() for name in WEATHERS}
    broken: list[str] = []
    start = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("soaking", total=len(seeds))
        for seed, tally, what in soak(seeds, given.processes):
            tallies[weather_of(seed)].update(tally)
            if what:
                broken.append(f"episode {seed}: {what}")
                progress.console.print(broken[-1])
            progress.update(task, advance=1, description=f"soaking, {len(broken)} violations")
    minutes = (time.monotonic() - start) / 60
    print(f"\n{len(seeds) * EPISODE:,} parts, {len(broken)} violations, {minutes:.1f} min\n")
    print(f"| | {' | '.join(WEATHERS)} |\n|---|{'---|' * len(WEATHERS)}")
    for row in sorted({row for tally in tallies.values() for row in tally}):
        print(f"| {row} | {' | '.join(f'{tally[row]:,}' for tally in tallies.values())} |")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
