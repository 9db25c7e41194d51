"""A stained picture among the clean ones is found and named before anything is learned from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.detector.guard import suspects


def _maps(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Leave-one-out maps of clean pictures: a printed row is hotter than the rest in all of them."""
    random = np.random.default_rng(seed)
    maps = -random.uniform(0.01, 0.05, (count, 16, 20)).astype(np.float32)
    maps[:, 5] *= 6
    return maps


def _names(count: int) -> list[str]:
    return [f"{number}.png" for number in range(count)]


@pytest.mark.parametrize("count", [5, 20, 84])
def test_a_stain_where_no_other_picture_is_hot_is_named(count: int) -> None:
    maps = _maps(count)
    maps[3, 10:13, 4:8] = -0.28
    (found,) = suspects(maps, _names(count))
    assert found.name == "3.png"
    assert found.where[0] in range(10, 13)


@pytest.mark.parametrize("count", [2, 5, 20, 84])
def test_clean_pictures_are_not_suspected_for_their_print(count: int) -> None:
    assert suspects(_maps(count), _names(count)) == []


def test_a_drop_of_water_is_too_small_to_be_suspected() -> None:
    maps = _maps(20)
    maps[3, 10, 4:6] = -0.4
    assert suspects(maps, _names(20)) == []


def test_the_worst_is_named_first() -> None:
    maps = _maps(20)
    maps[3, 10:13, 4:8] = -0.2
    maps[8, 2:4, 4:9] = -0.5
    assert [one.name for one in suspects(maps, _names(20))] == ["8.png", "3.png"]


@given(st.permutations(range(8)))
def test_the_order_of_the_pictures_does_not_matter(order: list[int]) -> None:
    maps = _maps(8)
    maps[2, 10:13, 4:8] = -0.3
    names = _names(8)
    found = suspects(maps[order], [names[number] for number in order])
    assert [one.name for one in found] == ["2.png"]
