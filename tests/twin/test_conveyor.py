"""The conveyor puts cups on the belt ahead of time and keeps the truth of each."""

import json
import threading
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from inspector.twin.conveyor import Belt, run_belt, schedule
from inspector.twin.cups import CupPicture, DefectKind, draw_cup
from inspector.twin.rig import create_rig

BELT = Belt(rate_hz=20.0, jitter=0.2, travel_ms=300.0)


@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_cups_come_in_order_and_never_much_early_or_late(jitter: float) -> None:
    belt = Belt(rate_hz=10.0, jitter=jitter, travel_ms=1.0)
    times = list(islice(schedule(belt, start_ns=0, seed=3), 200))
    assert all(after > before for before, after in pairwise(times))
    assert all(abs(at - 1e8 * n) <= jitter * 1e8 + 1 for n, at in enumerate(times))


def cups() -> Iterator[CupPicture]:
    good = draw_cup("type-01", 1)
    bad = draw_cup("type-01", 2, defect=DefectKind.HOLE)
    while True:
        yield good
        yield bad


def test_every_published_cup_has_its_truth_and_its_picture(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with create_rig(tmp_path / "rig", belt_px_per_s=100_000) as rig:
        rig.belt_on = True
        published = run_belt(rig, cups(), BELT, truth, parts=12, seed=1, stopping=threading.Event())
        newest = rig.part(12)
        assert newest is not None
        np.testing.assert_array_equal(
            rig.image(newest.image_slot), draw_cup("type-01", 2, defect=DefectKind.HOLE).frame
        )
    rows = [json.loads(line) for line in truth.read_text().splitlines()]
    assert published == 12
    assert [row["number"] for row in rows] == list(range(1, 13))
    assert [bool(row["defects"]) for row in rows] == [False, True] * 6
    assert rows[1]["defects"][0]["kind"] == "hole"
    assert newest.gate_ns - newest.eye_ns == 300_000_000


def test_a_belt_that_is_not_switched_on_brings_no_cup_and_can_be_stopped(tmp_path: Path) -> None:
    stopping = threading.Event()
    with create_rig(tmp_path / "rig", belt_px_per_s=100_000) as rig:
        threading.Timer(0.3, stopping.set).start()
        published = run_belt(
            rig, cups(), BELT, tmp_path / "truth.jsonl", parts=3, seed=1, stopping=stopping
        )
        assert (published, rig.parts_published) == (0, 0)
