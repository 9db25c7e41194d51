"""A cup that leans shows straight rings all the same, and none is made to lean by what is on it."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.recipe.view import RIM_PX, SIZE
from inspector.twin.cups import draw_cup
from inspector.vision import UPRIGHT_CUP, CupImage, Lean, prepare
from inspector.vision.lean import lean_of, ring_centres, ring_of
from inspector.vision.polar import ring_radii, unrolled
from tests.vision.bench import FORMAT, TYPES, mosaic, segment

LEANS = st.builds(Lean, st.floats(-0.06, 0.06), st.floats(-0.06, 0.06))


def drawn(lean: Lean) -> NDArray[np.uint8]:
    """A cup image of rings about centres that move as the lean says, with print, side light and noise."""
    places = np.linspace(-1, 1, SIZE, dtype=np.float32) * np.float32(SIZE / 2 / RIM_PX)
    x, y = np.meshgrid(places, places)
    radius, angle = ring_of(x, y, lean)
    grey = 130 + 25 * np.sign(np.sin(21 * radius)) + 30 * np.cos(angle - 1) + 20 * x
    grey += np.random.default_rng(1).normal(0, 3, grey.shape)
    picture = np.repeat(grey[..., None], 3, axis=2)
    picture[(np.abs(radius - 0.7) < 0.05) & (np.abs(angle - 2) < 0.6), 1:] -= 60
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def found(picture: NDArray[np.uint8]) -> Lean:
    view = unrolled(picture, np.eye(2, 3), (112, 98))
    return lean_of(view, ring_radii(112))


@settings(max_examples=25, deadline=None)
@given(lean=LEANS)
def test_a_lean_is_found_under_print_and_light_from_one_side(lean: Lean) -> None:
    assert np.hypot(*np.subtract(found(drawn(lean)), lean)) < 0.004


@given(lean=LEANS, radius=st.floats(0.06, 1.02), angle=st.floats(0, 6.28))
def test_a_place_on_a_ring_is_found_on_that_ring(lean: Lean, radius: float, angle: float) -> None:
    (right, down), *_ = ring_centres(lean, np.array([radius]))
    x = np.array([right + radius * np.cos(angle)], np.float32)
    y = np.array([down - radius * np.sin(angle)], np.float32)
    back, turned = ring_of(x, y, lean)
    assert back[0] == pytest.approx(radius, abs=1e-4)
    assert np.cos(turned[0] - angle) == pytest.approx(1, abs=1e-4)


def test_a_cup_without_rings_leans_nowhere() -> None:
    even = np.full((112, 98, 3), 130, np.uint8)
    assert np.hypot(*lean_of(even, ring_radii(112))) < 1e-3


def test_rings_that_are_not_understood_are_left_as_they_are() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (112, 98, 3), np.uint8)
    lean = lean_of(noise, ring_radii(112))
    assert np.hypot(*lean) < 0.1


@pytest.mark.parametrize("cup_type", TYPES)
def test_a_cup_that_was_levelled_leans_no_more(cup_type: str) -> None:
    leans = []
    for seed in range(6):
        raw = mosaic(draw_cup(cup_type, 81_000 + seed).frame)
        cup = prepare(raw, FORMAT, segment(), None)
        assert isinstance(cup, CupImage)
        before = found(cup.image())
        levelled = unrolled(cup.image(), np.eye(2, 3), (112, 98), before)
        leans.append((np.hypot(*before), np.hypot(*lean_of(levelled, ring_radii(112)))))
    assert max(before for before, _ in leans) > 0.01
    assert max(after for _, after in leans) < 0.003


def test_an_upright_view_has_no_lean() -> None:
    cup = prepare(mosaic(draw_cup("type-01", 3).frame), FORMAT, segment(), None)
    assert isinstance(cup, CupImage)
    assert cup.lean == UPRIGHT_CUP
    assert cv2.norm(cup.view, cup.image()) == 0
