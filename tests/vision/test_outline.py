"""Circles are found for what they are: cut ones, chipped ones, several at once, or none."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.vision import CupOutline, find_cups

FRAME = (2880, 1860)
SMALL = (240, 155)
CUP = (1440.0, 930.0, 640.0)


def belt_with(*cups: tuple[float, float, float]) -> NDArray[np.float32]:
    """Coverage of cups (x, y, radius in frame pixels), as a perfect network would say it."""
    rows, columns = np.mgrid[: FRAME[1], : FRAME[0]].astype(np.float32)
    mask = np.zeros(rows.shape, np.float32)
    for x, y, radius in cups:
        mask = np.maximum(mask, np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1))
    return np.asarray(cv2.resize(mask, SMALL, interpolation=cv2.INTER_AREA), np.float32)


def is_at(outline: CupOutline, x: float, y: float, radius: float, within: float = 0.5) -> bool:
    return max(abs(outline.x - x), abs(outline.y - y), abs(outline.radius - radius)) < within


def test_a_rim_is_placed_to_a_fraction_of_a_frame_pixel() -> None:
    for x, y, radius in ((1439.5, 929.5, 662.0), (1466.3, 901.7, 546.4), (1401.9, 958.2, 743.1)):
        (cup,) = find_cups(belt_with((x, y, radius)), FRAME)
        assert is_at(cup, x, y, radius, within=0.2)
        assert cup.whole


def test_an_empty_belt_has_no_cup() -> None:
    assert find_cups(np.zeros(SMALL[::-1], np.float32), FRAME) == ()


def test_dirt_on_the_belt_is_no_cup() -> None:
    assert find_cups(belt_with((700.0, 500.0, 60.0), (2000.0, 1200.0, 90.0)), FRAME) == ()


def test_a_picture_that_is_all_cup_has_no_rim_and_no_cup() -> None:
    assert find_cups(np.ones(SMALL[::-1], np.float32), FRAME) == ()


def test_half_a_cup_is_not_whole() -> None:
    for x in (0.0, 150.0, 2750.0, 2879.0):
        (cup,) = find_cups(belt_with((x, 930.0, 620.0)), FRAME)
        assert is_at(cup, x, 930.0, 620.0, within=6.0)
        assert not cup.whole


def test_a_cup_that_only_just_leaves_the_picture_is_not_whole() -> None:
    (cup,) = find_cups(belt_with((640.0, 930.0, 650.0)), FRAME)
    assert not cup.whole


def test_a_chip_does_not_move_the_circle() -> None:
    mask = belt_with((1440.0, 930.0, 660.0))
    cv2.ellipse(mask, (175, 77), (8, 14), 0, 0, 360, 0, -1)
    (cup,) = find_cups(mask, FRAME)
    assert is_at(cup, 1440.0, 930.0, 660.0)
    assert cup.whole
    assert cup.seen < 0.97


def test_touching_cups_are_told_apart() -> None:
    cups = find_cups(
        belt_with((560.0, 930.0, 540.0), (1640.0, 930.0, 540.0), (2720.0, 930.0, 540.0)), FRAME
    )
    assert [cup.whole for cup in cups] == [True, True, False]
    assert sorted(round(cup.x / 100) for cup in cups) == [6, 16, 27]
    assert all(is_at(cup, cup.x, 930.0, 540.0, within=6.0) for cup in cups)


def test_a_rim_that_the_network_draws_double_is_one_cup() -> None:
    cup = belt_with((1440.0, 930.0, 640.0))
    shifted = belt_with((1500.0, 930.0, 640.0))
    cups = find_cups(np.maximum(cup, shifted), (2880, 1860))
    assert len(cups) == 1


@pytest.mark.parametrize("x", [-500.0, -200.0, -60.0, 2940.0, 3080.0, 3380.0])
def test_less_than_half_a_cup_is_none_yet_for_its_circle_would_be_a_guess(x: float) -> None:
    assert find_cups(belt_with((x, 930.0, 660.0)), FRAME) == ()


def test_of_something_small_that_is_cut_beside_a_whole_cup_no_cup_is_made() -> None:
    cups = find_cups(belt_with((1440.0, 930.0, 640.0), (2860.0, 700.0, 190.0)), FRAME)
    assert [round(cup.radius) for cup in cups] == [640]
    # By itself it may be one, and whole it is.
    assert len(find_cups(belt_with((2860.0, 700.0, 190.0)), FRAME)) == 1
    assert len(find_cups(belt_with((1440.0, 930.0, 640.0), (2500.0, 700.0, 190.0)), FRAME)) == 2


ONE_CUP = belt_with(CUP)


@given(
    top=st.integers(0, 120),
    height=st.integers(8, 155),
    deep=st.floats(0.5, 8.0),
    round_share=st.floats(0, 1),
    side=st.sampled_from(["left", "right"]),
)
@settings(max_examples=60, deadline=None)
def test_an_edge_along_the_pictures_margin_is_no_cup(
    top: int, height: int, deep: float, round_share: float, side: str
) -> None:
    rows, columns = np.arange(SMALL[1]), np.arange(SMALL[0]) + 0.5
    off = 2 * (rows - top - height / 2) / height
    # A strip of belt that the network takes for cup: higher than deep, its inner edge straight or rounded.
    depth = min(deep, height / 4) * (
        1 - round_share + round_share * np.clip(1 - off**2, 0, 1) ** 0.5
    )
    depth = np.where(np.abs(off) <= 1, depth, 0.0)
    strip = np.clip(depth[:, None] + 0.5 - columns, 0, 1).astype(np.float32)
    mask = np.maximum(ONE_CUP, strip if side == "left" else strip[:, ::-1])
    (cup,) = find_cups(mask, FRAME)
    assert is_at(cup, *CUP)
