"""A stained picture among clean ones is named, and a clean set is left in peace."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.detector.guard import TIMES_AS_HOT, suspects
from inspector.detector.memory_bank import leave_one_out

Maps = NDArray[np.float32]
NAMES = [f"{number:03d}.png" for number in range(84)]


def _clean(count: int, seed: int = 0) -> Maps:
    """Leave-one-out maps of clean pictures, three times as hot along one row."""
    maps = np.random.default_rng(seed).gamma(4, 0.02, (count, 12, 30))
    maps[:, 5] *= 3
    return -maps.astype(np.float32)


def _stained(maps: Maps, number: int, heat: float = 1.5) -> Maps:
    maps = maps.copy()
    maps[number, 7:9, 3:6] = -heat
    return maps


@pytest.mark.parametrize("count", [3, 5, 20, 84])
def test_a_stained_picture_is_named_with_the_place_to_look_at(count: int) -> None:
    (suspect,) = suspects(_stained(_clean(count), 2), NAMES[:count])
    assert suspect.name == "002.png"
    assert suspect.score > TIMES_AS_HOT or count > 20
    row, column = suspect.where
    assert (row, column) in {(r, c) for r in (7, 8) for c in (3, 4, 5)}


@pytest.mark.parametrize("count", [2, 3, 5, 20, 84])
def test_clean_pictures_are_not_suspected(count: int) -> None:
    alarms = sum(bool(suspects(_clean(count, seed), NAMES[:count])) for seed in range(100))
    assert alarms <= 3


def test_several_stained_pictures_do_not_hide_each_other() -> None:
    maps = _clean(20)
    for number, heat in ((3, 1.9), (8, 1.2), (11, 1.1)):
        maps = _stained(maps, number, heat)
    found = suspects(maps, NAMES[:20])
    assert [one.name for one in found] == ["003.png", "008.png", "011.png"]


def test_a_faint_stain_takes_many_pictures_to_be_told_from_chance() -> None:
    found = [suspects(_stained(_clean(count), 2, 0.9), NAMES[:count]) for count in (5, 84)]
    assert [[one.name for one in each] for each in found] == [[], ["002.png"]]


def test_what_is_hot_in_every_picture_counts_for_none() -> None:
    maps = _clean(20)
    maps[:, 7:9, 3:6] = -1.5
    assert suspects(maps, NAMES[:20]) == []


@pytest.mark.parametrize("count", [5, 20])
def test_a_patch_that_no_other_picture_has_is_found_through_the_bank(count: int) -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.ones(count, 16, 6, 10) + 0.1 * torch.randn(
        (count, 16, 6, 10), generator=random
    )
    features[1, :, 2, 4:7] = torch.randn((16, 3), generator=random)
    maps = leave_one_out(features, "radius").numpy()
    (suspect,) = suspects(maps, NAMES[:count])
    assert suspect.name == "001.png"
    assert suspect.where in {(2, 4), (2, 5), (2, 6)}
