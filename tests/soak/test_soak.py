"""A quarter of a million simulated parts with random faults; ``make soak`` plays forty times as many."""

import multiprocessing
from collections import Counter

import pytest

from tests.soak.episodes import EPISODE, soak

PARTS = 250_000


@pytest.mark.timeout(900)
def test_no_part_of_a_quarter_of_a_million_passes_without_its_own_fresh_ok() -> None:
    played = list(soak(range(PARTS // EPISODE), multiprocessing.cpu_count()))
    assert [what for _, _, what in played if what] == []
    tally = sum((tally for _, tally, _ in played), Counter[str]())
    # It would be easy never to be wrong by never passing anything, or by never meeting a fault.
    assert tally["let through"] > PARTS / 4
    assert (
        min(tally[fault] for fault in ("inspection killed", "PLC starts", "verdicts astray")) > 500
    )
    calm = sum((tally for seed, tally, _ in played if seed % 4 == 0), Counter[str]())
    assert calm["clean diverted"] == 0
