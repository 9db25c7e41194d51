"""Episodes of the soak, in processes of their own."""

import multiprocessing
from collections import Counter
from collections.abc import Iterable

from tests.soak.plant import WEATHERS, Plant
from tests.soak.witness import ClaimBrokenError

EPISODE = 2_000


def weather_of(seed: int) -> str:
    """All weathers in turn."""
    return tuple(WEATHERS)[seed % len(WEATHERS)]


def play(seed: int) -> tuple[int, Counter[str], str]:
    """One episode: its seed, what happened, and what broke the claim (nothing: an empty text)."""
    plant = Plant(seed, EPISODE, WEATHERS[weather_of(seed)])
    try:
        return seed, plant.play(), ""
    except ClaimBrokenError as broken:
        return seed, plant.tally, str(broken)


def soak(seeds: Iterable[int], processes: int) -> Iterable[tuple[int, Counter[str], str]]:
    """Episodes as they end, over so many processes.

    Not forked: a copy of a test run would wait for the threads of its libraries, which a copy has not.
    """
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(play, seeds)
