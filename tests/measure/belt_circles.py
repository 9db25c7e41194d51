"""What is taken for a cup on a belt that moves through the picture: ``python -m tests.measure.belt_circles``.

Belts of seven cups, from touching to far apart, are moved about 110 px a frame. Each cup brings its own belt
and light along, so that there is a step in the light between two cups, as at a belt's splice. A circle is
out of nothing when no cup's middle is within 100 px of it; a cup is missed when its middle is more than 40 px
inside the picture and no circle is there.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.twin.cups import CUP_TYPES, FRAME_WIDTH, CupStream, empty_belt
from inspector.vision import locate
from tests.vision.bench import FORMAT, mosaic, segment

_CUPS = 7
_GAPS_PX = (1450, 1560, 1632, 1700, 2000, 2500, 2880, 3300, 4500)
_NEAR_PX, _EDGE_PX = 100, 40

Picture = NDArray[np.uint8]
Place = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--belts", type=int, default=10, help="of each type")
    parser.add_argument("--seed", type=int, default=1000, help="of the first belt")
    given = parser.parse_args()
    print(
        "| type | frames | circles | out of nothing | cups missed | cut circle off, px | whole, px |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in CUP_TYPES:
        counts: Counter[str] = Counter()
        off: dict[bool, list[float]] = {False: [0.0], True: [0.0]}
        for seed in range(given.seed, given.seed + given.belts):
            for frame, places in moving_belt(name, seed):
                counts["frames"] += 1
                left = [place for place in places if _EDGE_PX < place[0] < FRAME_WIDTH - _EDGE_PX]
                for cup in locate(mosaic(frame), FORMAT, segment()):
                    counts["circles"] += 1
                    place = min(places, key=lambda at: np.hypot(at[0] - cup.x, at[1] - cup.y))
                    if np.hypot(place[0] - cup.x, place[1] - cup.y) > _NEAR_PX:
                        counts["nothing"] += 1
                        continue
                    off[cup.whole].append(abs(place[0] - cup.x))
                    if place in left:
                        left.remove(place)
                counts["missed"] += len(left)
        print(
            f"| {name} | {counts['frames']} | {counts['circles']} | {counts['nothing']} "
            f"| {counts['missed']} | {max(off[False]):.0f} | {max(off[True]):.1f} |",
            flush=True,
        )


def moving_belt(cup_type: str, seed: int) -> Iterator[tuple[Picture, list[Place]]]:
    """Frames of a belt, 1860×2880×3 uint8 RGB, and where the middles of all its cups are in each."""
    random = np.random.default_rng(seed)
    stream, belt = CupStream(cup_type, seed, 0.3), empty_belt(seed)
    cups = [next(stream) for _ in range(_CUPS)]
    behind = np.concatenate([[0], np.cumsum(random.choice(_GAPS_PX, _CUPS - 1))])
    for run in range(-800, int(behind[-1]) + FRAME_WIDTH + 800, int(random.integers(95, 125))):
        moved = [run - FRAME_WIDTH // 2 - int(back) for back in behind]
        frame = belt.copy()
        # A column belongs to the nearest cup; of none it is bare belt.
        edges = [FRAME_WIDTH, *((a + b + FRAME_WIDTH) // 2 for a, b in pairwise(moved)), 0]
        for cup, shift, right, left in zip(cups, moved, edges, edges[1:], strict=False):
            begin, end = max(left, shift, 0), min(right, shift + FRAME_WIDTH, FRAME_WIDTH)
            if begin < end:
                frame[:, begin:end] = cup.frame[:, begin - shift : end - shift]
        places = [
            (cup.truth.centre_xy[0] + shift, cup.truth.centre_xy[1])
            for cup, shift in zip(cups, moved, strict=True)
        ]
        yield frame, places


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
